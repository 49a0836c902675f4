"""A network trained together with its sub-networks, so that each of them is good as it is.

The sandwich rule: at each step the smallest sub-network, and one drawn at random, learn what the
whole network learns, each speaker in the place that the whole chose (J. Yu and T. Huang 2019,
"Universally slimmable networks and improved training techniques", arXiv 1903.05134, section 3.2).
Other than there they do not learn the whole's own output: SI-SNR against that has no upper end, and
pulled all of them to where they are alike, at -9 dB (benchmarks/RESULTS.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from tasnet_core.backend.fused import speed_up
from tasnet_core.checkpoints.checkpoint import NOWHERE, Origin
from tasnet_core.network.loss import best_permutation, reorder, si_snr
from tasnet_core.network.model import ConvTasNet
from tasnet_core.network.slices import matching, take
from tasnet_core.records import TAUGHT, Variant
from tasnet_core.training.batches import Batch

Values = Mapping[str, Sequence[int]]    # of each hyperparameter that sub-networks vary, ascending


@dataclass(frozen=True)
class Lineage:
    """The networks that a variant shares weights with."""

    # The checkpoint of the network whose weights it begins with.
    teacher: Path | None = None
    guide: Path | None = None       # with `distill`: of the network whose estimates are imitated
    values: Values = field(default_factory=dict)    # for init "teacher": its sub-networks' values
    origin: Origin = NOWHERE        # the study they belong to; the corpus is that of the training

    @property
    def files(self) -> list[Path]:
        """The checkpoints that it is trained from."""
        return [path for path in (self.teacher, self.guide) if path]

    def moved(self, folder: Path) -> "Lineage":
        """The same with these checkpoints in another folder."""
        return replace(self, teacher=self.teacher and folder / self.teacher.name,
                       guide=self.guide and folder / self.guide.name)


NO_LINEAGE = Lineage()


class Subnetworks:
    """The sub-networks of a network in training."""

    def __init__(self, network: ConvTasNet, values: Values, precision: str):
        self.network = network
        self.values = values
        self.precision = precision
        self.smallest = self._with({name: choices[0] for name, choices in values.items()})

    def _with(self, chosen: dict[str, Any]) -> Variant:
        return replace(self.network.variant, **chosen)

    def _drawn(self, rng: np.random.Generator) -> Variant:
        return self._with({name: choices[int(rng.integers(len(choices)))]
                           for name, choices in self.values.items()})

    def add_gradients(self, batch: Batch, signals: Tensor, chance: tuple[int, ...],
                      share: float) -> None:
        """Add the sub-networks' gradients for a batch, times its share, to the network's.

        `signals` [B, C, T] are the network's own estimates.
        """
        order = best_permutation(batch.sources, signals, batch.valid)
        chosen = (self.smallest, self._drawn(np.random.default_rng(chance)))
        assert len(chosen) == TAUGHT
        for variant in chosen:
            part = speed_up(take(self.network, variant), self.precision).train()
            estimates = reorder(part(batch.mixture), order)
            loss = -si_snr(batch.sources, estimates, batch.valid_of_sources).mean() * share
            loss.backward()
            pairs = matching(_gradients(part), variant, _gradients(self.network),
                             self.network.variant)
            for mine, theirs in pairs:
                theirs.add_(mine)


def _gradients(network: ConvTasNet) -> dict[str, Tensor]:
    return {name: weight.grad for name, weight in network.named_parameters()
            if weight.grad is not None}
