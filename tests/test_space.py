from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.published import published
from study.space import SPACES, Listed, space_named, suggest
from tasnet_core import cost
from tasnet_core.errors import UserError
from tasnet_core.records import Variant

RANGES = [space for space in SPACES.values() if not isinstance(space, Listed)]
LISTS = [space for space in SPACES.values() if isinstance(space, Listed)]


@pytest.mark.parametrize("space", RANGES, ids=lambda space: space.name)
def test_the_reference_is_in_its_space_and_nothing_there_is_dearer(space):
    most = cost.exact(space.reference)
    ends = {letter: (values[0], values[-1]) for letter, values in space.choices.items()}
    for letter, values in space.choices.items():
        assert getattr(space.reference, letter) in values
        lowered = cost.exact(replace(space.reference, **{letter: ends[letter][0]}))
        assert lowered.macs_per_s <= most.macs_per_s, letter
    assert cost.exact(next(space.variants())).parameters < most.parameters / 10
    assert space.first == (space.reference,)


def test_quick_is_about_340_thousand_parameters_below_and_full_is_the_papers_best():
    quick = space_named("quick").reference
    assert (quick.N, quick.L, quick.B, quick.H, quick.Sc, quick.P, quick.X, quick.R) == (128, 16, 64, 128, 64, 3, 6, 2)
    assert cost.exact(replace(quick, last_residual=True)).parameters == 339_545
    assert space_named("full").reference == Variant.v3()


def test_a_space_counts_its_variants():
    space = space_named("quick")
    assert len(set(space.variants())) == len(space) == 4 * 4 * 4 * 4 * 5 * 2


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_what_optuna_is_asked_is_what_a_variant_gives_back(data):
    space = space_named(data.draw(st.sampled_from(sorted(SPACES))))
    wanted = {letter: data.draw(st.sampled_from(values)) for letter, values in space.choices.items()}
    variant = suggest(optuna.trial.FixedTrial(wanted), space)
    assert space.parameters_of(variant) == wanted
    assert space.variant_of(space.parameters_of(space.reference)) == space.reference


def test_an_unknown_space_names_the_known_ones():
    with pytest.raises(UserError, match="choose from quick, full, thesis, table2"):
        space_named("qiuck")


@pytest.mark.parametrize("space", LISTS, ids=lambda space: space.name)
def test_a_list_is_measured_in_its_order_from_its_reference(space):
    assert space.first[0] == space.reference
    assert space.first == tuple(space.variants())
    assert len(set(space.first)) == len(space) == len(space.choices["place"])
    assert [space.parameters_of(variant) for variant in space.first] == [{"place": place} for place in range(len(space))]


def test_table2_has_the_networks_and_the_sizes_of_table_ii():
    letters = ("N", "L", "B", "H", "Sc", "P", "X", "R", "C", "norm", "causal")
    printed = published("published.csv")
    space = space_named("table2")
    assert space.reference == replace(Variant.v3(), last_residual=True)
    assert {tuple(getattr(variant, name) for name in letters) for variant in space.variants()} == {
        tuple(row[name] for name in letters) for row in printed}
    for row in printed:
        variant, = (one for one in space.variants() if all(getattr(one, name) == row[name] for name in letters))
        exact = cost.exact(variant)
        assert (exact.parameters, exact.macs_per_s) == (row["parameters"], row["macs_per_s"])
        assert variant.receptive_field_samples == row["receptive_field_samples"]


def test_thesis_has_the_networks_of_its_rows_and_leaves_out_only_the_other_segment_length():
    rows = [row for row in published("published_thesis.csv") if row["segment_s"] == 4.0]
    space = space_named("thesis")
    assert [(variant.X, variant.R) for variant in space.variants()] == [(row["X"], row["R"]) for row in rows]
    assert len(published("published_thesis.csv")) == len(space) + 1 == 7
    for variant in space.variants():
        assert (variant.N, variant.L, variant.B, variant.H, variant.Sc, variant.P) == (256, 20, 256, 512, 0, 3)
        assert (variant.encoder, variant.mask, variant.norm) == ("relu", "softmax", "batch")
    assert (space.recipe.epochs, space.recipe.batch_size, space.recipe.learning_rate) == (60, 50, 1e-3)
