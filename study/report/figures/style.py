"""What all figures share: colours, type, axes, markers, and how a figure becomes files.

Everything is drawn on `matplotlib.figure.Figure`, never through pyplot, inside a context that puts
every setting back. Sizes are those of a paper: 7.16 inches across both columns, type of 6 to 8
points.
"""

import io
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

BLACK, GREY, GRID, WHITE = "#232629", "#8f9499", "#e2e4e6", "#ffffff"
BLUE, ORANGE, _, VERMILION = sns.color_palette("colorblind").as_hex()[:4]
# A page that knows dark from light replaces each colour by the style variable of this name.
COLOURS = {
    "text": BLACK, "grey": GREY, "grid": GRID, "background": WHITE,
    "blue": BLUE, "orange": ORANGE, "vermilion": VERMILION,
}
# Colour, shape and area in square points.
MARKERS = {
    "dominated": (GREY, "o", 14),
    "front": (BLUE, "o", 20),
    "reference": (VERMILION, "*", 80),
}
LEGEND = {"front": "Pareto-optimal", "dominated": "dominated", "reference": "reference"}
WIDTH_IN, DOTS_PER_INCH, PIXELS_PER_INCH = 7.16, 200, 150  # of a PNG; of pixels within an SVG
NOTE_IN = 0.12  # from a figure's lower edge down to its note: inside, it would lie on labels
_NOTE: ContextVar[str] = ContextVar("note", default="")
MANY = 400  # markers of one kind; more than that are pixels in the SVG
# Ticks of each decade, by how far an axis spans at most.
TICKS = {
    2.0: (1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 2.8, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9),
    6.0: (1, 1.5, 2, 3, 4, 5, 6, 8),
    500.0: (1, 2, 5),
    math.inf: (1,),
}
GOLDEN = 0.6180339887498949
# Whatever a user's matplotlibrc says, a report looks the same, and is made without LaTeX. No
# backend is ever loaded.
DEFAULTS = {name: value for name, value in mpl.rcParamsDefault.items()
            if not name.startswith("backend")}
SETTINGS = {
    **DEFAULTS, **sns.axes_style("ticks"), **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans", "font.size": 7.5, "axes.labelsize": 8, "axes.titlesize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7, "legend.frameon": False,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7,
    "xtick.major.size": 3, "ytick.major.size": 3, "xtick.minor.size": 1.8,
    "xtick.minor.width": 0.5, "grid.linewidth": 0.6, "grid.color": GRID,
    "text.color": BLACK, "axes.labelcolor": BLACK, "axes.edgecolor": BLACK,
    "xtick.color": BLACK, "ytick.color": BLACK,
    "axes.facecolor": WHITE, "figure.facecolor": WHITE, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False,
    # Type as outlines looks the same everywhere, and keeps the room that was measured for labels.
    "svg.fonttype": "path", "svg.hashsalt": "study",
}


class Drawn(NamedTuple):
    """A figure: its numbers, its two files, and its words."""

    data: Any
    svg: str
    png: bytes
    alt: str  # what a screen reader says
    caption: str  # what is seen and how to read it


@contextmanager
def figure_style(note: str = "") -> Iterator[None]:
    """The settings of every figure while the context is open; `note` is small below each."""
    token = _NOTE.set(note)
    try:
        with mpl.rc_context(SETTINGS):
            yield
    finally:
        _NOTE.reset(token)


def new_figure(height_in: float, **options: Any) -> Figure:
    """An empty figure as wide as a page."""
    return Figure(figsize=(WIDTH_IN, height_in), **options)


