"""The figures of a report: `draw_all` gives each its numbers, its size and its words.

Numbers and drawing are in the modules of the figures (front, effects, hyperparameters, mixtures,
learning), words in `captions`, what all figures share in `style`. A row is a variant, the mean over
its seeds; `runs` are the rows of its single trainings.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from study.analysis import trials
from study.analysis.cost_axes import KNOWN, of_devices
from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.hypervolume_curve import Progress
from study.analysis.mixture_scores import Mixtures
from study.analysis.predicted_front import PredictedFront
from study.analysis.replicates import Row, per_trial
from study.records import Estimate
from study.report.figures import captions, front, hyperparameters, learning, style
from study.report.figures import effects as effect_figures
from study.report.figures import mixtures as mixture_figures
from study.report.figures import predicted as predicted_front
from study.report.figures.captions import Words
from study.report.figures.style import Drawn


class Material(NamedTuple):
    """All that the figures of a report are drawn from."""

    runs: Sequence[Row]
    epochs: Sequence[Row]
    mixtures: Mixtures  # owners are runs
    effects: Effects
    interaction: Interaction
    importance: Sequence[Importance] = ()
    intervals: Mapping[int, Estimate] = {}  # by trial, of SI-SNRi
    chance: Mapping[int, float] = {}  # by trial, of being Pareto-optimal in SI-SNRi and both COSTS
    progress: Progress | None = None
    published: Sequence[front.Published] = ()
    predicted: PredictedFront | None = None
    int8: Sequence[Row] = ()  # of variants that a device ran so


def draw_all(material: Material) -> dict[str, Drawn]:
    """Every figure that has something to show, by the name of its file.

    The fronts of parameters and MACs, the mixtures and the curves always are there; `letters`, the
    bare scores by hyperparameter value, only where there are no `effects`.
    """
    rows, test_scores = per_trial(material.runs), material.mixtures.per_trial(material.runs)
    inherited = any(map(trials.inherited, rows))
    with style.figure_style(captions.INHERITED if inherited else ""):
        drawn = {
            **{name: _front(rows, cost, material) for cost, name in fronts(rows).items()},
            "predicted": _predicted(material.predicted, rows),
            "hypervolume": _hypervolume(material.progress),
            **_hyperparameters(rows, material.effects),
            "interaction": _interaction(material.interaction),
            "importance": _importance(material.importance),
            "mixtures": _mixtures(rows, test_scores),
            "sexes": _sexes(rows, test_scores),
            "conditions": _conditions(rows, test_scores),
            "parallel": _parallel(rows),
            "curves": _curves(rows, material),
        }
    return {name: captions.with_inherited(figure) if inherited else figure
            for name, figure in drawn.items() if figure}


def fronts(rows: Sequence[Row]) -> dict[str, str]:
    """By cost, the name of its figure; its letters may be in an id of the page."""
    plain = {cost: re.sub("[^A-Za-z0-9-]", "_", cost) for cost in of_devices(rows)}
    known = {cost: axis.figure for cost, axis in KNOWN.items()}
    return {**known, **{cost: f"front_{name}" for cost, name in plain.items()}}


def _front(rows: Sequence[Row], cost: str, material: Material) -> Drawn | None:
    data = front.front_data(rows, cost, material.intervals, material.chance, material.published,
                            material.int8)
    if cost not in trials.COSTS and not data.line:
        return None
    figure = style.new_figure(3.9)
    unlabelled = front.draw_front(data, figure.add_axes(axes_box(data)))
    return Drawn(data, *style.files(figure), *captions.front(data, unlabelled))


def _predicted(predicted: PredictedFront | None, rows: Sequence[Row]) -> Drawn | None:
    if not (data := predicted_front.predicted_data(predicted, rows)):
        return None
    draw, words = predicted_front.draw_predicted, captions.predicted(data)
    return _panels(draw, data, len(data.costs), words, len(data.costs), 2.5)


def axes_box(data: front.FrontData) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a front's axes.

    Fixed, since labels are placed once, on axes that will not move.
    """
    one_line = len(front.legend(data)) <= front.LEGEND_COLUMNS
    return 0.072, 0.115, 0.905, 0.815 if one_line else 0.777


