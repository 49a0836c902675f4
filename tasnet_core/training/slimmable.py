"""A network trained together with its slices, so that each of them is good as it is.

The sandwich rule: at each step the smallest slice, and one by chance, learn what the whole network learns, each speaker in the
place where the whole has put him (J. Yu and T. Huang 2019, "Universally slimmable networks and improved training
techniques", arXiv 1903.05134, section 3.2). Other than there they are not taught the whole's own output: SI-SNR against that
has no upper end, and pulled all of them to where they are alike, at -9 dB (benchmarks/RESULTS.md).
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
from tasnet_core.network.slices import parts, take
from tasnet_core.records import Variant
from tasnet_core.training.batches import Batch

Letters = Mapping[str, Sequence[int]]       # by letter the values a slice may have, ascending


@dataclass(frozen=True)
class Kin:
    """Whom a variant's weights have to do with."""

    teacher: Path | None = None                         # for init "inherit": the checkpoint of the network they are a slice of
    letters: Letters = field(default_factory=dict)      # for init "teacher": which slices are trained with it
    origin: Origin = NOWHERE                            # the study they belong to; the corpus is that of the training


NO_KIN = Kin()


class Sandwich:
    """The slices of a network in training."""

    def __init__(self, network: ConvTasNet, letters: Letters, precision: str):
        self.network, self.letters, self.precision = network, letters, precision
        self.smallest = self._slice({letter: values[0] for letter, values in letters.items()})

    def _slice(self, values: dict[str, Any]) -> Variant:
        return replace(self.network.variant, **values)

    def teach(self, batch: Batch, signals: Tensor, chance: tuple[int, ...], share: float) -> None:
        """Add to the network's gradients those of the slices that hear a batch, which counts for so much.

        signals: what the network itself made of it, [B, C, T].
        """
        order = best_permutation(batch.sources, signals, batch.heard)
        rng = np.random.default_rng(chance)
        drawn = self._slice({letter: values[int(rng.integers(len(values)))] for letter, values in self.letters.items()})
        heard = None if batch.heard is None else batch.heard[:, None]
        for variant in (self.smallest, drawn):      # records.TAUGHT of them
            part = speed_up(take(self.network, variant), self.precision).train()
            loss = -si_snr(batch.sources, reorder(part(batch.mixture), order), heard).mean() * share
            loss.backward()
            gradients = {name: weight.grad for name, weight in part.named_parameters() if weight.grad is not None}
            whole = {name: weight.grad for name, weight in self.network.named_parameters() if weight.grad is not None}
            for mine, theirs in parts(gradients, variant, whole, self.network.variant):
                theirs.add_(mine)
