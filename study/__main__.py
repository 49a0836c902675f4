"""`python -m study`: run a study of size-reduced networks, watch it, show it, report on it.

Imports of weight stand inside the command that needs them, so that `--help` answers at once.
"""

import _thread
import argparse
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasnet_core.__main__ import Parser, tell_unusable
from tasnet_core.errors import UserError

if TYPE_CHECKING:
    from study.records import Settings


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m study", description="How far can a Conv-TasNet be shrunk, and what does each step cost in dB?")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    run = commands.add_parser("run", help="train variants until the study has N; running it again continues")
    run.add_argument("--trials", type=whole, required=True, metavar="N",
                     help="the study's total of trained trials; variants over the budget are kept but not counted")
    run.add_argument("--corpus", metavar="SPEC", help="voices | folder:PATH | wsj0mix:PATH | librimix:PATH (voices)")
    run.add_argument("--space", metavar="NAME", help="quick | full | thesis | table2 (quick, with a GPU full)")
    run.add_argument("--metrics", type=metric_names, metavar="LIST",
                     help="of sdr,stoi,pesq, beside SI-SNR; si_snr for none of them (the space's)")
    run.add_argument("--sampler", choices=("tpe",), help="how variants are proposed (tpe)")
    run.add_argument("--epochs", type=whole, metavar="E", help="epochs of every training (the space's)")
    run.add_argument("--epoch-segments", type=whole, metavar="K", help="segments drawn for one epoch (the space's)")
    run.add_argument("--segment-s", type=positive, metavar="S", help="seconds of a segment (the space's)")
    run.add_argument("--batch-size", type=whole_or_auto, metavar="B", help="segments in one step; auto: the space's, "
                     "computed in as few parts as memory allows (the space's)")
    run.add_argument("--seed", type=natural, metavar="S", help="of weights, mixtures and search (0)")
    run.add_argument("--max-parameters", type=whole, metavar="P", help="reject larger variants before training")
    run.add_argument("--max-macs", type=whole, metavar="M", help="reject variants with more MACs per second of sound")
    run.add_argument("--timeout", type=duration, metavar="T", help="stop after 600 (seconds), 90m or 11h; continue later")
    run.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    report = commands.add_parser("report", help="write the answer: index.html, figures, tables")
    report.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR")
    status = commands.add_parser("status", help="how far the study is, and its front")
    show = commands.add_parser("show", help="everything about one trial")
    show.add_argument("trial", type=natural, metavar="TRIAL")
    for command in (run, report, status, show):
        command.add_argument("--study", metavar="NAME", help="the study's name (the space's; else the newest)")
        command.add_argument("--storage", default="sqlite:///results/study.db", metavar="URL",
                             help="database, as an SQLAlchemy URL or a path (results/study.db)")
    return top


def whole(text: str) -> int:
    """A whole number from 1, also as 300k or 1.5M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMG]?)", text.replace(",", "").replace("_", ""))
    number = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[match[2]] if match else 0.0
    if number < 1 or number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(number)


def whole_or_auto(text: str) -> int | str:
    return text if text == "auto" else whole(text)


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def metric_names(text: str) -> tuple[str, ...]:
    """Metrics of a list such as 'sdr,stoi', SI-SNR always among them."""
    from tasnet_core.records import METRICS
    asked = ("si_snr", *(name for name in text.lower().replace("-", "_").replace(" ", "").split(",") if name))
    if unknown := [name for name in asked if name not in METRICS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose from {','.join(METRICS)}")
    return tuple(name for name in METRICS if name in asked)


def duration(text: str) -> float:
    """Seconds of 600, 600s, 90m or 11h."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 600, 90m or 11h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def settings_of(given: argparse.Namespace, known: "Settings | None", gpu: bool) -> "Settings":
    """What the options ask for; an option left out is the known study's, or else the space's default."""
    from study.records import Settings
    from study.space import space_named
    from tasnet_core.listeners import installed
    from tasnet_core.records import Recipe

    def asked(names: dict[str, str]) -> dict[str, Any]:
        return {field: getattr(given, option) for field, option in names.items()
                if getattr(given, option, None) not in (None, "auto")}      # auto: the recipe's batch, in parts

    top = asked({"corpus": "corpus", "space": "space", "sampler": "sampler", "metrics": "metrics"})
    space = space_named(given.space or (known.space if known else default_space(gpu)))
    base = known or Settings(space=space.name, recipe=space.recipe, metrics=tuple(filter(installed, space.metrics)))
    recipe = asked({field.name: field.name for field in fields(Recipe)})
    budget = asked({"max_parameters": "max_parameters", "max_macs_per_s": "max_macs"})
    return replace(base, **top, recipe=replace(base.recipe, **recipe), budget=replace(base.budget, **budget))


