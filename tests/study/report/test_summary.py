"""The sentences at the top of a report."""

import pytest

from study.analysis.recommendations import Compared
from study.analysis.replicates import per_trial
from study.report import summary
from study.report.summary import not_converged, stopped
from tests.support import fakes
from tests.support.fakes import failed, outlook, row


def answer(rows, mixtures):
    return summary.answer(Compared.of(rows, {}), mixtures)


BASE = row(0, si_snri_db=7.1, parameters=1000, macs_per_s=1000)


def test_the_smallest_within_half_a_db_is_named_with_its_loss_and_its_share_of_the_costs():
    told = answer(
        [BASE, row(1, X=4, si_snri_db=6.6, parameters=210, macs_per_s=230),
         row(2, si_snri_db=6.9, parameters=2000),
         row(3, X=2, si_snri_db=6.5, parameters=100, macs_per_s=90)], 24)
    assert told.finding == ""
    assert told.front.startswith("Of 4 variants measured, 3 are Pareto-optimal")
    assert told.smallest == ("The smallest within 0.5 dB of the reference: trial 1 (X4) with 210 parameters, 230 MACs per second "
                             "(21 % and 23 % of the reference's), −0.50 dB against it.")
    assert told.reference == "The reference is N128 L16 B64 H128 Sc64 P3 X6 R2 C2: 7.10 dB SI-SNRi."
    assert told.uncertainty == ("Each variant was trained once and tested on 24 mixtures: "
                     "differences below about 0.3 dB are not findings.")


def test_among_equally_small_ones_the_one_named_is_on_the_front():
    rows = [BASE, row(1, X=4, si_snri_db=7.0, parameters=100, macs_per_s=300),
            row(2, X=3, si_snri_db=7.3, parameters=100, macs_per_s=200),
            row(3, X=1, si_snri_db=4.0, parameters=50, macs_per_s=50)]
    assert "trial 2 (X3)" in answer(rows, 0).smallest
    assert "+0.20 dB against it" in answer(rows, 0).smallest


def test_when_nothing_is_near_the_nearest_is_named():
    rows = [BASE, row(1, X=4, si_snri_db=6.0, parameters=210, macs_per_s=230), row(2, parameters=2000)]
    assert answer(rows, 0).smallest.startswith("No smaller variant comes within 0.5 dB")
    assert "the nearest: trial 1 (X4)" in answer(rows, 0).smallest
    assert "−1.10 dB against it" in answer(rows, 0).smallest


def test_a_lone_reference_has_nothing_to_compare_with():
    told = answer([BASE, failed(1)], 12)
    assert told.front.startswith("Only one variant")
    assert told.smallest.startswith("Nothing smaller")
    assert told.uncertainty == ""


def test_a_failed_or_missing_reference_is_said():
    assert "has no score (state: failed, diverged, epoch 2: loss nan)" in answer(
        [failed(0, kind="diverged", reason="epoch 2: loss nan"), row(1)], 0).reference
    said = answer([failed(0), row(1)], 0).reference
    assert "has no score (state: failed, diverged: loss not finite in epoch 3)" in said
    told = answer([row(1), row(2, si_snri_db=8.0)], 0)
    assert "trial 0, is missing" in told.reference
    assert told.smallest.startswith("The best measured: trial 2 (")
    assert told.smallest.endswith("8.00 dB SI-SNRi.")


def seeds(trial, scores, **changes):
    return [row(trial, seed=seed, si_snri_db=score, **changes) for seed, score in enumerate(scores)]


SMALL = {"parameters": 210, "macs_per_s": 230, "X": 4}
THREE = seeds(0, (7.0, 7.2, 7.4), parameters=1000, macs_per_s=1000)     # mean 7.2, sd 0.2


def test_what_is_said_of_several_seeds_is_said_of_their_mean():
    said = answer(per_trial([*THREE, *seeds(1, (6.9, 6.9, 6.6), **SMALL)]), 0)
    assert said.front.startswith("Of 2 variants measured, 2 are Pareto-optimal")
    assert "trial 1 (X4; 3 seeds, sd 0.17)" in said.smallest
    assert "−0.40 dB against it" in said.smallest
    assert said.reference.endswith("7.20 dB SI-SNRi (3 seeds, sd 0.20).")


