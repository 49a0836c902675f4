"""How well two budgets agree, against definitions."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.analysis.rank_agreement import FIELLER, agreement, lines, pick, tau
from study.analysis.recommendations import Compared, within
from study.analysis.trials import smallest_within
from study.report.summary import answer


def rows(scores, audio_s=100.0):
    return [{"trial": i, "variant": f"v{i}", "state": "complete", "si_snri_db": score, "parameters": 100 - i,
             "macs_per_s": 100 - i, "audio_s": audio_s, "norm": "global", "causal": False,
             **dict.fromkeys(("L", "B", "H", "Sc", "P", "X", "R", "C"), 1), "N": 100 - i} for i, score in enumerate(scores)]


@given(st.lists(st.floats(-20, 20), min_size=5, max_size=12, unique=True), st.randoms())
def test_tau_counts_pairs(scores, random):
    other = random.sample(scores, len(scores))
    signs = [math.copysign(1, (a - b) * (c - d)) for (a, c), (b, d) in combinations(zip(scores, other, strict=True), 2)]
    found = tau(scores, other)
    assert found.value == pytest.approx(sum(signs) / len(signs))
    assert -1 <= found.low <= found.value <= found.high <= 1


def test_its_interval_is_fiellers():
    one, other = list(range(20)), [1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14, 17, 16, 19, 18]
    found = tau(one, other)
    assert found.value == pytest.approx(1 - 2 * 10 / 190)
    assert math.atanh(found.high) - math.atanh(found.value) == pytest.approx(1.96 * math.sqrt(FIELLER / 16))
    assert tau([1, 2, 3], [1, 2, 3])[1:] == (-1, 1)
    assert tau(one, one).low < 1 == tau(one, one).high


def test_picks_fronts_and_gains_by_hand():
    # The reference is v0; of those within 0.5 dB the smallest is v2 at the short budget, v1 at the long one.
    short, long = rows([5.0, 4.8, 4.6, 3.0]), rows([7.0, 6.6, 6.0, 4.0])
    found = agreement(short, long)
    assert (found.variants, found.tau.value) == (4, 1.0)
    assert found.gain_db == found.difference_db == pytest.approx(1.55)
    assert (found.pick, found.believed_pick) == ("N98", "N99")
    assert found.regret_db == pytest.approx(0.6)
    assert found.front == 1
    falling = agreement(rows([5.0, 5.1, 5.2, 5.3]), long)       # the smallest beats all: a front of one
    assert falling.tau.value == -1
    assert falling.front == 0.25


def test_without_two_scores_or_the_reference_nothing_is_said():
    assert agreement(rows([1.0]), rows([1.0])) is None
    assert agreement(rows([1.0, 2.0, 3.0])[1:], rows([1.0, 2.0, 3.0])) is None


HUNDREDTHS = st.integers(0, 200).map(lambda number: number / 100)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), HUNDREDTHS), max_size=12), HUNDREDTHS)
def test_the_smallest_within_is_within_and_nothing_within_is_smaller(known, limit):
    some = [{"parameters": size, "macs_per_s": macs, "si_snri_db": -loss} for size, macs, loss in known]
    found = smallest_within(some, lambda row: -row["si_snri_db"], limit)
    within = [row for row in some if -row["si_snri_db"] <= limit + 1e-9]
    assert (found is None) == (not within)
    assert found is None or found in within
    assert all((found["parameters"], found["macs_per_s"]) <= (row["parameters"], row["macs_per_s"]) for row in within if found)


def test_a_loss_of_the_limit_is_within_it_for_everybody_however_it_is_rounded():
    some = rows([7.1, 6.6, 3.0])
    for near in (6.6, math.nextafter(6.6, 0)):
        some[1]["si_snri_db"] = near
        assert pick(some, "v0") == "v1"
        found = within(Compared.of(some, {}), None, 0.5)
        assert found.trial == 1
        assert answer(Compared.of(some, {}), 100).smallest == found.sentence
    assert 7.1 - near > 0.5


def test_what_was_stopped_shows_that_sizes_matter_to_who_compares_two_budgets_too():
    near = rows([5.0, 4.9, 4.6])
    behind = {**near[2], "trial": 3, "variant": "v3", "state": "stopped", "si_snri_db": None, "parameters": 50}
    assert agreement(near, near).pick == ""
    assert agreement([*near, behind], [*near, behind]).pick != ""


def test_two_budgets_a_doubling_apart_foretell_the_next():
    now = [{**row, "parameters": 100 * 2**i, "audio_s": 8000.0} for i, row in enumerate(rows([5.0, 4.5, 4.0, 3.0, 2.0]))]
    before = [{**row, "si_snri_db": row["si_snri_db"] - 1.0, "audio_s": 4000.0} for row in now]
    said = lines([("a", before), ("a-x2", now)])[-1]
    assert said == ("The last doubling of the audio brought +1.00 dB on average; the next is forecast to bring the largest "
                    "+0.79 dB [+0.16, +1.43], the smallest +0.79 dB [+0.16, +1.43].")
    fourfold = [{**row, "audio_s": 2000.0} for row in before]
    assert "doubling" not in "".join(lines([("a", fourfold), ("a-x4", now)]))
