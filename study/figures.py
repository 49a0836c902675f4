"""The figures of a report: first the numbers (`x_data`), then the ink (`draw_x`).

Plotting lives here and, for what all figures share, in ink.py; nowhere else.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from study import ink, labels, tables
from study.ink import BLUE, GREY, INK, ORANGE, PAPER, VERMILION
from study.tables import SCORE, Row
from tasnet_core.records import LETTERS

AXES = {"parameters": "parameters", "macs_per_s": "multiply-accumulates for one second of sound (MACs per s)"}
CURVES_AT_MOST, DISTRIBUTIONS_AT_MOST, DENSITY_STEPS = 12, 14, 160


class Point(NamedTuple):
    """One run in the plane of one cost and the score."""

    trial: int
    name: str
    cost: float
    si_snri_db: float
    on_line: bool  # on the front of these two axes alone


class FrontData(NamedTuple):
    """Runs against one cost, cheapest first."""

    cost: str
    kept: list[Point]  # on the front of score, parameters and MACs together
    beaten: list[Point]
    line: list[tuple[float, float]]  # the front of score and this cost alone
    reference: Point | None  # also among `kept` or `beaten`


def front_data(rows: Sequence[Row], cost: str) -> FrontData:
    """The runs that count against `cost`, which is 'parameters' or 'macs_per_s'."""
    names, line = tables.names(rows), tables.front(rows, (cost,))
    on_line, kept = ({row["trial"] for row in some} for some in (line, tables.front(rows)))
    points = sorted((Point(row["trial"], names[row["trial"]], row[cost], row[SCORE], row["trial"] in on_line)
                     for row in tables.finished(rows)), key=lambda point: (point.cost, point.trial))
    steps = sorted({(float(row[cost]), float(row[SCORE])) for row in line})
    return FrontData(cost, [point for point in points if point.trial in kept],
                     [point for point in points if point.trial not in kept], steps,
                     next((point for point in points if point.trial == 0), None))


def draw_front(data: FrontData, axes: Axes) -> int:
    """Grey what is beaten, blue what is kept, a star for the reference. Returns labels that found no room."""
    points = [*data.kept, *data.beaten]
    ink.log_axis(axes, [point.cost for point in points])
    ink.score_axis(axes, [point.si_snri_db for point in points])
    axes.set(xlabel=AXES[data.cost], ylabel="SI-SNRi on the test set (dB)")
    axes.grid(axis="y")
    steps = [*data.line, (axes.get_xlim()[1], data.line[-1][1])] if data.line else []
    axes.plot(*_columns(steps), drawstyle="steps-post", color=BLUE, linewidth=1.1, zorder=2)
    own = data.reference.trial if data.reference else None
    for some, face, edge, size in (
            (data.beaten, GREY, PAPER, 18), ([p for p in data.kept if p.on_line], BLUE, PAPER, 30),
            ([p for p in data.kept if not p.on_line], PAPER, BLUE, 22)):
        places = [(point.cost, point.si_snri_db) for point in some if point.trial != own]
        axes.scatter(*_columns(places), s=size, color=face, edgecolors=edge, linewidths=0.9, zorder=3)
    if data.reference:
        axes.axhline(data.reference.si_snri_db, color=VERMILION, linewidth=0.9, linestyle=":", zorder=1)
        axes.scatter([data.reference.cost], [data.reference.si_snri_db], marker="*", s=110, color=VERMILION,
                     edgecolors=PAPER, linewidths=0.7, zorder=4)
    _front_legend(data, axes)
    sns.despine(ax=axes)
    return _label(data, axes)


def _front_legend(data: FrontData, axes: Axes) -> None:
    def key(text: str, face: str, edge: str, marker: str = "o", size: float = 5.5) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, markersize=size, markerfacecolor=face,
                      markeredgecolor=edge, markeredgewidth=0.9, label=text)

    keys = [key("beaten by none, best at its cost", BLUE, PAPER)]
    if any(not point.on_line for point in data.kept):
        keys.append(key("beaten by none, thanks to its other cost", PAPER, BLUE, size=4.7))
    if data.beaten:
        keys.append(key("beaten", GREY, PAPER, size=5))
    if data.reference:
        keys.append(key("reference", VERMILION, PAPER, "*", 9))
    axes.legend(handles=keys, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=4, handletextpad=0.2,
                columnspacing=1.4, borderaxespad=0.1)


def _label(data: FrontData, axes: Axes) -> int:
    """Write the name beside each kept point where it covers nothing; the axes must have their final size."""
    scale = 72 / axes.figure.dpi  # everything in points, so that the file's resolution does not matter
    style: dict[str, Any] = {"fontsize": 6.2, "linespacing": 1.05, "color": INK, "zorder": 5}
    named = list({(p.name, p.cost, p.si_snri_db): p for p in data.kept}.values())
    sizes = [_size(axes.text(0, 0, _wrapped(p.name), transform=axes.transAxes, **style)) * scale + 1.0
             for p in named]
    anchors = _places(axes, [(p.cost, p.si_snri_db) for p in named]) * scale
    frame = axes.get_window_extent()
    level = [(x, data.reference.si_snri_db) for x in axes.get_xlim()] if data.reference else []
    found = labels.place(
        anchors, sizes, np.array([frame.x0, frame.y0, frame.width, frame.height]) * scale,
        _places(axes, [(p.cost, p.si_snri_db) for p in data.beaten]) * scale,
        lines=np.concatenate([_sampled(_places(axes, some) * scale) for some in (data.line, level)]),
        radius=3.4)
    for point, anchor, size, corner in zip(named, anchors, sizes, found, strict=True):
        if corner is None:
            continue
        offset = np.subtract(corner, anchor)
        nearest = np.clip(0, offset, offset + size)  # of the label's box, seen from the point
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3.2,
                  "relpos": tuple((nearest - offset) / size)}
        axes.annotate(_wrapped(point.name), (point.cost, point.si_snri_db), tuple(offset + 0.5),
                      textcoords="offset points", **style,
                      arrowprops=leader if np.hypot(*nearest) > 7 else None)
    return sum(corner is None for corner in found)


def _size(text: Text) -> Any:
    """Width and height in pixels; the text is gone afterwards."""
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height])


def _places(axes: Axes, pairs: Sequence[tuple[float, float]]) -> Any:
    return axes.transData.transform(np.asarray(pairs, dtype=float).reshape(-1, 2))


def _sampled(corners: Any) -> Any:
    """Points every few points along the step line through `corners`."""
    steps = [corners[:0]]
    for (x, y), (next_x, next_y) in pairwise(corners):
        across, up = np.arange(x, next_x, 4.0), np.arange(y, next_y, 4.0)
        steps += [np.column_stack([across, np.full_like(across, y)]),
                  np.column_stack([np.full_like(up, next_x), up])]
    return np.concatenate(steps)


def _wrapped(name: str) -> str:
    """At most two lines, the second at most as long as the first by a word."""
    words = name.split()
    half = (len(words) + 1) // 2 if len(words) > 3 else len(words)
    return "\n".join(" ".join(part) for part in (words[:half], words[half:]) if part)


class Panel(NamedTuple):
    """One run's learning: its score on new mixtures beside what its training loss says."""

    trial: int
    name: str
    audio_s: list[float]
    train_si_snr_db: list[float | None]  # minus the loss
    valid_si_snri_db: list[float | None]


