"""A network as ONNX, for devices without torch: any batch, any length, compared with torch.

The only door to onnx and onnxruntime.
"""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tasnet_core.checkpoints.safetensors_file import CONFIG, WEIGHTS, optional, read_hub, save_hub
from tasnet_core.errors import CheckpointError, UserError
from tasnet_core.files import write_atomically
from tasnet_core.network.model import ConvTasNet

ALLOWED = 1e-4      # of the largest sample: what ONNX may differ from torch
INPUT, OUTPUT, ONNX = "mixture", "signals", "model.onnx"

Sound = NDArray[np.float32]


class Traced(nn.Module):
    """The network's forward pass without a Python number in it: batch and length stay open.

    [B, T] -> [B, C, T].
    """

    def __init__(self, network: ConvTasNet):
        super().__init__()
        self.network = network

    def forward(self, mixture: Tensor) -> Tensor:
        hop, samples = self.network.variant.hop, mixture.shape[-1]
        front = hop if self.network.variant.encoder_padding else 0
        # model.zeros_around without a comparison: K + 1 hops cover every sample, and one frame is
        # two.
        hops = torch.sym_max(2, (samples + 2 * front + hop - 1) // hop)
        padded = F.pad(mixture, (front, hops * hop - front - samples))
        return self.network.whole_frames(padded)[..., front:front + samples]


def to_onnx(network: ConvTasNet) -> bytes:
    """The network as an ONNX model whose batch and length are open.

    Raises:
        UserError: when a package of the extra `export` is not installed.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        optional(package)
    exporter_log, level = logging.getLogger("torch.onnx"), logging.getLogger("torch.onnx").level
    # It would tell which packages that we do not use are missing.
    exporter_log.setLevel(logging.ERROR)
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own, on how it is written
            program = torch.onnx.export(
                Traced(network).eval(), (torch.randn(2, 8 * network.variant.L + 3),),
                dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT],
                dynamic_shapes={INPUT: axes},
                # Its optimizer (onnxscript 0.7.2) takes the norms' eps of 1e-8 for zero and drops
                # it: NaN on silence.
                optimize=False,
            )
            assert program is not None
    finally:
        exporter_log.setLevel(level)
    return bytes(program.model_proto.SerializeToString())


def load_onnx(model: bytes | str | Path) -> Callable[[Sound], Sound]:
    """An ONNX model as a function, by onnxruntime on the CPU: float32 [B, T] -> [B, C, T].

    Raises:
        CheckpointError: when the file cannot be read as ONNX.
        UserError: when onnxruntime is not installed.
    """
    runtime = optional("onnxruntime")
    try:
        session = runtime.InferenceSession(
            model if isinstance(model, bytes) else Path(model).read_bytes(),
            providers=["CPUExecutionProvider"])
    except Exception as error:      # onnxruntime has many error types of its own
        name, first = "model" if isinstance(model, bytes) else model, str(error).partition("\n")[0]
        raise CheckpointError(f"{name}: no ONNX that onnxruntime can run: {first}") from error

    def run(mixture: Sound) -> Sound:
        return np.asarray(session.run([OUTPUT], {INPUT: np.asarray(mixture, np.float32)})[0])

    return run


def parity(network: ConvTasNet, model: bytes) -> float:
    """The largest difference between ONNX and torch, as a share of the largest sample.

    Over lengths, batch sizes and levels. Silence is among them, and a whisper whose power is near
    the norms' eps: there the exporter has been wrong.

    Raises:
        UserError: when the shapes differ, or a number is not finite.
    """
    run, rng, worst = load_onnx(model), np.random.default_rng(0), 0.0
    variant = network.variant
    for samples in (
        1, variant.hop, variant.L - 1, variant.L + 1, 10 * variant.L + 1, variant.sample_rate_hz):
        for batch, level in ((1, 0.1), (3, 0.1), (2, 1e-4), (1, 0.0)):
            mixture = (level * rng.standard_normal((batch, samples))).astype(np.float32)
            with torch.inference_mode():
                wanted = network(torch.from_numpy(mixture)).numpy()
            found = run(mixture)
            if found.shape != wanted.shape or not np.isfinite(found).all():
                raise UserError(
                    f"ONNX: {found.shape} {'' if np.isfinite(found).all() else 'and not finite '}"
                    "for a mixture of "
                    f"{mixture.shape} at level {level:g}; torch gives {wanted.shape}")
            largest = max(np.abs(wanted).max(), np.finfo(np.float32).tiny)
            worst = max(worst, float(np.abs(found - wanted).max() / largest))
    return worst


def export(network: ConvTasNet, out: Path, formats: list[str], say: Callable[[str], None],
           overwrite: bool = False) -> None:
    """Write a network as "onnx" and "safetensors" into a folder; each is read back and compared.

    Raises:
        UserError: when a package is not installed, the folder cannot be written, or what was made
            is not the network.
    """
    files = {"safetensors": (WEIGHTS, CONFIG), "onnx": (ONNX,)}
    for path in (out / name for form in files if form in formats for name in files[form]):
        if path.exists() and not overwrite:
            raise UserError(
                f"{path}: is there already; choose another folder with --out, or give --overwrite")
    network = network.eval()
    if "safetensors" in formats:
        for path in save_hub(network, out):
            say(str(path))
        mine, (variant, theirs) = network.state_dict(), read_hub(out)
        if variant != network.variant or mine.keys() != theirs.keys() or not all(
                torch.equal(mine[name], theirs[name]) for name in mine):
            raise UserError(f"{out}: what was written is not what is read back")
        say(f"safetensors: {len(mine)} tensors, read back equal bit for bit")
    if "onnx" in formats:
        model = to_onnx(network)
        difference = parity(network, model)
        if difference > ALLOWED:
            raise UserError(
                f"ONNX: differs from torch by {difference:.1e} of the largest sample, "
                f"more than {ALLOWED:g}: "
                "not written")
        path = out / ONNX
        try:
            write_atomically(path, lambda file: file.write(model))
        except OSError as error:
            raise UserError(
                f"{out}: cannot be written: {error.strerror or error}; "
                "choose another place with --out") from error
        say(
            f"{path}\nonnx: opset {opset(model)}, any batch and length; "
            f"largest difference from torch {difference:.1e} "
            "of the largest sample, by onnxruntime")


def opset(model: bytes) -> int:
    loaded = optional("onnx").load_model_from_string(model)
    return int(next(one.version for one in loaded.opset_import if not one.domain))
