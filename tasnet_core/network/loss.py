"""Scale-invariant SNR and utterance-level permutation-invariant training.

With both signals zero-mean, the estimate e is split along the reference s:

    target = (<e, s> / |s|²) s    noise = e - target    SI-SNR = 10 log10(|target|² / |noise|²)

(Le Roux et al. 2019, "SDR - half-baked or well done?", eq. 3; Luo & Mesgarani 2019, eq. 13.)
"""

from functools import cache
from itertools import permutations

import torch
from torch import Tensor


def _zero_mean(signal: Tensor, valid: Tensor | None) -> Tensor:
    if valid is None:
        return signal - signal.mean(-1, keepdim=True)
    signal = signal * valid
    return (signal - signal.sum(-1, keepdim=True) / valid.sum(-1, keepdim=True)) * valid


def si_snr(reference: Tensor, estimate: Tensor, valid: Tensor | None = None) -> Tensor:
    """Scale-invariant SNR in dB, higher is better: [..., T] x [..., T] -> [...].

    `valid` [..., T] is 1 for samples of the recording and 0 for padding, which counts for nothing.

    Both energies get a floor of one rounding error of the estimate's energy, so the value is
    finite and still scale-free: a perfect estimate reaches 69 dB in float32, 157 dB in float64, and
    silence on either side is as bad as the same numbers are good.
    """
    reference, estimate = _zero_mean(reference, valid), _zero_mean(estimate, valid)
    rounding = torch.finfo(estimate.dtype).eps
    tiny = torch.finfo(estimate.dtype).tiny / rounding      # far from overflow when divided by
    energy = reference.square().sum(-1, keepdim=True)
    gain = (estimate * reference).sum(-1, keepdim=True) / (energy + tiny)
    target = gain * reference
    noise = estimate - target
    floor = rounding * estimate.square().sum(-1)
    # Silence leaves tiny over tiny/rounding: the worst value, and a gradient of zero.
    signal_energy = target.square().sum(-1) + floor + tiny
    noise_energy = noise.square().sum(-1) + floor + tiny / rounding
    return 10 * (signal_energy.log10() - noise_energy.log10())


def speaks(reference: Tensor, valid: Tensor | None = None) -> Tensor:
    """1 for a source with speech, 0 for a silent one, which has no SI-SNR: [..., T] -> [...].

    `valid` as in `si_snr`.
    """
    reference = reference if valid is None else reference * valid
    return (reference.amax(-1) > reference.amin(-1)).to(reference.dtype)


def best_permutation(reference: Tensor, estimate: Tensor, valid: Tensor | None = None) -> Tensor:
    """The order of estimates with the highest mean SI-SNR: [B, C, T] x [B, C, T] -> [B, C].

    `estimate[b, order[b, c]]` belongs to `reference[b, c]`. `valid`, if given, is [B, T].
    """
    _check(reference, estimate)
    with torch.no_grad():
        return best_of(by_correlation(reference, estimate, valid))


def pit_loss(reference: Tensor, estimate: Tensor, valid: Tensor | None = None) -> Tensor:
    """Minus the mean SI-SNR under the best order of speakers of each item, which training lowers.

    [B, C, T] x [B, C, T] -> []; in dB. `valid`, if given, is [B, T] and as in `si_snr`. A silent
    source has no SI-SNR (see `speaks`) and counts as 0 dB, whatever is estimated.
    """
    order = best_permutation(reference, estimate, valid)
    valid = None if valid is None else valid[:, None]
    return -(si_snr(reference, reorder(estimate, order), valid) * speaks(reference, valid)).mean()


def reorder(estimate: Tensor, order: Tensor) -> Tensor:
    """Put the speakers of [B, C, T] into the order [B, C] that `best_permutation` found."""
    return estimate.gather(1, order[..., None].expand_as(estimate))


def _check(reference: Tensor, estimate: Tensor) -> None:
    if reference.shape != estimate.shape or reference.dim() != 3:
        found = f"reference {tuple(reference.shape)} and estimate {tuple(estimate.shape)}"
        raise ValueError(f"{found}: both must be [batch, speakers, samples]")


def by_correlation(reference: Tensor, estimate: Tensor, valid: Tensor | None = None) -> Tensor:
    """SI-SNR of every pair from r², the share of the estimate's energy along the reference.

    10 log10(r² / (1 - r²)): [B, C, T] x [B, E, T] -> [B, C, E]. One matrix product instead of C E
    signals, but in float32 beyond about 60 dB all alike: good for an order, which is near no tie
    there. In float64 it is the definition to 1e-8 dB up to there.
    """
    valid = None if valid is None else valid[:, None]
    reference, estimate = _zero_mean(reference, valid), _zero_mean(estimate, valid)
    own, theirs = (torch.linalg.vecdot(one, one) for one in (reference, estimate))
    return by_products(reference @ estimate.mT, own, theirs)


def by_products(products: Tensor, own: Tensor, theirs: Tensor) -> Tensor:
    """The same from the inner products of zero-mean signals: [..., C, E], [..., C], [..., E]."""
    tiny, rounding = torch.finfo(products.dtype).tiny, torch.finfo(products.dtype).eps
    energies: Tensor = own[..., :, None] * theirs[..., None, :]
    share = products.square() / (energies + tiny)
    share = share.clamp(rounding, 1 - rounding)
    return 10 * (share / (1 - share)).log10()


@cache
def _orders(speakers: int, device: torch.device) -> Tensor:
    # Once: a copy to a GPU would wait, at every step, for all it has still to do.
    with torch.inference_mode(False):
        return torch.tensor(list(permutations(range(speakers))), device=device)


def best_of(scores: Tensor) -> Tensor:
    """The order of estimates with the highest mean: [B, C, C] -> [B, C]."""
    speakers = scores.shape[-1]
    orders = _orders(speakers, scores.device)                                           # [C!, C]
    means = scores[:, torch.arange(speakers, device=scores.device), orders].mean(-1)     # [B, C!]
    return orders[means.argmax(-1)]
