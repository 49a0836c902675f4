from collections import Counter
from dataclasses import replace
from itertools import product
from math import log

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.records import Budget
from study.report.published import published
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import Grid, ordered, suggest, suggested_recipe
from study.space.toml import space_named
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant
from tests.support.spaces import SMALL

RANGES = [SPACES[name] for name in ("quick", "full", "causal")]
LISTS = [SPACES[name] for name in ("thesis", "table2")]
AXES = ("parameters", "macs_per_s", "receptive_field_s")


def axis_of(variant, axis):
    return getattr(count.exact(variant), axis)


@pytest.mark.parametrize("space", RANGES, ids=lambda space: space.name)
def test_the_reference_is_in_its_space_and_nothing_there_is_dearer(space):
    most = count.exact(space.reference)
    ends = {letter: (values[0], values[-1]) for letter, values in space.choices.items()}
    for letter, values in space.choices.items():
        assert getattr(space.reference, letter) in values
        lowered = count.exact(replace(space.reference, **{letter: ends[letter][0]}))
        assert lowered.macs_per_s <= most.macs_per_s, letter
    assert count.exact(next(space.variants())).parameters < most.parameters / 10
    assert space.first == (space.reference,)


def test_quick_is_about_340_thousand_parameters_below_and_full_is_the_papers_best():
    quick = space_named("quick").reference
    assert (quick.N, quick.L, quick.B, quick.H, quick.Sc, quick.P, quick.X, quick.R) == (128, 16, 64, 128, 64, 3, 6, 2)
    assert count.exact(replace(quick, last_residual=True)).parameters == 339_545
    assert space_named("full").reference == Variant.v3()


def test_a_space_counts_its_variants():
    space = space_named("quick")
    assert len(set(space.variants())) == len(space) == 4 * 4 * 4 * 4 * 5 * 2


@st.composite
def points(draw):
    """A space, and Optuna's answer to everything it asks."""
    space = draw(st.sampled_from((*RANGES, *LISTS, *SMALL)))
    return space, {name: draw(st.sampled_from(numbers)) for name, numbers in space.ranges().items()}


@given(points())
@settings(max_examples=100, deadline=None)
def test_what_optuna_is_asked_is_what_a_variant_and_its_recipe_give_back(drawn):
    space, wanted = drawn
    trial = optuna.trial.FixedTrial(wanted)
    variant, recipe = suggest(trial, space), suggested_recipe(trial, space, space.recipe)
    assert (variant, recipe) == (space.variant_of(wanted), space.recipe_of(wanted, space.recipe))
    assert space.parameters_of(variant, recipe) == wanted
    assert space.variant_of(space.parameters_of(space.reference)) == space.reference
    assert space.recipe_of(space.parameters_of(space.reference), space.recipe) == space.recipe


@pytest.mark.parametrize("space", SMALL, ids=lambda space: space.name)
def test_points_are_every_variant_with_every_recipe_once_and_each_is_found_by_its_place(space):
    every = [dict(zip(space.ranges(), numbers, strict=True)) for numbers in product(*space.ranges().values())]
    recipes = {space.recipe_of(point, space.recipe) for point in every}
    pairs = {(space.variant_of(point), space.recipe_of(point, space.recipe)) for point in every}
    assert len(pairs) == len(every) == len(space) == len(set(space.variants())) * len(recipes)
    assert len(list(space.variants())) == len(set(space.variants()))
    assert [space.point(index) for index in range(len(space))] == every


def test_evenly_spaced_letters_are_asked_for_by_value_and_others_by_place():
    space = Grid("mixed", Variant(), {"X": [4, 6, 8], "H": (16, 64, 512), "B": [64, 128], "N": [512]}, Recipe()).tuned(
        ["batch_size"], Recipe(batch_size=4))
    assert space.ranges() == {"N": range(512, 513), "B": range(64, 129, 64), "H place": range(3), "X": range(4, 9, 2),
                              "batch_size place": range(5)}
    point = {"N": 512, "B": 128, "H place": 1, "X": 4, "batch_size place": 0}
    assert space.variant_of(point) == Variant(H=64, X=4)
    assert space.recipe_of(point, Recipe()) == Recipe(batch_size=1)
    assert Grid("two", Variant(), {"batch_size": (4, 8)}, Recipe()).ranges() == {"batch_size place": range(2)}


