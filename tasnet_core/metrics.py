"""How well one test mixture was separated. What could not be scored says why and is counted."""

import math

import torch

from tasnet_core.corpora import Mixture
from tasnet_core.loss import best_permutation, reorder, si_snr
from tasnet_core.records import MixtureScore, Scores


def score(mixture: Mixture, estimates: torch.Tensor, sample_rate_hz: int) -> MixtureScore:
    """Score the estimates [C, T] of one mixture, in float64, under their best order; means over speakers."""
    truth = torch.from_numpy(mixture.sources[:, :mixture.length]).double()[None]        # [1, C, T]
    found = estimates[:, :mixture.length].detach().cpu().double()[None]
    mixed = truth.sum(1, keepdim=True).expand_as(truth)
    before = si_snr(truth, mixed).mean().item()
    reason = unscorable(truth[0], found[0])
    after = math.nan
    if not reason:
        after = si_snr(truth, reorder(found, best_permutation(truth, found))).mean().item()
    return MixtureScore(
        mixture=mixture.id, speakers="+".join(mixture.speakers), sexes="".join(mixture.sexes),
        duration_s=mixture.length / sample_rate_hz, input_si_snr_db=None if reason else before,
        si_snr_db=None if reason else after, si_snri_db=None if reason else after - before, reason=reason)


def unscorable(truth: torch.Tensor, found: torch.Tensor) -> str:
    """Why a mixture has no score, in words; empty when it has one. [C, T] x [C, T]."""
    if not torch.isfinite(found).all():
        return "an estimate is not finite"
    for name, signals in (("source", truth), ("estimate", found)):
        # Constant signals are silence to a zero-mean measure.
        if (signals.amax(-1) == signals.amin(-1)).any():
            return f"a {name} is silent"
    return ""


def summary(scores: list[MixtureScore]) -> Scores:
    """The means over the mixtures that have a score."""
    scored = [one for one in scores if not one.reason]

    def mean(values: list[float]) -> float | None:
        return math.fsum(values) / len(values) if values else None

    return Scores(
        si_snr_db=mean([one.si_snr_db for one in scored if one.si_snr_db is not None]),
        si_snri_db=mean([one.si_snri_db for one in scored if one.si_snri_db is not None]),
        mixtures=len(scores), unscored=len(scores) - len(scored))
