"""The figure of the predicted front: a band, measured points, and variants nobody trained."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from study.analysis import trials
from study.analysis.cost_axes import axis_of
from study.analysis.predicted_front import Band, PredictedFront
from study.analysis.replicates import SCORE, Row
from study.report.figures import style
from study.report.figures.style import BLUE, GREY, ORANGE, VERMILION, WHITE


class PredictedData(NamedTuple):
    """The predicted front against each cost, and what was measured: (cost, SI-SNRi in dB)."""

    costs: list[str]
    bands: list[Band]
    measured: list[list[tuple[float, float]]]
    untrained: list[list[tuple[float, float]]]  # variants that the front takes
    reference: list[tuple[float, float]]  # none, or one for each cost
    half_width_db: float


def predicted_data(front: PredictedFront | None, rows: Sequence[Row]) -> PredictedData | None:
    """None where there is no predicted front."""
    if front is None:
        return None
    known, base = trials.finished(rows), trials.reference(trials.finished(rows))
    costs = list(front.bands)
    return PredictedData(
        costs, [front.bands[cost] for cost in costs],
        [[(row[cost], row[SCORE]) for row in known if row["trial"]] for cost in costs],
        [[(getattr(step, cost), step.score.value) for step in front.steps[cost]
          if step.trial is None] for cost in costs],
        [(base[cost], base[SCORE]) for cost in costs] if base else [], front.half_width_db)


def draw_predicted(data: PredictedData, axes: Sequence[Axes]) -> None:
    """A panel for each cost."""
    everything = [point for some in (*data.measured, *data.untrained) for point in some]
    everything += data.reference
    scores = [score for _, score in everything]
    ends = [float(end) for band in data.bands for end in (*band.low, *band.high)]
    for place, (cost, band) in enumerate(zip(data.costs, data.bands, strict=True)):
        own, title, unit = axes[place], axis_of(cost).label, axis_of(cost).tick
        points = data.measured[place]
        style.log_axis(own, [*band.sizes.tolist(), *(x for x, _ in points)], unit)
        style.score_axis(own, [*scores, *ends])
        own.set_xlabel(title.replace("multiply-accumulates for one second of audio (MACs per s)",
                                     "MACs per second of audio"))
        own.grid(axis="y")
        own.fill_between(band.sizes, band.low, band.high, step="post", color=BLUE, alpha=0.18,
                         linewidth=0, zorder=1)
        own.plot(band.sizes, band.expected, drawstyle="steps-post", color=BLUE, linewidth=1.1,
                 zorder=2)
        style.scatter(own, points, (GREY, "o", 14), zorder=2.5)
        untrained = data.untrained[place]
        style.scatter(own, untrained, (WHITE, "D", 15), edge=ORANGE, width=0.9, zorder=3)
        style.scatter(own, data.reference[place:place + 1], (VERMILION, "*", 80), zorder=3.5)
    axes[0].set_ylabel("SI-SNRi on the test set (dB)")
    axes[0].figure.legend(handles=_legend(data), loc="outside upper left", ncols=5,
                          handletextpad=0.4, columnspacing=1.4)


def _legend(data: PredictedData) -> list[Line2D | Patch]:
    def mark(text: str, face: str, edge: str, marker: str, size: float) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, markersize=size, markerfacecolor=face,
                      markeredgecolor=edge, markeredgewidth=0.9, label=text)
    keys: list[tuple[bool, Line2D | Patch]] = [
        (True, Patch(color=BLUE, alpha=0.18, linewidth=0, label="best within the size, 95 %")),
        (True, Line2D([], [], color=BLUE, linewidth=1.1, label="expected of the variant taken")),
        (any(data.untrained), mark("taken, not trained", WHITE, ORANGE, "D", 4.2)),
        (any(data.measured), mark("measured", GREY, WHITE, "o", 5)),
        (bool(data.reference), mark("reference", VERMILION, WHITE, "*", 9))]
    return [key for wanted, key in keys if wanted]
