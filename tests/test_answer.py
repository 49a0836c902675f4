"""The sentences at the top of a report."""

from fakes import REFERENCE, failed, row

from study.answer import answer, sample_rate_hz

BASE = row(0, si_snri_db=7.1, parameters=1000, macs_per_s=1000)


def test_the_smallest_within_half_a_db_is_named_with_its_loss_and_its_share_of_the_costs():
    first, second, third = answer(
        [BASE, row(1, X=4, si_snri_db=6.6, parameters=210, macs_per_s=230),
         row(2, si_snri_db=6.9, parameters=2000),
         row(3, X=2, si_snri_db=6.5, parameters=100, macs_per_s=90)], 24)
    assert first.startswith("Of 4 variants measured, 3 are beaten by none")
    assert second == ("The smallest within 0.5 dB of the reference (N128 L16 B64 H128 Sc64 P3 X6 R2 C2: "
                      "7.10 dB SI-SNRi) is X4: 0.50 dB worse, with 21 % of its parameters and 23 % of its "
                      "MACs.")
    assert third == ("Each variant was trained once and tested on 24 mixtures: "
                     "differences below about 0.3 dB are not findings.")


def test_among_equally_small_ones_the_one_named_is_on_the_front():
    rows = [BASE, row(1, X=4, si_snri_db=7.0, parameters=100, macs_per_s=300),
            row(2, X=3, si_snri_db=7.3, parameters=100, macs_per_s=200)]
    assert "is X3: 0.20 dB better" in answer(rows, 0)[1]


def test_when_nothing_is_near_the_nearest_is_named():
    rows = [BASE, row(1, X=4, si_snri_db=6.0, parameters=210, macs_per_s=230), row(2, parameters=2000)]
    assert answer(rows, 0)[1].startswith("No smaller variant comes within 0.5 dB")
    assert "the nearest is X4: 1.10 dB worse" in answer(rows, 0)[1]


def test_a_lone_reference_has_nothing_to_compare_with():
    first, second, third = answer([BASE, failed(1)], 12)
    assert first.startswith("Only one run")
    assert second.startswith("Nothing smaller")
    assert third == ""


def test_a_failed_or_missing_reference_is_said():
    said = answer([failed(0), row(1)], 0)[1]
    assert "has no score (state: failed, diverged: loss not finite in epoch 3)" in said
    assert "trial 0, is missing" in answer([row(1), row(2, si_snri_db=8.0)], 0)[1]
    assert "best measured is trial 2 with 8.00 dB" in answer([row(1), row(2, si_snri_db=8.0)], 0)[1]


def test_replicates_are_counted_as_runs_of_one_variant():
    rows = [BASE, row(1, variant="a"), row(2, variant="a", seed=1)]
    assert answer(rows, 0)[0].startswith("Of 3 runs of 2 variants measured")
    assert answer(rows, 0)[2].startswith("1 of 2 variants were trained more than once")


def test_the_rate_follows_from_the_receptive_field():
    for rate in (8000, 16000):
        seconds = REFERENCE.receptive_field_samples / rate
        assert sample_rate_hz([row(0, receptive_field_s=None), row(1, receptive_field_s=seconds)]) == rate


def test_a_reference_behind_smaller_variants_is_said_to_be_undertrained():
    ahead = [row(0, si_snri_db=4.3), row(1, si_snri_db=5.0, parameters=80_000)]
    assert "with 3,200 s of sound it has not learned all it could" in answer(ahead, 120)[2]
    by_chance = [ahead[0], {**ahead[1], "si_snri_db": 4.5}]
    assert "not learned" not in answer(by_chance, 120)[2]
