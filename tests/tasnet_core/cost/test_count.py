import csv
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core.cost import count, formulas
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant
from tests.support import ROOT
from tests.support.variants import variants

PUBLISHED = list(csv.DictReader((ROOT / "study/report/published.csv").read_text().splitlines()))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: " ".join(f"{x}{row[x]}" for x in "N L B H Sc X R".split()))
def test_table_2_of_the_paper(row):
    letters = {letter: int(row[letter]) for letter in "N L B H Sc P X R C".split()}
    variant = Variant(**letters, last_residual=True)        # the printed sizes count it
    exact = count.exact(variant)
    assert exact.parameters == int(row["parameters"])
    assert exact.macs_per_s == int(row["macs_per_s"])
    assert variant.receptive_field_samples == int(row["receptive_field_samples"])


def test_the_papers_best_network_in_its_four_counts():
    assert count.exact(Variant()).parameters == 4_984_881
    assert count.exact(Variant(last_residual=True)).parameters == 5_050_545
    assert count.exact(Variant(last_residual=True, C=3)).parameters == 5_116_593
    assert count.exact(Variant(Sc=0)).parameters == count.exact(Variant(Sc=0, last_residual=True)).parameters == 3_474_609


@given(variants)
@settings(max_examples=25, deadline=None)
def test_parameters_are_those_of_the_network_and_layers_add_up_to_it(variant):
    assert count.exact(variant).parameters == sum(p.numel() for p in ConvTasNet(variant).parameters())
    assert count.layers(variant)[-1].receptive_field_samples == variant.receptive_field_samples


@given(variants, st.integers(1, 300))
@settings(max_examples=10, deadline=None)
def test_macs_are_those_that_thop_and_torch_count(variant, samples):
    network = ConvTasNet(variant)
    names = set(network.state_dict())
    assert count.macs(variant, samples) == count.macs_by_torch(network, samples) == count.macs_by_thop(network, samples)
    assert set(network.state_dict()) == names       # thop's buffers stayed on its copy


@given(st.lists(variants, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_many_at_once_have_the_costs_of_each(some):
    fields = {name: np.array([getattr(variant, name) for variant in some]) for name in vars(some[0])}
    parameters, macs_per_s = formulas.totals(fields)
    assert parameters.tolist() == [count.exact(variant).parameters for variant in some]
    assert np.rint(macs_per_s).tolist() == [count.exact(variant).macs_per_s for variant in some]
    assert formulas.totals(vars(some[0])) == (parameters[0], macs_per_s[0])


def test_torchs_count_of_the_best_row():
    assert count.macs(Variant(last_residual=True), 8000) == 4_971_663_360


def test_thop_unmended_overcounts_the_decoder():
    # Why thop's rule is mended: half a filter of 4 samples is 2, and it counts the decoder twice.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)     # it compares versions by distutils
        import thop
    decoder = torch.nn.ConvTranspose1d(3, 1, 4, stride=2, bias=False)
    unmended, _ = thop.profile(decoder, inputs=(torch.zeros(1, 3, 100),), verbose=False)
    assert unmended > 1.9 * 3 * 4 * 100


def test_memory_is_the_weights_and_the_most_tensors_alive_at_once():
    class Chain(torch.nn.Module):
        def forward(self, x):
            y = x + 1           # x, y
            z = y * y           # x, y, z
            del y
            w = z - 1           # x, z, w
            u = w + z           # x, z, w, u: the most
            return u[:10]
    assert count.peak_tensor_bytes(Chain(), torch.zeros(1000)) == 4 * 4 * 1000


def test_measure_adds_memory_and_speed_and_leaves_threads_alone():
    threads = torch.get_num_threads()
    small, large = (count.measure(Variant(N=16, B=8, H=16, Sc=8, X=2, R=repeats), runs=3) for repeats in (1, 4))
    assert torch.get_num_threads() == threads
    assert 0 < small.peak_memory_bytes <= large.peak_memory_bytes
    assert small.realtime_factor > 0
    assert large.parameters > small.parameters
    assert count.measure(Variant(N=16, B=8, H=16, Sc=8, X=2, R=1)).peak_memory_bytes == small.peak_memory_bytes