class CurvesData(NamedTuple):
    panels: list[Panel]  # the reference, the front from cheap to dear, then the others by score
    left_out: int


def curves_data(rows: Sequence[Row], epochs: Sequence[Row]) -> CurvesData:
    """The learning curves of up to twelve runs."""
    names = tables.names(rows)
    by_trial: dict[int, list[Row]] = {trial: [] for trial in _by_interest(rows)}
    for epoch in epochs:
        by_trial.setdefault(epoch["trial"], []).append(epoch)
    panels = [
        Panel(trial, names.get(trial, str(trial)), [epoch["audio_s"] for epoch in curve],
              [None if (loss := tables.number(epoch["train_loss_db"])) is None else -loss for epoch in curve],
              [tables.number(epoch["valid_si_snri_db"]) for epoch in curve])
        for trial, curve in by_trial.items() if curve]
    return CurvesData(panels[:CURVES_AT_MOST], max(0, len(panels) - CURVES_AT_MOST))


def draw_curves(data: CurvesData, axes: Sequence[Axes]) -> None:
    """Small multiples with equal axes."""
    for panel, ax in zip(data.panels, axes, strict=False):
        for curve, colour, marker in ((panel.train_si_snr_db, ORANGE, "s"),
                                      (panel.valid_si_snri_db, BLUE, "o")):
            y = [np.nan if value is None else value for value in curve]
            ax.plot(panel.audio_s, y, color=colour, marker=marker, markersize=2.4, linewidth=1.2)
        ax.set_title(_wrapped(panel.name), loc="left", pad=3)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ink.tick(value)))
        sns.despine(ax=ax)
    if data.panels:
        ink.common_legend(axes, [("train: SI-SNR (minus the loss)", ORANGE, "s"),
                                 ("validation: SI-SNRi", BLUE, "o")])
        ink.common_labels(axes, "seconds of sound trained on", "dB")
    ink.close(axes, len(data.panels), "No epoch has ended yet.")


