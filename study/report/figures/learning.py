"""The figures of how variants learned and how the front grew: first the numbers (`x_data`), then the ink (`draw_x`)."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from study.analysis import trials, wording
from study.analysis.hypervolume_curve import Progress
from study.analysis.replicates import SCORE, Row, number
from study.report.figures import style
from study.report.figures.style import BLUE, INK, ORANGE
from tasnet_core.errors import counted

CURVES_AT_MOST = 12
MOST = 0.9  # of the last hypervolume: when it was reached is worth a mark
UNITS_S = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


class Curve(NamedTuple):
    """One run's learning: its score on new mixtures beside what its training loss says."""

    seed: int
    ended: str  # 'stopped' or 'failed' where the training did not come to its end
    audio_s: list[float]
    train_si_snr_db: list[float | None]  # minus the loss
    valid_si_snri_db: list[float | None]


class Panel(NamedTuple):
    """The learning of one variant, a curve per seed."""

    trial: int
    name: str
    curves: list[Curve]


class CurvesData(NamedTuple):
    panels: list[Panel]  # the reference, the front from cheap to dear, then the others by score
    left_out: int


def curves_data(rows: Sequence[Row], runs: Sequence[Row], epochs: Sequence[Row]) -> CurvesData:
    """The learning curves of up to twelve variants."""
    names = trials.names(rows)
    states = {(run["trial"], run["seed"]): run["state"] for run in runs}
    learned = {epoch["trial"] for epoch in epochs}
    drawn = [trial for trial in _by_interest(rows) if trial in learned]
    shown: dict[int, dict[int, list[Row]]] = {trial: {} for trial in drawn[:CURVES_AT_MOST]}
    for epoch in epochs:
        if epoch["trial"] in shown:
            shown[epoch["trial"]].setdefault(epoch["seed"], []).append(epoch)
    panels = [Panel(trial, names[trial], [_curve(seed, states.get((trial, seed), ""), seeds[seed]) for seed in sorted(seeds)])
              for trial, seeds in shown.items()]
    return CurvesData(panels, len(drawn) - len(panels))


def _curve(seed: int, state: str, epochs: Sequence[Row]) -> Curve:
    losses = [number(epoch["train_loss_db"]) for epoch in epochs]
    return Curve(seed, state if state in ("stopped", "failed") else "", [epoch["audio_s"] for epoch in epochs],
                 [None if loss is None else -loss for loss in losses],
                 [number(epoch["valid_si_snri_db"]) for epoch in epochs])


def _by_interest(rows: Sequence[Row]) -> list[int]:
    """Trials: the reference, the front from cheap to dear, then the others by score."""
    front = [row["trial"] for row in trials.front(rows)]
    rest = sorted(rows, key=lambda row: (-(score if (score := number(row[SCORE])) is not None else -math.inf), row["trial"]))
    return list(dict.fromkeys([*(row["trial"] for row in rows if row["trial"] == 0), *front,
                               *(row["trial"] for row in rest)]))


def draw_curves(data: CurvesData, axes: Sequence[Axes]) -> None:
    """Small multiples with equal axes; a run that was stopped or failed is muted and ends in a cross."""
    for panel, ax in zip(data.panels, axes, strict=False):
        alone = len(panel.curves) == 1
        for curve in panel.curves:
            for values, colour, marker in ((curve.train_si_snr_db, ORANGE, "s"), (curve.valid_si_snri_db, BLUE, "o")):
                y = [np.nan if value is None else value for value in values]
                ax.plot(curve.audio_s, y, color=colour, marker=marker if len(y) <= 30 else "", markersize=2.4 if alone else 1.2,
                        linewidth=1.2 if alone else 0.7, alpha=0.4 if curve.ended else 1)
                if curve.ended:
                    ax.plot(curve.audio_s[-1:], y[-1:], color=INK, marker="x", markersize=4.5, linestyle="")
        ax.set_title(style.wrapped(panel.name), loc="left", pad=3)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.tick(value)))
    ended = {curve.ended for panel in data.panels for curve in panel.curves} - {""}
    if data.panels:
        style.common_legend(axes, [("train: SI-SNR (minus the loss)", ORANGE, "s"), ("validation: SI-SNRi", BLUE, "o"),
                                 *([(" or ".join(sorted(ended, reverse=True)), INK, "x")] if ended else [])])
        style.common_labels(axes, "seconds of audio trained on", "dB")
    style.close(axes, len(data.panels), "No epoch has ended yet.")


class Growth(NamedTuple):
    """The hypervolume after so many trials and so much sound, from nothing on."""

    trials: list[int]
    sound: list[float]
    unit: str  # of sound: hours, minutes or seconds
    volume: list[float]
    point: dict[str, float]
    most: int  # place in these lists where MOST of the last volume is reached


def growth_data(found: Progress | None) -> Growth | None:
    """None where there is nothing to see: fewer than two trials, no sound, or nothing enclosed yet."""
    if found is None or len(found.trials) < 2 or found.audio_s[-1] <= 0 or found.volume[-1] <= 0:
        return None
    unit, seconds = next((name, size) for name, size in UNITS_S if found.audio_s[-1] >= 2 * size or size == 1)
    volume = [0.0, *found.volume]
    return Growth([0, *found.trials], [0.0, *(sound / seconds for sound in found.audio_s)], unit, volume, dict(found.point),
                  next(i for i, some in enumerate(volume) if some >= MOST * volume[-1]))


def draw_growth(data: Growth, axes: Sequence[Axes]) -> None:
    """One staircase against trials, the same against sound; a mark where nine tenths are reached."""
    sides: tuple[tuple[Axes, Sequence[float], str, str], ...] = (
        (axes[0], data.trials, counted(data.trials[data.most], "trial"), "trained trials"),
        (axes[1], data.sound, f"{data.sound[data.most]:,.3g} {data.unit}", f"{data.unit} of audio trained on"))
    for ax, x, text, label in sides:
        ax.plot(x, data.volume, drawstyle="steps-post", color=BLUE, linewidth=1.2, zorder=3)
        ax.fill_between(x, data.volume, step="post", color=BLUE, alpha=0.12, lw=0, zorder=2)
        there, side = x[data.most], 1 if x[data.most] < 0.6 * x[-1] else -1
        ax.vlines(there, 0, data.volume[data.most], color=INK, linewidth=0.8, linestyle=":", zorder=4)
        ax.plot(there, data.volume[data.most], marker="o", markersize=3.5, color=INK, zorder=4)
        ax.annotate(f"{wording.percent(MOST)} after {text}", (there, 0), (4 * side, 6), textcoords="offset points",
                    ha="left" if side > 0 else "right", fontsize=6.5, zorder=4)
        ax.set(xlim=(0, 1.02 * x[-1]), ylim=(0, 1.08 * data.volume[-1]), xlabel=label)
        ax.grid(axis="y")
    axes[0].set_ylabel("hypervolume (dB × octaves of\nparameters × octaves of MACs)")
    axes[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))
