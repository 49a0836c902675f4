"""How the hypervolume grows, against a sum of boxes done by hand."""

import numpy as np
import pytest

from study.analysis import hypervolume_curve
from tests.support.fakes import failed, row, stopped, study

POINT = {"si_snri_db": 0.0, "parameters": 1024.0, "macs_per_s": 2048.0}


def test_one_variant_encloses_a_box_of_db_times_octaves():
    found = hypervolume_curve.progress([row(0, si_snri_db=4.0, parameters=256, macs_per_s=1024)], POINT)
    assert (found.trials, found.audio_s, found.volume) == ([1], [3200.0], [4.0 * 2 * 1])


def test_what_is_trained_without_a_score_costs_sound_and_adds_nothing():
    runs = [row(0, si_snri_db=4.0, parameters=512, macs_per_s=1024), failed(1, audio_s=800.0), stopped(2, 4),
            failed(3, state="rejected", audio_s=None), row(4, si_snri_db=2.0, parameters=256, macs_per_s=512)]
    found = hypervolume_curve.progress(runs, POINT)
    assert found.trials == [1, 2, 3, 4]
    assert found.audio_s == [3200.0, 4000.0, 5600.0, 8800.0]
    assert found.volume == pytest.approx([4.0, 4.0, 4.0, 4.0 + 2.0 * (2 * 2 - 1)])


def test_replicates_change_no_curve():
    runs = [row(0, si_snri_db=4.0, parameters=256, macs_per_s=1024)]
    assert hypervolume_curve.progress([*runs, row(0, seed=1, si_snri_db=9.0, parameters=256, macs_per_s=1024)], POINT) == \
        hypervolume_curve.progress(runs, POINT)


def test_a_curve_never_falls_and_has_so_many_points_at_most():
    runs, _, _ = study(400, seed=1)
    found = hypervolume_curve.progress(runs, hypervolume_curve.point_of(runs[0]["parameters"], runs[0]["macs_per_s"]))
    assert len(found.trials) == hypervolume_curve.STEPS
    assert found.trials[-1] == sum(run["state"] != "rejected" for run in runs)
    assert (np.diff(found.volume) >= 0).all()
    assert found.volume[0] > 0      # the reference itself encloses something


def test_nothing_trained_makes_an_empty_curve():
    assert hypervolume_curve.progress([], POINT).trials == []
    assert hypervolume_curve.progress([failed(0)], POINT).volume == [0.0]