class Letter(NamedTuple):
    """One letter's values and the scores under each."""

    letter: str
    values: list[Any]
    scores: list[list[float]]
    kinds: list[list[str]]  # likewise: front, beaten or reference
    medians: list[float]


def letters_data(rows: Sequence[Row]) -> list[Letter]:
    """Scores of the finished runs by value, for each letter that has more than one."""
    kept = {row["trial"] for row in tables.front(rows)}

    def kind(row: Row) -> str:
        return "reference" if row["trial"] == 0 else "front" if row["trial"] in kept else "beaten"

    found = []
    for letter in (*LETTERS, "norm", "causal"):
        groups: dict[Any, list[Row]] = {}
        for row in tables.finished(rows):
            groups.setdefault(row[letter], []).append(row)
        if len(groups) > 1:
            values = sorted(groups)
            scores = [[row[SCORE] for row in groups[value]] for value in values]
            kinds = [[kind(row) for row in groups[value]] for value in values]
            found.append(Letter(letter, values, scores, kinds, [float(np.median(some)) for some in scores]))
    return found


def draw_letters(data: Sequence[Letter], axes: Sequence[Axes]) -> None:
    """One panel per letter; values stand at equal distances, runs beside each other."""
    looks = {"beaten": (GREY, "o", 14), "front": (BLUE, "o", 20), "reference": (VERMILION, "*", 80)}
    for letter, ax in zip(data, axes, strict=False):
        for place, (scores, kinds) in enumerate(zip(letter.scores, letter.kinds, strict=True)):
            # Spread by the golden ratio: neighbours in time stand apart, and every drawing is the same.
            aside = place + 0.44 * ((np.arange(len(scores)) * 0.618 + 0.5) % 1 - 0.5)
            for kind, (colour, marker, size) in looks.items():
                chosen = [i for i, other in enumerate(kinds) if other == kind]
                ax.scatter(aside[chosen], [scores[i] for i in chosen], s=size, marker=marker, color=colour,
                           edgecolors=PAPER, linewidths=0.5, zorder=4 if kind == "reference" else 3)
            ax.hlines(letter.medians[place], place - 0.3, place + 0.3, color=INK, linewidth=1.6, zorder=5)
        ax.plot(range(len(letter.medians)), letter.medians, color=INK, linewidth=0.7, zorder=2)
        ax.set_xticks(range(len(letter.values)), [str(value) for value in letter.values])
        ax.set_xlim(-0.6, len(letter.values) - 0.4)
        ax.set_xlabel(letter.letter, labelpad=1.5)
        ax.grid(axis="y")
        sns.despine(ax=ax)
    if data:
        ink.common_legend(axes, [("beaten by none", BLUE, "o"), ("beaten", GREY, "o"),
                                 ("reference", VERMILION, "*"), ("median", INK, "_")], line=False)
        ink.common_labels(axes, "value of the letter", "SI-SNRi (dB)")
    ink.close(axes, len(data), "No letter has two values yet.")


class Spread(NamedTuple):
    """One run's scores over the test mixtures."""

    trial: int
    name: str
    parameters: int
    si_snri_db: list[float]
    median_db: float
    unscored: int


def mixtures_data(rows: Sequence[Row], mixtures: Sequence[Row]) -> list[Spread]:
    """The reference and the front, or an even choice of it, from few parameters to many."""
    front = [row for row in tables.front(rows) if row["trial"] != 0]
    if len(front) >= DISTRIBUTIONS_AT_MOST:
        even = np.linspace(0, len(front) - 1, DISTRIBUTIONS_AT_MOST - 1).round().astype(int)
        front = [front[i] for i in even]
    runs = [*front, *(row for row in tables.finished(rows) if row["trial"] == 0)]
    names, found = tables.names(rows), []
    for row in sorted(runs, key=lambda row: (row["parameters"], row["trial"])):
        own = [mixture[SCORE] for mixture in mixtures if mixture["trial"] == row["trial"]]
        scores = [score for score in own if tables.number(score) is not None]
        if scores:
            found.append(Spread(row["trial"], names[row["trial"]], row["parameters"], scores,
                                float(np.median(scores)), len(own) - len(scores)))
    return found


