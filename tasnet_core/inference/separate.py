"""Separating recordings of any length in bounded memory: a mixture in, a WAV per speaker out.

A recording is read in blocks, brought to the network's rate, separated in overlapping chunks
(overlap_add.py says how they are joined; a causal network is streamed instead, without chunks), and
kept on disk until its levels are known. What is written has the rate and the length of the
recording; there is nothing in it above half the network's rate.

Levels: a network trained without regard to scale has outputs of any level. Each speaker's gets
the one gain, for the whole recording, with which the signals together come closest to the mixture
(least squares). If a sample would then pass full scale, all of them are turned down by one factor:
so their levels can be compared, and nothing is clipped.
"""

import json
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core import audio
from tasnet_core.errors import UserError
from tasnet_core.files import write_atomically
from tasnet_core.inference.overlap_add import Chunk, Joiner, Piece, Plan, Seam, cut_up
from tasnet_core.inference.stream import Stream
from tasnet_core.network.model import ConvTasNet

FULL_SCALE = 0.99
PACKAGES = ("tasnet-study", "torch", "numpy", "soxr")     # that had a part in the numbers

Sound = NDArray[np.float32]


@dataclass(frozen=True)
class How:
    """How recordings are separated."""

    chunk_s: float = 30.0
    overlap_s: float = 5.0
    batch: int = 1              # chunks in one forward pass
    channel: int | None = None  # from 1; None: a recording of several is refused
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.overlap_s <= self.chunk_s / 2:
            raise UserError(
                f"--overlap-s {self.overlap_s:g}: wanted above 0 and at most half of "
                f"--chunk-s {self.chunk_s:g}")
        for name in ("batch", "channel"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: wanted at least 1")


class Job(NamedTuple):
    """One recording and where its speakers go: `out/NAME_1.wav` … and `out/NAME.json`."""

    path: Path
    out: Path
    header: audio.Header

    @property
    def record(self) -> Path:
        return self.out / f"{self.path.stem}.json"

    def places(self, speakers: int) -> list[Path]:
        """Every file that is written."""
        return [*self.signals(speakers), self.record]

    def signals(self, speakers: int) -> list[Path]:
        return [self.out / f"{self.path.stem}_{number}.wav" for number in range(1, speakers + 1)]


def separate(network: ConvTasNet, mixture: Sound) -> Sound:
    """The speakers of one recording in one pass, at the network's own level: [T] -> [C, T]."""
    return np.asarray(forward(network, [mixture])[0])


def forward(network: ConvTasNet, mixtures: list[Sound]) -> Sound:
    """Mixtures of one length, side by side: [T] each -> [B, C, T]."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        estimates = network(torch.from_numpy(np.stack(mixtures)).to(device, torch.float32))
    return np.asarray(estimates.cpu().numpy())


def in_chunks(
    network: ConvTasNet, blocks: Iterable[Sound], plan: Plan, batch: int, seams: list[Seam]
) -> Iterator[Piece]:
    """Separate audio that comes in blocks [n].

    The pieces follow each other without gap, `seams` is filled in.
    """
    joiner = Joiner(plan)
    for chunks in equal_lengths(cut_up(blocks, plan), batch):
        estimates = forward(network, [chunk.sound for chunk in chunks])
        for chunk, estimate in zip(chunks, estimates, strict=True):
            if (piece := joiner.add(chunk, estimate)) is not None:
                yield piece
    if (piece := joiner.finish()) is not None:
        yield piece
    seams += joiner.seams


def streamed(network: ConvTasNet, blocks: Iterable[Sound]) -> Iterator[Piece]:
    """The same for a causal network, which keeps its state: no chunks, no seams."""
    device, stream = next(network.parameters()).device, Stream(network)
    waiting, start = np.zeros(0, np.float32), 0
    for block in chain(blocks, [None]):
        if block is None:
            signals = stream.finish()
        else:
            signals = stream(torch.from_numpy(block).to(device)[None])
            waiting = np.concatenate([waiting, block])
        done = signals.shape[-1]
        yield Piece(start, waiting[:done], np.asarray(signals[0].cpu().numpy()))
        waiting, start = waiting[done:], start + done


def equal_lengths(chunks: Iterable[Chunk], count: int) -> Iterator[list[Chunk]]:
    """Up to `count` neighbours at a time that can go through a network side by side."""
    group: list[Chunk] = []
    for chunk in chunks:
        if group and (len(group) == count or len(chunk.sound) != len(group[0].sound)):
            yield group
            group = []
        group.append(chunk)
    if group:
        yield group


class Gains:
    """The gains that bring the sum of signals closest to their mixture, from pieces of both."""

    def __init__(self, speakers: int):
        self.products, self.cross = np.zeros((speakers, speakers)), np.zeros(speakers)

    def add(self, mixture: Sound, signals: Sound) -> None:
        wide = signals.astype(np.float64)
        self.products += wide @ wide.T
        self.cross += wide @ mixture.astype(np.float64)

    def solve(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.lstsq(self.products, self.cross, rcond=None)[0])


def levelled(mixture: Sound, estimates: Sound) -> Sound:
    """The estimates with the gains that bring their sum closest to the mixture [T]: [C, T]."""
    gains = Gains(len(estimates))
    gains.add(mixture, estimates)
    loud = estimates * gains.solve()[:, None]
    return np.asarray(loud * turned_down(np.abs(loud).max(initial=0.0)), dtype=np.float32)


def turned_down(peak: float) -> float:
    """The factor that keeps a signal of this peak within full scale."""
    return min(1.0, FULL_SCALE / peak) if peak else 1.0


def separate_file(network: ConvTasNet, job: Job, how: How, source: dict[str, str],
                  tell: Callable[[float], None] = lambda seconds: None) -> list[Path]:
    """Separate one recording; `source` names the network in the JSON, `tell` gets seconds done.

    Raises:
        UserError: when the recording cannot be read or is silent, or `job.out` cannot be written.
    """
    if audio.header(job.path) != job.header:
        raise UserError(
            f"{audio.readable(job.path)}: was changed since this call began; separate it again")
    variant = network.variant
    seams: list[Seam] = []
    audible = False
    plan, gains = Plan.of(variant, how.chunk_s, how.overlap_s), Gains(variant.C)
    mixture = audio.resampled((block[(how.channel or 1) - 1] for block in audio.blocks(job.path)),
                              job.header.rate, variant.sample_rate_hz)
    try:
        job.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=job.out) as scratch:
            pieces = in_chunks(network, mixture, plan, how.batch, seams)
            if variant.causal:
                pieces = streamed(network, mixture)
            for piece in pieces:
                if not np.isfinite(piece.signals).all():
                    raise UserError(
                        f"{source['checkpoint']}: this network gives out numbers that are not "
                        "finite; train it again, at a lower rate")
                audible = audible or bool(piece.mixture.any())
                gains.add(piece.mixture, piece.signals)
                scratch.write(np.ascontiguousarray(piece.signals.T).tobytes())
                tell(len(piece.mixture) / variant.sample_rate_hz)
            if not audible:
                raise UserError(
                    f"{audio.readable(job.path)}: silent or empty, so there is nothing to separate")
            scratch.flush()
            turn = write_signals(scratch, job, gains.solve(), variant.sample_rate_hz)
        write_record(network, job, how, source, plan, seams, gains.solve() * turn)
    except OSError as error:
        raise UserError(
            f"{job.out}: cannot be written: {error.strerror or error}; "
            "choose another folder with --out") from error
    return job.signals(variant.C)


def write_signals(scratch: Any, job: Job, gains: NDArray[np.float64], rate: int) -> float:
    """One WAV per speaker out of raw signals [T, C] on disk, at the recording's rate.

    Returns what turned all down.
    """
    def signal(number: int) -> Iterator[Sound]:
        scratch.seek(0)
        raw = (
            np.frombuffer(data, np.float32).reshape(-1, len(gains))[:, number]
            * np.float32(gains[number])
            for data in iter(lambda: scratch.read(audio.BLOCK * 4 * len(gains)), b""))
        return exactly(audio.resampled(raw, rate, job.header.rate), job.header.frames)

    pieces = (piece for number in range(len(gains)) for piece in signal(number))
    peak = max(float(np.abs(piece).max(initial=0.0)) for piece in pieces)
    factor = turned_down(peak)
    for number, path in enumerate(job.signals(len(gains))):
        audio.write_blocks(
            path, (piece * np.float32(factor) for piece in signal(number)), job.header.rate,
            job.header.frames)
    return factor


def exactly(pieces: Iterable[Sound], length: int) -> Iterator[Sound]:
    """Pieces [n] cut off or filled up at `length` samples: two roundings may have changed it."""
    for piece in pieces:
        yield piece[:length]
        length -= min(length, len(piece))
    yield np.zeros(length, np.float32)


def write_record(network: ConvTasNet, job: Job, how: How, source: dict[str, str], plan: Plan,
                 seams: list[Seam], gains: NDArray[np.float64]) -> None:
    """What was done, as JSON beside the signals.

    Written last, so where it stands the signals are whole.
    """
    rate = network.variant.sample_rate_hz
    record = {
        "mixture": audio.readable(job.path),
        "signals": [audio.readable(path.name) for path in job.signals(len(gains))],
        "rate_hz": job.header.rate, "samples": job.header.frames,
        "channels": job.header.channels, "channel": how.channel or 1,
        **source, "variant": asdict(network.variant), "network_rate_hz": rate,
        "streamed": network.variant.causal,
        "chunk_s": plan.chunk / rate, "overlap_s": plan.overlap / rate, "gains": gains.tolist(),
        "chunks": [_as_json(seam, rate) for seam in seams],
        "versions": {"python": platform.python_version()} | {
            name: installed(name) for name in PACKAGES}}
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(job.record, lambda file: file.write(text.encode()))


def _as_json(seam: Seam, rate: int) -> dict[str, Any]:
    order = [speaker + 1 for speaker in seam.order]
    return {"start_s": seam.start / rate, "order": order,
            "margin": round(seam.margin, 4), "decided": seam.decided}


def installed(package: str) -> str:
    """The version of an installed package; empty where it runs from its source tree."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
