"""The nouns of a study: what is searched, within which budget, and what came of each trial."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

from tasnet_core.errors import UserError
from tasnet_core.records import (
    DEFAULT_CORPUS,
    METRICS,
    VALIDATION,
    VALIDATION_BEFORE,
    Cost,
    Epoch,
    MixtureScore,
    Recipe,
    Scores,
    Variant,
)

DEFAULT_URL = "sqlite:///results/study.db"     # of the study database, where none is named
STATES = ("running", "complete", "stopped", "rejected", "failed")
TRAINED = ("complete", "stopped", "failed")  # counted by --trials; a rejected variant cost nothing
SCRATCH = "-scratch"    # behind a study's name: its front, trained from scratch
TUNED_ON = "-tuned"     # the same of a given reference: trained on from its slices
FAILURES = ("diverged", "out-of-memory", "data", "killed", "error")
SAMPLERS = ("model", "tpe", "nsga2", "nsga3", "gp", "random", "qmc", "grid")
# What a study may weigh against each other. A small receptive field is a short wait and a small
# memory.
OBJECTIVES: dict[str, Literal["maximize", "minimize"]] = {
    "si_snri_db": "maximize", "sdri_db": "maximize", "parameters": "minimize",
    "macs_per_s": "minimize", "receptive_field_s": "minimize", "realtime_factor": "minimize",
    "peak_memory_bytes": "minimize"}
FRONT = tuple((name, OBJECTIVES[name]) for name in ("si_snri_db", "parameters", "macs_per_s"))
# Of the fields of Cost, those that formulas give and those that are measured; and all that variants
# are compared by.
EXACT = tuple(one.name for one in fields(Cost) if one.default is MISSING)
MEASURED = tuple(one.name for one in fields(Cost) if one.name not in EXACT)
COSTS = tuple(name for name in (*EXACT, *MEASURED) if not name.endswith("_spread"))
# What users write for the columns of a run that a study may pursue: the qualities, then the costs.
QUALITY_WORDS = {"si_snri": "si_snri_db", "sdri": "sdri_db"}
COST_WORDS = {
    "parameters": "parameters", "macs": "macs_per_s", "receptive_field": "receptive_field_s",
    "realtime_factor": "realtime_factor", "peak_memory": "peak_memory_bytes"}
OBJECTIVE_WORDS = {**QUALITY_WORDS, **COST_WORDS}
# By the word before the @ of an axis such as memory@phone, the column of DeviceCost.
DEVICE_AXES = {
    "realtime_factor": "realtime_factor", "latency_ms": "latency_ms", "memory": "memory_bytes",
    "bytes": "file_bytes"}


class Estimate(NamedTuple):
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Outlook:
    """The forecast of a run on more audio; None where it has too few epochs."""

    slope_db_per_doubling: float | None = None      # of the audio, at the end of the run
    si_snri_extrapolated_db: float | None = None    # on the test set, at twice the audio; 95 %:
    si_snri_extrapolated_low_db: float | None = None
    si_snri_extrapolated_high_db: float | None = None


class OnDevice(NamedTuple):
    """What a variant costs on an axis of a device."""

    value: float                    # inf: it cannot stream, or the device does not keep up with it
    error: float | None = None      # typical, of a prediction: 0.1 is a tenth; None: measured

    def __str__(self) -> str:
        if math.isinf(self.value):
            return "impossible"
        known = "measured" if self.error is None else f"predicted within {self.error:.0%}"
        return f"{amount(self.value)} ({known})"


def amount(value: float) -> str:
    """A number of any unit: three digits, or all those of a large one."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


@dataclass(frozen=True)
class Budget:
    """Costs no searched variant may exceed; None: no limit. The reference is exempt.

    What variants cost on devices a `analysis.on_devices.DeviceBudget` knows.
    """

    max_parameters: int | None = None
    max_macs_per_s: int | None = None
    on_devices: dict[str, float] = field(default_factory=dict)  # by axis: {"memory@phone": 1e8}

    @property
    def weighed(self) -> tuple[str, ...]:
        """The axes of devices that are objectives."""
        return ()

    def on(self, variant: Variant) -> Mapping[str, OnDevice]:
        """What a variant costs on the axes of devices that the study has."""
        if self.on_devices:
            raise LookupError("what devices measured is in the database: `budget_of` reads it")
        return {}

    def column(self, axis: str, points: Any) -> Any:
        """What many variants, `space.points.Points`, cost on an axis of a device."""
        raise LookupError(f"{axis}: what devices measured is in the database: `budget_of` reads it")

    def _limits(self, cost: Cost) -> list[tuple[str, int, int]]:
        limits = (("parameters", cost.parameters, self.max_parameters),
                  ("MACs per second", cost.macs_per_s, self.max_macs_per_s))
        return [(name, found, limit) for name, found, limit in limits if limit is not None]

    def excess(self, cost: Cost, on: Mapping[str, OnDevice] = {}) -> str:
        """Why a variant's costs are over the budget, in words; empty when they fit."""
        over = [f"{found:,} {name}, budget {limit:,}"
                for name, found, limit in self._limits(cost) if found > limit]
        over += [f"{axis} {on[axis]}, budget {amount(limit)}"
                 for axis, limit in self.on_devices.items() if on[axis].value > limit]
        return "; ".join(over)

    def ratios(self, cost: Cost, on: Mapping[str, OnDevice] = {}) -> dict[str, float]:
        """For each limit how far a cost is over it, as a share of it; 0 or less where it fits."""
        exact = {name: found / limit - 1 for name, found, limit in self._limits(cost)}
        over = {axis: on[axis].value / limit - 1 for axis, limit in self.on_devices.items()}
        return exact | over


