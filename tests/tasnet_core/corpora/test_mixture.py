"""Noise is heard wherever the mixture is, and nowhere else."""

import numpy as np
import pytest
import torch

from tasnet_core.corpora.mixture import Mixture
from tasnet_core.evaluation.metrics import in_order
from tasnet_core.network.loss import si_snr
from tasnet_core.training.batches import batch_of


def noisy(T=1000, seed=0):
    rng = np.random.default_rng(seed)
    return Mixture("train/a", rng.standard_normal((2, T)).astype(np.float32), T, ("a", "b"), ("F", "M"),
                   rng.standard_normal(T).astype(np.float32))


def test_a_mixture_is_its_sources_and_its_noise():
    mixture = noisy()
    assert np.array_equal(mixture.mixture, mixture.sources[0] + mixture.sources[1] + mixture.noise)
    clean = mixture._replace(noise=None)
    assert np.array_equal(clean.mixture, mixture.sources[0] + mixture.sources[1])


def test_a_batch_hears_the_noise_of_each_item():
    mixtures = [noisy(seed=seed) for seed in range(3)]
    batch = batch_of(mixtures, torch.device("cpu"))
    assert np.allclose(batch.mixture.numpy(), np.stack([mixture.mixture for mixture in mixtures]), atol=1e-6)
    assert batch_of([mixture._replace(noise=None) for mixture in mixtures], torch.device("cpu")).noise is None


@pytest.mark.parametrize("db", [-5, 0, 10])
def test_the_unseparated_score_counts_noise_as_noise(db):
    t = np.arange(8000) / 8000
    one, other, noise = (np.sin(2 * np.pi * f * t) for f in (200, 300, 500))  # orthogonal over a second
    level = 10 ** (-db / 20)
    mixture = Mixture("test/a", np.stack([one, 0.1 * level * other]).astype(np.float32), 8000, ("a", "b"), ("F", "M"),
                      (level * np.sqrt(0.99) * noise).astype(np.float32))
    before = in_order(mixture, mixture.sources).input_si_snr_db
    exact = si_snr(torch.from_numpy(mixture.sources).double(), torch.from_numpy(mixture.mixture).double())
    assert before == pytest.approx(exact.tolist(), abs=1e-5)      # the mixture itself is rounded to float32
    assert before[0] == pytest.approx(db, abs=1e-3)  # the other's 1 % and the noise's 99 % are one power at this level