def test_a_space_is_the_same_however_its_choices_are_written():
    choices = {"X": range(4, 9, 2), "H": (16, 64, 512)}, {"H": [16, 64, 512], "X": [4, 6, 8]}
    one, two = (Grid("one", Variant(), one, Recipe()) for one in choices)
    assert (list(one.axes.items()), one.ranges()) == (list(two.axes.items()), two.ranges())
    assert [one.point(index) for index in range(len(one))] == [two.point(index) for index in range(len(two))]
    assert replace(one, choices=ordered(one.choices)) == replace(two, choices=ordered(two.choices))


@pytest.mark.parametrize(("choices", "said"), [
    ({"C": (2, 3)}, "'C' is not searched"), ({"H": ()}, "at least one value"), ({"H": (512, 64)}, "ascending"),
    ({"H": (64, 64, 512)}, "ascending"), ({"H": (64, 128)}, "lacks the reference's 512"),
    ({"batch_size": (1, 2)}, "lacks the reference's 4"), ({"place": range(3)}, "'place' is not searched")])
def test_choices_that_are_no_space_are_refused(choices, said):
    with pytest.raises(ValueError, match=said):
        Grid("wrong", Variant(), choices, Recipe())


@pytest.mark.parametrize("variant", [
    Variant(H=500), Variant(H=1024), Variant(P=5), Variant(norm="cumulative", causal=True), Variant(sample_rate_hz=16000)])
def test_a_variant_outside_the_space_has_no_parameters(variant):
    assert SPACES["full"].parameters_of(variant) is None
    assert SPACES["table2"].parameters_of(variant) is None
    assert SPACES["full"].parameters_of(Variant(H=64)) is not None


def test_a_recipe_outside_the_space_has_no_parameters():
    space = SPACES["quick"].tuned(["batch_size"], SPACES["quick"].recipe)
    assert space.parameters_of(space.reference, replace(space.recipe, batch_size=3)) is None
    assert space.parameters_of(space.reference, replace(space.recipe, batch_size=1))["batch_size place"] == 0


def test_tuned_fields_are_tried_at_even_ratios_around_the_recipes():
    recipe = Recipe(epochs=2, epoch_segments=100, segment_s=2.0, batch_size=6, learning_rate=1e-3)
    space = SPACES["full"].tuned(list(TUNED), recipe)
    assert space.choices["learning_rate"] == pytest.approx(
        [0.25e-3, 0.35355e-3, 0.5e-3, 0.70711e-3, 1e-3, 1.41421e-3, 2e-3, 2.82843e-3, 4e-3], rel=1e-4)
    assert 1e-3 in space.choices["learning_rate"]
    assert space.choices["segment_s"] == (0.5, 1.0, 2.0, 4.0)
    assert tuple(space.choices["batch_size"]) == (3, 6, 12, 24)     # 1.5 is no batch
    assert len(space) == len(SPACES["full"]) * 9 * 4 * 4
    assert {key: values for key, values in space.choices.items() if key not in TUNED} == SPACES["full"].choices
    assert SPACES["full"].tuned(["segment_s"], Recipe(segment_s=0.5)).choices["segment_s"] == (0.25, 0.5, 1.0)
    assert SPACES["full"].tuned(["segment_s"], Recipe(segment_s=0.05)).choices["segment_s"] == (0.05,)


def test_a_field_that_cannot_be_tuned_is_refused_with_those_that_can():
    with pytest.raises(UserError, match=r"'patience'.*choose from learning_rate, segment_s, batch_size"):
        SPACES["quick"].tuned(["batch_size", "patience"], Recipe())


