"""The figures of hyperparameter values that hold nothing fixed: `letters` and `parallel`."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from study.analysis import trials, wording
from study.analysis.replicates import SCORE, Row
from study.report.figures import style
from study.report.figures.front import kinds
from study.report.figures.style import BLACK, BLUE, GREY, VERMILION, WHITE
from study.space.searched import NUMBERS, value_of, varied

LINES_AT_MOST = {"dominated": 300, "front": 60, "reference": 1}  # in this order, the last on top
TICKS_AT_MOST = 8
TICK_BOX = {"facecolor": WHITE, "edgecolor": "none", "alpha": 0.8, "pad": 0.6}
STEPS = (1, 2, 5)  # of each decade have a tick
SCORE_STEPS_DB = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)


class HyperparameterScores(NamedTuple):
    """One hyperparameter's values and the scores under each."""

    hyperparameter: str
    values: list[Any]
    scores: list[list[float]]
    kinds: list[list[str]]  # likewise: front, dominated or reference
    medians: list[float]


def hyperparameters_data(rows: Sequence[Row]) -> list[HyperparameterScores]:
    """Scores of the finished variants by value, for each hyperparameter that has several."""
    kind, known, found = kinds(rows), trials.finished(rows), []
    for name in varied(known):
        groups: dict[Any, list[Row]] = {}
        for row in known:
            groups.setdefault(value_of(row, name), []).append(row)
        values = sorted(groups)
        scores = [[row[SCORE] for row in groups[value]] for value in values]
        found.append(HyperparameterScores(
            name, values, scores,
            kinds=[[kind[row["trial"]] for row in groups[value]] for value in values],
            medians=[float(np.median(some)) for some in scores]))
    return found


def draw_hyperparameters(data: Sequence[HyperparameterScores], axes: Sequence[Axes]) -> None:
    """One panel each; values are at equal distances, variants beside each other."""
    for one, ax in zip(data, axes, strict=False):
        points = []
        for place, (scores, own) in enumerate(zip(one.scores, one.kinds, strict=True)):
            x = place + 0.44 * style.jitter(len(scores))
            points += list(zip(x, scores, own, strict=True))
        style.scatter_kinds(ax, points, zorder=3)
        places = np.arange(len(one.values))
        ax.hlines(one.medians, places - 0.3, places + 0.3, color=BLACK, linewidth=1.6, zorder=5)
        ax.plot(places, one.medians, color=BLACK, linewidth=0.7, zorder=4)
        ax.set_xticks(places, [wording.cell(one.hyperparameter, value) for value in one.values])
        ax.set_xlim(-0.6, len(one.values) - 0.4)
        ax.set_xlabel(one.hyperparameter, labelpad=1.5)
        ax.grid(axis="y")
    if data:
        found = {kind for one in data for own in one.kinds for kind in own}
        entries = [*style.legend_entries(found), ("median", BLACK, "_")]
        style.common_legend(axes, entries, line=False)
        style.common_labels(axes, "hyperparameter value", "SI-SNRi (dB)")
    style.hide_unused(axes, len(data), "No hyperparameter has two values yet.")


class Scale(NamedTuple):
    """One upright axis of the parallel coordinates."""

    name: str
    ticks: list[tuple[float, str]]  # places from 0 below to 1 above, and what stands there
    discrete: bool


class Line(NamedTuple):
    """One variant across all axes."""

    trial: int
    kind: str  # reference, front or dominated
    places: list[float]


class ParallelData(NamedTuple):
    scales: list[Scale]
    lines: list[Line]  # the dominated first, the reference last
    left_out: int


def parallel_data(rows: Sequence[Row]) -> ParallelData | None:
    """The finished variants over all that varies, both costs and the score; None if none does."""
    known = trials.finished(rows)
    names = varied(known)
    if not names:
        return None
    axes = [_hyperparameter_scale(name, [value_of(row, name) for row in known]) for name in names]
    axes += [_cost_scale(title, [row[cost] for row in known])
             for cost, title in zip(trials.COSTS, ("parameters", "MACs per s"), strict=True)]
    axes.append(_score_scale([row[SCORE] for row in known]))
    kind = kinds(rows)
    lines = [Line(row["trial"], kind[row["trial"]], [places[i] for _, places in axes])
             for i, row in enumerate(known)]
    lines.sort(key=lambda line: (line.places[-1], line.trial))  # by score
    shown: list[Line] = []
    for name, most in LINES_AT_MOST.items():
        some = [line for line in lines if line.kind == name]
        shown += [some[i] for i in _even_choice(len(some), most)]
    return ParallelData([scale for scale, _ in axes], shown, len(lines) - len(shown))


