"""What to lower first, on variants whose score is made up from their letters."""

import math
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from study.analysis import effects, reduction_path
from study.analysis.score_model import score_model
from tasnet_core.cost.formulas import exact
from tests.support.fakes import REFERENCE, row
from tests.support.made_up_effects import BASE, CHOICES, SLOPES, variants


def model(rows=None):
    rows = rows or variants(40)
    return score_model(effects.design(rows, BASE), REFERENCE, rows[0]["si_snri_db"])


def test_the_first_advice_is_the_letter_that_costs_the_fewest_db_per_halving_of_the_macs():
    said = reduction_path.sentences(model())
    prices = {}
    for letter, value in {"N": 64, "B": 32, "H": 64, "X": 3}.items():
        factor = exact(REFERENCE).macs_per_s / exact(replace(REFERENCE, **{letter: value})).macs_per_s
        prices[letter] = SLOPES[letter] / math.log2(factor)
    order = sorted(prices, key=prices.get)
    assert [line.split(":")[0].split()[1] for line in said[:4]] == order
    factor = exact(REFERENCE).macs_per_s / exact(replace(REFERENCE, X=3)).macs_per_s
    assert any(line.startswith(f"Then X: 6 → 3 means {factor:.1f}× fewer MACs") and "−1.50 dB [−1.50, −1.50]" in line
               for line in said)


def test_how_far_each_letter_may_go_by_itself_is_said():
    assert reduction_path.sentences(model())[-2] == (       # B: 0.3 dB, H: 0.5 dB, X: 1.5 dB a doubling; 6 → 4 is 0.88 dB
        "Each by itself, within 0.5 dB: lower N to 32, as far as was tried; do not lower B below 32, H below 64, X below 6.")


def test_the_way_down_lowers_one_letter_a_step_with_exact_costs_and_the_loss_that_was_put_in():
    rows = variants(40)
    table = reduction_path.path(model(rows), rows, {})
    lines = [dict(zip(table.columns, line, strict=True)) for line in table.rows]
    letters = {"N": 128, "B": 64, "H": 128, "X": 6}
    assert lines[0]["parameters"] == exact(REFERENCE).parameters
    for before, line in pairwise(lines):
        letter, old, _, new = line["lowered"].split()
        assert letters[letter] == int(old) > int(new)
        letters[letter] = int(new)
        assert int(new) == max(value for value in CHOICES[letter] if value < int(old))
        assert line["macs_per_s"] == exact(replace(REFERENCE, **letters)).macs_per_s < before["macs_per_s"]
        assert line["predicted_loss_db"] == pytest.approx(-sum(SLOPES[name] * math.log2(letters[name] / getattr(REFERENCE, name))
                                                               for name in letters))
    assert all(line["predicted_loss_db"] <= reduction_path.FAR_DB for line in lines)


def test_a_step_that_was_measured_says_by_which_trial():
    rows = variants(40)
    first = reduction_path.path(model(rows), rows, {}).rows[1][1].split()
    letter, old, _, new = first
    rows[7] = row(7, **{letter: int(new), "si_snri_db": 5 + SLOPES[letter] * math.log2(int(new) / int(old))})
    table = reduction_path.path(model(rows), rows, {0: 0.0, 7: 0.25})
    assert [line[-2:] for line in table.rows[:2]] == [[0, 0.0], [7, 0.25]]


def test_how_good_the_model_is_stands_behind_what_it_says():
    said = reduction_path.sentences(model(variants(40, noise=0.2)))[-1]
    assert re.fullmatch(r"Predicted by main effects on 40 variants, R² 0.9\d; each predicted by the others, the error is "
                        r"0.2\d dB\.", said)
    both = variants(60, noise=0.1, both=0.8, choices={**CHOICES, "R": (1, 2, 3)})
    said = reduction_path.sentences(model(both))[-1]
    assert "main effects and X × R on 60 variants" in said
    assert said.endswith("; the variants ask for X × R (F test, p < 0.001).")
