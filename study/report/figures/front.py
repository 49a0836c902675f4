"""The figure of the front against one cost: its numbers (`front_data`), then the drawing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from study.analysis import trials
from study.analysis.cost_axes import axis_of, device_of, is_predicted
from study.analysis.extrapolation import rising
from study.analysis.replicates import SCORE, Row, number
from study.records import Estimate
from study.report.figures import label_placement, style
from study.report.figures.style import BLACK, BLUE, GREY, ORANGE, VERMILION, WHITE

BARS_AT_MOST = 60  # variants; of more, only the front and the reference have bars
LABELS_AT_MOST = 8  # names of variants, and of published results
CROWD = 200  # variants whose names must lie on points
LEGEND_COLUMNS = 4
LIKELY = 0.05  # chances below it are not drawn


class Published(NamedTuple):
    """Somebody else's result, from another corpus or budget."""

    name: str
    parameters: float
    si_snri_db: float
    macs_per_s: float | None = None  # None: not on the front of MACs


class Point(NamedTuple):
    """One variant in the plane of one cost and the score."""

    trial: int
    name: str
    cost: float
    si_snri_db: float
    on_line: bool  # on the front of these two axes alone
    interval_db: tuple[float, float] | None  # 95 %
    chance: float | None  # of being Pareto-optimal in score, parameters and MACs together
    not_converged: bool = False  # sure to gain from more audio


class FrontData(NamedTuple):
    """Variants against one cost, cheapest first."""

    cost: str
    front: list[Point]  # of score, parameters and MACs together
    dominated: list[Point]
    line: list[tuple[float, float]]  # the front of score and this cost alone
    reference: Point | None  # also in `front` or `dominated`
    published: list[tuple[str, float, float]]  # (name, cost, SI-SNRi in dB), cheapest first
    unmeasured: int  # finished variants whose cost is not known
    predicted: int = 0  # variants whose cost on a device is predicted
    int8: Sequence[Point] = ()  # variants in int8, with the score and the cost they have so

    @property
    def points(self) -> list[Point]:
        return [*self.front, *self.dominated]

    @property
    def front_and_reference(self) -> list[Point]:
        return [*self.front, *([self.reference] if self.reference else [])]

    @property
    def with_bars(self) -> list[Point]:
        """Those whose intervals are drawn."""
        some = self.points if len(self.points) <= BARS_AT_MOST else self.front_and_reference
        return [point for point in some if point.interval_db]

    @property
    def not_converged(self) -> list[Point]:
        """Those that are marked so, of the front and the reference alone."""
        some = {point.trial: point for point in self.front_and_reference}
        return [point for point in some.values() if point.not_converged]

    @property
    def crowded(self) -> bool:
        return len(self.points) > CROWD

    @property
    def named(self) -> list[Point]:
        """The reference, and of the front its ends and an even choice of the best at their cost."""
        distinct = {(p.name, p.cost, p.si_snri_db): p for p in self.front}
        front = list(distinct.values())
        if len(front) >= LABELS_AT_MOST:
            front = [point for point in front if point.on_line] or front
        named = [self.reference] if self.reference else []
        named += _evenly(front, LABELS_AT_MOST - len(named))
        return sorted({p.trial: p for p in named}.values(), key=lambda point: point.cost)


def _evenly(points: list[Point], most: int) -> list[Point]:
    """At most so many of the points, evenly over the logarithm of their cost."""
    if len(points) <= most:
        return points
    costs = np.log([point.cost for point in points])
    wanted = np.linspace(costs[0], costs[-1], most)
    return [points[i] for i in sorted({int(abs(costs - cost).argmin()) for cost in wanted})]


def kinds(rows: Sequence[Row]) -> dict[int, str]:
    """By trial of the finished variants: 'reference', 'front' or 'dominated'."""
    front = {row["trial"] for row in trials.front(rows)}
    found = {row["trial"]: "front" if row["trial"] in front else "dominated"
             for row in trials.finished(rows)}
    return found | ({0: "reference"} if 0 in found else {})


def front_data(
    rows: Sequence[Row], cost: str, intervals: Mapping[int, Estimate] = {},
    chance: Mapping[int, float] = {}, published: Sequence[Published] = (),
    int8: Sequence[Row] = (),
) -> FrontData:
    """The finished variants, a row each, against `cost`, a column that `cost_axes` knows; empty
    where none has it. `int8` are rows of variants as they are in int8."""
    names, finished = trials.names(rows), trials.finished(rows)
    measured = [row for row in finished if number(row.get(cost)) is not None]
    small = [row for row in int8 if number(row.get(cost)) is not None] if device_of(cost) else []
    line = trials.front([*measured, *small], (cost,))
    on_line = set(map(id, line))
    front = {row["trial"] for row in trials.front(rows)}

    def point(row: Row) -> Point:
        trial = row["trial"]
        interval = intervals.get(trial)
        return Point(trial, names[trial], row[cost], row[SCORE], id(row) in on_line,
                     (interval.low, interval.high) if interval else None, chance.get(trial),
                     rising(row))

    points = sorted(map(point, measured), key=lambda point: (point.cost, point.trial))
    others = [(one.name, place, one.si_snri_db) for one in published
              if (place := getattr(one, cost, None)) is not None]
    return FrontData(
        cost,
        front=[point for point in points if point.trial in front],
        dominated=[point for point in points if point.trial not in front],
        line=sorted({(float(row[cost]), float(row[SCORE])) for row in line}),
        reference=next((point for point in points if point.trial == 0), None),
        published=sorted(others, key=lambda other: other[1:]),
        unmeasured=len(finished) - len(measured),
        predicted=sum(is_predicted(row, cost) for row in measured),
        int8=[point(row)._replace(interval_db=None, chance=None) for row in small])


