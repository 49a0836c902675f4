"""The figures of a report: `draw_all` gives each its numbers, its size and its words.

Numbers and drawing are in the modules of the figures (front, effects, hyperparameters, mixtures,
learning), words in `captions`, what all figures share in `style`. A row is a variant, the mean over
its seeds; `runs` are the rows of its single trainings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from study.analysis import trials
from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.hypervolume_curve import Progress
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import Row, per_trial
from study.records import Estimate
from study.report.figures import captions, hyperparameters, learning, style
from study.report.figures import effects as effect_figures
from study.report.figures import mixtures as mixture_figures
from study.report.figures.captions import Words
from study.report.figures.front import KEYS_IN_A_LINE, FrontData, Published, draw_front, front_data, kinds, legend
from study.report.figures.style import Drawn

FRONTS = {"parameters": "front_parameters", "macs_per_s": "front_macs", "realtime_factor": "front_realtime",
          "peak_memory_bytes": "front_memory"}


class Material(NamedTuple):
    """All that the figures of a report are drawn from."""

    runs: Sequence[Row]
    epochs: Sequence[Row]
    mixtures: Mixtures  # owners are runs
    effects: Effects
    interaction: Interaction
    importance: Sequence[Importance] = ()
    intervals: Mapping[int, Estimate] = {}  # by trial, of SI-SNRi
    chance: Mapping[int, float] = {}  # by trial, of being beaten by none in SI-SNRi, parameters and MACs
    progress: Progress | None = None
    published: Sequence[Published] = ()


def draw_all(material: Material) -> dict[str, Drawn]:
    """Every figure that has something to show, by the name of its file. The fronts of parameters and MACs, the mixtures
    and the curves always are there; `letters` only where there are no `effects`."""
    rows, test_scores = per_trial(material.runs), material.mixtures.per_trial(material.runs)
    inherited = any(map(trials.inherited, rows))
    with style.house_style(captions.INHERITED if inherited else ""):
        drawn = {
            **{name: _front(rows, cost, material) for cost, name in FRONTS.items()},
            "hypervolume": _hypervolume(material.progress), **_letters(rows, material.effects),
            "interaction": _interaction(material.interaction), "importance": _importance(material.importance),
            "mixtures": _mixtures(rows, test_scores), "sexes": _sexes(rows, test_scores),
            "conditions": _conditions(rows, test_scores),
            "parallel": _parallel(rows), "curves": _curves(rows, material)}
    return {name: captions.marked(one) if inherited else one for name, one in drawn.items() if one}


def _front(rows: Sequence[Row], cost: str, material: Material) -> Drawn | None:
    data = front_data(rows, cost, material.intervals, material.chance, material.published)
    if cost not in trials.COSTS and not data.line:
        return None
    figure = style.paper(3.9)
    unlabelled = draw_front(data, figure.add_axes(room_for(data)))
    return Drawn(data, *style.files(figure), *captions.front(data, unlabelled))


def room_for(data: FrontData) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of a front's axes. Fixed, since labels are placed once, on axes that will not move."""
    return 0.072, 0.115, 0.905, 0.815 if len(legend(data)) <= KEYS_IN_A_LINE else 0.777


def _hypervolume(progress: Progress | None) -> Drawn | None:
    data = learning.growth_data(progress)
    return _panels(learning.draw_growth, data, 2, captions.growth(data), 2, 1.9) if data else None


def _letters(rows: Sequence[Row], effects: Effects) -> dict[str, Drawn | None]:
    """The model's effects; where there is none, the bare scores by letter."""
    if panels := effect_figures.effects_data(effects, kinds(rows)):
        return {"effects": _panels(effect_figures.draw_effects, panels, len(panels), captions.effects(panels, effects), 3, 1.75)}
    data = hyperparameters.letters_data(rows)
    words = captions.letters(data, effects.refused)
    return {"letters": _panels(hyperparameters.draw_letters, data, len(data), words, 4, 1.75) if data else None}


def _interaction(data: Interaction) -> Drawn | None:
    if data.refused:
        return None
    return _alone(effect_figures.draw_interaction, data, captions.interaction(data), 0.8 + 0.42 * len(data.values[1]))


def _importance(data: Sequence[Importance]) -> Drawn | None:
    return _alone(effect_figures.draw_importance, data, captions.importance(data), 0.75 + 0.3 * len(data)) if data else None


def _mixtures(rows: Sequence[Row], test_scores: Mixtures) -> Drawn:
    data = mixture_figures.mixtures_data(rows, test_scores)
    words = captions.mixtures(data, len(trials.front(rows)) > len(mixture_figures.shown(rows)),
                              any(row["seeds"] > 1 for row in rows))
    return _alone(mixture_figures.draw_mixtures, data, words, 0.8 + 0.42 * max(len(data), 2))


def _sexes(rows: Sequence[Row], test_scores: Mixtures) -> Drawn | None:
    data = mixture_figures.sexes_data(rows, test_scores)
    return _alone(mixture_figures.draw_sexes, data, captions.sexes(data), 0.85 + 0.3 * len(data)) if data else None


def _conditions(rows: Sequence[Row], test_scores: Mixtures) -> Drawn | None:
    data = mixture_figures.conditions_data(rows, test_scores)
    return _panels(mixture_figures.draw_conditions, data, len(data), captions.conditions(data), 3, 2.4) if data else None


def _parallel(rows: Sequence[Row]) -> Drawn | None:
    data = hyperparameters.parallel_data(rows)
    return _alone(hyperparameters.draw_parallel, data, captions.parallel(data), 3.3) if data else None


def _curves(rows: Sequence[Row], material: Material) -> Drawn:
    data = learning.curves_data(rows, material.runs, material.epochs)
    return _panels(learning.draw_curves, data, len(data.panels), captions.curves(data), 4, 1.45, sharex=True)


def _panels(draw: Callable[[Any, Sequence[Axes]], None], data: Any, count: int, words: Words, most: int, height_in: float,
            sharex: bool = False) -> Drawn:
    """Small multiples, up to `most` beside each other, rows as even as they can be."""
    lines = -(-max(1, count) // most)
    across = -(-max(1, count) // lines)
    figure = style.paper(0.55 + height_in * lines, layout="constrained")
    draw(data, list(figure.subplots(lines, across, sharey=True, sharex=sharex, squeeze=False).flat))
    return Drawn(data, *style.files(figure), *words)


def _alone(draw: Callable[[Any, Axes], None], data: Any, words: Words, height_in: float) -> Drawn:
    figure = style.paper(height_in, layout="constrained")
    draw(data, figure.subplots())
    return Drawn(data, *style.files(figure), *words)
