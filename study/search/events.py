"""Events: what happens in a study, sent by the process that trains to whatever shows or stores it.

Several runs may go on at once. A run whose worker died starts again, and its epochs end again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.records import Result
from tasnet_core.records import Cost, Epoch, Variant

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Message:
    """A line about the study, a run or a worker."""

    text: str


@dataclass(frozen=True)
class TrialStarted:
    """A run begins, or goes on from its checkpoint."""

    trial: int
    seed: int
    variant: Variant
    cost: Cost
    epochs: int


@dataclass(frozen=True)
class CostMeasured:
    """Memory and speed of a variant are known, before its training."""

    cost: Cost


@dataclass(frozen=True)
class EpochEnded:
    """An epoch is trained and validated, and in the checkpoint."""

    trial: int
    seed: int
    epoch: Epoch


@dataclass(frozen=True)
class MixtureScored:
    """So many of the test mixtures are scored."""

    trial: int
    seed: int
    done: int
    total: int


@dataclass(frozen=True)
class TrialEnded:
    """A run's result is stored."""

    trial: int
    seed: int
    variant: Variant
    result: Result


@dataclass(frozen=True)
class FrontChanged:
    """The Pareto front after a trial has ended."""

    front: Rows


Progress = CostMeasured | EpochEnded | MixtureScored | Message      # of one training
Event = TrialStarted | EpochEnded | MixtureScored | TrialEnded | FrontChanged | Message
OnEvent = Callable[[Event], None]


def silent(event: Event) -> None:
    """Show nothing."""