def as_options(limits: Mapping[str, float]) -> list[str]:
    """Limits on devices as --at-most reads them."""
    return [f"{axis}={limit:.12f}".rstrip("0").rstrip(".") for axis, limit in limits.items()]


def is_device_axis(word: str) -> bool:
    """Whether it is an axis of a device, such as memory@phone."""
    before, _, device = word.partition("@")
    return before in DEVICE_AXES and bool(device)


def direction_of(objective: str) -> Literal["maximize", "minimize"]:
    return "minimize" if is_device_axis(objective) else OBJECTIVES[objective]


def word_of(objective: str) -> str:
    """What users write for it, the inverse of `objectives_of`."""
    words = {column: word for word, column in OBJECTIVE_WORDS.items()}
    return words.get(objective, objective)


def objectives_of(words: Iterable[str]) -> tuple[str, ...]:
    """The columns that words such as `si_snri` or `macs` stand for, in their order.

    A quality may also be written as its metric is, `si_snr` or `sdr`: what is improved is the same.

    Raises:
        UserError: an unknown word, one said twice, not exactly one quality, or no cost.
    """
    metrics = {word.removesuffix("i"): column for word, column in QUALITY_WORDS.items()}
    columns: list[str] = []
    for word in words:
        column = word if is_device_axis(word) else (OBJECTIVE_WORDS | metrics).get(word)
        if column is None:
            on_devices = ", ".join(f"{axis}@NAME" for axis in DEVICE_AXES)
            raise UserError(f"objectives: {word!r} is unknown; choose from "
                            f"{', '.join(OBJECTIVE_WORDS)}, or on a device {on_devices}")
        if column in columns:
            raise UserError(f"objectives: {word!r} is there twice; leave one out")
        columns.append(column)
    qualities = [column for column in columns if column in QUALITY_WORDS.values()]
    if len(qualities) != 1:
        raise UserError(f"objectives: {len(qualities)} of {' and '.join(QUALITY_WORDS)}; "
                        "choose exactly one")
    if len(columns) == 1:
        costs = list(COST_WORDS)
        alone = next(word for word, column in QUALITY_WORDS.items() if column in columns)
        raise UserError(f"objectives: {alone} alone and no cost; add one of {', '.join(costs)}")
    return tuple(columns)


@dataclass(frozen=True)
class StopRule:
    """The rule by which a training is stopped early (`pareto.hopeless`), chosen by measurement.

    Raises:
        ValueError: for a rule that cannot be followed.
    """

    margin_db: float = 1.0      # so far behind one that costs no more
    warm_up: float = 0.375      # share of the epochs in which nobody is stopped
    patience: float = 0.125     # share of the epochs, running

    def __post_init__(self) -> None:
        if not 0 <= self.margin_db < float("inf"):
            raise ValueError(f"StopRule: margin_db={self.margin_db} must be a number of at least 0")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"StopRule: warm_up={self.warm_up} must be a share of the epochs, "
                             "0 to 1")
        if not 0 < self.patience <= 1:
            raise ValueError(f"StopRule: patience={self.patience} must be a share of the epochs, "
                             "above 0 to 1")

    def in_epochs(self, epochs: int) -> tuple[int, int]:
        """Warm-up and patience in epochs: a hundred of them have more bad ones than eight."""
        return math.ceil(self.warm_up * epochs), math.ceil(self.patience * epochs)