@given(segments=st.integers(1, 5000), own=st.floats(0.1, 9), other=st.floats(0.1, 9))
@settings(deadline=None)
def test_other_segments_are_the_same_sound_to_half_a_segment_an_epoch(segments, own, other):
    recipe = Recipe(epochs=3, epoch_segments=segments, segment_s=own)
    space = Grid("two", Variant(), {"X": (8,), "segment_s": sorted({own, other})}, recipe)
    for place, segment_s in enumerate(space.choices["segment_s"]):
        tuned = space.recipe_of({"X": 8, "segment_s place": place}, recipe)
        assert tuned == replace(recipe, segment_s=segment_s, epoch_segments=tuned.epoch_segments)
        least = segments * own < segment_s / 2      # one segment is the least an epoch has
        assert tuned.epoch_segments == 1 if least else abs(tuned.audio_s - recipe.audio_s) <= 3 * 0.5001 * segment_s


@pytest.mark.parametrize("space", SMALL, ids=lambda space: space.name)
@pytest.mark.parametrize("axis", AXES)
def test_extremes_are_those_of_all_variants(space, axis):
    every = [axis_of(variant, axis) for variant in space.variants()]
    cheapest, dearest = space.extremes(axis)
    assert (axis_of(cheapest, axis), axis_of(dearest, axis)) == (min(every), max(every))
    assert cheapest in set(space.variants())
    assert dearest in set(space.variants())


@pytest.mark.parametrize("space", [space for space in SMALL if len(space) < 1000], ids=lambda space: space.name)
def test_a_budget_is_called_too_small_exactly_where_no_variant_fits_it(space):
    costs = [count.exact(variant) for variant in space.variants()]

    def limits(axis):       # just too little and just enough for the cheapest, and for others of the cheap
        near = sorted({getattr(one, axis) for one in costs})[:40]
        return [None, near[0] - 1, *near[::4]]

    answers = Counter()
    for budget in (Budget(*both) for both in product(limits("parameters"), limits("macs_per_s"))):
        answer = space.over_budget(budget) == ""
        assert answer == any(not budget.excess(one) for one in costs), budget
        answers[answer] += 1
    assert set(answers) == {True, False}


def test_a_budget_that_is_too_small_is_told_the_difference():
    space = Grid("one", Variant(), {"X": (8,)}, Recipe())
    assert count.exact(space.reference).parameters == 4_984_881
    assert space.over_budget(Budget(max_parameters=4_000_000)).endswith(
        "has 4,984,881 parameters, 984,881 more than max_parameters = 4,000,000 allows (24.6% more)")


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32), axis=st.sampled_from(AXES[:2]), space=st.sampled_from(RANGES))
@settings(max_examples=150, deadline=None)
def test_a_share_of_the_range_of_sizes_is_nearly_met(share, seed, axis, space):
    variant = space.variant_of(space.spread(share, np.random.default_rng(seed), axis))
    least, most = axis_of(space.extremes(axis)[0], axis), axis_of(space.reference, axis)
    met = log(axis_of(variant, axis) / least) / log(most / least)
    # Over 1,200 shares the worst was 0.037, between the cheapest variant and the next: one more step of one letter is
    # a third of such a network. The median was 0.004.
    assert met == pytest.approx(share, abs=0.05)


@given(share=st.floats(0, 1), seed=st.integers(0, 2**32), axis=st.sampled_from(AXES[:2]), space=st.sampled_from(SMALL),
       limit=st.one_of(st.none(), st.floats(1, 1e10)))
@settings(max_examples=60, deadline=None)
def test_what_is_spread_is_a_point_of_the_space(share, seed, axis, space, limit):
    point = space.spread(share, np.random.default_rng(seed), axis, limit)
    assert {name: number in numbers for name, numbers in space.ranges().items() for number in [point[name]]} == dict.fromkeys(
        point, True)
    assert all(type(number) is int for number in point.values())      # as a database takes them


