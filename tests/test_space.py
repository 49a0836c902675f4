from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.space import SPACES, space_named, suggest
from tasnet_core import cost
from tasnet_core.errors import UserError
from tasnet_core.records import Variant


@pytest.mark.parametrize("space", SPACES.values(), ids=lambda space: space.name)
def test_the_reference_is_in_its_space_and_nothing_there_is_dearer(space):
    most = cost.exact(space.reference)
    ends = {letter: (values[0], values[-1]) for letter, values in space.choices.items()}
    for letter, values in space.choices.items():
        assert getattr(space.reference, letter) in values
        lowered = cost.exact(replace(space.reference, **{letter: ends[letter][0]}))
        assert lowered.macs_per_s <= most.macs_per_s, letter
    assert cost.exact(space.smallest()).parameters < most.parameters / 10


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
    assert replace(variant, **space.parameters_of(space.reference)) == space.reference


def test_an_unknown_space_names_the_known_ones():
    with pytest.raises(UserError, match="choose from quick, full"):
        space_named("qiuck")
