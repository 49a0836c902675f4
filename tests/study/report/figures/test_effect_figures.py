"""The effect of each hyperparameter: numbers in words and places, and type that can be read on its cell."""

import pytest
from matplotlib.colors import to_rgb

from study.analysis.effects import Effects, Importance
from study.records import Estimate
from study.report.figures import style
from study.report.figures.effects import draw_effects, draw_importance, draw_interaction, effects_data, signed, together
from tests.support.made_up_effects import EFFECTS, TOGETHER


def axes(count=1):
    with style.figure_style():
        return list(style.new_figure(3.0, layout="constrained").subplots(1, count, squeeze=False).flat)


def test_levels_stand_at_their_octaves_and_no_skip_path_an_octave_below_the_narrowest():
    (panel,) = effects_data(EFFECTS, {0: "reference", 3: "front"})
    assert panel.places == [3, 4, 6]
    assert panel.doubling == "+1.9 dB [1.2, 2.6] per doubling"
    assert panel.points == [(6, 0.1, "reference"), (4, -1.5, "front"), (3, -4.0, "dominated")]


@pytest.mark.parametrize(("estimate", "text"), [
    ((1.94, 1.2, 2.61), "+1.9 dB [1.2, 2.6]"), ((-0.5, -0.96, -0.04), "−0.5 dB [−1.0, 0.0]"),
    ((0.041, 0.02, 0.06), "+0.04 dB [0.02, 0.06]"), ((-0.001, -0.3, 0.3), "+0.0 dB [−0.3, 0.3]")])
def test_a_gain_has_a_sign_and_as_many_digits_as_its_interval_is_worth(estimate, text):
    assert signed(Estimate(*estimate)) == text


def test_the_line_runs_through_the_effects_and_a_refused_model_has_no_panels():
    panels, (ax,) = effects_data(EFFECTS, {}), axes()
    draw_effects(panels, [ax])
    line = next(line for line in ax.lines if len(line.get_xdata()) == 3)
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([3, 4, 6], [-4, -2, 0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "16", "64"]
    assert effects_data(Effects([], 0.0, 3, "too few"), {}) == []


def contrast(one, other):
    """Of two colours, after WCAG 2.2: from 1 to 21."""
    def light(colour):
        return sum(weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
                   for weight, part in zip((0.2126, 0.7152, 0.0722), to_rgb(colour), strict=True))
    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_each_cell_has_its_mean_and_count_in_type_that_stands_out_and_an_empty_one_has_none():
    (ax,) = axes()
    draw_interaction(TOGETHER, ax)
    mesh = ax.collections[0]
    texts = {text.get_position(): text for text in ax.texts}
    assert [texts[x + 0.5, y + 0.54].get_text() for x, y in ((0, 0), (0, 1), (1, 0), (2, 0), (2, 1))] == [
        "1.00", "2.00", "3.00", "4.50", "8.00"]
    assert texts[2.5, 1.46].get_text() == "n = 5"
    assert len(texts) == 10
    for (x, y), text in texts.items():
        cell = mesh.cmap(mesh.norm(TOGETHER.mean_db[int(x)][int(y)]))
        assert contrast(text.get_color(), cell[:3]) >= 4.5
    assert not {text.get_color() for text in ax.texts} & set(style.COLOURS.values())  # a dark page leaves them alone


@pytest.mark.parametrize(("both", "text"), [
    (Estimate(0.2, -0.1, 0.5),
     "Doubling both X and R brings +0.2 dB [−0.1, 0.5] beyond the sum of each alone: no interaction is proved."),
    (Estimate(-0.4, -0.6, -0.2), "Doubling both X and R brings −0.4 dB [−0.6, −0.2] beyond the sum of each alone."),
    (None, "What doubling both X and R brings beyond the sum of each alone cannot be told from these variants.")])
def test_the_sentence_says_what_both_hyperparameters_bring_and_when_that_is_nothing(both, text):
    assert together(TOGETHER._replace(both_db=both)) == text


def test_importance_has_a_bar_from_end_to_end_for_each_hyperparameter_and_kind():
    (ax,) = axes()
    draw_importance([Importance("X", Estimate(0.3, 0.1, 0.5), Estimate(0.6, 0.4, 0.9)),
                     Importance("R", Estimate(0.7, 0.5, 0.9), Estimate(0.4, 0.1, 0.6))], ax)
    bars = [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2]
    assert bars == [(0.4, 0.9), (0.1, 0.6), (0.1, 0.5), (0.5, 0.9)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["X", "R"]
    assert ax.get_xlim()[1] >= 0.9


def test_importance_by_main_effects_alone_has_one_bar_for_each():
    (ax,) = axes()
    draw_importance([Importance("X", None, Estimate(0.6, 0.4, 0.9)), Importance("R", None, Estimate(0.4, 0.1, 0.6))], ax)
    assert [tuple(line.get_xdata()) for line in ax.lines if len(line.get_xdata()) == 2] == [(0.4, 0.9), (0.1, 0.6)]
