"""A network as an ONNX file, for devices without torch: whole recordings, or a stream of chunks.

Compared with torch before it is written. With `onnx_graph`, the only door to onnx and onnxruntime.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core.checkpoints import onnx_graph
from tasnet_core.checkpoints.onnx_graph import CHUNK, INPUT, OUTPUT
from tasnet_core.checkpoints.safetensors_file import CONFIG, WEIGHTS, optional, read_hub, save_hub
from tasnet_core.errors import CheckpointError, UserError
from tasnet_core.files import write_atomically
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant

ALLOWED = 1e-4      # of the largest sample: what ONNX may differ from torch
ONNX, STREAM = "model.onnx", "stream.onnx"

Sound = NDArray[np.float32]


def write(network: ConvTasNet, path: Path, samples: int | None = None,
          streaming: bool = False) -> str:
    """Write a network as ONNX and say in a line what was written.

    Without `samples`, batch and length are open; with it every size is fixed: a batch of 1 and so
    many samples. `streaming`: chunks of a whole number of hops, `samples` each, and states; see
    `OnnxStream` and the file's own description.

    Raises:
        UserError: when a package of the extra `export` is not installed, the network cannot stream,
            the file cannot be written, or what was made is not the network.
    """
    model = to_onnx(network, samples, streaming)
    difference = parity(network, model, samples)
    if difference > ALLOWED:
        raise UserError(
            f"ONNX: differs from torch by {difference:.1e} of the largest sample, "
            f"more than {ALLOWED:g}: not written")
    put(model, path)
    open_shape = "[1, any number of whole hops]" if streaming else "any batch and length"
    shape = f"[1, {samples}]" if samples else open_shape
    return (f"{path}: {'chunks of ' * streaming}{shape}, opset {onnx_graph.OPSET}, "
            f"{len(model):,} bytes; largest difference from torch {difference:.1e} "
            "of the largest sample, by onnxruntime")


def put(model: bytes, path: Path) -> None:
    try:
        write_atomically(path, lambda file: file.write(model))
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be written: {error.strerror or error}; "
                        "choose another place with --out") from error


def to_onnx(network: ConvTasNet, samples: int | None = None, streaming: bool = False) -> bytes:
    """The bytes of what `write` writes: the same for the same network, wherever it is made.

    Raises:
        UserError: when onnx is not installed, or the network cannot stream in such chunks.
    """
    for package in ("onnx", "onnxruntime"):
        optional(package)
    if streaming:
        check_streaming(network.variant, samples)
    return onnx_graph.as_bytes(onnx_graph.model_of(network.eval(), samples, streaming))


def check_streaming(variant: Variant, samples: int | None) -> None:
    if not variant.causal:
        raise UserError(
            "--streaming: this network has causal=False, so every frame waits for later ones; "
            "wanted one trained with causal=true norm=cumulative")
    if samples and samples % variant.hop:
        near = max(variant.hop, samples // variant.hop * variant.hop)
        raise UserError(f"--samples {samples}: a chunk of a stream is a whole number of hops of "
                        f"L/2 = {variant.hop} samples, such as {near}")


def session_of(model: bytes | str | Path, threads: int = 0) -> Any:
    """An onnxruntime.InferenceSession on the CPU; threads 0: as many as there are cores.

    Raises:
        CheckpointError: when the file cannot be read as ONNX.
        UserError: when onnxruntime is not installed.
    """
    runtime = optional("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(
            model if isinstance(model, bytes) else Path(model).read_bytes(), options,
            providers=["CPUExecutionProvider"])
    except Exception as error:      # onnxruntime has many error types of its own
        name, first = "model" if isinstance(model, bytes) else model, str(error).partition("\n")[0]
        raise CheckpointError(f"{name}: no ONNX that onnxruntime can run: {first}") from error


def load_onnx(model: bytes | str | Path, threads: int = 0) -> Callable[[Sound], Sound]:
    """An ONNX model as a function, by onnxruntime on the CPU: float32 [B, T] -> [B, C, T].

    What was written for streaming is an `OnnxStream`.

    Raises:
        CheckpointError: when the file cannot be read as ONNX.
        UserError: when onnxruntime is not installed.
    """
    session = session_of(model, threads)
    if session.get_inputs()[0].name == CHUNK:
        return OnnxStream(session)

    def run(mixture: Sound) -> Sound:
        check_shape(session, np.shape(mixture))
        return np.asarray(session.run([OUTPUT], {INPUT: np.asarray(mixture, np.float32)})[0])

    return run


def check_shape(session: Any, found: tuple[int, ...], hop: int = 1, more: int = 0) -> None:
    """See that a model takes audio of this shape: where its length is open, of whole hops.

    Raises:
        UserError: when it does not. A first chunk has `more` samples in front.
    """
    batch, length = session.get_inputs()[0].shape
    wanted = (batch, length + more if isinstance(length, int) else length)
    if (len(found) != 2 or found[1] <= more or found[1] % hop
            or any(isinstance(size, int) and size != ours
                   for size, ours in zip(wanted, found, strict=True))):
        hops = f", {1 + more // hop} or more whole hops of {hop} samples" if hop > 1 else ""
        raise UserError(f"ONNX: audio of shape {list(found)}; "
                        f"wanted [{wanted[0]}, {wanted[1]}]{hops}")


class OnnxStream:
    """A stream by onnxruntime: `stream(chunk[1, T]) -> [1, C, T]`, then `finish() -> [1, C, hop]`.

    T is a whole number of hops, and where the file fixes it that number. The first chunk is one hop
    longer than its output, since a frame is two hops; from then on the output is one hop late. All
    outputs one after the other are those of the whole recording, if its last frame is a chunk's.

    Raises:
        UserError: on calling, when a chunk is of another length.
    """

    def __init__(self, session: Any):
        self.session = session
        self.states: dict[str, Sound] = {}
        self.hop: int = self._zeros()["past_samples"].shape[-1]

    def __call__(self, chunk: Sound) -> Sound:
        chunk, hop = np.asarray(chunk, np.float32), self.hop
        check_shape(self.session, chunk.shape, hop, more=0 if self.states else hop)
        if not self.states:
            self.states = {**self._zeros(), "past_samples": chunk[:, None, :hop]}
            chunk = chunk[:, hop:]
        signals, *states = self.session.run(None, {CHUNK: chunk, **self.states})
        self.states = dict(zip(self.states, states, strict=True))
        return np.asarray(signals)

    def finish(self) -> Sound:
        """The last hop, which no further frame is added to; the next chunk begins anew."""
        if not self.states:
            return np.zeros((1, self.session.get_outputs()[0].shape[1], 0), np.float32)
        # A frame of zeros is behind it: decoded, it is nothing.
        states = {**self.states, "past_samples": self._zeros()["past_samples"]}
        size = self.session.get_inputs()[0].shape[1]
        chunk = np.zeros((1, size if isinstance(size, int) else self.hop), np.float32)
        signals = self.session.run([OUTPUT], {CHUNK: chunk, **states})[0]
        self.states = {}
        return np.asarray(signals[..., :self.hop])

    def _zeros(self) -> dict[str, Any]:
        kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64}
        return {state.name: np.zeros(state.shape, kinds[state.type])
                for state in self.session.get_inputs()[1:]}


def parity(network: ConvTasNet, model: bytes, samples: int | None = None) -> float:
    """The largest difference between ONNX and torch, as a share of the largest sample.

    Over lengths, batch sizes and levels, or those that the model fixes. Silence is among them, and
    a whisper whose power is near the norms' eps. Where nothing is separated, a hundredth of the
    mixture's largest sample is what it is a share of.

    Raises:
        UserError: when the shapes differ, or a number is not finite.
    """
    run, rng, worst, v = load_onnx(model), np.random.default_rng(0), 0.0, network.variant
    streams = isinstance(run, OnnxStream)
    lengths = [1, v.hop, v.L - 1, v.L + 1, 10 * v.L + 1, v.sample_rate_hz]
    if streams:
        lengths = [(samples or v.hop) * 20 + v.hop]
    elif samples:
        lengths = [samples]
    for length in lengths:
        for batch, level in ((1, 0.1), (1 if samples or streams else 3, 0.1), (1, 1e-4), (1, 0.0)):
            mixture = (level * rng.standard_normal((batch, length))).astype(np.float32)
            with torch.inference_mode():
                wanted = network(torch.from_numpy(mixture)).numpy()
            found = whole_stream(run, mixture, v.hop, samples) if streams else run(mixture)
            if found.shape != wanted.shape or not np.isfinite(found).all():
                raise UserError(
                    f"ONNX: {found.shape} {'' if np.isfinite(found).all() else 'and not finite '}"
                    f"for a mixture of {mixture.shape} at level {level:g}; "
                    f"torch gives {wanted.shape}")
            largest = max(np.abs(wanted).max(), np.abs(mixture).max() / 100,
                          np.finfo(np.float32).tiny)
            worst = max(worst, float(np.abs(found - wanted).max() / largest))
    return worst


def whole_stream(stream: Any, mixture: Sound, hop: int, chunk: int | None = None) -> Sound:
    """A whole recording through a stream in chunks of one size, or of 1, 2, 3 … hops."""
    ends = np.cumsum([chunk or hop * count for count in range(1, mixture.shape[1] // hop + 1)])
    ends = np.minimum(ends[: np.searchsorted(ends, mixture.shape[1] - hop) + 1] + hop,
                      mixture.shape[1])
    starts = [0, *ends[:-1]]
    parts = [stream(mixture[:, start:end]) for start, end in zip(starts, ends, strict=True)]
    return np.concatenate([*parts, stream.finish()], -1)


def export(network: ConvTasNet, out: Path, formats: list[str], say: Callable[[str], None],
           overwrite: bool = False, samples: int | None = None, streaming: bool = False,
           also: Sequence[str] = ()) -> None:
    """Write a network as "onnx" and "safetensors" into a folder; each is read back and compared.

    `streaming` adds a second ONNX file, and then `samples` are those of its chunks. `also` are
    files that the caller will write.

    Raises:
        UserError: when a package is not installed, the folder cannot be written, or what was made
            is not the network.
    """
    for path in (*files_of(out, formats, streaming), *(out / name for name in also)):
        if path.exists() and not overwrite:
            raise UserError(
                f"{path}: is there already; choose another folder with --out, or give --overwrite")
    network = network.eval()
    if streaming:
        check_streaming(network.variant, samples)
    if "safetensors" in formats:
        for path in save_hub(network, out):
            say(str(path))
        mine, (variant, theirs) = network.state_dict(), read_hub(out)
        if variant != network.variant or mine.keys() != theirs.keys() or not all(
                torch.equal(mine[name], theirs[name]) for name in mine):
            raise UserError(f"{out}: what was written is not what is read back")
        say(f"safetensors: {len(mine)} tensors, read back equal bit for bit")
    if "onnx" in formats:
        say(write(network, out / ONNX, None if streaming else samples))
    if streaming:
        say(write(network, out / STREAM, samples, streaming=True))


def files_of(out: Path, formats: list[str], streaming: bool) -> Iterator[Path]:
    if "safetensors" in formats:
        yield from (out / WEIGHTS, out / CONFIG)
    if "onnx" in formats:
        yield out / ONNX
    if streaming:
        yield out / STREAM