@pytest.mark.parametrize(("runs", "said"), [
    ([*THREE, *seeds(1, (6.8, 7.0, 7.2))],      # sd 0.2 each: 1.96 √2 0.2 / √3 = 0.32
     "Each variant was trained with 3 seeds (scores are their means) and tested on 9 mixtures: differences below about 0.3 dB "
     "are not findings. Seeds of one variant differ by a standard deviation of 0.20 dB."),
    ([*THREE, *seeds(1, (6.8, 7.2)), row(2)],   # variances 0.04 twice and 0.08 once: sd 0.23, 1.96 √2 0.23 = 0.64
     "2 of 3 variants were trained with 2 to 3 seeds (scores are their means), the other once; all were tested on 9 mixtures: "
     "differences below about 0.6 dB between variants trained once are not findings. "
     "Seeds of one variant differ by a standard deviation of 0.23 dB. 1 variant was chosen with the first seed, which is in no "
     "mean: \N{MINUS SIGN}0.40 dB against the fresh seeds."),
    ([*seeds(0, (7.0, 7.0, 0.3)), *seeds(1, (5.0, 5.0), **SMALL)],
     "Each variant was trained with 2 seeds (scores are their means) and tested on 9 mixtures: differences below about 0.2 dB "
     "are not findings. Seeds of one variant differ by a standard deviation of 0.00 dB. 1 further training of these variants "
     "learned nothing, where another seed did, and is in no mean."),
    ([*seeds(0, (7.0, 7.0)), row(1), row(2), failed(0, seed=2)],
     "1 of 3 variants was trained with 2 seeds (scores are their means), the other 2 once; all were tested on 9 mixtures: "
     "differences below about 0.3 dB between variants trained once are not findings. "
     "Seeds of one variant differ by a standard deviation of 0.00 dB. 1 further training of these variants has no score "
     "(stopped, failed or still running) and is in no mean.")])
def test_how_often_variants_were_trained_decides_what_a_finding_is(runs, said):
    assert answer(per_trial(runs), 9).uncertainty == said


def test_runs_that_were_stopped_and_what_that_saved_are_one_sentence():
    assert stopped([row(0), failed(1)]) == ""
    said = stopped([row(0), fakes.stopped(1, after=4), fakes.stopped(2, after=6)])     # 3200 + 1600 + 2400 of 9600
    assert said == ("2 runs were stopped early, when another that costs no more was well ahead at the same epoch; "
                    "that saved 2,400 s of audio, 25 % of what the study would have trained on.")


def test_a_reference_behind_smaller_variants_is_said_to_be_undertrained():
    ahead = [row(0, si_snri_db=4.3), row(1, si_snri_db=5.0, parameters=80_000)]
    assert "with 3,200 s of audio it has not learned all it could" in answer(ahead, 120).uncertainty
    by_chance = [ahead[0], {**ahead[1], "si_snri_db": 4.5}]
    assert "not learned" not in answer(by_chance, 120).uncertainty


def test_it_says_who_still_rises_and_where_the_front_may_change_order():
    rows = [row(0, si_snri_db=7.0, parameters=1000, macs_per_s=1000, **outlook(0.1, 7.05, 6.9, 7.2)),
            row(1, X=5, si_snri_db=6.8, parameters=500, macs_per_s=500, **outlook(0.4, 7.15, 7.1, 7.2)),
            row(2, X=4, si_snri_db=6.0, parameters=200, macs_per_s=200, **outlook(0.6, 6.5, 6.0001, 7.0)),
            row(3, X=3, si_snri_db=5.0, parameters=100, macs_per_s=100, **outlook(*[None] * 4))]
    assert not_converged(rows) == (
        "2 of 3 fitted learning curves have clearly not converged (↑); 1 had less than 0.3 dB to gain from twice the audio. "
        "The front could still change order: at twice the audio trial 1 is forecast to pass trial 0 (7.15 against 7.05 dB); "
        "the confidence intervals overlap of trials 2 and 1, 2 and 0.")
    apart = [rows[1], {**rows[2], **outlook(0.6, 6.0, 5.9, 6.1)}]
    assert not_converged(apart).endswith("At twice the audio no pair of the front is forecast to change places.")
    uneven = [rows[0], {**rows[1], **outlook(0.4, 7.15, 6.5, 7.8)}]
    assert not_converged(uneven).startswith(
        "0 of 2 fitted learning curves have clearly not converged (↑); 1 had less than 0.3 dB to gain from twice the audio; "
        "1 is too short or uneven to tell.")
    assert not_converged([rows[0], rows[3]]) == (
        "0 of 1 fitted learning curve have clearly not converged (↑); 1 had less than 0.3 dB to gain from twice the audio.")
    assert not_converged(rows[3:]) == not_converged([BASE]) == ""
