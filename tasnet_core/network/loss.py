"""Scale-invariant SNR and utterance-level permutation-invariant training.

With both signals zero-mean, the estimate e is split along the reference s:

    target = (<e, s> / |s|²) s        noise = e - target        SI-SNR = 10 log10(|target|² / |noise|²)

(Le Roux et al. 2019, "SDR - half-baked or well done?", eq. 3; Luo & Mesgarani 2019, eq. 13.)
"""

from functools import cache
from itertools import permutations

import torch
from torch import Tensor


def _zero_mean(signal: Tensor, heard: Tensor | None) -> Tensor:
    if heard is None:
        return signal - signal.mean(-1, keepdim=True)
    signal = signal * heard
    return (signal - signal.sum(-1, keepdim=True) / heard.sum(-1, keepdim=True)) * heard


def si_snr(reference: Tensor, estimate: Tensor, heard: Tensor | None = None) -> Tensor:
    """Scale-invariant SNR in dB, higher is better: [..., T] x [..., T] -> [...].

    `heard` [..., T] is 1 where there is sound and 0 in the padding, which counts for nothing.

    Both energies get a floor of one rounding error of the estimate's energy, so the value is finite
    and still scale-free: a perfect estimate reaches 69 dB in float32, 157 dB in float64, and silence
    on either side is as bad as the same numbers are good.
    """
    reference, estimate = _zero_mean(reference, heard), _zero_mean(estimate, heard)
    rounding = torch.finfo(estimate.dtype).eps
    tiny = torch.finfo(estimate.dtype).tiny / rounding      # still far from overflow when divided by
    gain = (estimate * reference).sum(-1, keepdim=True) / (reference.square().sum(-1, keepdim=True) + tiny)
    target = gain * reference
    noise = estimate - target
    floor = rounding * estimate.square().sum(-1)
    # Silence leaves tiny over tiny/rounding: the worst value, and a gradient of zero.
    signal_energy = target.square().sum(-1) + floor + tiny
    noise_energy = noise.square().sum(-1) + floor + tiny / rounding
    return 10 * (signal_energy.log10() - noise_energy.log10())


def speaks(reference: Tensor, heard: Tensor | None = None) -> Tensor:
    """1 where a source is heard, 0 where it is silent, so that it has no SI-SNR: [..., T] -> [...]; `heard` as in `si_snr`."""
    reference = reference if heard is None else reference * heard
    return (reference.amax(-1) > reference.amin(-1)).to(reference.dtype)


def best_permutation(reference: Tensor, estimate: Tensor, heard: Tensor | None = None) -> Tensor:
    """The order of estimates with the highest mean SI-SNR: [B, C, T] x [B, C, T] -> [B, C].

    `estimate[b, order[b, c]]` belongs to `reference[b, c]`. `heard`, if given, is [B, T].
    """
    return _best(_pairwise(reference, estimate, heard))


def pit_loss(reference: Tensor, estimate: Tensor, heard: Tensor | None = None) -> Tensor:
    """Minus the mean SI-SNR under the best order of speakers of each item: the value training makes small.

    [B, C, T] x [B, C, T] -> []; in dB. `heard`, if given, is [B, T]: 1 for sound, 0 for padding. A silent source has no
    SI-SNR and counts as 0 dB, whatever is estimated; `speaks` tells how many do not.
    """
    _check(reference, estimate)
    with torch.no_grad():
        order = _best(_by_correlation(reference, estimate, heard))
    heard = None if heard is None else heard[:, None]
    return -(si_snr(reference, reorder(estimate, order), heard) * speaks(reference, heard)).mean()


def reorder(estimate: Tensor, order: Tensor) -> Tensor:
    """Put the speakers of [B, C, T] into the order [B, C] that `best_permutation` found."""
    return estimate.gather(1, order[..., None].expand_as(estimate))


def _check(reference: Tensor, estimate: Tensor) -> None:
    if reference.shape != estimate.shape or reference.dim() != 3:
        raise ValueError(f"reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)}: "
                         "both must be [batch, speakers, samples]")


def _by_correlation(reference: Tensor, estimate: Tensor, heard: Tensor | None) -> Tensor:
    """SI-SNR of every pair from r², the share of the estimate's energy along the reference: 10 log10(r² / (1 - r²)).

    [B, C, T] x [B, C, T] -> [B, C, C]. One matrix product instead of C² signals, but beyond about 60 dB all alike: good for
    the choice of an order, which cannot be near a tie there.
    """
    heard = None if heard is None else heard[:, None]
    reference, estimate = _zero_mean(reference, heard), _zero_mean(estimate, heard)
    tiny, rounding = torch.finfo(estimate.dtype).tiny, torch.finfo(estimate.dtype).eps
    energies = reference.square().sum(-1)[:, :, None] * estimate.square().sum(-1)[:, None]     # [B, C, C]
    share = ((reference @ estimate.mT).square() / (energies + tiny)).clamp(rounding, 1 - rounding)
    return 10 * (share / (1 - share)).log10()


def _pairwise(reference: Tensor, estimate: Tensor, heard: Tensor | None) -> Tensor:
    _check(reference, estimate)
    heard = None if heard is None else heard[:, None, None]
    return si_snr(reference[:, :, None], estimate[:, None], heard)          # [B, C, C]


@cache
def _orders(speakers: int, device: torch.device) -> Tensor:
    # Once: a copy to a GPU would wait, at every step, for all it has still to do.
    with torch.inference_mode(False):
        return torch.tensor(list(permutations(range(speakers))), device=device)


def _best(scores: Tensor) -> Tensor:
    """The permutation with the highest mean: [B, C, C] -> [B, C]."""
    speakers = scores.shape[-1]
    orders = _orders(speakers, scores.device)                                           # [C!, C]
    means = scores[:, torch.arange(speakers, device=scores.device), orders].mean(-1)     # [B, C!]
    return orders[means.argmax(-1)]
