"""The figures of the letters that hold nothing fixed: `letters` and `parallel`. First the numbers, then the ink."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from study.analysis import trials, wording
from study.analysis.replicates import SCORE, Row
from study.report.figures import style
from study.report.figures.front import kinds
from study.report.figures.style import BLUE, GREY, INK, LOOKS, PAPER, VERMILION
from study.space.searched import NUMBERS, value_of, varied

LINES_AT_MOST = {"beaten": 300, "front": 60, "reference": 1}  # in this order: the last lie on top
TICKS_AT_MOST = 8
STEPS = (1, 2, 5)  # of each decade have a tick


class Letter(NamedTuple):
    """One letter's values and the scores under each."""

    letter: str
    values: list[Any]
    scores: list[list[float]]
    kinds: list[list[str]]  # likewise: front, beaten or reference
    medians: list[float]


def letters_data(rows: Sequence[Row]) -> list[Letter]:
    """Scores of the finished variants by value, for each letter that has more than one."""
    kind, known, found = kinds(rows), trials.finished(rows), []
    for letter in varied(known):
        groups: dict[Any, list[Row]] = {}
        for row in known:
            groups.setdefault(value_of(row, letter), []).append(row)
        values = sorted(groups)
        scores = [[row[SCORE] for row in groups[value]] for value in values]
        found.append(Letter(letter, values, scores, [[kind[row["trial"]] for row in groups[value]] for value in values],
                            [float(np.median(some)) for some in scores]))
    return found


def draw_letters(data: Sequence[Letter], axes: Sequence[Axes]) -> None:
    """One panel per letter; values stand at equal distances, variants beside each other."""
    for letter, ax in zip(data, axes, strict=False):
        points = [(place + 0.44 * aside, score, kind) for place, some in enumerate(zip(letter.scores, letter.kinds, strict=True))
                  for aside, score, kind in zip(style.aside(len(some[0])), *some, strict=True)]
        for name, look in LOOKS.items():
            style.marks(ax, [point for *point, kind in points if kind == name], look, zorder=4 if name == "reference" else 3)
        places = np.arange(len(letter.values))
        ax.hlines(letter.medians, places - 0.3, places + 0.3, color=INK, linewidth=1.6, zorder=5)
        ax.plot(places, letter.medians, color=INK, linewidth=0.7, zorder=4)
        ax.set_xticks(places, [wording.cell(letter.letter, value) for value in letter.values])
        ax.set_xlim(-0.6, len(letter.values) - 0.4)
        ax.set_xlabel(letter.letter, labelpad=1.5)
        ax.grid(axis="y")
    if data:
        found = {kind for letter in data for some in letter.kinds for kind in some}
        style.common_legend(axes, [*style.kind_keys(found), ("median", INK, "_")], line=False)
        style.common_labels(axes, "hyperparameter value", "SI-SNRi (dB)")
    style.close(axes, len(data), "No hyperparameter has two values yet.")


class Scale(NamedTuple):
    """One upright axis of the parallel coordinates."""

    name: str
    ticks: list[tuple[float, str]]  # places from 0 below to 1 above, and what stands there
    discrete: bool


class Line(NamedTuple):
    """One variant across all axes."""

    trial: int
    kind: str  # reference, front or beaten
    places: list[float]


class ParallelData(NamedTuple):
    scales: list[Scale]
    lines: list[Line]  # the beaten first, the reference last
    left_out: int


def parallel_data(rows: Sequence[Row]) -> ParallelData | None:
    """The finished variants over the letters that vary, both costs and the score; None where no letter varies."""
    known = trials.finished(rows)
    letters = varied(known)
    if not letters:
        return None
    axes = [_letter_scale(letter, [value_of(row, letter) for row in known]) for letter in letters]
    axes += [_cost_scale(title, [row[cost] for row in known])
             for cost, title in zip(trials.COSTS, ("parameters", "MACs per s"), strict=True)]
    axes.append(_score_scale([row[SCORE] for row in known]))
    kind = kinds(rows)
    lines = [Line(row["trial"], kind[row["trial"]], [places[i] for _, places in axes]) for i, row in enumerate(known)]
    shown: list[Line] = []
    for name, most in LINES_AT_MOST.items():  # by score, and of many an even choice
        some = sorted((line for line in lines if line.kind == name), key=lambda line: (line.places[-1], line.trial))
        shown += [some[i] for i in sorted({round(i) for i in np.linspace(0, len(some) - 1, min(len(some), most))})]
    return ParallelData([scale for scale, _ in axes], shown, len(lines) - len(shown))