def _even_choice(count: int, most: int) -> list[int]:
    """At most so many of `count` places, with both ends."""
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, most))})


def _hyperparameter_scale(name: str, values: Sequence[Any]) -> tuple[Scale, list[float]]:
    """Numbers at distances of their logarithms, words at equal ones."""
    levels = sorted(set(values))
    steps = np.array(style.log2_places(levels) if name in NUMBERS else range(len(levels)))
    heights = ((steps - steps[0]) / (steps[-1] - steps[0])).tolist()
    place = dict(zip(levels, heights, strict=True))
    ticks = [(heights[i], wording.cell(name, levels[i]))
             for i in _even_choice(len(levels), TICKS_AT_MOST)]
    return Scale(name, ticks, discrete=True), [place[value] for value in values]


def _cost_scale(title: str, values: Sequence[float]) -> tuple[Scale, list[float]]:
    """Logarithmic, with its ends and what is round between them."""
    low, high = min(values), max(values)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    between = [step * 10.0**decade for decade in decades for step in STEPS]
    return _even_scale(title, values, between, np.log, wording.engineering)


def _score_scale(values: Sequence[float]) -> tuple[Scale, list[float]]:
    low, high = min(values), max(values)
    step = next(step for step in SCORE_STEPS_DB if high - low <= 6 * step or step == 20)
    between = np.round(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step, 1)
    return _even_scale("SI-SNRi (dB)", values, between.tolist(), np.asarray,
                       lambda value: style.minus(f"{value:.1f}"))


def _even_scale(
    title: str, values: Sequence[float], between: Sequence[float],
    transform: Callable[[float], Any], end_text: Callable[[float], str],
) -> tuple[Scale, list[float]]:
    """Even in `transform`ed values, from the least to the largest, with ticks `between`."""
    low, high = transform(min(values)), transform(max(values))
    span = float(high - low)

    def place(value: float) -> float:
        return float(transform(value) - low) / span if span else 0.5

    ticks = [(place(end), end_text(end)) for end in {min(values), max(values)}]
    ticks += [(place(value), style.minus(style.tick(value))) for value in between
              if span and 0.07 < place(value) < 0.93]
    return Scale(title, sorted(ticks), discrete=False), [place(value) for value in values]


def draw_parallel(data: ParallelData, axes: Axes) -> None:
    """A line across all axes for each variant; those of one value are side by side."""
    spread = 0.03 * np.array([scale.discrete for scale in data.scales])
    x = np.arange(len(data.scales))
    for name, colour, width, alpha in (
        ("dominated", GREY, 0.5, 0.5),
        ("front", BLUE, 0.9, 0.9),
        ("reference", VERMILION, 1.6, 1),
    ):
        some = [line.places for line in data.lines if line.kind == name]
        lines = [np.column_stack([x, np.array(places) + shift * spread])
                 for places, shift in zip(some, style.jitter(len(some)), strict=True)]
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, alpha=alpha, zorder=2))
    for i, scale in enumerate(data.scales):
        axes.vlines(i, 0, 1, color=BLACK, linewidth=0.7, zorder=3)
        axes.annotate(scale.name, (i, 1), (0, 8), textcoords="offset points", ha="center",
                      fontsize=7.5)
        for place, text in scale.ticks:
            axes.plot([i - 0.03, i], [place] * 2, color=BLACK, linewidth=0.7, zorder=3)
            axes.annotate(text, (i, place), (-4, 0), textcoords="offset points", ha="right",
                          va="center", fontsize=6.2, zorder=4, bbox=TICK_BOX)
    axes.set(xlim=(-0.4, len(data.scales) - 0.9), ylim=(-0.05, 1.05))
    axes.set_axis_off()
    entries = style.legend_entries(line.kind for line in data.lines)
    style.common_legend([axes], [(text, colour, "") for text, colour, _ in entries])
