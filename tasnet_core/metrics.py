"""How well test mixtures were separated. What could not be scored says why and is counted, never hidden."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core.corpora import Corpus, Mixture
from tasnet_core.loss import best_permutation, reorder, si_snr
from tasnet_core.model import ConvTasNet
from tasnet_core.records import MixtureScore, Scores


class Ordered(NamedTuple):
    """Estimates in the order of their sources, with the SI-SNR of each, and of the mixture for each."""

    estimates: NDArray[np.float32]      # [C, T]
    si_snr_db: list[float]
    input_si_snr_db: list[float]


def in_order(mixture: Mixture, estimates: NDArray[np.float32]) -> Ordered:
    """Put the estimates [C, T] of one mixture into their best order and score each speaker, in float64."""
    truth, found = _signals(mixture, estimates)
    ordered = reorder(found, best_permutation(truth, found))
    mixed = truth.sum(1, keepdim=True).expand_as(truth)
    return Ordered(ordered[0].numpy().astype(np.float32),
                   si_snr(truth, ordered)[0].tolist(), si_snr(truth, mixed)[0].tolist())


def score(mixture: Mixture, estimates: NDArray[np.float32], sample_rate_hz: int) -> MixtureScore:
    """The score of one mixture, means over its speakers, from its estimates [C, T]."""
    reason = unscorable(*_signals(mixture, estimates))
    after = before = None
    if not reason:
        ordered = in_order(mixture, estimates)
        after, before = (math.fsum(values) / len(values) for values in (ordered.si_snr_db, ordered.input_si_snr_db))
    return MixtureScore(
        mixture=mixture.id, speakers="+".join(mixture.speakers), sexes="".join(mixture.sexes),
        duration_s=mixture.length / sample_rate_hz, input_si_snr_db=before, si_snr_db=after,
        si_snri_db=None if after is None or before is None else after - before, reason=reason)


def _signals(mixture: Mixture, estimates: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources and estimates as float64 [1, C, T], without the padding."""
    return tuple(torch.from_numpy(signals[:, :mixture.length]).double()[None]       # type: ignore[return-value]
                 for signals in (mixture.sources, estimates))


def unscorable(truth: torch.Tensor, found: torch.Tensor) -> str:
    """Why signals [1, C, T] have no score, in words; empty when they have one."""
    if not torch.isfinite(found).all():
        return "an estimate is not finite"
    for name, signals in (("source", truth), ("estimate", found)):
        # A constant is silence to a zero-mean measure.
        if (signals.amax(-1) == signals.amin(-1)).any():
            return f"a {name} is silent"
    return ""


def score_test(network: ConvTasNet, corpus: Corpus) -> list[MixtureScore]:
    """Separate and score every test mixture of a corpus, whole."""
    device = next(network.parameters()).device
    scores = []
    with torch.inference_mode():
        for index in range(corpus.count("test")):
            mixture = corpus.mixture("test", index)
            sound = torch.from_numpy(mixture.mixture).to(device)
            scores.append(score(mixture, network(sound[None])[0].cpu().numpy(), corpus.sample_rate_hz))
    return scores


def summary(scores: list[MixtureScore]) -> Scores:
    """The means over the mixtures that have a score."""
    scored = [one for one in scores if not one.reason]

    def mean(name: str) -> float | None:
        values = [getattr(one, name) for one in scored]
        return math.fsum(values) / len(values) if values else None

    return Scores(si_snr_db=mean("si_snr_db"), si_snri_db=mean("si_snri_db"),
                  mixtures=len(scores), unscored=len(scores) - len(scored))