@pytest.mark.parametrize("space", RANGES, ids=lambda space: space.name)
@pytest.mark.parametrize("seed", range(5))
def test_sixteen_shares_leave_no_tenth_of_the_range_of_sizes_empty(space, seed):
    least, most = axis_of(space.extremes()[0], "parameters"), axis_of(space.reference, "parameters")
    bins = Counter()
    for place in range(16):
        variant = space.variant_of(space.spread(place / 15, np.random.default_rng((seed, place))))
        bins[min(9, int(10 * log(axis_of(variant, "parameters") / least) / log(most / least)))] += 1
    assert set(bins) == set(range(10))


@pytest.mark.parametrize("space", RANGES, ids=lambda space: space.name)
def test_one_share_is_many_shapes_and_one_chance_one_shape(space):
    drawn = [space.variant_of(space.spread(0.5, np.random.default_rng(seed))) for seed in range(20)]
    assert len(set(drawn)) > 15
    for letter in ("N", "H", "X"):      # of equal size by different means
        assert len({getattr(variant, letter) for variant in drawn}) > 2
    assert drawn == [space.variant_of(space.spread(0.5, np.random.default_rng(seed))) for seed in range(20)]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_no_size_is_spread_above_a_limit(share):
    space = SPACES["full"]
    for seed in range(10):
        variant = space.variant_of(space.spread(share, np.random.default_rng(seed), "macs_per_s", limit=1e9))
        assert axis_of(variant, "macs_per_s") <= 1e9
    if share == 1.0:
        assert axis_of(variant, "macs_per_s") >= 0.9e9


def test_the_ends_of_the_spread_are_the_cheapest_and_the_reference():
    rng = np.random.default_rng(0)
    assert SPACES["quick"].variant_of(SPACES["quick"].spread(0.0, rng)) == SPACES["quick"].extremes()[0]
    assert SPACES["quick"].variant_of(SPACES["quick"].spread(1.0, rng)) == SPACES["quick"].reference


def test_tuned_fields_are_spread_evenly_over_their_places():
    space = SPACES["quick"].tuned(["batch_size"], SPACES["quick"].recipe)
    places = Counter(space.spread(0.5, np.random.default_rng(seed))["batch_size place"] for seed in range(200))
    assert set(places) == set(range(5))
    assert min(places.values()) > 20        # 40 each are expected, with a deviation of 5.7


def test_a_list_is_spread_by_the_sizes_of_its_networks():
    space = SPACES["table2"]
    sizes = [axis_of(variant, "parameters") for variant in space.listed]
    cheapest = space.spread(0.0, np.random.default_rng(0))
    assert cheapest == {"place": sizes.index(min(sizes))}
    assert axis_of(space.variant_of(space.spread(1.0, np.random.default_rng(0))), "parameters") == sizes[0]


def test_causal_is_full_below_the_papers_causal_network():
    causal, full = space_named("causal"), space_named("full")
    assert (causal.reference.causal, causal.reference.norm) == (True, "cumulative")
    assert replace(causal.reference, causal=False, norm="global") == full.reference
    assert (causal.choices, causal.recipe) == (full.choices, full.recipe)
    row, = (row for row in published("published.csv") if row["causal"])
    assert all(getattr(causal.reference, name) == row[name] for name in ("N", "L", "B", "H", "Sc", "P", "X", "R", "norm"))


def test_an_unknown_space_names_the_known_ones():
    with pytest.raises(UserError, match="choose from quick, full, thesis, table2, causal"):
        space_named("qiuck")


@pytest.mark.parametrize("space", LISTS, ids=lambda space: space.name)
def test_a_list_is_measured_in_its_order_from_its_reference(space):
    assert space.first[0] == space.reference
    assert space.first == tuple(space.variants())
    assert len(set(space.first)) == len(space) == len(space.listed)
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
        exact = count.exact(variant)
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
