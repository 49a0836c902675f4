"""The commands that make a study again: the same networks, recipes and seeds."""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from study.analysis.replicates import Row
from study.records import SCRATCH, TRAINED, Settings, as_options, word_of
from study.space.searched import TUNED, changes, value_of, words
from study.space.toml import as_toml, parse_space, space_of
from tasnet_core.records import Variant


def commands(
    name: str, settings: Settings | None, runs: Sequence[Row], put_in: Collection[int] = ()
) -> list[str]:
    """What to type, line by line; a space that is no preset is written to a file first.

    `put_in` are enqueued trials.
    """
    trials = {run["trial"]: run for run in runs if run["state"] in TRAINED}
    seeds = {run["seed"] for run in runs}
    named = by_hand(name, settings, trials, put_in) if settings else {}
    settings = settings or Settings()
    study = f"--study {shlex.quote(name)}"
    lines = []
    if settings.definition:
        text = as_toml(parse_space(settings.definition, settings.space))
        lines.append(f"cat > {shlex.quote(_space(settings))} <<'END'\n{text}END")
    first = next((place for place, trial in enumerate(trials) if trial in named), len(trials))
    if settings.adapted_in:
        return [*lines, *_confirmed(name, settings, named, max(1, len(seeds)))]
    count = max(1, first)
    lines.append(_run(name, settings, count))
    for enqueued, some in groupby(list(trials)[count:], lambda trial: trial in named):
        group = list(some)
        count += len(group)
        if enqueued:
            variants = " ".join(shlex.quote(named[trial]) for trial in group)
            lines.append(f"python -m study enqueue {study} {variants}")
        lines.append(f"python -m study run --trials {count} {study}")
    if len(seeds) > 1:
        again = sorted({run["trial"] for run in runs if run["seed"] > min(seeds)})
        lines.append(f"python -m study confirm {study} {' '.join(map(str, again))} "
                     f"--seeds {len(seeds)}")
    return [*lines, f"python -m study report {study}"]


def _confirmed(name: str, settings: Settings, named: Mapping[int, str], seeds: int) -> list[str]:
    """The same for a study that confirms one of a given reference: from that one's adapted
    network, which is its trial 1."""
    base, count = settings.adapted_in, 2 + len(named)
    study = f"--study {shlex.quote(base)}"
    begun = replace(settings, adapted_in="", inherit_epochs=None)
    trials = " ".join(map(str, range(2, count)))
    return [
        _run(base, begun, 2),
        f"python -m study enqueue {study} {' '.join(map(shlex.quote, named.values()))}",
        f"python -m study run --trials {count} {study}",
        f"python -m study confirm {study} {trials} --seeds {seeds}",
        f"python -m study report --study {shlex.quote(name)}"]


def by_hand(
    name: str, settings: Settings, trials: Mapping[int, Row], put_in: Collection[int]
) -> dict[int, str]:
    """Of these runs those that no sampler of this study proposes, each in the words of `enqueue`.

    A study made of another one has that one's variants; others those put in, or outside of their
    space.
    """
    space = space_of(settings)
    derived = name.endswith(SCRATCH) or bool(settings.grown_from or settings.adapted_in)
    base = dict(vars(space.reference))
    base |= {field: getattr(settings.recipe, field) for field in TUNED}
    named = {}
    for trial, run in trials.items():
        variant = Variant.of(run)
        recipe = replace(settings.recipe, **{field: value_of(run, field) for field in TUNED})
        inside = space.parameters_of(variant, recipe) is not None
        if trial and (derived or trial in put_in or not inside):
            named[trial] = words(changes(run, base)) or str(variant)
    return named


def _space(settings: Settings) -> str:
    """The value of --space: a preset's name, or a file of its own."""
    if not settings.definition:
        return settings.space
    return re.sub(r"[^\w.-]+", "-", settings.space) + ".toml"


def _run(name: str, settings: Settings, trials: int) -> str:
    recipe, budget, usual = settings.recipe, settings.budget, Settings()
    usual_init = "inherit" if settings.reference else "scratch"

    def changed(field: str) -> Any:
        value = getattr(settings, field)
        return None if value == getattr(usual, field) else value

    objectives, metrics = changed("objectives"), changed("metrics")
    options: dict[str, Any] = {
        "trials": trials,
        "study": name,
        "corpus": settings.corpus,
        "space": _space(settings),
        "sampler": changed("sampler"),
        "objectives": objectives and ",".join(map(word_of, objectives)),
        "tune": ",".join(settings.tune) or None,
        "stop-margin": "off" if settings.stop is None else settings.stop.margin_db,
        "threads": changed("threads"),
        "epochs": recipe.epochs,
        "epoch-segments": recipe.epoch_segments,
        "segment-s": recipe.segment_s,
        "batch-size": recipe.batch_size,
        "precision": recipe.precision,
        "optimizer": recipe.optimizer,
        "seed": recipe.seed,
        "reference": settings.reference or None,
        "hyperparameters": settings.hyperparameters or None,
        "init": None if recipe.init == usual_init else recipe.init,
        "adapt-epochs": settings.adapt_epochs,
        "distill": f"{recipe.distill:g}" if settings.reference else None,
        "inherit-epochs": settings.inherit_epochs,
        "max-parameters": budget.max_parameters,
        "max-macs": budget.max_macs_per_s,
        "metrics": metrics and ",".join(metrics),
    }
    given = [f"--{option} {shlex.quote(str(value))}"
             for option, value in options.items() if value is not None]
    if budget.on_devices:
        given += ["--at-most", *map(shlex.quote, as_options(budget.on_devices))]
    return " ".join(["python -m study run", *given])
