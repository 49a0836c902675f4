"""From options to the plan of a study, and whether what they ask for can be done."""

import os
from dataclasses import fields, replace
from typing import Any

from study.cli.options import Run, Training
from study.database.connection import url_of
from study.database.store import begun_studies
from study.records import SAMPLERS, Budget, Settings, StopRule, objectives_of
from study.space.plan import StudyPlan
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import Space, VariantList
from study.space.toml import as_dict
from tasnet_core.errors import UserError
from tasnet_core.evaluation.metric_workers import LIBRARIES, installed
from tasnet_core.records import DEFAULT_CORPUS, METRICS, VALIDATION, Recipe
from tasnet_core.terminal import say

MOST_WORKERS = 8        # that one machine starts without being asked for more
# Weight of a given network's estimates for its slices: 0.12 to 0.24 dB more in 4,000 s
# (docs/how-to/shrink-your-network.md).
DISTILLED = 0.5
# A list is measured in its order. Studies of one that were begun before 1.1 have "tpe".
OF_LISTS = (Settings.sampler, "tpe")


def study_of(asked: Run, space: str) -> str:
    """The study that a run is of: the one named, or that of its space and corpus, or, where no
    corpus is named, the only one there is.

    Raises:
        UserError: there are several, and none has the name that a new one would have.
    """
    if asked.study is not None:
        return asked.study
    name = f"{space}-{(asked.corpus or DEFAULT_CORPUS).partition(':')[0].partition('?')[0]}"
    begun = {} if asked.corpus else begun_studies(asked.storage, asked.dry_run)
    found = [study for study, settings in begun.items()
             if asked.space is None or settings.space == space]
    if name in begun or not found:
        return name
    shown = url_of(asked.storage).render_as_string(hide_password=True)
    if len(found) > 1:
        raise UserError(f"{shown}: holds the studies {', '.join(map(repr, found))}; say with "
                        "--study which one to go on with, or begin another with --corpus")
    say(f"goes on with study {found[0]!r} in {shown}; to begin another, name its --corpus or "
        "--study")
    return found[0]


def settings_of(asked: Run, known: Settings | None, space: Space | None) -> Settings:
    """What the options ask for; one left out is the known study's, or else the space's default.

    `space` is what --space names, or a new study's default; None: the known study's.

    Raises:
        UserError: for words that stand for nothing.
    """
    def given(names: dict[str, str]) -> dict[str, Any]:     # auto: the recipe's, in micro-batches
        return {field: getattr(asked, option) for field, option in names.items()
                if getattr(asked, option, None) not in (None, "auto")}

    base = _defaults(space, known) if space else known
    assert base is not None
    top = given({"corpus": "corpus", "sampler": "sampler", "metrics": "metrics",
                 "threads": "threads", "inherit_epochs": "inherit_epochs",
                 "adapt_epochs": "adapt_epochs"})
    if asked.tune is not None:      # in whatever order they are named, it is the same search
        top["tune"] = tuple(sorted(set(asked.tune)))
    if asked.objectives is not None:
        top["objectives"] = objectives_of(asked.objectives)
    if asked.stop_margin == "off":
        top["stop"] = None
    elif isinstance(asked.stop_margin, float):
        top["stop"] = replace(base.stop or StopRule(), margin_db=asked.stop_margin)
    recipe = given({field.name: field.name for field in fields(Recipe)})
    budget = given({"max_parameters": "max_parameters", "max_macs_per_s": "max_macs"})
    if asked.at_most is not None:
        budget["on_devices"] = dict(asked.at_most)
    settings = replace(base, **top, validation=VALIDATION, recipe=replace(base.recipe, **recipe),
                       budget=replace(base.budget, **budget))
    if "sdri_db" in settings.objectives and "sdr" not in settings.metrics:
        metrics = tuple(name for name in METRICS if name in (*settings.metrics, "sdr"))
        settings = replace(settings, metrics=metrics)
    return settings


def with_reference(settings: Settings, asked: Run, digest: str, known: Settings | None) -> Settings:
    """The settings with a given network as the reference; a study that goes on keeps its file's
    name.

    Raises:
        UserError: the study began with another network.
    """
    if known and known.reference:
        if known.reference_digest != digest:
            raise UserError(f"--reference {asked.reference}: holds another network than the "
                            f"study's, {known.reference} ({digest}, not {known.reference_digest}); "
                            "leave it out, or name another --study")
        return settings
    init = asked.init or "inherit"
    distill = DISTILLED if asked.distill is None and init == "inherit" else settings.recipe.distill
    return replace(settings, reference=str(asked.reference), reference_digest=digest,
                   hyperparameters=asked.hyperparameters or "",
                   recipe=replace(settings.recipe, init=init, distill=distill))


def _defaults(space: Space, known: Settings | None) -> Settings:
    """The settings a space begins with; a study that is continued has others of its own."""
    definition = {} if SPACES.get(space.name) == space else as_dict(space)
    if known:
        return replace(known, space=space.name, definition=_as_begun(definition, known.definition))
    return Settings(
        space=space.name, definition=definition, recipe=space.recipe,
        metrics=tuple(filter(installed, space.metrics)), objectives=space.objectives,
        budget=space.budget, stop=None if isinstance(space, VariantList) else StopRule())


