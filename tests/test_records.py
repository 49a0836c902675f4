import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasnet_core.records import Recipe, Variant, differences


@pytest.mark.parametrize(("letters", "words"), [
    ({"L": 15}, "L=15 must be even"), ({"P": 4}, "P=4 must be odd"), ({"N": 0}, "N=0 must be at least 1"),
    ({"X": -1}, "X=-1 must be at least 1"), ({"H": 2.5}, "H=2.5 must be a whole number"),
    ({"Sc": -1}, "Sc=-1 must be at least 0"), ({"norm": "cLN"}, "norm='cLN' is unknown"),
    ({"C": True}, "C=True must be a whole number"), ({"causal": True}, "hears the future"),
    ({"causal": 1}, "causal=1 must be true or false"), ({"mask": "tanh"}, "mask='tanh' is unknown")])
def test_letters_that_make_no_network_are_refused_by_name(letters, words):
    with pytest.raises(ValueError, match=words):
        Variant(**letters)


@pytest.mark.parametrize(("fields", "words"), [
    ({"epochs": 0}, "epochs=0"), ({"segment_s": 0}, "segment_s=0"), ({"learning_rate": float("nan")}, "learning_rate"),
    ({"schedule": "cosine"}, "schedule='cosine' is unknown"), ({"seed": -1}, "seed=-1"), ({"batch_size": "4"}, "'4'")])
def test_a_recipe_no_training_can_use_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        Recipe(**fields)


def test_receptive_field_is_the_printed_one_of_table_2():
    assert Variant(L=40, X=6, R=4).receptive_field_samples / 8000 == pytest.approx(1.27, abs=0.006)
    assert Variant().receptive_field_samples / 8000 == pytest.approx(1.53, abs=0.006)


def test_the_key_of_the_defaults_never_changes():
    # A later letter must not change the keys in people's databases.
    assert Variant().key == "44136fa3"      # sha256 of "{}"


letters = st.builds(Variant, N=st.integers(1, 600), B=st.integers(1, 300), X=st.integers(1, 10),
                    Sc=st.integers(0, 300), last_residual=st.booleans())


@given(letters, letters)
def test_keys_are_equal_exactly_when_variants_are(one, other):
    assert (one.key == other.key) == (one == other)
    assert one.key == dataclasses.replace(one).key


def test_differences_name_the_field_and_both_values():
    assert differences(Variant(H=64), Variant(X=6, H=64)) == ["X: 8, not 6"]
    assert differences(Variant(), Variant()) == []
