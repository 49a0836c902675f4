import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.records import OBJECTIVE_WORDS, Settings, objectives_of
from tasnet_core.errors import UserError
from tasnet_core.records import DEFAULT_CORPUS, Recipe, Variant, differences


@pytest.mark.parametrize(("letters", "words"), [
    ({"L": 15}, "L=15 must be even"), ({"P": 4}, "P=4 must be odd"), ({"N": 0}, "N=0 must be at least 1"),
    ({"X": -1}, "X=-1 must be at least 1"), ({"H": 2.5}, "H=2.5 must be a whole number"),
    ({"Sc": -1}, "Sc=-1 must be at least 0"), ({"norm": "cLN"}, "norm='cLN' is unknown"),
    ({"C": True}, "C=True must be a whole number"), ({"causal": True}, "hears the future"),
    ({"causal": 1}, "causal=1 must be true or false"), ({"mask": "tanh"}, "mask='tanh' is unknown"),
    ({"causal": True}, "norm='global': that norm hears the future; use norm='cumulative'"),
    ({"causal": True, "norm": "frame", "input_norm": "global"}, "use input_norm='cumulative'"),
    ({"input_norm": "gLN"}, "input_norm='gLN' is unknown"), ({"extra_dilation": -1}, "extra_dilation=-1 must be at least 0"),
    ({"dropout": 1.0}, "dropout=1.0 must be a number from 0"), ({"dropout": float("nan")}, "dropout=nan"),
    ({"dropout": True}, "dropout=True"), ({"padding_mode": "circular"}, "padding_mode='circular' is unknown"),
    ({"encoder_padding": 1}, "encoder_padding=1 must be true or false"),
    ({"causal": True, "norm": "frame", "padding_mode": "reflect"}, "a stream has zeros in front alone"),
    ({"causal": True, "norm": "frame", "encoder_padding": True}, "a stream has zeros in front alone")])
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


def test_letters_that_were_added_later_leave_the_older_keys_alone():
    # As the first release computed it, from the letters it had.
    assert Variant(H=64, causal=True, norm="cumulative").key == hashlib.sha256(
        b'{"H": 64, "causal": true, "norm": "cumulative"}').hexdigest()[:8]
    assert Variant(dropout=0).key == Variant().key


def test_the_published_versions_have_their_letters():
    v1 = Variant.v1()
    assert str(v1) == "N256 L20 B256 H512 Sc0 P3 X8 R4 C2 encoder=relu mask=softmax input_norm=frame"
    assert (v1.encoder, v1.mask, v1.norm, v1.input_norm) == ("relu", "softmax", "global", "frame")
    assert v1.receptive_field_samples / 8000 == pytest.approx(2.55, abs=0.006)      # the thesis' last table
    assert Variant.v2(causal=True, norm="frame", C=3) == dataclasses.replace(v1, causal=True, norm="frame", C=3)
    assert Variant.v3() == Variant()


def test_extra_dilation_by_two_to_the_x_hears_as_far_as_twice_the_blocks():
    assert Variant(X=4, extra_dilation=16).receptive_field_samples == Variant(X=8).receptive_field_samples


letters = st.builds(Variant, N=st.integers(1, 600), B=st.integers(1, 300), X=st.integers(1, 10),
                    Sc=st.integers(0, 300), last_residual=st.booleans())


@given(letters, letters)
def test_keys_are_equal_exactly_when_variants_are(one, other):
    assert (one.key == other.key) == (one == other)
    assert one.key == dataclasses.replace(one).key


def test_differences_name_the_field_and_both_values():
    assert differences(Variant(H=64), Variant(X=6, H=64)) == ["X: 8, not 6"]
    assert differences(Variant(), Variant()) == []


def test_objectives_are_columns_in_the_order_of_their_words():
    assert objectives_of(["macs", "si_snri", "parameters"]) == ("macs_per_s", "si_snri_db", "parameters")
    assert objectives_of(["sdr", "peak_memory"]) == objectives_of(["sdri", "peak_memory"]) == ("sdri_db", "peak_memory_bytes")
    for word, column in OBJECTIVE_WORDS.items():
        wanted = ("sdri_db", column) if word not in ("si_snri", "sdri") else (column, "parameters")
        words = ("sdri", word) if word not in ("si_snri", "sdri") else (word, "parameters")
        assert objectives_of(words) == wanted


@pytest.mark.parametrize(("words", "said"), [
    (["si_snri", "size"], "'size' is unknown; choose from si_snri, sdri, parameters, macs, receptive_field, realtime_factor"),
    (["si_snri", "macs", "macs"], "'macs' is there twice"), (["si_snri", "si_snr", "macs"], "'si_snr' is there twice"),
    (["si_snri", "sdri", "macs"], "2 of si_snri and sdri; choose exactly one"), (["macs"], "0 of si_snri and sdri"),
    ([], "0 of si_snri and sdri"), (["sdri"], "sdri alone and no cost; add one of parameters, macs, receptive_field")])
def test_objectives_without_one_quality_and_a_cost_are_refused(words, said):
    with pytest.raises(UserError) as refusal:
        objectives_of(words)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_new_study_hears_a_voice_for_every_speaker_and_an_old_one_what_it_heard():
    """The corpus where none is named has been another; what is stored with a study stays."""
    from tasnet_core.corpora.registry import CORPORA
    assert Settings().corpus == DEFAULT_CORPUS == "voices2"
    assert {"voices", "voices2"} <= CORPORA.keys()
    stored = Settings(corpus="voices").as_dict()
    assert Settings.from_dict(stored).corpus == "voices"


def test_a_study_of_before_goes_on_being_told_test_scores():
    stored = Settings().as_dict()
    assert Settings.from_dict(stored).selection == "validation"
    del stored["selection"]
    assert Settings.from_dict(stored).selection == "test"