def _as_begun(definition: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """A space made from `quick` goes on by Adam where it was begun before `quick` had Muon."""
    recipe, before = definition.get("recipe", {}), known.get("recipe", {})
    if (recipe.get("optimizer"), before.get("optimizer")) == ("muon", "adam"):
        return definition | {"recipe": recipe | {"optimizer": "adam"}}
    return definition


def default_space(gpu: bool) -> str:
    """The space of a machine: minutes on a CPU, the paper's size on a GPU."""
    return "full" if gpu else "quick"


def default_workers(gpu: bool, threads: int) -> int:
    """Trainings at the same time: one for each core, or each `threads` of them; with a GPU 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return 1 if gpu else max(1, min(MOST_WORKERS, cores // threads))


def plan_of(asked: Training, name: str, settings: Settings) -> StudyPlan:
    """How the options want a study to be trained.

    Raises:
        UserError: for shares of GPUs that nobody hands out, a device that is not there, and a
            precision that it has not.
    """
    from tasnet_core.backend.devices import device_of, precision_of
    gpus = gpus_per_trial(asked)
    micro_batches = int(getattr(asked, "batch_size", None) != "auto")
    if asked.engine == "ray":
        device = "cuda" if gpus else "cpu"
        return StudyPlan.of(name, settings, device, asked.workers, micro_batches, gpus)
    device = device_of(asked.device).type
    precision_of(settings.recipe.precision, device)
    workers = asked.workers or default_workers(device != "cpu", settings.threads)
    return StudyPlan.of(name, settings, device, workers, micro_batches)


def gpus_per_trial(asked: Training) -> float:
    """The share of a node's GPU that each training has."""
    if asked.gpus_per_trial and asked.engine != "ray":
        raise UserError(f"--gpus-per-trial {asked.gpus_per_trial:g}: only --engine ray shares GPUs "
                        "out; here --workers says how many trainings have one at a time")
    if asked.engine == "ray" and asked.device == "mps":
        raise UserError("--device mps: only --engine local trains there; use cpu, cuda or auto")
    return asked.gpus_per_trial or float(asked.device == "cuda")


def device_here(asked: Training) -> str:
    """The device of this machine to ask what it can do; Ray's nodes may have others."""
    return "auto" if asked.engine == "ray" else asked.device


def check_possible(plan: StudyPlan, budget: Budget) -> None:
    """See that a study with these settings can be trained; `budget` knows its devices.

    Raises:
        UserError: for the first setting that contradicts another.
    """
    settings, space = plan.settings, plan.space
    inherits = settings.recipe.init == "inherit"
    tuned = [name for name in TUNED if name in space.choices]
    if settings.sampler not in SAMPLERS:
        raise UserError(f"--sampler {settings.sampler!r}: unknown; "
                        f"choose from {', '.join(SAMPLERS)}")
    if settings.recipe.init == "teacher":
        raise UserError("--init teacher: is what the reference of a study becomes by --init "
                        "inherit; choose that, or scratch")
    if inherits and tuned:
        raise UserError(f"--tune {','.join(tuned)}: not with --init inherit, where all share what "
                        "the reference has learned; leave one of them out")
    if settings.inherit_epochs is not None and not inherits:
        raise UserError(f"--inherit-epochs {settings.inherit_epochs}: nothing is inherited here; "
                        "add --init inherit")
    if settings.adapt_epochs is not None and not (inherits and settings.reference):
        raise UserError(f"--adapt-epochs {settings.adapt_epochs}: only the slices of a given "
                        "reference are adapted; add --reference FILE, and leave --init out")
    if settings.recipe.distill and not settings.reference:
        raise UserError(f"--distill {settings.recipe.distill:g}: no network was given to learn "
                        "from; add --reference FILE")
    if isinstance(space, VariantList) and settings.sampler not in OF_LISTS:
        raise UserError(f"--sampler {settings.sampler}: space {space.name!r} is a list that is "
                        "measured in its order; leave --sampler out")
    if excess := space.over_budget(budget):
        raise UserError(f"budget: {excess}; raise it")


def check_installed(plan: StudyPlan, chosen: bool) -> None:
    """See that each metric of the study can be computed; print which a new study goes without.

    Raises:
        UserError: a metric that is to be measured needs a package that is not there.
    """
    metrics = plan.settings.metrics
    for metric, package in LIBRARIES.items():
        if installed(metric):
            continue
        if metric in metrics:
            others = ",".join(filter(installed, metrics))
            raise UserError(f"metric {metric}: needs the package {package}, which is not "
                            f"installed; pip install {package}, or start a study without it: "
                            f"--metrics {others}")
        if not chosen and metric in plan.space.metrics:
            say(f"{metric.upper()} is not measured: the package {package} is not installed "
                f"(pip install {package})")
