import numpy as np
import pytest

from study.analysis.predicted_front import Band, PredictedFront, Step
from study.records import Estimate
from study.report import predicted
from study.report.figures.captions import predicted as words
from study.report.figures.predicted import predicted_data
from tasnet_core.records import Variant

REFERENCE = Variant(N=128, B=64, H=128, Sc=64, X=6, R=2)
SMALL = Variant(N=32, B=64, H=128, Sc=64, X=6, R=2)
BAND = Band(np.array([1e4, 1e5]), np.array([4.0, 6.0]), np.array([3.5, 5.8]), np.array([4.5, 6.4]))
STEPS = [Step(SMALL, {}, None, 10_000, 1e7, Estimate(4.0, 3.5, 4.5), Estimate(2.0, 1.5, 2.5), 0.01),
         Step(REFERENCE, {}, 0, 100_000, 1e8, Estimate(6.0, 5.8, 6.2), Estimate(0.0, 0.0, 0.0), 1.0)]
FRONT = PredictedFront({"parameters": STEPS, "macs_per_s": STEPS[1:]}, {"parameters": BAND, "macs_per_s": BAND}, 2560, 16)
ROWS = [{**vars(REFERENCE), "trial": 0, "state": "complete", "si_snri_db": 6.1, "parameters": 100_000, "macs_per_s": 1e8},
        {**vars(SMALL), "trial": 4, "state": "complete", "si_snri_db": 3.9, "parameters": 20_000, "macs_per_s": 2e7}]


def test_what_is_drawn_are_band_measurements_and_what_nobody_trained():
    data = predicted_data(FRONT, ROWS)
    assert data.costs == ["parameters", "macs_per_s"]
    assert data.measured == [[(20_000, 3.9)], [(2e7, 3.9)]]
    assert data.untrained == [[(10_000, 4.0)], []]
    assert data.reference == [(100_000, 6.1), (1e8, 6.1)]
    assert data.half_width_db == pytest.approx(0.4)      # (0.5 + 0.3) / 2
    assert predicted_data(None, ROWS) is None


def test_its_words_say_from_where_to_where_and_how_sure():
    alt = words(predicted_data(FRONT, ROWS)).alt
    assert "from 4.00 dB to 6.00 dB, known to 0.40 dB" in alt
    assert "1 are untrained" in alt


def test_a_variant_taken_by_both_costs_has_one_line():
    table = predicted.table(FRONT, REFERENCE)
    lines = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(line["trial"], line["name"], line["taken_by"]) for line in lines] == [
        (None, "N32", "parameters"), (0, "reference", "parameters, MACs")]
    assert [line["near"] for line in lines] == ["1 %", "> 99 %"]


def test_what_is_said_counts_the_untrained_and_the_next_trainings():
    known, untrained = predicted.sentences(FRONT)
    assert known.startswith("From 16 variants trained")
    assert "±0.40 dB" in known
    assert untrained.startswith("Of 2 variants that the model takes, 1 was never trained")
    [line] = predicted.next_trainings(STEPS[:1], REFERENCE, "a study")
    assert "1: N32 (10.0k parameters, 10.0M MACs/s), expected 4.00 dB [3.50, 4.50], −2.00 dB [−2.50, −1.50]" in line
    assert "--study 'a study' --enqueue all" in line