def draw_mixtures(data: Sequence[Spread], axes: Axes) -> None:
    """A hill of density over the mixtures themselves, one run under the other, the smallest on top."""
    for place, run in enumerate(data):
        colour = VERMILION if run.trial == 0 else BLUE
        grid, density = _density(run.si_snri_db)
        axes.fill_between(grid, place, place - 0.82 * density, color=colour, alpha=0.22, lw=0, zorder=2)
        axes.plot(grid, place - 0.82 * density, color=colour, linewidth=0.9, zorder=3)
        axes.plot(run.si_snri_db, np.full(len(run.si_snri_db), place + 0.09), linestyle="", marker="|",
                  markersize=4, markeredgewidth=0.6, color=colour, alpha=0.7, zorder=3)
        axes.plot([run.median_db] * 2, [place, place - 0.5], color=INK, linewidth=1.3, zorder=4)
        axes.annotate(f"{run.median_db:.1f}", (run.median_db, place - 0.28), (2.5, 0), zorder=5,
                      textcoords="offset points", fontsize=6.2, va="center")
    if data:
        axes.axvline(0, color=INK, linewidth=0.7, linestyle=":", zorder=1)
        axes.set_yticks(range(len(data)), [f"{run.name}\n{tables.engineering(run.parameters)} parameters"
                                           for run in data])
        axes.set_ylim(len(data) - 0.6, -1.0)
        axes.set_xlabel("SI-SNRi of each test mixture (dB)")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        sns.despine(ax=axes, left=True)
    ink.close([axes], len(data), "No test mixture has been scored yet.")


def _density(values: Sequence[float]) -> tuple[Any, Any]:
    """A Gaussian kernel density with Silverman's width, its top at 1."""
    spread = min(float(np.std(values)), float(np.subtract(*np.percentile(values, [75, 25]))) / 1.349)
    width = max(0.9 * spread * len(values) ** -0.2, 0.15)
    grid = np.linspace(min(values) - 2.5 * width, max(values) + 2.5 * width, DENSITY_STEPS)
    density = np.exp(-0.5 * ((grid[:, None] - np.asarray(values)) / width) ** 2).sum(axis=1)
    return grid, density / density.max()


def _by_interest(rows: Sequence[Row]) -> list[int]:
    """Trials: the reference, the front from cheap to dear, then the others by score."""
    front = [row["trial"] for row in tables.front(rows)]
    rest = sorted(rows, key=lambda row: (-(tables.number(row[SCORE]) or -1e9), row["trial"]))
    return list(dict.fromkeys([*(row["trial"] for row in rows if row["trial"] == 0), *front,
                               *(row["trial"] for row in rest)]))


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


class Drawn(NamedTuple):
    """A figure's numbers and its two files."""

    data: Any
    svg: str
    png: bytes
    unlabelled: int = 0  # labels that found no room


def draw_all(rows: Sequence[Row], epochs: Sequence[Row], mixtures: Sequence[Row]) -> dict[str, Drawn]:
    """Every figure of the report, by the name of its file."""
    with ink.house_style():
        return {"front_parameters": _drawn_front(front_data(rows, "parameters")),
                "front_macs": _drawn_front(front_data(rows, "macs_per_s")),
                "curves": _drawn_panels(draw_curves, curves_data(rows, epochs), 4, 1.45),
                "letters": _drawn_panels(draw_letters, letters_data(rows), 4, 1.75),
                "mixtures": _drawn_mixtures(mixtures_data(rows, mixtures))}


def _drawn_front(data: FrontData) -> Drawn:
    figure = ink.paper(3.9)
    # Fixed margins: labels are placed once, on axes that will not move.
    unlabelled = draw_front(data, figure.add_axes((0.072, 0.115, 0.915, 0.815)))
    return Drawn(data, *ink.files(figure), unlabelled)


def _drawn_panels(draw: Callable[[Any, Sequence[Axes]], None], data: Any, most: int,
                  height_in: float) -> Drawn:
    """Small multiples, up to `most` beside each other, rows as even as they can be."""
    count = max(1, len(data.panels if isinstance(data, CurvesData) else data))
    lines = -(-count // most)
    across = -(-count // lines)
    figure = ink.paper(0.55 + height_in * lines, layout="constrained")
    grid = figure.subplots(lines, across, sharey=True, sharex=draw is draw_curves, squeeze=False)
    draw(data, list(grid.flat))
    return Drawn(data, *ink.files(figure))


def _drawn_mixtures(data: list[Spread]) -> Drawn:
    figure = ink.paper(0.8 + 0.42 * max(len(data), 2), layout="constrained")
    draw_mixtures(data, figure.subplots())
    return Drawn(data, *ink.files(figure))
