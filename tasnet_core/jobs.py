"""The command `separate`: which recordings, where to, and what is said of each."""

import difflib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.corpora import Corpus, Mixture
from tasnet_core.errors import UserError
from tasnet_core.metrics import in_order
from tasnet_core.model import ConvTasNet
from tasnet_core.progress import progress
from tasnet_core.separate import How, Job, levelled, separate, separate_file
from tasnet_core.terminal import say

THERE = "is there already; choose another folder with --out, or give --overwrite"


def found(given: Sequence[Path], out: Path) -> list[tuple[Path, Path]]:
    """The recordings named, those of folders with all folders in them, each with the folder its speakers go to.

    Raises:
        UserError: for a path that is not there and a folder without recordings.
    """
    pairs: list[tuple[Path, Path]] = []
    for path in given:
        if not path.is_dir():
            pairs.append((path, out))
            continue
        inside = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in audio.SUFFIXES and file.is_file()
                  and not file.resolve().is_relative_to(out.resolve())]      # what an earlier call wrote is no mixture
        if not inside:
            raise UserError(f"{path}: no recording in it; wanted {', '.join(audio.SUFFIXES)}")
        pairs += [(file, out / file.parent.relative_to(path)) for file in inside]
    return pairs


def job_of(path: Path, out: Path, how: How) -> Job:
    """A recording as it is going to be separated.

    Raises:
        UserError: when it cannot be read, or has several channels and none was chosen.
    """
    job = Job(path, out, audio.header(path))
    channels = job.header.channels
    if how.channel is None and channels != 1:
        raise UserError(f"{audio.readable(path)}: {channels} channels, but a mixture of one channel is wanted; "
                        f"pick one with --channel 1 … {channels}")
    if how.channel is not None and how.channel > channels:
        raise UserError(f"{audio.readable(path)}: {channels} channels, but --channel {how.channel} was asked for")
    return job


def check_places(jobs: Sequence[Job], speakers: int, overwrite: bool) -> None:
    """See that no file of the user is overwritten, and no result by another.

    Raises:
        UserError: naming the first file in the way.
    """
    makers: dict[Path, Path] = {}
    for job in jobs:
        for path in (*job.signals(speakers), job.record):
            if path in makers:
                raise UserError(f"{audio.readable(job.path)}: would write {audio.readable(path)}, and so would "
                                f"{audio.readable(makers[path])}; separate them into two folders with --out")
            makers[path] = job.path
            if path.exists() and not overwrite:
                raise UserError(f"{audio.readable(path)}: {THERE}")


def separate_all(network: ConvTasNet, given: Sequence[Path], out: Path, how: How, checkpoint: Path) -> int:
    """Separate recordings one after another and print what was written; one that cannot be used stops no other.

    Raises:
        UserError: when a recording, or a place to write, cannot be used.
    """
    faults, jobs = [], []
    pairs = found(given, out)
    for path, folder in pairs:
        try:
            jobs.append(job_of(path, folder, how))
        except UserError as error:
            faults.append(str(error))
    check_places(jobs, network.variant.C, how.overwrite)
    source = {"checkpoint": audio.readable(checkpoint), "weights_sha256": digest(network)}
    with progress("separated", sum(job.header.frames / job.header.rate for job in jobs), "s of sound") as tell:
        for job in jobs:
            try:
                say(*map(audio.readable, separate_file(network, job, how, source, tell)))
            except UserError as error:
                faults.append(str(error))
    if faults and len(pairs) == 1:
        raise UserError(faults[0])
    if faults:
        say(*(f"left out: {fault}" for fault in faults))
        raise UserError(f"{len(faults)} of {len(pairs)} recordings could not be separated; the first: {faults[0]}")
    return 0


def digest(network: ConvTasNet) -> str:
    """16 hex digits for the weights: a checkpoint's name stays while its training goes on."""
    found = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        found.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def mixture_named(corpus: Corpus, name: str) -> Mixture:
    """The test mixture of this ID.

    Raises:
        UserError: when there is none; names the nearest.
    """
    names = [corpus.mixture("test", index).id for index in range(corpus.count("test"))]
    if name in names:
        return corpus.mixture("test", names.index(name))
    nearest = difflib.get_close_matches(name, names, 3, cutoff=0) or names[:3]
    raise UserError(f"--mixture {name!r}: none of the {len(names)} mixtures in the test part of {corpus.spec}; "
                    f"nearest: {', '.join(nearest)}")


def separate_mixture(network: ConvTasNet, corpus: Corpus, name: str, out: Path, overwrite: bool) -> int:
    """Separate one test mixture of a corpus and say how well; writes mixture, sources and estimates.

    Raises:
        UserError: when there is no such mixture, or the folder cannot be written.
    """
    mixture = mixture_named(corpus, name)
    estimates, scores, inputs = in_order(mixture, separate(network, mixture.mixture))[:3]
    stem = mixture.id.replace("/", "-")
    groups = {f"{stem}_mixture": mixture.mixture[None], f"{stem}_source": mixture.sources,
              stem: levelled(mixture.mixture, estimates)}
    paths = {out / f"{name}_{number}.wav": signal for name, signals in groups.items()
             for number, signal in enumerate(signals, 1)}
    for path in paths:
        if path.exists() and not overwrite:
            raise UserError(f"{path}: {THERE}")
    try:
        for path, signal in paths.items():
            audio.write(path, np.asarray(signal), corpus.sample_rate_hz)
    except OSError as error:
        raise UserError(f"{out}: cannot be written: {error.strerror or error}; choose another folder with --out") from error
    for path, speaker, score, before in zip(list(paths)[-len(scores):], mixture.speakers, scores, inputs, strict=True):
        say(f"{path}: {speaker}, {score:.2f} dB SI-SNR ({before:.2f} dB in the mixture)")
    return 0
