"""Scores of separated test mixtures. One without a score has a reason and is counted.

The order of the speakers is fixed once, by SI-SNR, and used for every metric. The network and
SI-SNR run here, on torch; SDR, STOI and PESQ in the processes of
`metric_workers`.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tasnet_core.backend.fused import speed_up
from tasnet_core.corpora.mixture import Mixture
from tasnet_core.corpora.registry import Corpus
from tasnet_core.evaluation import metric_workers
from tasnet_core.evaluation.metric_workers import SLOW, Computed, Job, MetricWorkers
from tasnet_core.network.loss import best_of, by_products, si_snr
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import METRICS, MixtureScore, Scores

FAST = ("si_snr",)      # what is measured unless more is asked for
OnEstimates = Callable[[int, Mixture, NDArray[np.float32]], None]

# SI-SNR from the correlation of float64 signals is the definition's to 1e-8 dB up to here.
CORRELATED_DB = 60.0
MIXTURES_PER_PROCESS = 8        # fewer are not worth the start of a process


class Ordered(NamedTuple):
    """Estimates in the order of their sources, with the SI-SNR of each and of the mixture."""

    estimates: NDArray[np.float32]      # [C, T]
    si_snr_db: list[float]
    input_si_snr_db: list[float]
    level_difference_db: float          # how far the loudest source is above the quietest

    @property
    def si_snri_db(self) -> float:
        """What separating has improved, the mean over the speakers."""
        return _mean(self.si_snr_db) - _mean(self.input_si_snr_db)


class Pending(NamedTuple):
    """A mixture's score, and those that are still being computed."""

    score: MixtureScore
    slow: "Future[Computed] | None"

    def wait(self) -> MixtureScore:
        if self.slow is None:
            return self.score
        computed = self.slow.result()
        scores: dict[str, Any] = computed.scores
        return replace(self.score, reason="; ".join(computed.reasons), **scores)


def in_order(mixture: Mixture, estimates: NDArray[np.float32]) -> Ordered:
    """The estimates [C, T] of one mixture in their best order, each scored in float64."""
    C = len(mixture.sources)
    signals = _signals(mixture, estimates)
    products = _products(signals, C)
    own = products.diagonal()
    pairs = by_products(products[:C, C:], own[:C], own[C:])                 # [C, C + 1]
    order = best_of(pairs[None, :, :C])[0]
    after = pairs.gather(1, order[:, None])[:, 0]
    if after.max() > CORRELATED_DB:
        after = si_snr(signals[:C], signals[C:2 * C][order])
    return Ordered(estimates[order.numpy(), :mixture.length], after.tolist(),
                   pairs[:, C].tolist(), _level_difference_db(own[:C]))


def score(mixture: Mixture, estimates: NDArray[np.float32], sample_rate_hz: int,
          metrics: Sequence[str] = FAST) -> MixtureScore:
    """The score of one mixture, means over its speakers, from its estimates [C, T]."""
    with MetricWorkers(0) as here:
        return begin(mixture, estimates, sample_rate_hz, metrics, here).wait()


def begin(mixture: Mixture, estimates: NDArray[np.float32], sample_rate_hz: int,
          metrics: Sequence[str], workers: MetricWorkers) -> Pending:
    """Score one mixture here, and let `workers` begin with what is slow."""
    reason = unscorable(mixture, estimates)
    known = MixtureScore(
        mixture=mixture.id, speakers="+".join(mixture.speakers), sexes="".join(mixture.sexes),
        duration_s=mixture.length / sample_rate_hz, input_si_snr_db=None, si_snr_db=None,
        si_snri_db=None, reason=reason)
    if reason:
        return Pending(known, None)
    ordered = in_order(mixture, estimates)
    slow = tuple(metric for metric in metrics if metric in SLOW)
    known = replace(
        known, input_si_snr_db=_mean(ordered.input_si_snr_db), si_snr_db=_mean(ordered.si_snr_db),
        si_snri_db=ordered.si_snri_db, level_difference_db=ordered.level_difference_db)
    if not slow:
        return Pending(known, None)
    job = Job(slow, mixture.sources[:, :mixture.length], ordered.estimates,
              mixture.mixture[:mixture.length], sample_rate_hz)
    return Pending(known, workers.submit(job))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _signals(mixture: Mixture, estimates: NDArray[np.float32]) -> torch.Tensor:
    """Sources, estimates, and the noise if there is any, in float64 and zero-mean: [2 C (+ 1), T].

    Without the padding.
    """
    parts = [mixture.sources, estimates, *(() if mixture.noise is None else [mixture.noise[None]])]
    found = np.empty((sum(map(len, parts)), mixture.length))
    np.concatenate([part[:, :mixture.length] for part in parts], out=found)
    signals = torch.from_numpy(found)
    return signals.sub_(signals.mean(-1, keepdim=True))


