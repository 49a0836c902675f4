"""The figure of the front: first the numbers (`front_data`), then the ink (`draw_front`)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from study import ink, labels, tables
from study.ink import BLUE, GREY, INK, PAPER, VERMILION
from study.replicates import SCORE, Row

AXES = {"parameters": "parameters", "macs_per_s": "multiply-accumulates for one second of sound (MACs per s)"}


class Point(NamedTuple):
    """One variant in the plane of one cost and the score."""

    trial: int
    name: str
    cost: float
    si_snri_db: float
    on_line: bool  # on the front of these two axes alone
    span_db: tuple[float, float] | None  # from its lowest to its highest seed, where it has several


class FrontData(NamedTuple):
    """Variants against one cost, cheapest first."""

    cost: str
    kept: list[Point]  # on the front of score, parameters and MACs together
    beaten: list[Point]
    line: list[tuple[float, float]]  # the front of score and this cost alone
    reference: Point | None  # also among `kept` or `beaten`


def front_data(rows: Sequence[Row], cost: str) -> FrontData:
    """The finished variants, a row each, against `cost`, which is 'parameters' or 'macs_per_s'."""
    names, line = tables.names(rows), tables.front(rows, (cost,))
    on_line, kept = ({row["trial"] for row in some} for some in (line, tables.front(rows)))
    points = sorted((Point(row["trial"], names[row["trial"]], row[cost], row[SCORE], row["trial"] in on_line, _span(row))
                     for row in tables.finished(rows)), key=lambda point: (point.cost, point.trial))
    steps = sorted({(float(row[cost]), float(row[SCORE])) for row in line})
    return FrontData(cost, [point for point in points if point.trial in kept],
                     [point for point in points if point.trial not in kept], steps,
                     next((point for point in points if point.trial == 0), None))


def _span(row: Row) -> tuple[float, float] | None:
    return (row["si_snri_low_db"], row["si_snri_high_db"]) if row.get("seeds", 1) > 1 else None


def draw_front(data: FrontData, axes: Axes) -> int:
    """Grey what is beaten, blue what is kept, a star for the reference. Returns labels that found no room."""
    points = [*data.kept, *data.beaten]
    ink.log_axis(axes, [point.cost for point in points])
    spans = [(point.cost, *point.span_db) for point in points if point.span_db]
    ink.score_axis(axes, [*(point.si_snri_db for point in points), *(end for _, *ends in spans for end in ends)])
    axes.set(xlabel=AXES[data.cost], ylabel="SI-SNRi on the test set (dB)")
    axes.grid(axis="y")
    steps = [*data.line, (axes.get_xlim()[1], data.line[-1][1])] if data.line else []
    axes.plot(*_columns(steps), drawstyle="steps-post", color=BLUE, linewidth=1.1, zorder=2)
    for cost, low, high in spans:
        axes.plot([cost] * 2, [low, high], color=INK, linewidth=0.8, marker="_", markersize=4, markeredgewidth=0.8, zorder=2.5)
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
    if any(point.span_db for point in (*data.kept, *data.beaten)):
        keys.append(key("lowest to highest seed", INK, INK, "|", 9))
    axes.legend(handles=keys, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=5, handletextpad=0.2,
                columnspacing=1.4, borderaxespad=0.1)


def _label(data: FrontData, axes: Axes) -> int:
    """Write the name beside each kept point where it covers nothing; the axes must have their final size."""
    scale = 72 / axes.figure.dpi  # everything in points, so that the file's resolution does not matter
    style: dict[str, Any] = {"fontsize": 6.2, "linespacing": 1.05, "color": INK, "zorder": 5}
    named = list({(p.name, p.cost, p.si_snri_db): p for p in data.kept}.values())
    sizes = [_size(axes.text(0, 0, ink.wrapped(p.name), transform=axes.transAxes, **style)) * scale + 1.0
             for p in named]
    anchors = _places(axes, [(p.cost, p.si_snri_db) for p in named]) * scale
    frame = axes.get_window_extent()
    level = [(x, data.reference.si_snri_db) for x in axes.get_xlim()] if data.reference else []
    spans = [[(p.cost, end) for end in p.span_db] for p in (*data.kept, *data.beaten) if p.span_db]
    found = labels.place(
        anchors, sizes, np.array([frame.x0, frame.y0, frame.width, frame.height]) * scale,
        _places(axes, [(p.cost, p.si_snri_db) for p in data.beaten]) * scale,
        lines=np.concatenate([_sampled(_places(axes, some) * scale) for some in (data.line, level, *spans)]),
        radius=3.4)
    for point, anchor, size, corner in zip(named, anchors, sizes, found, strict=True):
        if corner is None:
            continue
        offset = np.subtract(corner, anchor)
        nearest = np.clip(0, offset, offset + size)  # of the label's box, seen from the point
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3.2,
                  "relpos": tuple((nearest - offset) / size)}
        axes.annotate(ink.wrapped(point.name), (point.cost, point.si_snri_db), tuple(offset + 0.5),
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


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]