def files(figure: Figure) -> tuple[str, bytes]:
    """The figure as SVG and as PNG; the same drawing gives the same bytes."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)  # lay it out once ...
        figure.set_layout_engine(None)  # ... for both files
    size: dict[str, Any] = {}
    if note := _NOTE.get():
        width, height = figure.get_size_inches().tolist()
        text = figure.text(0.004, -NOTE_IN / height, note, size=6, color=VERMILION, va="bottom")
        text.set_in_layout(False)
        size = {"bbox_inches": Bbox([[0, -NOTE_IN - 0.03], [width, height]])}
    svg, png = io.StringIO(), io.BytesIO()
    resolution = min(PIXELS_PER_INCH, DOTS_PER_INCH)
    undated = {"Date": None, "Creator": None}
    figure.savefig(svg, format="svg", dpi=resolution, metadata=undated, **size)
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None}, **size)
    return svg.getvalue(), png.getvalue()


def log_axis(axes: Axes, values: Sequence[float], unit: float = 1.0) -> None:
    """A logarithmic x axis with room at both ends and ticks such as 20k, 50k, 1M, in `unit`."""
    low, high = (min(values), max(values)) if values else (1e4, 1e6)
    room = max((high / low) ** 0.06, 1.15)
    low, high = low / room**1.6, high * room  # labels like to lie to the left
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    subs = next(some for most, some in TICKS.items() if high / low < most)
    axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value / unit)))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(1, 10), numticks=50))
    axes.xaxis.set_minor_formatter(NullFormatter())


def tick(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


def score_axis(axes: Axes, scores: Sequence[float]) -> None:
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    room = max(0.12 * (high - low), 0.25)
    axes.set_ylim(low - room, high + room)


def scatter(
    axes: Axes, points: Any, look: tuple[str, str, float], zorder: float = 3,
    edge: str = WHITE, width: float = 0.5,
) -> None:
    """Markers at (x, y) points; `look` is colour, shape and area as in MARKERS.

    Many become pixels in the SVG: transparent and without edges, since pixels cannot follow a page
    from light to dark.
    """
    colour, shape, area = look
    if not len(points):
        return
    form: dict[str, Any]
    if len(points) > MANY:
        alpha = 0.6 if len(points) < 5 * MANY else 0.35
        form = {"s": 0.5 * area, "linewidths": 0, "edgecolors": "none", "alpha": alpha}
    else:
        form = {"s": area, "linewidths": width, "edgecolors": edge}
    x, y = np.asarray(points, dtype=float).T
    axes.scatter(x, y, color=colour, marker=shape, zorder=zorder,
                 rasterized=len(points) > MANY, **form)


def scatter_kinds(axes: Axes, points: Sequence[tuple[float, float, str]], zorder: float) -> None:
    """Markers at (x, y, kind), one of MARKERS; the reference on top."""
    for name, look in MARKERS.items():
        places = [(x, y) for x, y, kind in points if kind == name]
        scatter(axes, places, look, zorder=zorder + (name == "reference"))


def jitter(count: int) -> Any:
    """So many numbers from −0.5 to 0.5 by the golden ratio: neighbours lie apart, always alike."""
    return (np.arange(count) * GOLDEN + 0.5) % 1 - 0.5


def log2_places(levels: Sequence[float]) -> list[float]:
    """log2 of values; 0, which has none, is an octave below the least."""
    least = min((level for level in levels if level), default=1)
    return [float(np.log2(level or least / 2)) for level in levels]


def minus(text: str) -> str:
    """With real minus signs."""
    return text.replace("-", "\N{MINUS SIGN}")


def wrapped(name: str) -> str:
    """At most two lines, the second at most as long as the first by a word."""
    words = name.split()
    half = (len(words) + 1) // 2 if len(words) > 3 else len(words)
    return "\n".join(" ".join(part) for part in (words[:half], words[half:]) if part)


def legend_entries(kinds: Iterable[str]) -> list[tuple[str, str, str]]:
    """Text, colour and shape for those kinds of MARKERS that are drawn."""
    drawn = set(kinds)
    return [(text, *MARKERS[kind][:2]) for kind, text in LEGEND.items() if kind in drawn]


def common_legend(
    axes: Sequence[Axes], entries: Sequence[tuple[str, str, str]], line: bool = True
) -> None:
    handles = [Line2D([], [], color=colour, marker=shape, linestyle="-" if line else "",
                      label=text, markersize=8 if shape in "*_" else 4)
               for text, colour, shape in entries]
    axes[0].figure.legend(handles=handles, loc="outside upper left", ncols=len(entries),
                          columnspacing=1.6)


def common_labels(axes: Sequence[Axes], x: str, y: str) -> None:
    axes[0].figure.supxlabel(x, fontsize=8)
    axes[0].figure.supylabel(y, fontsize=8)


def hide_unused(axes: Sequence[Axes], used: int, note: str) -> None:
    """Hide axes nothing was drawn on; say why where that is all of them."""
    for ax in axes[used:]:
        ax.set_axis_off()
    if not used:
        axes[0].text(0.5, 0.5, note, transform=axes[0].transAxes, ha="center", va="center")
