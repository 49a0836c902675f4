"""The options of `python -m study`, a dataclass for each command, for argparse and `study.api`.

Nothing of weight is imported here, so that `--help` answers at once.
"""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from inspect import get_annotations
from pathlib import Path
from typing import Any, ClassVar, Self

from study.cli.values import (
    MOST,
    MOST_EPOCHS,
    MOST_S,
    MOST_SEEDS,
    MOST_THREADS,
    MOST_WORKERS,
    decibels,
    duration,
    limit,
    margin,
    metric_names,
    natural,
    number_upto,
    share,
    upto,
    whole,
    whole_or_auto,
    words,
)
from study.records import COST_WORDS, DEFAULT_URL, DEVICE_AXES, QUALITY_WORDS, SAMPLERS, as_options
from tasnet_core.arguments import Parser, number_above_0, path
from tasnet_core.errors import UserError
from tasnet_core.records import DEFAULT_CORPUS, DEVICES, INITS, METRICS, OPTIMIZERS, PRECISIONS

# ── commands ─────────────────────────────────────────────────────────────────────────────────


def option(default: Any, help: str | None = None, **how: Any) -> Any:
    """A field whose option, --name-of-the-field, `argparse` makes so; a value is read by `type`."""
    return field(default=default, metadata={"help": help, **how})


