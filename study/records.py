"""The nouns of a study: what is searched, within which budget, and what came of each trial."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tasnet_core.records import METRICS, Cost, Epoch, MixtureScore, Recipe, Scores

STATES = ("running", "complete", "stopped", "rejected", "failed")
TRAINED = ("complete", "stopped", "failed")  # these count towards --trials; a rejected variant cost nothing
FAILURES = ("diverged", "out-of-memory", "data", "killed", "error")
OBJECTIVES: tuple[tuple[str, Literal["maximize", "minimize"]], ...] = (
    ("si_snri_db", "maximize"), ("parameters", "minimize"), ("macs_per_s", "minimize"))


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


@dataclass(frozen=True)
class Settings:
    """Everything that decides a study's numbers. Stored with the study; a later run must agree."""

    corpus: str = "voices"
    space: str = "quick"
    recipe: Recipe = field(default_factory=Recipe)
    budget: Budget = field(default_factory=Budget)
    sampler: str = "tpe"
    objectives: tuple[str, ...] = tuple(name for name, _ in OBJECTIVES)
    metrics: tuple[str, ...] = tuple(METRICS)  # measured on the test set, SI-SNR always among them

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Settings":
        """The inverse of `as_dict`. A study that was begun before there was a choice measured SI-SNR alone."""
        return cls(**{**values, "recipe": Recipe(**values["recipe"]), "budget": Budget(**values["budget"]),
                      "objectives": tuple(values["objectives"]),
                      "metrics": tuple(values.get("metrics", ("si_snr",)))})


@dataclass(frozen=True)
class Result:
    """How one trial ended."""

    state: str
    reason: str = ""
    kind: str = ""  # of a failure, one of FAILURES
    cost: Cost | None = None
    scores: Scores = field(default_factory=Scores)
    curve: tuple[Epoch, ...] = ()
    mixtures: tuple[MixtureScore, ...] = ()
    seconds: float = 0.0  # wall time of the run from its start to its scores
