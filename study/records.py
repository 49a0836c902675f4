"""The nouns of a study: what is searched, within which budget, and what came of each trial."""

import math
from collections.abc import Iterable
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


@dataclass(frozen=True)
class Budget:
    """Costs no searched variant may exceed; None: no limit. The reference is exempt."""

    max_parameters: int | None = None
    max_macs_per_s: int | None = None

    def _limits(self, cost: Cost) -> list[tuple[str, int, int]]:
        limits = (("parameters", cost.parameters, self.max_parameters),
                  ("MACs per second", cost.macs_per_s, self.max_macs_per_s))
        return [(name, found, limit) for name, found, limit in limits if limit is not None]

    def excess(self, cost: Cost) -> str:
        """Why `cost` is over the budget, in words; empty when it fits."""
        return "; ".join(f"{found:,} {name}, budget {limit:,}"
                         for name, found, limit in self._limits(cost) if found > limit)

    def ratios(self, cost: Cost) -> dict[str, float]:
        """For each limit how far `cost` is over it, as a share of it; 0 or less where it fits."""
        return {name: found / limit - 1 for name, found, limit in self._limits(cost)}


def objectives_of(words: Iterable[str]) -> tuple[str, ...]:
    """The columns that words such as `si_snri` or `macs` stand for, in their order.

    A quality may also be written as its metric is, `si_snr` or `sdr`: what is improved is the same.

    Raises:
        UserError: an unknown word, one said twice, not exactly one quality, or no cost.
    """
    metrics = {word.removesuffix("i"): column for word, column in QUALITY_WORDS.items()}
    columns: list[str] = []
    for word in words:
        column = (OBJECTIVE_WORDS | metrics).get(word)
        if column is None:
            raise UserError(f"objectives: {word!r} is unknown; "
                            f"choose from {', '.join(OBJECTIVE_WORDS)}")
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
    # A trained network that is the reference: its file, what it holds (`weights.digest`), and the
    # epochs in which its slices are adapted; None: `inherit_recipe.ADAPTED` of the recipe's.
    reference: str = ""
    reference_digest: str = ""
    adapt_epochs: int | None = None
    adapted_in: str = ""    # the study whose adapted reference this one's variants begin from
    grown_from: str = ""  # a study with fewer epochs, whose trainings this one's go on from
    # What the search is told of quality: scores on the validation mixtures, so that nothing is
    # chosen on the test set. Studies begun before that were told test scores, and go on so.
    selection: str = "validation"
    validation: str = VALIDATION    # by which epochs are compared; a former version had another
    definition: dict[str, Any] = field(default_factory=dict)  # of a space that is no preset

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """The inverse of `as_dict`.

        A study that was begun before there was a choice measured SI-SNR alone, to the end, and
        validated on segments.
        """
        stop = values.get("stop")
        return cls(**{
            **values,
            "recipe": Recipe(**values["recipe"]),
            "budget": Budget(**values["budget"]),
            "objectives": tuple(values["objectives"]),
            "tune": tuple(values.get("tune", ())),
            "stop": StopRule(**stop) if stop else None,
            "metrics": tuple(values.get("metrics", ("si_snr",))),
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


# By the word before the @ of an axis such as memory@phone, the column of DeviceCost.
DEVICE_AXES = {
    "realtime_factor": "realtime_factor", "latency_ms": "latency_ms", "memory": "memory_bytes"}


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