def positional(metavar: str, help: str | None = None, **how: Any) -> Any:
    return field(metadata={"metavar": metavar, "help": help, "positional": True, **how})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a command is asked to do. None: left out."""

    command: ClassVar[str]
    help: ClassVar[str]

    @classmethod
    def of(cls, **values: Any) -> Self:
        """The options with these values, read as those of a command line are; None is left out.

        Raises:
            UserError: for a value that the option cannot have.
        """
        known = {one.name: one for one in fields(cls)}
        return cls(**{name: _read(known[name], value) for name, value in values.items()
                      if value is not None})


@dataclass(frozen=True, kw_only=True)
class InDatabase(Options):
    storage: str = option(
        DEFAULT_URL, "database, as an SQLAlchemy URL or a path (results/study.db)", metavar="URL")


@dataclass(frozen=True, kw_only=True)
class OfStudy(InDatabase):
    study: str | None = option(None, "the study's name (the space's; else the newest)",
                               metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class Training(OfStudy):
    """How trainings are run, which decides no number."""

    workers: int | None = option(
        None, "trainings at the same time (a CPU's cores over the threads, at most 8; with a GPU "
        "1)", type=upto(MOST_WORKERS), metavar="W")
    timeout: float | None = option(None, "stop after 600 (seconds), 90m or 11h; continue later",
                                   type=duration, metavar="T")
    device: str = option("auto", choices=DEVICES)
    engine: str = option("local", "where trainings run: on this machine, or on the nodes of a Ray "
                         "cluster, as many as there is room for (local)", choices=("local", "ray"))
    gpus_per_trial: float | None = option(
        None, "share of a GPU of each training, such as 0.25, with --engine ray "
        "(with --device cuda 1, else 0)", type=number_above_0, metavar="G")


@dataclass(frozen=True, kw_only=True)
class Run(Training):
    command, help = "run", "train variants until the study has N; running it again continues"
    trials: int = option(MISSING, "the study's total of trained trials; variants over the budget "
                         "are kept but not counted", type=upto(MOST), metavar="N")
    until: float | None = option(
        None, "end before that, when half the band of the predicted front is at most so wide on "
        "average, such as 0.3dB", type=decibels, metavar="DB")
    corpus: str | None = option(
        None, f"voices2 | folder:PATH | wsj0mix:PATH | librimix:PATH ({DEFAULT_CORPUS})",
        metavar="SPEC")
    space: str | None = option(
        None, "quick | full | thesis | table2 | causal, or a TOML file (quick, with a GPU full)",
        metavar="NAME")
    objectives: tuple[str, ...] | None = option(
        None, f"of {' or '.join(QUALITY_WORDS)}, and {', '.join(COST_WORDS)}, or on a device that "
        f"has measured networks {', '.join(f'{axis}@NAME' for axis in DEVICE_AXES)} "
        "(si_snri,parameters,macs)", type=words, metavar="LIST")
    metrics: tuple[str, ...] | None = option(
        None, f"of {','.join(name for name in METRICS if name != 'si_snr')}, beside SI-SNR; si_snr "
        "for none of them (the space's)",
        type=metric_names, metavar="LIST")
    sampler: str | None = option(None, "how variants are proposed (model)", choices=SAMPLERS)
    tune: tuple[str, ...] | None = option(
        None, "search learning_rate, segment_s, batch_size too, for each variant anew",
        type=words, metavar="LIST")
    reference: Path | None = option(
        None, "a trained network of yours, of this project, Asteroid, torchaudio, SpeechBrain or "
        "ESPnet: trial 0 as it is, and every loss is against it (trained anew)", type=path,
        metavar="FILE")
    hyperparameters: str | None = option(
        None, "with --reference: what its file does not say", metavar="R=3,mask=relu")
    init: str | None = option(
        None, "inherit: train the reference together with its sub-networks, then tune each variant "
        "from its sub-network for a tenth of the epochs; confirm trains from scratch (scratch; "
        "with --reference inherit)", choices=INITS[:2])
    adapt_epochs: int | None = option(
        None, "with --reference: first train it together with its sub-networks for so many "
        "epochs (half of them)", type=upto(MOST_EPOCHS), metavar="E")
    distill: float | None = option(
        None, "with --reference: weight of its estimates as second targets, beside the sources "
        "(0.5; with --init scratch 0)", type=share, metavar="W")
    inherit_epochs: int | None = option(
        None, "with --init inherit: tune each variant for so many epochs; 0: score sub-networks "
        "as they are, hundreds of them (a tenth of the epochs)", type=natural, metavar="E")
    epochs: int | None = option(None, "epochs of every training (the space's)",
                                type=upto(MOST_EPOCHS), metavar="E")
    epoch_segments: int | None = option(None, "segments drawn for one epoch (the space's)",
                                        type=upto(MOST), metavar="K")
    segment_s: float | None = option(None, "seconds of a segment (the space's)",
                                     type=number_upto(3600), metavar="S")
    batch_size: int | str | None = option(
        None, "segments in one step; auto: the space's, computed in as few parts as memory allows "
        "(the space's)", type=whole_or_auto, metavar="B")
    precision: str | None = option(
        None, "of matrix products; auto: bf16 where the hardware has units for it, else float32 "
        "(auto)", choices=(*PRECISIONS, "auto"))
    optimizer: str | None = option(
        None, "muon: Muon for the 1x1 convolutions, Adam for the rest (the space's: of quick muon)",
        choices=OPTIMIZERS)
    seed: int | None = option(None, "of weights, mixtures and search (0)", type=natural,
                              metavar="S")
    max_parameters: int | None = option(None, "reject larger variants before training", type=whole,
                                        metavar="P")
    max_macs: int | None = option(None, "reject variants with more MACs per second of audio",
                                  type=whole, metavar="M")
    at_most: tuple[tuple[str, float], ...] | None = option(
        None, "reject variants over limits on devices that have measured networks, as predicted "
        "where not measured: realtime_factor@phone=0.5 latency_ms@phone=40 memory@phone=100M",
        nargs="+", type=limit, metavar="AXIS=VALUE")
    stop_margin: float | str | None = option(
        None, "stop a training that stays so far behind one that costs no more; off: train all to "
        "the end (the space's)", type=margin, metavar="DB")
    threads: int | None = option(None, "CPU threads of each training (1)",
                                 type=upto(MOST_THREADS), metavar="T")
    seeds: int = option(1, "then confirm the front and the reference with K seeds (1)",
                        type=upto(MOST_SEEDS), metavar="K")
    dry_run: bool = option(False, "say what it would take, from short measurements; store nothing",
                           action="store_true")

    def line(self) -> list[str]:
        """The command line that asks for the same."""
        found = [self.command]
        for one in _in_order(Run):
            value = getattr(self, one.name)
            if value is True:
                found.append(flag(one))
            elif one.name == "at_most" and value:
                found += [flag(one), *as_options(dict(value))]
            elif value != one.default:
                found += [flag(one), ",".join(value) if isinstance(value, tuple) else str(value)]
        return found


@dataclass(frozen=True, kw_only=True)
class Enqueue(OfStudy):
    command, help = "enqueue", "let variants of your own be the next trials"
    variants: tuple[str, ...] = positional(
        "VARIANT", "what differs from the reference, quoted, as in reports: 'X4 R1 H64', "
        "'norm=frame causal=true', or 'learning_rate=0.002' where it is searched", nargs="+")


@dataclass(frozen=True, kw_only=True)
class Suggest(OfStudy):
    command = "suggest"
    help = "name the trainings that would say most about the front, or let them be the next"
    count: int = option(3, "how many (3)", type=upto(100), metavar="K")
    enqueue: tuple[str, ...] = option((), "these of them, by their numbers, or all, are the next "
                                      "trials of run", nargs="+", metavar="NUMBER")


@dataclass(frozen=True, kw_only=True)
class Confirm(Training):
    command, help = "confirm", "train the front and the reference with further seeds"
    trials: tuple[int, ...] = positional("TRIAL", "these trials instead", nargs="*", type=natural)
    seeds: int = option(3, "seeds of each in all (3)", type=upto(MOST_SEEDS), metavar="K")
    best: int | None = option(
        None, "of the front only the reference and the B trials that enclose most with it (all)",
        type=upto(MOST), metavar="B")


@dataclass(frozen=True, kw_only=True)
class Fidelity(Training):
    command = "fidelity"
    help = "train some variants for longer, and say how well shorter trainings rank"
    budgets: tuple[int, ...] = option((2, 4), "times the study's epochs (2 4)", nargs="+",
                                      type=upto(1000), metavar="K")
    variants: int = option(8, "complete ones, spread over their sizes (8)", type=upto(MOST),
                           metavar="V")


@dataclass(frozen=True, kw_only=True)
class Continue(Training):
    command = "continue"
    help = "train stopped or failed trials to their end, from where they were"
    trials: tuple[int, ...] = positional("TRIAL", nargs="+", type=natural)


@dataclass(frozen=True, kw_only=True)
class Report(OfStudy):
    command, help = "report", "write the answer: index.html, figures, tables"
    out: Path = option(Path("reports"), type=path, metavar="DIR")
    watch: float | None = option(
        None, "write it again whenever there is something new, until no run is unfinished; "
        "looks every SECONDS (30)", nargs="?", const=30.0, type=number_upto(MOST_S),
        metavar="SECONDS")
    max_parameters: int | None = option(None, "pick the best variant with at most so many",
                                        type=whole, metavar="P")
    max_macs: int | None = option(None, "and at most so many MACs per second of audio", type=whole,
                                  metavar="M")
    max_realtime_factor: float | None = option(None, "and at most this real-time factor",
                                               type=number_above_0, metavar="F")
    at_most: tuple[tuple[str, float], ...] = option(
        (), "and within limits on devices that have measured networks: realtime_factor@phone=0.5 "
        "latency_ms@phone=40 memory@phone=100M", nargs="+", type=limit, metavar="AXIS=VALUE")


@dataclass(frozen=True, kw_only=True)
class Status(OfStudy):
    command, help = "status", "how far the study is, and its front"


@dataclass(frozen=True, kw_only=True)
class Show(OfStudy):
    command, help = "show", "everything about one trial"
    trial: int = positional("TRIAL", type=natural)


@dataclass(frozen=True, kw_only=True)
class Compare(OfStudy):
    command, help = "compare", "two trials side by side, and whether their difference is one"
    A: int = positional("A", "a trial", type=natural)
    B: int = positional("B", "a trial", type=natural)


@dataclass(frozen=True, kw_only=True)
class Export(OfStudy):
    command, help = "export", "write runs, epochs and mixtures as tables for other programs"
    format: str = option("csv", "of the files (csv)", choices=("csv", "parquet", "json"))
    out: Path = option(Path("exports"), "where to (exports)", type=path, metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class Bundle(OfStudy):
    command, help = "bundle", "write networks as ONNX, with a program that measures them elsewhere"
    trials: tuple[int, ...] = positional("TRIAL", "these (all complete ones)", nargs="*",
                                         type=natural)
    front: bool = option(False, "only the reference and the Pareto-optimal ones",
                         action="store_true")
    out: Path = option(Path("bundle"), "a new folder (bundle)", type=path, metavar="DIR")
    float_only: bool = option(False, "not in int8, too, where that pays: done at once, without the "
                              "corpus", action="store_true")


@dataclass(frozen=True, kw_only=True)
class Measured(OfStudy):
    command, help = "measured", "bring what a bundle's measure.py measured into the database"
    file: Path = positional("FILE", "what it wrote, measured.json", type=path)
    device: str = option(MISSING, "what the device is called from now on, such as phone",
                         metavar="NAME")


@dataclass(frozen=True, kw_only=True)
class Take(OfStudy):
    command = "take"
    help = "write one network with its model card, ONNX, examples and a program that separates"
    trial: int = positional("TRIAL", type=natural)
    out: Path = option(MISSING, "a new folder", type=path, metavar="DIR")
    audio_s: float | None = option(
        None, "train it on first, from before its decay, to so many seconds of audio",
        type=number_upto(MOST_S), metavar="S")
    seeds: int = option(1, "with --audio-s, of so many seeds the best on the validation mixtures "
                        "(1: the seed that is best now)", type=upto(MOST_SEEDS), metavar="K")
    device: str = option("auto", "that trains", choices=DEVICES)


@dataclass(frozen=True, kw_only=True)
class DescribeSpace(Options):
    command, help = "space", "print a space as a file to start your own from"
    name: str = positional("NAME", "a preset, or a file")


@dataclass(frozen=True, kw_only=True)
class Doctor(OfStudy):
    command, help = "doctor", "find what is inconsistent in the database and mend it"


@dataclass(frozen=True, kw_only=True)
class Backup(InDatabase):
    command, help = "backup", "copy the database as it is now, also while workers write"
    file: Path = positional("FILE", "a new SQLite file", type=path)


COMMANDS: tuple[type[Options], ...] = (
    Run, Enqueue, Suggest, Confirm, Fidelity, Continue, Report, Status, Show, Compare, Export,
    Bundle, Measured, Take, DescribeSpace, Doctor, Backup)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m study",
        description="How far can a Conv-TasNet be shrunk, and what does each step cost in dB?")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                  parser_class=Parser)
    for kind in COMMANDS:
        command = commands.add_parser(kind.command, help=kind.help)
        for one in _in_order(kind):
            how = dict(one.metadata)
            if not how.pop("positional", False):
                required = one.default is MISSING
                how |= {"required": True} if required else {"default": one.default}
            command.add_argument(flag(one), **how)
    return top


def read(arguments: Sequence[str] | None = None) -> Options:
    """The options of a command line. What cannot be read ends the program with one line."""
    given = vars(parser().parse_args(arguments))
    kind = next(kind for kind in COMMANDS if kind.command == given["command"])
    values = {one.name: given[one.name] for one in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value
                   for name, value in values.items()})


def _in_order(kind: type[Options]) -> list[Field[Any]]:
    """The fields, a command's own first."""
    return sorted(fields(kind), key=lambda one: one.name not in get_annotations(kind))


def flag(one: Field[Any]) -> str:
    """How the option is written, --max-parameters; a positional argument by its name."""
    positional = one.metadata.get("positional")
    return one.name if positional else f"--{one.name.replace('_', '-')}"


def _read(one: Field[Any], value: Any) -> Any:
    """A value of Python's as the option has it; text may be written as on a command line."""
    how, several = one.metadata, isinstance(value, Sequence) and not isinstance(value, str)
    if how.get("action"):
        return bool(value)
    if several and "nargs" in how:
        return tuple(_read_text(one, str(each)) for each in value)
    return _read_text(one, ",".join(map(str, value)) if several else str(value))


def _read_text(one: Field[Any], text: str) -> Any:
    choices = one.metadata.get("choices", (text,))
    if text not in choices:
        raise UserError(f"{one.name}: {text!r} is unknown; choose from {', '.join(choices)}")
    try:
        return one.metadata.get("type", str)(text)
    except argparse.ArgumentTypeError as error:
        raise UserError(f"{one.name}: {error}") from None