def draw_front(data: FrontData, axes: Axes) -> int:
    """Dominated variants in grey, the front in blue, the reference as a star.

    Returns how many variants of the front have no label.
    """
    _scales(data, axes)
    end = max(p.cost for p in data.points) if data.published else axes.get_xlim()[1]
    steps = [*data.line, (end, data.line[-1][1])] if data.line else []
    axes.plot(*_columns(steps), drawstyle="steps-post", color=BLUE, linewidth=1.1, zorder=2)
    _bars(data, axes)
    _chances(data.points, axes)
    _variants(data, axes)
    published = [place for _, *place in data.published]
    style.scatter(axes, published, (WHITE, "D", 20), zorder=2.5, edge=ORANGE, width=0.9)
    axes.legend(handles=legend(data), loc="lower left", bbox_to_anchor=(-0.01, 1.0),
                ncols=LEGEND_COLUMNS, handletextpad=0.2, columnspacing=1.4, borderaxespad=0.1)
    return _label(data, axes)


def _scales(data: FrontData, axes: Axes) -> None:
    """Both axes, with room for all that will be drawn."""
    published = [(cost, score) for _, cost, score in data.published]
    costs, scores = _columns([*_places([*data.points, *data.int8]), *published])
    ends = [end for point in data.with_bars for end in point.interval_db or ()]
    style.log_axis(axes, costs, axis_of(data.cost).tick)
    style.score_axis(axes, [*scores, *ends])
    axes.set(xlabel=axis_of(data.cost).label, ylabel="SI-SNRi on the test set (dB)")
    axes.grid(axis="y")


def _bars(data: FrontData, axes: Axes) -> None:
    important = {point.trial for point in data.front_and_reference}
    for point in data.with_bars:
        colour = BLACK if point.trial in important else GREY
        axes.plot([point.cost] * 2, point.interval_db or (), color=colour, linewidth=0.6,
                  zorder=2.2)


def _chances(points: Sequence[Point], axes: Axes) -> None:
    """The chance of being Pareto-optimal, as a pale disc whose area grows with it."""
    likely = [point for point in points if (point.chance or 0.0) >= LIKELY]
    areas = [30 + 190 * (point.chance or 0.0) for point in likely]
    axes.scatter(*_columns(_places(likely)), s=areas, color=BLUE, alpha=0.2, linewidths=0,
                 zorder=1.5, rasterized=len(likely) > style.MANY)


def _variants(data: FrontData, axes: Axes) -> None:
    """A marker each; a small triangle within that of a variant that has not converged."""
    reference = data.reference
    trial = reference.trial if reference else None
    for points, on_line, face, edge, area in (
        (data.dominated, False, GREY, WHITE, 18),
        (data.dominated, True, GREY, BLUE, 22),
        (data.front, False, WHITE, BLUE, 22),
        (data.front, True, BLUE, WHITE, 30),
    ):
        some = [p for p in points if p.trial != trial and p.on_line == on_line]
        style.scatter(axes, _places(some), (face, "o", area), edge=edge, width=0.9)
    for best, face, edge in ((False, WHITE, ORANGE), (True, ORANGE, WHITE)):
        places = _places([point for point in data.int8 if point.on_line == best])
        style.scatter(axes, places, (face, "s", 22), edge=edge, width=0.9)
    if reference:
        axes.axhline(reference.si_snri_db, color=VERMILION, linewidth=0.9, linestyle=":", zorder=1)
        style.scatter(axes, _places([reference]), (VERMILION, "*", 110), zorder=4, width=0.7)
    for point in data.not_converged:  # inside of the marker, where it meets no label
        colour = WHITE if point.on_line or point.trial == trial else BLUE
        style.scatter(axes, _places([point]), (colour, "^", 9), zorder=4.5, width=0)


