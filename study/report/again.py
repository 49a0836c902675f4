"""What to type to make a study again: the same networks, by the same recipes, with the same seeds."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from study.analysis.replicates import Row
from study.records import OBJECTIVE_WORDS, SCRATCH, TRAINED, Settings
from study.space.searched import TUNED, changes, value_of, words
from study.space.toml import as_toml, parse_space, space_of
from tasnet_core.records import Variant


def commands(name: str, settings: Settings | None, runs: Sequence[Row], put_in: Collection[int] = ()) -> list[str]:
    """What to type, line by line; a space that is no preset is written to a file first. `put_in` are enqueued trials."""
    trials = {run["trial"]: run for run in runs if run["state"] in TRAINED}
    seeds, quoted = {run["seed"] for run in runs}, shlex.quote(name)
    named = by_hand(name, settings, trials, put_in) if settings else {}
    settings = settings or Settings()
    count = max(1, next((place for place, trial in enumerate(trials) if trial in named), len(trials)))
    lines = [f"cat > {shlex.quote(_space(settings))} <<'END'\n{as_toml(parse_space(settings.definition, settings.space))}END"
             ] if settings.definition else []
    lines.append(_run(name, settings, count))
    for enqueued, some in groupby(list(trials)[count:], lambda trial: trial in named):
        group = list(some)
        count += len(group)
        if enqueued:
            lines.append(f"python -m study enqueue --study {quoted} {' '.join(shlex.quote(named[trial]) for trial in group)}")
        lines.append(f"python -m study run --trials {count} --study {quoted}")
    if len(seeds) > 1:
        again = sorted({run["trial"] for run in runs if run["seed"] > min(seeds)})
        lines.append(f"python -m study confirm --study {quoted} {' '.join(map(str, again))} --seeds {len(seeds)}")
    return [*lines, f"python -m study report --study {quoted}"]


def by_hand(name: str, settings: Settings, trials: Mapping[int, Row], put_in: Collection[int]) -> dict[int, str]:
    """Of these runs those that no sampler of this study proposes, each in the words of `enqueue`.

    A study that was made of another one has that one's variants; others what was put in, or lies outside of their space.
    """
    space, derived = space_of(settings), name.endswith(SCRATCH) or bool(settings.grown_from)
    base = {**vars(space.reference), **{field: getattr(settings.recipe, field) for field in TUNED}}
    named = {}
    for trial, run in trials.items():
        variant, tuned = Variant.of(run), {field: value_of(run, field) for field in TUNED}
        proposed = space.parameters_of(variant, replace(settings.recipe, **tuned)) is not None and trial not in put_in
        if trial and (derived or not proposed):
            named[trial] = words(changes(run, base)) or str(variant)
    return named


def _space(settings: Settings) -> str:
    """What --space is given: a preset's name, or a file of its own."""
    return re.sub(r"[^\w.-]+", "-", settings.space) + ".toml" if settings.definition else settings.space


def _run(name: str, settings: Settings, trials: int) -> str:
    recipe, budget = settings.recipe, settings.budget
    said = {column: word for word, column in OBJECTIVE_WORDS.items()}
    stop = "off" if settings.stop is None else settings.stop.margin_db
    options: dict[str, Any] = {
        "trials": trials, "study": name,
        "corpus": settings.corpus, "space": _space(settings),
        "sampler": None if settings.sampler == Settings().sampler else settings.sampler,
        "objectives": None if settings.objectives == Settings().objectives else
        ",".join(said[column] for column in settings.objectives),
        "tune": ",".join(settings.tune) or None, "stop-margin": stop,
        "threads": None if settings.threads == Settings().threads else settings.threads,
        "epochs": recipe.epochs, "epoch-segments": recipe.epoch_segments, "segment-s": recipe.segment_s,
        "batch-size": recipe.batch_size, "precision": recipe.precision, "seed": recipe.seed,
        "init": None if recipe.init == "scratch" else recipe.init,
        "inherit-epochs": settings.inherit_epochs,
        "max-parameters": budget.max_parameters, "max-macs": budget.max_macs_per_s,
        "metrics": None if settings.metrics == Settings().metrics else ",".join(settings.metrics)}
    given = [f"--{option} {shlex.quote(str(value))}" for option, value in options.items() if value is not None]
    return " ".join(["python -m study run", *given])
