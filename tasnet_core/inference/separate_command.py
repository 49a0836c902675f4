"""The command `separate`: which recordings, where to, and what is printed."""

import difflib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tasnet_core import audio
from tasnet_core.corpora.registry import Corpus, Mixture
from tasnet_core.errors import UserError
from tasnet_core.evaluation.metrics import in_order
from tasnet_core.files import home
from tasnet_core.inference.separate import How, Job, levelled, separate, separate_file
from tasnet_core.network.model import ConvTasNet
from tasnet_core.progress import progress
from tasnet_core.terminal import say

THERE = "is there already; choose another folder with --out, or give --overwrite"


def found(given: Sequence[Path], out: Path, faults: list[str]) -> list[tuple[Path, Path]]:
    """The recordings named, and all those in folders named, each with the folder for its output.

    A folder that cannot be listed is added to `faults`.

    Raises:
        UserError: for a folder without recordings.
    """
    pairs: list[tuple[Path, Path]] = []
    for path in given:
        if not path.is_dir():
            pairs.append((path, out))
            continue
        walk = os.walk(path, onerror=lambda error: faults.append(_closed(error)))
        files = (Path(folder, name) for folder, _, names in walk for name in names)
        every = [file for file in files if file.suffix.lower() in audio.SUFFIXES]
        # An earlier call's is no mixture.
        inside = sorted(file for file in every if not _real(file).is_relative_to(_real(out)))
        if not inside:
            way_out = f"; wanted {', '.join(audio.SUFFIXES)}"
            if every:
                way_out = (f" but below {audio.readable(out)}, where results go; "
                           "choose another folder with --out")
            raise UserError(f"{audio.readable(path)}: no recording in it{way_out}")
        pairs += [(file, out / file.parent.relative_to(path)) for file in inside]
    return pairs


def _closed(error: OSError) -> str:
    return f"{audio.readable(error.filename)}: cannot be read: {error.strerror or error}"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))     # Path.resolve raises where links go round in a circle


def identity(path: Path) -> tuple[int, int] | None:
    """What a file is known by under all its names, whatever links and small or capital letters.

    None where there is none.
    """
    try:
        stat = os.stat(path)
    except (OSError, ValueError):
        return None
    return stat.st_dev, stat.st_ino


def job_of(path: Path, out: Path, how: How) -> Job:
    """A recording as it is going to be separated.

    Raises:
        UserError: when it cannot be read, or has several channels and none was chosen.
    """
    job = Job(path, out, audio.header(path))
    channels = job.header.channels
    if how.channel is None and channels != 1:
        raise UserError(
            f"{audio.readable(path)}: {channels} channels, but a mixture of one channel is wanted; "
            f"pick one with --channel 1 … {channels}")
    if how.channel is not None and how.channel > channels:
        raise UserError(
            f"{audio.readable(path)}: {channels} channels, "
            f"but --channel {how.channel} was asked for")
    return job


def check_places(jobs: Sequence[Job], speakers: int, overwrite: bool, read: Iterable[Path]) -> None:
    """Refuse to overwrite a file of the user, another result, or one that this call reads.

    Raises:
        UserError: naming the first file in the way.
    """
    wanted = {identity(path): path for path in read}
    makers: dict[Path, Path] = {}
    for job in jobs:
        for path in job.places(speakers):
            place = _real(path.parent) / path.name
            if place in makers:
                raise UserError(
                    f"{audio.readable(job.path)}: would write {audio.readable(path)}, and so would "
                    f"{audio.readable(makers[place])}; separate them into two folders with --out")
            makers[place] = job.path
            if (known := identity(path)) and known in wanted:
                raise UserError(
                    f"{audio.readable(job.path)}: would write {audio.readable(path)}, "
                    f"which this same call reads as "
                    f"{audio.readable(wanted[known])}; choose another folder with --out")
            if not overwrite and os.path.lexists(path):
                raise UserError(f"{audio.readable(path)}: {THERE}")


def separate_all(
    network: ConvTasNet, given: Sequence[Path], out: Path, how: How, checkpoint: Path
) -> int:
    """Separate recordings one after another, print the files written, and go on after a fault.

    Raises:
        UserError: when a recording, or a place to write, cannot be used.
    """
    faults: list[str] = []
    jobs: list[Job] = []
    pairs = found(given, out, faults)
    wanted = len(pairs) + len(faults)
    for path, folder in pairs:
        try:
            jobs.append(job_of(path, folder, how))
        except UserError as error:
            faults.append(str(error))
    weights = [checkpoint, *(checkpoint.iterdir() if checkpoint.is_dir() else ())]
    check_places(jobs, network.variant.C, how.overwrite, [*(path for path, _ in pairs), *weights])
    source = {"checkpoint": audio.readable(checkpoint), "weights_sha256": digest(network)}
    total_s = sum(job.header.frames / job.header.rate for job in jobs)
    with progress("separated", total_s, "s of audio") as tell:
        written: dict[tuple[int, int] | None, Path] = {}
        for job in jobs:
            try:
                _check_written(job, network.variant.C, written)
                say(*map(audio.readable, separate_file(network, job, how, source, tell)))
                written |= {identity(path): job.path for path in job.places(network.variant.C)}
            except UserError as error:
                faults.append(str(error))
    if faults and wanted == 1:
        raise UserError(faults[0])
    if faults:
        say(*(f"left out: {fault}" for fault in faults))
        raise UserError(
            f"{len(faults)} of {wanted} recordings could not be separated; the first: {faults[0]}")
    return 0


def _check_written(job: Job, speakers: int, written: dict[tuple[int, int] | None, Path]) -> None:
    """Refuse to overwrite a result of this call: on some disks a.wav and A.wav are one file."""
    for path in job.places(speakers):
        if (known := identity(path)) and known in written:
            raise UserError(
                f"{audio.readable(job.path)}: would write {audio.readable(path)}, and so did "
                f"{audio.readable(written[known])}; separate them into two folders with --out")


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
    raise UserError(
        f"--mixture {name!r}: none of the {len(names)} mixtures in the test part of {corpus.spec}; "
        f"nearest: {', '.join(nearest)}")


def separate_mixture(
    network: ConvTasNet, corpus: Corpus, name: str, out: Path, overwrite: bool
) -> int:
    """Separate one test mixture of a corpus, print its scores, and write all signals.

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
    root = corpus.spec.partition(":")[2].partition("?")[0]
    for path in filter(os.path.lexists, paths):
        if not overwrite:
            raise UserError(f"{path}: {THERE}")
        if root and _real(path).is_relative_to(_real(home(root))):
            raise UserError(
                f"{path}: is there already, in the folder of the corpus; "
                "choose another folder with --out")
    try:
        for path, signal in paths.items():
            audio.write(path, np.asarray(signal), corpus.sample_rate_hz)
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written: {error.strerror or error}; choose another folder with --out"
        ) from error
    last = list(paths)[-len(scores):]
    for path, speaker, score, before in zip(last, mixture.speakers, scores, inputs, strict=True):
        say(f"{path}: {speaker}, {score:.2f} dB SI-SNR ({before:.2f} dB in the mixture)")
    return 0
