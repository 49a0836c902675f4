"""The options of `python -m study`. Nothing of weight is imported here, so that `--help` answers at once."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from study.analysis.wording import scaled
from study.records import DEFAULT_URL, SAMPLERS
from tasnet_core.__main__ import Parser, number_above_0, path
from tasnet_core.records import DEFAULT_CORPUS, INITS, PRECISIONS

MOST = 2**31 - 1001     # the integers of every database, and room for further seeds
MOST_EPOCHS, MOST_SEEDS, MOST_WORKERS, MOST_THREADS = 1_000_000, 1000, 1000, 1024
MOST_AT_ONCE = 1_000_000        # segments in one step
MOST_S = 3.6e8          # of a --timeout


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m study", description="How far can a Conv-TasNet be shrunk, and what does each step cost in dB?")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    run = commands.add_parser("run", help="train variants until the study has N; running it again continues")
    run.add_argument("--trials", type=upto(MOST), required=True, metavar="N",
                     help="the study's total of trained trials; variants over the budget are kept but not counted")
    _add_settings(run)
    run.add_argument("--seeds", type=upto(MOST_SEEDS), default=1, metavar="K",
                     help="then confirm the front and the reference with K seeds (1)")
    run.add_argument("--dry-run", action="store_true", help="say what it would take, from short measurements; store nothing")
    enqueue = commands.add_parser("enqueue", help="let variants of your own be the next trials")
    enqueue.add_argument("variants", nargs="+", metavar="VARIANT",
                         help="what differs from the reference, quoted, as in reports: 'X4 R1 H64', 'norm=frame causal=true', "
                         "or 'learning_rate=0.002' where it is searched")
    confirm = commands.add_parser("confirm", help="train the front and the reference with further seeds")
    confirm.add_argument("trials", nargs="*", type=natural, metavar="TRIAL", help="these trials instead")
    confirm.add_argument("--seeds", type=upto(MOST_SEEDS), default=3, metavar="K", help="seeds of each in all (3)")
    confirm.add_argument("--best", type=upto(MOST), metavar="B", help="of the front only the reference and the B trials "
                         "that enclose most with it (all)")
    fidelity = commands.add_parser("fidelity", help="train some variants for longer, and say how well shorter trainings rank")
    fidelity.add_argument("--budgets", type=upto(1000), nargs="+", default=[2, 4], metavar="K",
                          help="times the study's epochs (2 4)")
    fidelity.add_argument("--variants", type=upto(MOST), default=8, metavar="V",
                          help="complete ones, spread over their sizes (8)")
    going_on = commands.add_parser("continue", help="train stopped or failed trials to their end, from where they were")
    going_on.add_argument("trials", nargs="+", type=natural, metavar="TRIAL")
    for command in (run, confirm, fidelity, going_on):
        _add_work(command)
    report = commands.add_parser("report", help="write the answer: index.html, figures, tables")
    report.add_argument("--out", type=path, default=Path("reports"), metavar="DIR")
    report.add_argument("--watch", type=number_upto(MOST_S), nargs="?", const=30.0, metavar="SECONDS",
                        help="write it again whenever there is something new, until no run is unfinished; "
                             "looks every SECONDS (30)")
    report.add_argument("--max-parameters", type=whole, metavar="P", help="pick the best variant with at most so many")
    report.add_argument("--max-macs", type=whole, metavar="M", help="and at most so many MACs per second of sound")
    report.add_argument("--max-realtime-factor", type=number_above_0, metavar="F", help="and at most this real-time factor")
    status = commands.add_parser("status", help="how far the study is, and its front")
    show = commands.add_parser("show", help="everything about one trial")
    show.add_argument("trial", type=natural, metavar="TRIAL")
    export = commands.add_parser("export", help="write runs, epochs and mixtures as tables for other programs")
    export.add_argument("--format", choices=("csv", "parquet", "json"), default="csv", help="of the files (csv)")
    export.add_argument("--out", type=path, default=Path("exports"), metavar="DIR", help="where to (exports)")
    compare = commands.add_parser("compare", help="two trials side by side, and whether their difference is one")
    for name in "AB":
        compare.add_argument(name, type=natural, metavar=name, help="a trial")
    space = commands.add_parser("space", help="print a space as a file to start your own from")
    space.add_argument("name", metavar="NAME", help="a preset, or a file")
    doctor = commands.add_parser("doctor", help="find what is inconsistent in the database and mend it")
    backup = commands.add_parser("backup", help="copy the database as it is now, also while workers write")
    backup.add_argument("file", type=path, metavar="FILE", help="a new SQLite file")
    for command in (run, enqueue, confirm, fidelity, going_on, report, status, show, compare, export, doctor):
        command.add_argument("--study", metavar="NAME", help="the study's name (the space's; else the newest)")
    for command in (run, enqueue, confirm, fidelity, going_on, report, status, show, compare, export, doctor, backup):
        command.add_argument("--storage", default=DEFAULT_URL, metavar="URL",
                             help="database, as an SQLAlchemy URL or a path (results/study.db)")
    return top


def _add_settings(run: argparse.ArgumentParser) -> None:
    """What is stored with a study."""
    run.add_argument("--corpus", metavar="SPEC", help=f"voices2 | folder:PATH | wsj0mix:PATH | librimix:PATH ({DEFAULT_CORPUS})")
    run.add_argument("--space", metavar="NAME",
                     help="quick | full | thesis | table2 | causal, or a TOML file (quick, with a GPU full)")
    run.add_argument("--objectives", type=words, metavar="LIST", help="of si_snri or sdri, and parameters, macs, "
                     "receptive_field, realtime_factor, peak_memory (si_snri,parameters,macs)")
    run.add_argument("--metrics", type=metric_names, metavar="LIST",
                     help="of sdr,stoi,pesq, beside SI-SNR; si_snr for none of them (the space's)")
    run.add_argument("--sampler", choices=SAMPLERS, help="how variants are proposed (tpe)")
    run.add_argument("--tune", type=words, metavar="LIST",
                     help="search learning_rate, segment_s, batch_size too, for each variant anew")
    run.add_argument("--init", choices=INITS[:2], help="inherit: train the reference together with its slices, then tune each "
                     "variant from its slice for a tenth of the epochs; confirm trains from scratch (scratch)")
    run.add_argument("--inherit-epochs", type=natural, metavar="E", help="with --init inherit: tune each variant for so many "
                     "epochs; 0: score slices as they are, hundreds of them (a tenth of the epochs)")
    run.add_argument("--epochs", type=upto(MOST_EPOCHS), metavar="E", help="epochs of every training (the space's)")
    run.add_argument("--epoch-segments", type=upto(MOST), metavar="K", help="segments drawn for one epoch (the space's)")
    run.add_argument("--segment-s", type=number_upto(3600), metavar="S", help="seconds of a segment (the space's)")
    run.add_argument("--batch-size", type=whole_or_auto, metavar="B", help="segments in one step; auto: the space's, "
                     "computed in as few parts as memory allows (the space's)")
    run.add_argument("--precision", choices=(*PRECISIONS, "auto"), help="of matrix products; auto: bf16 where the hardware has "
                     "units for it, else float32 (auto)")
    run.add_argument("--seed", type=natural, metavar="S", help="of weights, mixtures and search (0)")
    run.add_argument("--max-parameters", type=whole, metavar="P", help="reject larger variants before training")
    run.add_argument("--max-macs", type=whole, metavar="M", help="reject variants with more MACs per second of sound")
    run.add_argument("--stop-margin", type=margin, metavar="DB", help="stop a training that stays so far behind one that "
                     "costs no more; off: train all to the end (the space's)")
    run.add_argument("--threads", type=upto(MOST_THREADS), metavar="T", help="CPU threads of each training (1)")


def _add_work(command: argparse.ArgumentParser) -> None:
    """How work is done, which decides no number."""
    command.add_argument("--workers", type=upto(MOST_WORKERS), metavar="W", help="trainings at the same time (a CPU's cores "
                         "over the threads, at most 8; with a GPU 1)")
    command.add_argument("--timeout", type=duration, metavar="T", help="stop after 600 (seconds), 90m or 11h; continue later")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument("--engine", choices=("local", "ray"), default="local", help="where trainings run: on this machine, or "
                         "on the nodes of a Ray cluster, as many as there is room for (local)")
    command.add_argument("--gpus-per-trial", type=number_above_0, metavar="G",
                         help="share of a GPU of each training, such as 0.25, with --engine ray (with --device cuda 1, else 0)")


def whole(text: str, most: int = 10**15) -> int:
    """A whole number from 1, also as 300k or 1.5M."""
    number = scaled(text) or 0.0
    if not 1 <= number <= most or number != int(number):
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number of at least 1" + f", at most {most:,}" *
                                         (number > most))
    return int(number)


def upto(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`."""
    return partial(whole, most=most)


