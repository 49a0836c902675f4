"""The figure of the front against one cost: first the numbers (`front_data`), then the ink (`draw_front`) and the words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from study.analysis import trials
from study.analysis.extrapolation import rising
from study.analysis.replicates import SCORE, Row, number
from study.records import Estimate
from study.report.figures import label_placement, style
from study.report.figures.style import BLUE, GREY, INK, ORANGE, PAPER, VERMILION

# By cost: what stands below the axis, its unit, and the words for it in a sentence.
AXES = {
    "parameters": ("parameters", 1.0, "parameters"),
    "macs_per_s": ("multiply-accumulates for one second of audio (MACs per s)", 1.0, "MACs per second of audio"),
    "realtime_factor": ("real-time factor on one thread (s of computing per s of audio)", 1.0,
                        "the real-time factor on one thread"),
    "peak_memory_bytes": ("peak memory while one second of audio is separated (MB)", 1e6, "peak memory")}
BARS_AT_MOST = 60  # variants; of more, only what is on the front and the reference have bars
LABELS_AT_MOST, CROWD = 8, 200  # names of variants, and of published results; variants whose names lie on points
KEYS_IN_A_LINE = 4
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
    chance: float | None  # of being beaten by none, in score, parameters and MACs together
    rising: bool = False  # sure to gain from more sound


class FrontData(NamedTuple):
    """Variants against one cost, cheapest first."""

    cost: str
    kept: list[Point]  # on the front of score, parameters and MACs together
    beaten: list[Point]
    line: list[tuple[float, float]]  # the front of score and this cost alone
    reference: Point | None  # also among `kept` or `beaten`
    published: list[tuple[str, float, float]]  # (name, cost, SI-SNRi in dB), cheapest first
    unmeasured: int  # finished variants whose cost is not known

    @property
    def barred(self) -> list[Point]:
        """Whose intervals are drawn."""
        points = [*self.kept, *self.beaten]
        few = points if len(points) <= BARS_AT_MOST else [*self.kept, *([self.reference] if self.reference else [])]
        return [point for point in few if point.interval_db]

    @property
    def rising(self) -> list[Point]:
        """Who is marked as still rising: only what the front is made of, and the reference."""
        return [point for point in {p.trial: p for p in (*self.kept, *([self.reference] if self.reference else []))}.values()
                if point.rising]

    @property
    def crowded(self) -> bool:
        return len(self.kept) + len(self.beaten) > CROWD

    @property
    def named(self) -> list[Point]:
        """Whose names are written: the reference, and of the front the ends and an even choice of the best at their cost."""
        known = {(p.name, p.cost, p.si_snri_db): p for p in self.kept}
        own = [self.reference] if self.reference else []
        best = [point for point in known.values() if point.on_line] or list(known.values())
        others = list(known.values()) if len(known) < LABELS_AT_MOST else best
        if others:
            costs = np.log([point.cost for point in others])
            wanted = np.linspace(costs[0], costs[-1], LABELS_AT_MOST - len(own))
            places = range(len(others)) if len(others) <= len(wanted) else [int(abs(costs - cost).argmin()) for cost in wanted]
            own += [others[place] for place in sorted(set(places))]
        return sorted({point.trial: point for point in own}.values(), key=lambda point: point.cost)


def kinds(rows: Sequence[Row]) -> dict[int, str]:
    """By trial of the finished variants: 'reference', 'front' or 'beaten'."""
    kept = {row["trial"] for row in trials.front(rows)}
    return {row["trial"]: "reference" if row["trial"] == 0 else "front" if row["trial"] in kept else "beaten"
            for row in trials.finished(rows)}


def front_data(rows: Sequence[Row], cost: str, intervals: Mapping[int, Estimate] = {}, chance: Mapping[int, float] = {},
               published: Sequence[Published] = ()) -> FrontData:
    """The finished variants, a row each, against `cost`, one of AXES; empty where no variant has it."""
    names, finished = trials.names(rows), trials.finished(rows)
    known = [row for row in finished if number(row.get(cost)) is not None]
    line = trials.front(known, (cost,))
    on_line, kept = ({row["trial"] for row in some} for some in (line, trials.front(rows)))

    def point(row: Row) -> Point:
        trial = row["trial"]
        ends = (intervals[trial].low, intervals[trial].high) if trial in intervals else None
        return Point(trial, names[trial], row[cost], row[SCORE], trial in on_line, ends, chance.get(trial), rising(row))
    points = sorted(map(point, known), key=lambda point: (point.cost, point.trial))
    others = [(one.name, place, one.si_snri_db) for one in published if (place := getattr(one, cost, None)) is not None]
    return FrontData(cost, [point for point in points if point.trial in kept],
                     [point for point in points if point.trial not in kept],
                     sorted({(float(row[cost]), float(row[SCORE])) for row in line}),
                     next((point for point in points if point.trial == 0), None),
                     sorted(others, key=lambda other: other[1:]), len(finished) - len(known))


def draw_front(data: FrontData, axes: Axes) -> int:
    """Grey what is beaten, blue what is kept, a star for the reference. Returns how many kept variants have no label."""
    title, unit, _ = AXES[data.cost]
    points = [*data.kept, *data.beaten]
    style.log_axis(axes, [*(point.cost for point in points), *(cost for _, cost, _ in data.published)], unit)
    ends = [end for point in data.barred for end in point.interval_db or ()]
    style.score_axis(axes, [*(point.si_snri_db for point in points), *ends, *(score for _, _, score in data.published)])
    axes.set(xlabel=title, ylabel="SI-SNRi on the test set (dB)")
    axes.grid(axis="y")
    end = max(point.cost for point in points) if data.published else axes.get_xlim()[1]
    steps = [*data.line, (end, data.line[-1][1])] if data.line else []
    axes.plot(*_columns(steps), drawstyle="steps-post", color=BLUE, linewidth=1.1, zorder=2)
    _bars(data, axes)
    _halos(points, axes)
    own = data.reference.trial if data.reference else None
    for some, on_line, face, edge, area in ((data.beaten, False, GREY, PAPER, 18), (data.beaten, True, GREY, BLUE, 22),
                                            (data.kept, False, PAPER, BLUE, 22), (data.kept, True, BLUE, PAPER, 30)):
        places = [(p.cost, p.si_snri_db) for p in some if p.trial != own and p.on_line == on_line]
        style.marks(axes, places, (face, "o", area), edge=edge, width=0.9)
    if data.reference:
        axes.axhline(data.reference.si_snri_db, color=VERMILION, linewidth=0.9, linestyle=":", zorder=1)
        style.marks(axes, [(data.reference.cost, data.reference.si_snri_db)], (VERMILION, "*", 110), zorder=4, width=0.7)
    for point in data.rising:       # inside of the mark, where it meets no label
        colour = PAPER if point.on_line or point.trial == own else BLUE
        style.marks(axes, [(point.cost, point.si_snri_db)], (colour, "^", 9), zorder=4.5, width=0)
    style.marks(axes, [place for _, *place in data.published], (PAPER, "D", 20), zorder=2.5, edge=ORANGE, width=0.9)
    axes.legend(handles=legend(data), loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=KEYS_IN_A_LINE, handletextpad=0.2,
                columnspacing=1.4, borderaxespad=0.1)
    return _label(data, axes)


def _bars(data: FrontData, axes: Axes) -> None:
    kept = {point.trial for point in data.kept}
    for point in data.barred:
        colour, width = (INK, 0.6) if point.trial in kept or point.trial == 0 else (GREY, 0.6)
        axes.plot([point.cost] * 2, point.interval_db or (), color=colour, linewidth=width, zorder=2.2)


def _halos(points: Sequence[Point], axes: Axes) -> None:
    """The chance of being beaten by none, as a pale disc whose area grows with it."""
    likely = [point for point in points if (point.chance or 0.0) >= LIKELY]
    axes.scatter(*_columns([(p.cost, p.si_snri_db) for p in likely]), s=[_halo(p.chance or 0.0) for p in likely], color=BLUE,
                 alpha=0.2, linewidths=0, zorder=1.5, rasterized=len(likely) > style.MANY)


def _halo(chance: float) -> float:
    """Area in square points."""
    return 30 + 190 * chance


def legend(data: FrontData) -> list[Line2D]:
    """The keys of what is in the figure."""
    def key(text: str, face: str, edge: str, marker: str = "o", size: float = 5.5) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, markersize=size, markerfacecolor=face,
                      markeredgecolor=edge, markeredgewidth=0.9, label=text)

    kept, beaten = ({p.on_line for p in some if p.trial != 0} for some in (data.kept, data.beaten))  # some on the line, some not
    other = "for its other cost" if data.cost in trials.COSTS else "not best here"
    keys = [(True in kept, key("Pareto-optimal, best at its cost", BLUE, PAPER)),
            (False in kept, key(f"Pareto-optimal, {other}", PAPER, BLUE, size=4.7)),
            (False in beaten, key("dominated", GREY, PAPER, size=5)),
            (True in beaten, key("dominated, but best here", GREY, BLUE, size=4.7)),
            (data.reference, key("reference", VERMILION, PAPER, "*", 9)),
            (data.barred, key("95 % interval", INK, INK, "|", 9)),
            (any(p.chance is not None for p in (*data.kept, *data.beaten)),
             Line2D([], [], linestyle="", marker="o", markersize=11, color=BLUE, alpha=0.2, markeredgewidth=0,
                    label="chance to be on the front")),
            (data.rising, key("not converged", PAPER, BLUE, "^", 4.5)),
            (data.published, key("published, other corpus/budget", PAPER, ORANGE, "D", 4.5))]
    return [one for wanted, one in keys if wanted]


def _label(data: FrontData, axes: Axes) -> int:
    """Write names beside points where they cover nothing; the axes must have their final size."""
    scale = 72 / axes.figure.dpi  # everything in points, so that the file's resolution does not matter
    font: dict[str, Any] = {"fontsize": 6.2, "linespacing": 1.05, "color": INK, "zorder": 5}
    if data.crowded:  # names can only lie on points
        font["bbox"] = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.4}
    named = [(p.name, p.cost, p.si_snri_db, "normal") for p in data.named]
    named += [(*one, "italic") for one in data.published[:LABELS_AT_MOST]]

    def places(pairs: Sequence[Any]) -> Any:
        return axes.transData.transform(np.asarray(pairs, dtype=float).reshape(-1, 2)) * scale
    sizes = [_size(axes.text(0, 0, style.wrapped(name), transform=axes.transAxes, fontstyle=slant, **font)) * scale + 1.0
             for name, *_, slant in named]
    anchors = places([(cost, score) for _, cost, score, _ in named])
    points = [(p.cost, p.si_snri_db) for p in (*data.kept, *data.beaten)]
    level = [(x, data.reference.si_snri_db) for x in axes.get_xlim()] if data.reference else []
    bars = [[(p.cost, end) for end in p.interval_db or ()] for p in data.barred]
    lines = [_sampled(places(some)) for some in (data.line, level, *bars) if some]
    frame = axes.get_window_extent()
    area = np.array([frame.x0, frame.y0, frame.width, frame.height]) * scale
    avoid = np.concatenate([places([*points, *(place for _, *place in data.published)]), *lines])
    found = label_placement.place(anchors, sizes, area, avoid, radius=3.4)
    for (name, cost, score, slant), anchor, size, corner in zip(named, anchors, sizes, found, strict=True):
        if corner is None:
            continue
        offset = np.subtract(corner, anchor)
        nearest = np.clip(0, offset, offset + size)  # of the label's box, seen from the point
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3.2,
                  "relpos": tuple((nearest - offset) / size)}
        axes.annotate(style.wrapped(name), (cost, score), tuple(offset + 0.5), textcoords="offset points",
                      fontstyle=slant, **font, arrowprops=leader if np.hypot(*nearest) > 6 else None)
    written = {name for (name, *_, slant), corner in zip(named, found, strict=True) if corner and slant == "normal"}
    return len({point.name for point in data.kept} - written)


def _size(text: Text) -> Any:
    """Width and height in pixels; the text is gone afterwards."""
    box = text.get_window_extent()
    text.remove()
    return np.array([box.width, box.height])


def _sampled(corners: Any) -> Any:
    """Places along the step line through `corners`."""
    steps = np.column_stack([np.repeat(corners[:, 0], 2)[1:], np.repeat(corners[:, 1], 2)[:-1]])
    along, places = np.linspace(0, len(steps) - 1, 40 * len(steps)), np.arange(len(steps))
    return np.column_stack([np.interp(along, places, steps[:, side]) for side in (0, 1)])


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]
