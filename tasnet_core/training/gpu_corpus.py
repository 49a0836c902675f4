"""A corpus on the device: its recordings lie there once, and training segments are mixed there.

The host draws who says what how loud (corpora.mixed.Plan) and sends a few numbers per source; the
device never has to be waited for. The mixtures are those of `MixedCorpus.segment`, but for
rounding.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core.corpora.audio_cache import AudioEntry
from tasnet_core.corpora.mixed import PEAK, MixedCorpus, Plan
from tasnet_core.corpora.registry import Corpus
from tasnet_core.training.batches import Batch, sent

SHARE = 0.25        # of the device's free memory, for recordings at most


class Resident:
    """The training recordings of a corpus on a device."""

    def __init__(self, corpus: MixedCorpus, device: torch.device):
        self.device, self.plan = device, corpus.plan
        self.places: dict[AudioEntry, int] = {}       # where each recording begins here
        self.numbers = torch.empty(training_samples(corpus), dtype=torch.int16, device=device)
        end = 0
        for item, numbers in corpus.stored():
            start, end = end, end + item.length
            self.places[item] = start
            # A copy: torch would like arrays that can be written, and the audio cache cannot.
            self.numbers[start:end] = torch.from_numpy(numbers.copy())

    def batch(self, plans: Sequence[Plan], samples: int) -> Batch:
        """Segments of so many samples side by side, mixed on the device."""
        table = sent(self._table(plans), self.device)                           # [B, C, 2 + 3·S]
        length, level = table[..., :2].float().split(1, -1)                     # [B, C, 1] each
        cuts = table[..., 2:].unflatten(-1, (3, -1))
        ends, offsets, scales = cuts.unbind(-2)                                 # [B, C, S] each
        time = torch.arange(samples, dtype=table.dtype, device=self.device)
        time = time.expand(*table.shape[:2], -1).contiguous()                   # [B, C, T]
        piece = torch.searchsorted(ends.contiguous(), time, right=True)
        piece = piece.clamp(max=ends.shape[-1] - 1)
        place = (offsets.gather(-1, piece) + time).long().clamp(max=len(self.numbers) - 1)
        valid = (time < length).float()
        sources = self.numbers[place] * scales.float().gather(-1, piece) * valid        # [B, C, T]
        rms = (sources.square().sum(-1, keepdim=True) / length).sqrt()
        sources = sources * (level / rms.clamp(min=1e-12))
        peak = sources.sum(1, keepdim=True).abs().amax(-1, keepdim=True)        # [B, 1, 1]
        sources = torch.where(peak > PEAK, sources * (PEAK / peak * (1 - 1e-6)), sources)
        padded = any(plan.length != samples for plan in plans)
        return Batch(sources, valid[:, 0] if padded else None)

    def _table(self, plans: Sequence[Plan]) -> NDArray[np.float64]:
        """All that the device must know, as one array: float64 holds places and lengths exactly.

        For each source the mixture's length, its own level, and for each of its S cuts where it
        ends in the segment, how far its times are from their places here, and its scale. Behind a
        source's last cut there is nothing, without end.
        """
        most = max(len(slices) for plan in plans for slices in plan.slices)
        table = np.zeros((len(plans), len(plans[0].slices), 2 + 3 * most))
        for rows, plan in zip(table, plans, strict=True):
            rows[:, 0], rows[:, 1] = plan.length, plan.levels
            for row, slices in zip(rows, plan.slices, strict=True):
                ends, offsets, scales = row[2:].reshape(3, -1)
                ends[:] = np.inf
                end = 0
                for i, cut in enumerate(slices):
                    offsets[i] = self.places[cut.entry] + cut.start - end
                    scales[i] = cut.entry.scale
                    end += cut.length
                    ends[i] = end
        return table


def training_samples(corpus: MixedCorpus) -> int:
    """Samples of all recordings for training."""
    return sum(item.length for item, _ in corpus.stored())


def resident(corpus: Corpus, device: torch.device) -> Resident | None:
    """The corpus on a GPU; None where it cannot be planned or would need too much of the memory."""
    planned = corpus.planned if device.type == "cuda" else None
    return None if planned is None else shared_resident(planned, device)


@lru_cache(maxsize=1)       # all trainings of a process share it
def shared_resident(corpus: MixedCorpus, device: torch.device) -> Resident | None:
    """The recordings on a GPU, where they need at most SHARE of its free memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return Resident(corpus, device) if 2 * training_samples(corpus) <= SHARE * free else None
