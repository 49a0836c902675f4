"""What all figures share: colours, type, axes, and how a figure becomes files.

Everything is drawn on `matplotlib.figure.Figure`, never through pyplot, inside a context that puts every
setting back. Sizes are those of a paper: 7.16 inches across both columns, type of 6 to 8 points.
"""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, GREY, GRID, PAPER = "#232629", "#8f9499", "#e2e4e6", "#ffffff"
BLUE, ORANGE, _, VERMILION = sns.color_palette("colorblind").as_hex()[:4]
# A page that knows dark from light replaces each colour by the style variable of this name.
COLOURS = {"ink": INK, "grey": GREY, "grid": GRID, "paper": PAPER,
           "blue": BLUE, "orange": ORANGE, "vermilion": VERMILION}
WIDTH_IN, DOTS_PER_INCH = 7.16, 200
SETTINGS = {
    **sns.axes_style("ticks"), **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans", "font.size": 7.5, "axes.labelsize": 8, "axes.titlesize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7, "legend.frameon": False,
    "axes.linewidth": 0.7, "xtick.major.width": 0.7, "ytick.major.width": 0.7, "xtick.major.size": 3,
    "ytick.major.size": 3, "xtick.minor.size": 1.8, "xtick.minor.width": 0.5, "grid.linewidth": 0.6,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "grid.color": GRID, "axes.facecolor": PAPER, "figure.facecolor": PAPER, "axes.axisbelow": True,
    # Letters as outlines look the same everywhere, and keep the room that was measured for labels.
    "svg.fonttype": "path", "svg.hashsalt": "study",
}


def house_style() -> AbstractContextManager[None]:
    """The settings of every figure, for as long as the context is open."""
    return mpl.rc_context(SETTINGS)


def paper(height_in: float, **options: Any) -> Figure:
    """An empty figure as wide as a page."""
    return Figure(figsize=(WIDTH_IN, height_in), **options)


def files(figure: Figure) -> tuple[str, bytes]:
    """The figure as SVG and as PNG; the same ink gives the same bytes."""
    if figure.get_layout_engine():
        figure.draw_without_rendering()  # lay it out once ...
        figure.set_layout_engine("none")  # ... for both files
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return svg.getvalue(), png.getvalue()


def log_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic x axis with room at both ends, and ticks such as 20k, 50k, 1M."""
    low, high = (min(values), max(values)) if values else (1e4, 1e6)
    room = max((high / low) ** 0.06, 1.15)
    axes.set_xscale("log")
    axes.set_xlim(low / room**1.6, high * room)  # labels like to lie to the left
    near = high / low < 300
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if near else (1,), numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
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


def wrapped(name: str) -> str:
    """At most two lines, the second at most as long as the first by a word."""
    words = name.split()
    half = (len(words) + 1) // 2 if len(words) > 3 else len(words)
    return "\n".join(" ".join(part) for part in (words[:half], words[half:]) if part)


def common_legend(axes: Sequence[Axes], keys: Sequence[tuple[str, str, str]], line: bool = True) -> None:
    handles = [Line2D([], [], color=colour, marker=marker, linestyle="-" if line else "", label=text,
                      markersize=8 if marker in "*_" else 4) for text, colour, marker in keys]
    axes[0].figure.legend(handles=handles, loc="outside upper left", ncols=len(keys), columnspacing=1.6)


def common_labels(axes: Sequence[Axes], x: str, y: str) -> None:
    axes[0].figure.supxlabel(x, fontsize=8)
    axes[0].figure.supylabel(y, fontsize=8)


def close(axes: Sequence[Axes], used: int, note: str) -> None:
    """Hide axes nothing was drawn on; say why where that is all of them."""
    for ax in axes[used:]:
        ax.set_axis_off()
    if not used:
        axes[0].text(0.5, 0.5, note, transform=axes[0].transAxes, ha="center", va="center")
