"""All figures of a report: which there are, that they can be drawn of anything, and the same bytes for the same rows."""

import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from study.records import Estimate
from study.report.figures import all as figures
from study.report.figures import style
from study.report.figures.front import Published
from tests.support import ROOT, fakes
from tests.support.fakes import epoch, failed, mixture, row
from tests.support.figure_material import material

ALWAYS = {"front_parameters", "front_macs", "curves", "mixtures"}


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Small PNGs are drawn faster; small crowds are pixels."""
    monkeypatch.setattr(style, "DOTS_PER_INCH", 40)
    monkeypatch.setattr(style, "MANY", 5)


def told(count):
    """A study in which everything is known: sexes, facts of the mixtures, speed, memory."""
    runs, epochs, mixtures = fakes.study(count)
    runs = [{**one, "realtime_factor": one["parameters"] / 1e6, "peak_memory_bytes": 4 * one["parameters"]} for one in runs]
    rng = np.random.default_rng(0)
    facts = [{"sexes": "F+M" if i % 3 else "F+F", "duration_s": float(rng.uniform(2, 6)),
              "level_difference_db": float(rng.normal()), "input_si_snr_db": float(rng.normal())} for i in range(48)]
    return runs, epochs, [{**one, **facts[int(one["mixture"][5:])]} for one in mixtures]


def check(drawn):
    for one in drawn.values():
        assert one.svg.startswith("<?xml")
        assert one.png.startswith(b"\x89PNG")
        assert "nan" not in (one.svg + one.alt + one.caption).replace("inance", "")
        assert one.alt.endswith(".")
        assert one.caption.endswith(".")


def test_a_study_of_which_everything_is_known_has_every_figure_and_the_same_bytes_again():
    everything = material(*told(20), intervals={0: Estimate(7, 6, 8)}, chance={0: 1.0, 5: 0.3},
                          published=[Published("large", 5e6, 15.3, 5e9)])
    before = dict(mpl.rcParams)
    drawn, again = (figures.draw_all(everything) for _ in range(2))
    assert dict(mpl.rcParams) == before
    assert before["svg.hashsalt"] == mpl.rcParamsDefault["svg.hashsalt"]  # other tests have drawn already
    assert {name: one[1:] for name, one in drawn.items()} == {name: one[1:] for name, one in again.items()}
    assert not any("<dc:date>" in one.svg for one in drawn.values())
    assert "<image" in drawn["effects"].svg  # pixels are the same as well
    assert list(drawn) == ["front_parameters", "front_macs", "front_realtime", "front_memory", "hypervolume", "effects",
                           "interaction", "importance", "mixtures", "sexes", "conditions", "parallel", "curves"]
    check(drawn)
    assert drawn["front_macs"].data.published == [("large", 5e9, 15.3)]
    assert drawn["front_realtime"].data.published == []


@pytest.mark.parametrize(("rows", "others"), [
    pytest.param([row(0)], set(), id="one run"),
    pytest.param([row(trial, parameters=1000 + trial, X=trial + 1) for trial in range(4)], {"letters", "parallel", "hypervolume"},
                 id="all scores equal"),
    pytest.param([failed(0), row(1)], {"hypervolume"}, id="no reference score"),
    pytest.param([row(3, X=2), row(4, X=3)], {"letters", "parallel", "hypervolume"}, id="no reference at all"),
    pytest.param([row(trial, N=32 * (trial + 1), norm="batch" if trial else "global") for trial in range(3)],
                 {"letters", "parallel", "hypervolume"}, id="norms vary")])
def test_a_figure_without_anything_to_show_is_left_out(rows, others):
    drawn = figures.draw_all(material(rows, [epoch(rows[-1]["trial"], 1, -1.0, 1.0)], [mixture(rows[-1]["trial"], 0, 3.0)]))
    assert set(drawn) == ALWAYS | others
    check(drawn)


def test_seeds_and_runs_that_were_stopped_can_be_drawn_and_too_few_variants_have_scores_by_value_for_effects():
    drawn = figures.draw_all(material(*fakes.confirmed(12)))
    check(drawn)
    assert "letters" in drawn
    assert not {"effects", "interaction", "importance", "sexes", "conditions"} & set(drawn)
    assert "at least" in drawn["letters"].caption


def test_drawing_needs_no_window_and_no_pyplot_figure():
    import matplotlib.pyplot as plt

    others = plt.get_fignums()      # of whoever has used pyplot in this process
    figures.draw_all(material([row(0)]))
    assert plt.get_fignums() == others


# Of a matplotlibrc: without LaTeX here, the first ends what draws with it; each other changes what is drawn.
THEIRS = {"text.usetex": True, "mathtext.fontset": "stix", "lines.linewidth": 9, "axes.grid": True, "figure.dpi": 37,
          "savefig.bbox": "tight", "savefig.transparent": True, "path.sketch": (1, 100, 2), "image.cmap": "hot", "svg.id": "x",
          "axes.formatter.use_locale": True, "axes.prop_cycle": mpl.cycler("color", ["red"]), "legend.framealpha": 0.1,
          "font.weight": "bold", "xtick.direction": "in", "scatter.marker": "x", "figure.constrained_layout.h_pad": 0.5}


def test_no_setting_of_a_users_changes_a_figure():
    rows = told(6)
    own = figures.draw_all(material(*rows))
    with mpl.rc_context(THEIRS):
        assert figures.draw_all(material(*rows)) == own


def test_a_backend_that_matplotlib_refuses_is_one_line(tmp_path):
    ended = subprocess.run([sys.executable, "-m", "study", "report"], capture_output=True, text=True, check=False,
                           env={**os.environ, "MPLBACKEND": "nonsense", "PYTHONPATH": str(ROOT)}, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("python -m study report: matplotlib cannot be loaded: Key backend: 'nonsense' is not a valid")
    assert ended.stderr.count("\n") == 1