def number_upto(most: float) -> Callable[[str], float]:
    """A number above 0, at most `most`."""
    def number(text: str) -> float:
        if (found := number_above_0(text)) > most:
            raise argparse.ArgumentTypeError(f"{_short(text)} is more than {most:,.0f}, the most there may be")
        return found
    return number


def whole_or_auto(text: str) -> int | str:
    return text if text == "auto" else whole(text, MOST_AT_ONCE)


def natural(text: str) -> int:
    """A whole number from 0, as every database can hold it."""
    if not text.isdecimal() or len(text) > 10 or int(text) > MOST:
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number of at least 0" + f", at most {MOST:,}" *
                                         text.isdecimal())
    return int(text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")


def margin(text: str) -> float | str:
    """A number of dB, or off."""
    if text == "off":
        return text
    try:
        return number_above_0(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of dB above 0 nor off") from None


def words(text: str) -> tuple[str, ...]:
    """The words of a list such as 'si_snri,macs'."""
    return tuple(word for word in text.lower().replace("-", "_").replace(" ", "").split(",") if word)


def metric_names(text: str) -> tuple[str, ...]:
    """Metrics of a list such as 'sdr,stoi', SI-SNR always among them."""
    from tasnet_core.records import METRICS
    asked = ("si_snr", *words(text))
    if unknown := [name for name in asked if name not in METRICS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose from {','.join(METRICS)}")
    return tuple(name for name in METRICS if name in asked)


def duration(text: str) -> float:
    """Seconds of 600, 600s, 90m or 11h."""
    seconds = scaled(text, {"": 1, "s": 1, "m": 60, "h": 3600}) or 0.0
    if not 0 < seconds <= MOST_S:
        raise argparse.ArgumentTypeError(f"{_short(text)} is no duration such as 600, 90m or 11h" + ", at most 100000h" *
                                         (seconds > MOST_S))
    return seconds