def _hypervolume(progress: Progress | None) -> Drawn | None:
    if not (data := learning.hypervolume_data(progress)):
        return None
    return _panels(learning.draw_hypervolume, data, 2, captions.hypervolume(data), 2, 1.9)


def _hyperparameters(rows: Sequence[Row], effects: Effects) -> dict[str, Drawn | None]:
    """The model's effects; where there is none, the bare scores by hyperparameter value."""
    if panels := effect_figures.effects_data(effects, front.kinds(rows)):
        words = captions.effects(panels, effects)
        draw: Callable[[Any, Sequence[Axes]], None] = effect_figures.draw_effects
        return {"effects": _panels(draw, panels, len(panels), words, 3, 1.75)}
    if not (data := hyperparameters.hyperparameters_data(rows)):
        return {}
    words = captions.hyperparameters(data, effects.refused)
    draw = hyperparameters.draw_hyperparameters
    return {"letters": _panels(draw, data, len(data), words, 4, 1.75)}


def _interaction(data: Interaction) -> Drawn | None:
    if data.refused:
        return None
    height_in = 0.8 + 0.42 * len(data.values[1])
    return _single(effect_figures.draw_interaction, data, captions.interaction(data), height_in)


def _importance(data: Sequence[Importance]) -> Drawn | None:
    if not data:
        return None
    height_in = 0.75 + 0.3 * len(data)
    return _single(effect_figures.draw_importance, data, captions.importance(data), height_in)


def _mixtures(rows: Sequence[Row], test_scores: Mixtures) -> Drawn:
    data = mixture_figures.mixtures_data(rows, test_scores)
    words = captions.mixtures(
        data, thinned=len(trials.front(rows)) > len(mixture_figures.shown(rows)),
        replicated=any(row["seeds"] > 1 for row in rows))
    return _single(mixture_figures.draw_mixtures, data, words, 0.8 + 0.42 * max(len(data), 2))


def _sexes(rows: Sequence[Row], test_scores: Mixtures) -> Drawn | None:
    if not (data := mixture_figures.sexes_data(rows, test_scores)):
        return None
    height_in = 0.85 + 0.3 * len(data)
    return _single(mixture_figures.draw_sexes, data, captions.sexes(data), height_in)


def _conditions(rows: Sequence[Row], test_scores: Mixtures) -> Drawn | None:
    if not (data := mixture_figures.conditions_data(rows, test_scores)):
        return None
    words = captions.conditions(data)
    return _panels(mixture_figures.draw_conditions, data, len(data), words, 3, 2.4)


def _parallel(rows: Sequence[Row]) -> Drawn | None:
    if not (data := hyperparameters.parallel_data(rows)):
        return None
    return _single(hyperparameters.draw_parallel, data, captions.parallel(data), 3.3)


def _curves(rows: Sequence[Row], material: Material) -> Drawn:
    data = learning.curves_data(rows, material.runs, material.epochs)
    words = captions.curves(data)
    return _panels(learning.draw_curves, data, len(data.panels), words, 4, 1.45, sharex=True)


def _panels(
    draw: Callable[[Any, Sequence[Axes]], None], data: Any, count: int, words: Words, columns: int,
    height_in: float, sharex: bool = False,
) -> Drawn:
    """Small multiples, up to `columns` beside each other, rows as even as they can be."""
    lines = -(-max(1, count) // columns)
    across = -(-max(1, count) // lines)
    figure = style.new_figure(0.55 + height_in * lines, layout="constrained")
    axes = figure.subplots(lines, across, sharey=True, sharex=sharex, squeeze=False)
    draw(data, list(axes.flat))
    return Drawn(data, *style.files(figure), *words)


def _single(
    draw: Callable[[Any, Axes], None], data: Any, words: Words, height_in: float
) -> Drawn:
    figure = style.new_figure(height_in, layout="constrained")
    draw(data, figure.subplots())
    return Drawn(data, *style.files(figure), *words)
