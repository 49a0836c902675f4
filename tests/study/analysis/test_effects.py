"""What letters do, on made-up variants whose effects are known, and beside Optuna's PED-ANOVA."""

import warnings

import numpy as np
import optuna
import pytest
from scipy import stats

from study.analysis import effects
from tests.support.fakes import row
from tests.support.made_up_effects import BASE, CHOICES, SLOPES, variants


def test_without_noise_the_slopes_are_found_exactly():
    found = effects.main_effects(effects.design(variants(30), BASE))
    assert {one.letter: one.doubling_db.value for one in found.letters} == pytest.approx(SLOPES, abs=1e-9)
    assert found.explained == pytest.approx(1)
    assert found.refused == ""
    of_x = next(one for one in found.letters if one.letter == "X")
    assert [estimate.value for estimate in of_x.effect_db] == pytest.approx([1.5 * np.log2(x / 6) for x in (2, 3, 4, 6)])
    assert of_x.effect_db[-1] == pytest.approx((0, 0, 0))          # the reference's own value is where effects start
    assert all(effect == pytest.approx(1.5 * np.log2(x / 6)) for x, effect, _ in of_x.points)


def test_one_letter_alone_is_the_textbooks_regression():
    rows = variants(20, noise=0.5, choices={"X": CHOICES["X"]})
    found = effects.main_effects(effects.design(rows, BASE)).letters[0].doubling_db
    line = stats.linregress([np.log2(one["X"] / 6) for one in rows], [one["si_snri_db"] for one in rows])
    reach = line.stderr * stats.t.ppf(0.975, 18)
    assert found == pytest.approx((line.slope, line.slope - reach, line.slope + reach))


def test_no_skip_path_is_no_logarithm_but_an_effect_of_its_own():
    rows = [{**one, "Sc": (0, 32, 64)[one["trial"] % 3]} for one in variants(40)]
    rows = [{**one, "si_snri_db": one["si_snri_db"] + (-2.0 if one["Sc"] == 0 else 0.2 * np.log2(one["Sc"] / 64))}
            for one in rows]
    rows[0] = {**rows[0], "Sc": 64, "si_snri_db": 5.0}
    skip = next(one for one in effects.main_effects(effects.design(rows, BASE)).letters if one.letter == "Sc")
    assert skip.doubling_db.value == pytest.approx(0.2)
    assert [one.value for one in skip.effect_db] == pytest.approx([-2.0, -0.2, 0.0])


@pytest.mark.parametrize(("rows", "words"), [
    (variants(15), "15 finished variants, and at least 16 are needed to tell the effects of 4 hyperparameters apart"),
    ([row(trial) for trial in range(30)], "all finished variants have the same hyperparameters"),
    ([{**one, "si_snri_db": 3.0} for one in variants(30)], "all scores are equal"),
    ([{**one, "B": one["H"] // 2} for one in variants(30)], "only ever change together")])
def test_what_cannot_be_told_is_refused_in_words(rows, words):
    design = effects.design(rows, BASE)
    found = effects.main_effects(design)
    assert words in found.refused
    assert found.letters == []
    assert effects.importance(design) == []
    assert words in effects.interaction(design).refused


def test_two_letters_that_do_more_together_are_found_and_their_cells_are_free_of_the_others():
    choices = {**CHOICES, "R": (1, 2)}
    found = effects.interaction(effects.design(variants(60, both=0.7, choices=choices), BASE))
    assert found.both_db == pytest.approx((0.7, 0.7, 0.7))
    assert found.values == ([2, 3, 4, 6], [1, 2])
    assert sum(map(sum, found.variants)) == 60
    plain = effects.interaction(effects.design(variants(60, choices=choices), BASE))
    for x, line in zip(plain.values[0], plain.mean_db, strict=True):
        assert line == pytest.approx([5 + 1.5 * np.log2(x / 6)] * 2)
    assert plain.both_db.value == pytest.approx(0, abs=1e-9)
    assert "do not both vary" in effects.interaction(effects.design(variants(30), BASE)).refused


def test_an_empty_cell_stays_empty():
    rows = [one for one in variants(60, choices={**CHOICES, "R": (1, 2)}) if (one["X"], one["R"]) != (2, 1)]
    found = effects.interaction(effects.design(rows, BASE))
    assert (found.mean_db[0][0], found.variants[0][0]) == (None, 0)


def test_shares_of_importance_sum_to_one_and_go_by_what_was_put_in():
    found = effects.importance(effects.design(variants(200, noise=0.1), BASE), draws=40)
    assert found[0].letter == "X"
    assert found[-1].letter == "N"
    for kind in ("main", "ped_anova"):
        shares = [getattr(one, kind) for one in found]
        assert sum(one.value for one in shares) == pytest.approx(1)
        assert all(0 <= one.low <= one.value <= one.high <= 1 for one in shares)
        assert shares[-1].value < 0.02


def test_below_64_variants_ped_anova_is_not_asked():
    few, enough = (effects.importance(effects.design(variants(count, noise=0.1), BASE), draws=2) for count in (63, 64))
    assert [one.ped_anova for one in few] == [None] * 4
    assert all(one.ped_anova for one in enough)
    assert sum(one.main.value for one in few) == pytest.approx(1)


def test_ped_anova_agrees_with_optunas_on_plain_histograms():
    rows = variants(3000, noise=0.1)
    mine = {one.letter: one.ped_anova.value for one in effects.importance(effects.design(rows, BASE), draws=2)}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")       # it takes lower for better
    space = {letter: optuna.distributions.CategoricalDistribution(values) for letter, values in CHOICES.items()}
    study.add_trials([optuna.create_trial(params={letter: one[letter] for letter in CHOICES}, distributions=space,
                                          value=-one["si_snri_db"]) for one in rows[1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=effects.TOP)
        evaluator._prior_weight = 0.0       # histograms as they are, where it would smooth them
        theirs = optuna.importance.get_param_importances(study, evaluator=evaluator)
    assert mine == pytest.approx(theirs, abs=0.01)


@pytest.mark.parametrize("values", [2, 12])
def test_chance_makes_no_letter_important_however_many_values_it_has(values):
    rng = np.random.default_rng(0)
    found = [effects.divergence(rng.integers(values, size=60), rng.permutation(60)[:15]) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(4000))


def test_where_the_reference_has_nothing_of_a_letter_the_step_from_nothing_and_each_doubling_are_told():
    """Extra dilation 2 brings 0.5 dB, and each doubling of it 0.25 more."""
    put_in = {0: 0.0, 2: 0.5, 4: 0.75, 8: 1.0}
    rows = [row(trial, X=(6, 3)[trial % 8 > 3], extra_dilation=(0, 2, 4, 8)[trial % 4],
                si_snri_db=5 - (trial % 8 > 3) + put_in[(0, 2, 4, 8)[trial % 4]]) for trial in range(32)]
    found = next(one for one in effects.main_effects(effects.design(rows, rows[0])).letters if one.letter == "extra_dilation")
    assert found.doubling_db.value == pytest.approx(0.25)
    assert dict(zip(found.levels, (one.value for one in found.effect_db), strict=True)) == pytest.approx(put_in)