def _products(signals: torch.Tensor, C: int) -> torch.Tensor:
    """Inner products of sources, estimates and the mixture, [2 C + 1, 2 C + 1].

    The mixture, as one estimate of every source, is what separation has to improve on. It is the
    sum of the sources and the noise, and so are its products.
    """
    own = signals @ signals.T
    made_of = torch.eye(2 * C + 1, len(own), dtype=own.dtype)
    made_of[2 * C, :C] = 1      # the noise, if there is any, is the row's already
    return made_of @ own @ made_of.T


def _level_difference_db(energies: torch.Tensor) -> float:
    return float(10 * (energies.max() / energies.min()).log10())


def unscorable(mixture: Mixture, estimates: NDArray[np.float32]) -> str:
    """Why estimates [C, T] have no score, in words; empty when they have one."""
    truth, found = (signals[:, :mixture.length] for signals in (mixture.sources, estimates))
    if not np.isfinite(found).all():
        return "an estimate is not finite"
    for name, signals in (("a source", truth), ("an estimate", found)):
        if silent(signals):
            return f"{name} is silent"
    return ""


def silent(signals: NDArray[Any]) -> bool:
    """Whether one of some signals [..., T] is constant, which is silence to a zero-mean measure."""
    return bool((signals.max(-1) == signals.min(-1)).any())


def estimates_of(network: ConvTasNet, mixture: Mixture) -> NDArray[np.float32]:
    """What a network separates a whole mixture into: [C, T], in no order."""
    device = next(network.parameters()).device
    with torch.inference_mode():
        estimates = network(torch.from_numpy(mixture.mixture).to(device)[None])[0]
    found: NDArray[np.float32] = estimates.cpu().numpy()
    return found


def score_test(
    network: ConvTasNet,
    corpus: Corpus,
    metrics: Sequence[str] = FAST,
    processes: int | None = None,
    on_scored: Callable[[int, int], None] = lambda done, total: None,
    on_estimates: OnEstimates = lambda index, mixture, estimates: None,
    part: str = "test",
) -> list[MixtureScore]:
    """Separate and score every mixture of a part of a corpus, whole.

    `on_scored` gets how many are done, of how many; `on_estimates` each mixture by its index, with
    the network's estimates [C, T] in no order.

    `processes` compute the slow metrics; by default as many as there are cores, and none for a
    handful of mixtures. The scores do not depend on it but for rounding, which is the same for any
    number of processes but none.
    """
    network = speed_up(network)
    total = corpus.count(part)
    if processes is None:
        processes = min(metric_workers.cores(), total // MIXTURES_PER_PROCESS)
    scores: list[MixtureScore] = []
    waiting: deque[Pending] = deque()
    with MetricWorkers(processes) as workers:
        for index in range(total):
            mixture = corpus.mixture(part, index)
            estimates = estimates_of(network, mixture)
            waiting.append(begin(mixture, estimates, corpus.sample_rate_hz, metrics, workers))
            on_estimates(index, mixture, estimates)
            # So memory stays bounded.
            while len(waiting) > (2 * processes if index + 1 < total else 0):
                scores.append(waiting.popleft().wait())
                on_scored(len(scores), total)
    return scores


def summary(scores: Sequence[MixtureScore], metrics: Sequence[str] = FAST) -> Scores:
    """For each metric the mean over the mixtures that have it, and how many have not."""
    def has(name: str) -> list[float]:
        return [value for one in scores if (value := getattr(one, name)) is not None]

    measured = {name: has(name) for metric in {*FAST, *metrics} for name in METRICS[metric]}
    counts: dict[str, Any] = {f"{metric}_unscored": len(scores) - len(measured[METRICS[metric][0]])
                              for metric in metrics if metric not in FAST}
    means: dict[str, Any] = {
        name: _mean(values) if values else None for name, values in measured.items()}
    return Scores(
        mixtures=len(scores), unscored=len(scores) - len(measured["si_snri_db"]), **means, **counts)