def legend(data: FrontData) -> list[Line2D]:
    """The entries of what is in the figure."""
    front, dominated = ({point.on_line for point in points if point.trial != 0}
                        for points in (data.front, data.dominated))
    elsewhere = "for its other cost" if data.cost in trials.COSTS else "not best here"
    chance = Line2D([], [], linestyle="", marker="o", markersize=11, color=BLUE, alpha=0.2,
                    markeredgewidth=0, label="chance to be on the front")
    entries = [
        (True in front, _entry("Pareto-optimal, best at its cost", BLUE, WHITE)),
        (False in front, _entry(f"Pareto-optimal, {elsewhere}", WHITE, BLUE, size=4.7)),
        (False in dominated, _entry("dominated", GREY, WHITE, size=5)),
        (True in dominated, _entry("dominated, but best here", GREY, BLUE, size=4.7)),
        (data.reference, _entry("reference", VERMILION, WHITE, "*", 9)),
        (data.with_bars, _entry("95 % interval", BLACK, BLACK, "|", 9)),
        (any(point.chance is not None for point in data.points), chance),
        (data.not_converged, _entry("not converged", WHITE, BLUE, "^", 4.5)),
        (data.int8, _entry("in int8", ORANGE, WHITE, "s", 5)),
        (data.published, _entry("published, other corpus/budget", WHITE, ORANGE, "D", 4.5)),
    ]
    return [entry for there, entry in entries if there]


def _entry(text: str, face: str, edge: str, shape: str = "o", size: float = 5.5) -> Line2D:
    return Line2D([], [], linestyle="", marker=shape, markersize=size, markerfacecolor=face,
                  markeredgecolor=edge, markeredgewidth=0.9, label=text)


class Label(NamedTuple):
    """A name and the point it belongs to."""

    text: str
    cost: float
    si_snri_db: float
    slant: str  # italic: of a published result


def _label(data: FrontData, axes: Axes) -> int:
    """Write names beside points where they cover nothing; the axes must have their final size.

    Returns how many variants of the front are not named.
    """
    font: dict[str, Any] = {"fontsize": 6.2, "linespacing": 1.05, "color": BLACK, "zorder": 5}
    if data.crowded:  # names can only lie on points
        font["bbox"] = {"facecolor": WHITE, "edgecolor": "none", "alpha": 0.75, "pad": 0.4}
    labels = [Label(p.name, p.cost, p.si_snri_db, "normal") for p in data.named]
    labels += [Label(*one, "italic") for one in data.published[:LABELS_AT_MOST]]
    anchors = _in_points(axes, [(label.cost, label.si_snri_db) for label in labels])
    sizes = [_size(axes, label, font) for label in labels]
    frame = axes.get_window_extent()
    area = np.array([frame.x0, frame.y0, frame.width, frame.height]) * _points_per_pixel(axes)
    corners = label_placement.place(anchors, sizes, area, _obstacles(data, axes), radius=3.4)
    for label, anchor, size, corner in zip(labels, anchors, sizes, corners, strict=True):
        if corner:
            _write(label, np.subtract(corner, anchor), size, font, axes)
    written = {label.text for label, corner in zip(labels, corners, strict=True)
               if corner and label.slant == "normal"}
    return len({point.name for point in data.front} - written)


def _write(label: Label, offset: Any, size: Any, font: dict[str, Any], axes: Axes) -> None:
    """The label so far from its point, with a line to it where it is not near."""
    nearest = np.clip(0, offset, offset + size)  # of the label's box, seen from the point
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3.2,
              "relpos": tuple((nearest - offset) / size)}
    axes.annotate(style.wrapped(label.text), (label.cost, label.si_snri_db), tuple(offset + 0.5),
                  textcoords="offset points", fontstyle=label.slant, **font,
                  arrowprops=leader if np.hypot(*nearest) > 6 else None)


def _obstacles(data: FrontData, axes: Axes) -> Any:
    """What labels should not lie on: markers, and places along the lines; in points."""
    reference = data.reference
    level = [(x, reference.si_snri_db) for x in axes.get_xlim()] if reference else []
    bars = [[(p.cost, end) for end in p.interval_db or ()] for p in data.with_bars]
    lines = [_sampled(_in_points(axes, line)) for line in (data.line, level, *bars) if line]
    published = [(cost, score) for _, cost, score in data.published]
    markers = [*_places([*data.points, *data.int8]), *published]
    return np.concatenate([_in_points(axes, markers), *lines])


def _points_per_pixel(axes: Axes) -> float:
    """Labels are placed in points, so that the file's resolution does not matter."""
    return float(72 / axes.figure.dpi)


def _in_points(axes: Axes, pairs: Sequence[Any]) -> Any:
    places = np.asarray(pairs, dtype=float).reshape(-1, 2)
    return axes.transData.transform(places) * _points_per_pixel(axes)


def _size(axes: Axes, label: Label, font: dict[str, Any]) -> Any:
    """Width and height of a label in points, with a margin; nothing stays on the axes."""
    text: Text = axes.text(0, 0, style.wrapped(label.text), transform=axes.transAxes,
                           fontstyle=label.slant, **font)
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height]) * _points_per_pixel(axes) + 1.0


def _sampled(corners: Any) -> Any:
    """Places along the step line through `corners`."""
    x, y = np.repeat(corners[:, 0], 2)[1:], np.repeat(corners[:, 1], 2)[:-1]
    along, places = np.linspace(0, len(x) - 1, 40 * len(x)), np.arange(len(x))
    return np.column_stack([np.interp(along, places, side) for side in (x, y)])


def _places(points: Iterable[Point]) -> list[tuple[float, float]]:
    return [(point.cost, point.si_snri_db) for point in points]


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]