def default_space(gpu: bool) -> str:
    """What a machine can be asked for without being told: minutes on a CPU, the paper's size on a GPU."""
    return "full" if gpu else "quick"


def check_installed(settings: "Settings", chosen: bool) -> None:
    """See that every metric of the study can be computed, and say which one a new study goes without.

    Raises:
        UserError: a metric that is to be measured needs a package that is not there.
    """
    from study.space import space_named
    from tasnet_core.listeners import LIBRARIES, installed
    for metric, package in LIBRARIES.items():
        if not installed(metric) and metric in settings.metrics:
            others = ",".join(name for name in settings.metrics if installed(name))
            raise UserError(f"metric {metric}: needs the package {package}, which is not installed; "
                            f"pip install {package}, or start a study without it: --metrics {others}")
        if not installed(metric) and not chosen and metric in space_named(settings.space).metrics:
            print(f"{metric.upper()} is not measured: the package {package} is not installed (pip install {package})")


def run(given: argparse.Namespace) -> int:
    import torch

    from study import display, runner
    from study.database import check_same, open_database, stored_settings
    from study.records import Budget
    from study.space import space_named
    from tasnet_core.corpora import open_corpus
    from tasnet_core.training import device_of

    device, gpu = device_of(given.device), torch.cuda.is_available()
    name = given.study or f"{given.space or default_space(gpu)}-{(given.corpus or 'voices').partition(':')[0]}"
    known = stored_settings(given.storage, name)
    settings = settings_of(given, known, gpu)
    if known:
        check_same(name, settings, known)
    check_installed(settings, chosen=bool(known or given.metrics))
    reference = space_named(settings.space).reference
    corpus = open_corpus(settings.corpus, reference.C, reference.sample_rate_hz, say=print)
    tell_unusable(corpus.unusable, settings.corpus)
    with open_database(given.storage, read_only=False) as database:
        database.register(name, settings, corpus.notes, corpus.fingerprint)
        work = runner.Runner(name, settings, database, corpus, str(device), fit_memory=given.batch_size == "auto")
        with display.watcher(given.trials, work.trained(), settings.recipe.epochs, database.front(name)) as work.watcher:
            finished = within(given.timeout, lambda: work.run(given.trials))
        print(f"study {name!r}: {work.trained()} of {given.trials} trials trained, all saved in {database.shown}"
              + ("; time is up: run the same command again to continue" if not finished else
                 f"; space {settings.space!r} has no other variant{' within the budget' if settings.budget != Budget() else ''}"
                 if work.trained() < given.trials else ""))
    return 0


def within(seconds: float | None, work: Callable[[], None]) -> bool:
    """Work, but no longer than `seconds`; whether it came to its end. SIGTERM stops it like Ctrl-C."""
    over = threading.Event()

    def end() -> None:
        over.set()
        _thread.interrupt_main()

    timer = threading.Timer(seconds, end) if seconds else None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    if timer:
        timer.daemon = True
        timer.start()
    try:
        work()
        return True
    except KeyboardInterrupt:
        if not over.is_set():
            raise
        return False
    finally:
        if timer:
            timer.cancel()
        signal.signal(signal.SIGTERM, before)


def report(given: argparse.Namespace) -> int:
    from study.report import write_report
    print(f"report: {write_report(given.storage, given.study, given.out)}")
    return 0


def status(given: argparse.Namespace) -> int:
    from study import display
    from study.database import open_database
    with open_database(given.storage) as database:
        name = database.choose(given.study)
        display.show_status(name, database.settings(name), database.results(name), database.front(name),
                            database.epochs(name))
    return 0


def show(given: argparse.Namespace) -> int:
    from study import display
    from study.database import open_database
    with open_database(given.storage) as database:
        name = database.choose(given.study)
        runs = [row for row in database.runs(name) if row["trial"] == given.trial]
        if not runs:
            raise UserError(f"trial {given.trial}: not in study {name!r}; see: python -m study status --study {name}")
        for run in runs:
            display.show_run(run, *(
                [row for row in rows if (row["trial"], row["seed"]) == (run["trial"], run["seed"])]
                for rows in (database.results(name), database.epochs(name), database.mixtures(name))))
    return 0


COMMANDS = {"run": run, "report": report, "status": status, "show": show}


def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    try:
        return COMMANDS[given.command](given)
    except UserError as error:
        print(f"python -m study {given.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; everything is saved: run the same command again to continue", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