@dataclass(frozen=True)
class Settings:
    """Everything that decides a study's numbers. Stored with the study; a later run must agree."""

    corpus: str = DEFAULT_CORPUS
    space: str = "quick"
    recipe: Recipe = field(default_factory=Recipe)
    budget: Budget = field(default_factory=Budget)
    sampler: str = "model"
    objectives: tuple[str, ...] = tuple(name for name, _ in FRONT)
    metrics: tuple[str, ...] = tuple(METRICS)  # measured on the test set, SI-SNR always among them
    stop: StopRule | None = None  # None: every training runs to its end
    tune: tuple[str, ...] = ()  # fields of the recipe that are searched together with the size
    threads: int = 1  # of the CPU for each training: another number rounds otherwise
    inherit_epochs: int | None = None  # of variants that inherit; None: a tenth of the recipe's
    # A trained network that is the reference: its file and what that does not say, what it holds
    # (`weights.digest`), and the epochs in which its slices are adapted; None:
    # `inherit_recipe.ADAPTED` of the recipe's.
    reference: str = ""
    hyperparameters: str = ""
    reference_digest: str = ""
    adapt_epochs: int | None = None
    adapted_in: str = ""    # the study whose adapted reference this one's variants begin from
    grown_from: str = ""  # a study with fewer epochs, whose trainings this one's go on from
    # What the search is told of quality: scores on the validation mixtures, so that nothing is
    # chosen on the test set. Studies begun before that were told test scores, and go on so.
    selection: str = "validation"
    validation: str = VALIDATION    # by which epochs are compared; a former version had another
    definition: dict[str, Any] = field(default_factory=dict)  # of a space that is no preset

    @property
    def device_axes(self) -> tuple[str, ...]:
        """The axes of devices that are objectives or have a limit."""
        named = (*self.objectives, *self.budget.on_devices)
        return tuple(dict.fromkeys(filter(is_device_axis, named)))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """The inverse of `as_dict`.

        A study that was begun before there was a choice measured SI-SNR alone, to the end, and
        validated on segments.
        """
        stop, definition = values.get("stop"), values.get("definition", {})
        if "recipe" in definition:      # of which a former version knew less
            definition = definition | {"recipe": asdict(Recipe(**definition["recipe"]))}
        return cls(**{
            **values,
            "recipe": Recipe(**values["recipe"]),
            "budget": Budget(**values["budget"]),
            "objectives": tuple(values["objectives"]),
            "tune": tuple(values.get("tune", ())),
            "stop": StopRule(**stop) if stop else None,
            "metrics": tuple(values.get("metrics", ("si_snr",))),
            "definition": definition,
            "selection": values.get("selection", "test"),
            "validation": values.get("validation", VALIDATION_BEFORE)})


@dataclass(frozen=True)
class Selection:
    """Means over the validation mixtures, by which a search chooses; None where not measured."""

    valid_si_snri_db: float | None = None
    valid_sdri_db: float | None = None


@dataclass(frozen=True)
class DeviceCost:
    """What a variant needs on one device, as `measure.py` of a bundle measured it there."""

    device: str
    variant: str                # its key
    measured_at_s: float        # since 1970
    threads: int
    recording_s: float          # length of the recordings that were separated
    realtime_factor: float      # median of the runs, and the distance of their quartiles
    realtime_factor_spread: float
    measured_runs: int
    memory_bytes: int | None = None             # the most that the process held; None: not known
    base_memory_bytes: int | None = None        # of it, before the network was loaded
    stream_memory_bytes: int | None = None      # the same as `memory_bytes`, in chunks
    # Median time for a chunk of so many ms; None: the network cannot stream.
    chunk_10_ms: float | None = None
    chunk_20_ms: float | None = None
    chunk_40_ms: float | None = None
    # From a sample's arrival to its separation, by the shortest chunk that the device keeps up
    # with in 95 of 100 cases.
    latency_ms: float | None = None
    description: str = ""       # of machine and versions, as JSON
    file_bytes: int | None = None       # of the network as ONNX
    # The same network in int8, where that pays; None: it does not, or was not tried.
    int8_file_bytes: int | None = None
    int8_loss_db: float | None = None   # of SI-SNRi on the test set, against float
    int8_realtime_factor: float | None = None
    int8_realtime_factor_spread: float | None = None
    int8_memory_bytes: int | None = None


def device_axis(word: str, device: str) -> str:
    """The name of an axis of a device, in rows, tables and options: realtime_factor@phone."""
    return f"{word}@{device}"


@dataclass(frozen=True)
class Result:
    """How one trial ended."""

    state: str
    reason: str = ""
    kind: str = ""  # of a failure, one of FAILURES
    cost: Cost | None = None
    scores: Scores = field(default_factory=Scores)
    selection: Selection = field(default_factory=Selection)
    curve: tuple[Epoch, ...] = ()
    mixtures: tuple[MixtureScore, ...] = ()
    seconds: float = 0.0  # wall time of the run from its start to its scores
    on_devices: Mapping[str, OnDevice] = field(default_factory=dict)    # by axis; for the search