def _letter_scale(letter: str, values: Sequence[Any]) -> tuple[Scale, list[float]]:
    """Numbers at distances of their logarithms, words at equal ones."""
    levels = sorted(set(values))
    steps = np.array(style.octaves(levels) if letter in NUMBERS else range(len(levels)))
    heights = ((steps - steps[0]) / (steps[-1] - steps[0])).tolist()
    place = dict(zip(levels, heights, strict=True))
    some = sorted({round(i) for i in np.linspace(0, len(levels) - 1, min(len(levels), TICKS_AT_MOST))})
    return (Scale(letter, [(heights[i], wording.cell(letter, levels[i])) for i in some], True),
            [place[value] for value in values])


def _cost_scale(title: str, values: Sequence[float]) -> tuple[Scale, list[float]]:
    """Logarithmic, with its ends and what is round between them."""
    low, high = min(values), max(values)
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    between = [step * 10.0**decade for decade in decades for step in STEPS]
    return _even_scale(title, values, between, np.log, wording.engineering)


def _score_scale(values: Sequence[float]) -> tuple[Scale, list[float]]:
    low, high = min(values), max(values)
    step = next(step for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if high - low <= 6 * step or step == 20)
    between = np.round(np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step, 1)
    return _even_scale("SI-SNRi (dB)", values, between.tolist(), np.asarray, lambda value: style.minus(f"{value:.1f}"))


def _even_scale(title: str, values: Sequence[float], between: Sequence[float], bent: Any, said: Any) -> tuple[Scale, list[float]]:
    low, high = bent(min(values)), bent(max(values))
    reach = float(high - low)

    def place(value: float) -> float:
        return float(bent(value) - low) / reach if reach else 0.5
    ends = [min(values), max(values)] if reach else [min(values)]
    inner = [(place(value), style.minus(style.tick(value))) for value in between if reach and 0.07 < place(value) < 0.93]
    return Scale(title, sorted([*((place(end), said(end)) for end in ends), *inner]), False), [place(value) for value in values]


def draw_parallel(data: ParallelData, axes: Axes) -> None:
    """A way from axis to axis for each variant; those of one value lie side by side, so that they can be told apart."""
    spread = 0.03 * np.array([scale.discrete for scale in data.scales])
    for (name, colour), (width, alpha) in zip((("beaten", GREY), ("front", BLUE), ("reference", VERMILION)),
                                              ((0.5, 0.5), (0.9, 0.9), (1.6, 1)), strict=True):
        some = [line.places for line in data.lines if line.kind == name]
        ways = [np.column_stack([np.arange(len(data.scales)), np.array(places) + shift * spread])
                for places, shift in zip(some, style.aside(len(some)), strict=True)]
        axes.add_collection(LineCollection(ways, colors=colour, linewidths=width, alpha=alpha, zorder=2))
    for i, scale in enumerate(data.scales):
        axes.vlines(i, 0, 1, color=INK, linewidth=0.7, zorder=3)
        axes.annotate(scale.name, (i, 1), (0, 8), textcoords="offset points", ha="center", fontsize=7.5)
        for place, text in scale.ticks:
            axes.plot([i - 0.03, i], [place] * 2, color=INK, linewidth=0.7, zorder=3)
            axes.annotate(text, (i, place), (-4, 0), textcoords="offset points", ha="right", va="center", fontsize=6.2,
                          zorder=4, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 0.6})
    axes.set(xlim=(-0.4, len(data.scales) - 0.9), ylim=(-0.05, 1.05))
    axes.set_axis_off()
    style.common_legend([axes], [(text, colour, "") for text, colour, _ in style.kind_keys(line.kind for line in data.lines)])
