"""From options to the settings of a study, and whether what they ask for can be done."""

import argparse
import os
from dataclasses import fields, replace
from typing import Any

from study.records import SAMPLERS, Settings, StopRule, objectives_of
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import Listed, Space
from study.space.toml import as_dict, space_named, space_of
from tasnet_core.errors import UserError
from tasnet_core.evaluation.metric_workers import LIBRARIES, installed
from tasnet_core.records import METRICS, VALIDATION, Recipe
from tasnet_core.terminal import say

MOST_WORKERS = 8        # that one machine starts without being asked for more


def settings_of(given: argparse.Namespace, known: Settings | None, gpu: bool) -> Settings:
    """What the options ask for; an option left out is the known study's, or else the space's default.

    Raises:
        UserError: for words that stand for nothing, and settings no study can follow.
    """
    def asked(names: dict[str, str]) -> dict[str, Any]:
        return {field: getattr(given, option) for field, option in names.items()
                if getattr(given, option, None) not in (None, "auto")}      # auto: the recipe's batch, in parts

    base = known if known and not given.space else _defaults(space_named(given.space or default_space(gpu)), known)
    top = asked({"corpus": "corpus", "sampler": "sampler", "metrics": "metrics", "threads": "threads",
                 "inherit_epochs": "inherit_epochs"})
    if given.tune is not None:
        top["tune"] = tuple(sorted(set(given.tune)))        # in whatever order they are named, it is the same search
    if given.objectives is not None:
        top["objectives"] = objectives_of(given.objectives)
    if given.stop_margin is not None:
        top["stop"] = None if given.stop_margin == "off" else replace(base.stop or StopRule(), margin_db=given.stop_margin)
    recipe = asked({field.name: field.name for field in fields(Recipe)})
    budget = asked({"max_parameters": "max_parameters", "max_macs_per_s": "max_macs"})
    settings = replace(base, **top, validation=VALIDATION, recipe=replace(base.recipe, **recipe),
                       budget=replace(base.budget, **budget))
    if "sdri_db" in settings.objectives and "sdr" not in settings.metrics:
        settings = replace(settings, metrics=tuple(name for name in METRICS if name in (*settings.metrics, "sdr")))
    _check_possible(settings)
    return settings


def _defaults(space: Space, known: Settings | None) -> Settings:
    """What a space says of itself; of a study that is continued only its space is asked about."""
    definition = {} if SPACES.get(space.name) == space else as_dict(space)
    if known:
        return replace(known, space=space.name, definition=definition)
    return Settings(space=space.name, recipe=space.recipe, metrics=tuple(filter(installed, space.metrics)),
                    objectives=space.objectives, budget=space.budget, definition=definition,
                    stop=None if isinstance(space, Listed) else StopRule())     # a list is wanted whole


def default_space(gpu: bool) -> str:
    """What a machine can be asked for without being told: minutes on a CPU, the paper's size on a GPU."""
    return "full" if gpu else "quick"


def default_workers(gpu: bool, threads: int) -> int:
    """Trainings at the same time: one for every core, or for every `threads` of them; one where there is a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if gpu else max(1, min(MOST_WORKERS, cores // threads))


def _check_possible(settings: Settings) -> None:
    space = space_of(settings)
    if settings.sampler not in SAMPLERS:
        raise UserError(f"--sampler {settings.sampler!r}: unknown; choose from {', '.join(SAMPLERS)}")
    if settings.recipe.init == "teacher":
        raise UserError("--init teacher: is what the reference of a study becomes by --init inherit; choose that, or scratch")
    if settings.recipe.init == "inherit" and (tuned := [name for name in TUNED if name in space.choices]):
        raise UserError(f"--tune {','.join(tuned)}: not with --init inherit, where all share what the reference has "
                        "learned; leave one of them out")
    if settings.inherit_epochs is not None and settings.recipe.init != "inherit":
        raise UserError(f"--inherit-epochs {settings.inherit_epochs}: nothing is inherited here; add --init inherit")
    if isinstance(space, Listed) and settings.sampler != Settings.sampler:
        raise UserError(f"--sampler {settings.sampler}: space {space.name!r} is a list that is measured in its order; "
                        "leave --sampler out")
    if excess := space.over_budget(settings.budget):
        raise UserError(f"budget: {excess}; raise it")


def check_installed(settings: Settings, chosen: bool) -> None:
    """See that every metric of the study can be computed, and say which one a new study goes without.

    Raises:
        UserError: a metric that is to be measured needs a package that is not there.
    """
    for metric, package in LIBRARIES.items():
        if not installed(metric) and metric in settings.metrics:
            others = ",".join(name for name in settings.metrics if installed(name))
            raise UserError(f"metric {metric}: needs the package {package}, which is not installed; "
                            f"pip install {package}, or start a study without it: --metrics {others}")
        if not installed(metric) and not chosen and metric in space_of(settings).metrics:
            say(f"{metric.upper()} is not measured: the package {package} is not installed (pip install {package})")
