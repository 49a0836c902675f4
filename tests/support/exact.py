"""Networks whose every number matters, and how far another implementation of one is off."""

import copy

import numpy as np
import torch

from tasnet_core.network.model import chance, seeded


def unlike_fresh(variant, seed=0):
    """A network whose norms, slopes and running statistics are not those it begins with."""
    network = seeded(variant, seed).eval()
    with chance(seed), torch.no_grad():
        for name, values in network.state_dict().items():
            if values.is_floating_point():
                noise = 0.2 * torch.randn_like(values)
                values.add_(noise.abs() if name.endswith("var") else noise)
    return network


def largest_error(found, network, mixture):
    """What differs from float64, as a multiple of 1e-5 of the largest sample, or of 8 times what torch itself is off."""
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(mixture.double()).numpy()
        rounded = np.abs(network(mixture).numpy() - exact).max()
    assert found.shape == exact.shape
    assert np.isfinite(found).all()
    return np.abs(found - exact).max() / max(1e-5 * np.abs(exact).max(), 8 * rounded, 1e-30)
