"""The figures of learning curves and of the hypervolume: numbers (`x_data`), drawing (`draw_x`)."""

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
from study.report.figures.style import BLACK, BLUE, ORANGE
from tasnet_core.errors import counted

CURVES_AT_MOST = 12
MOST = 0.9  # of the last hypervolume: when it was reached is worth a mark
UNITS_S = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


class Curve(NamedTuple):
    """One run's learning curve: validation and training scores after each epoch."""

    seed: int
    ended: str  # 'stopped' or 'failed' where the training did not come to its end
    audio_s: list[float]
    train_si_snr_db: list[float | None]  # minus the loss
    valid_si_snri_db: list[float | None]


class Panel(NamedTuple):
    """The learning curves of one variant, one per seed."""

    trial: int
    name: str
    curves: list[Curve]


class CurvesData(NamedTuple):
    panels: list[Panel]  # in _drawing_order
    left_out: int


def curves_data(rows: Sequence[Row], runs: Sequence[Row], epochs: Sequence[Row]) -> CurvesData:
    """The learning curves of up to twelve variants."""
    names = trials.names(rows)
    states = {(run["trial"], run["seed"]): run["state"] for run in runs}
    by_run: dict[int, dict[int, list[Row]]] = {}
    for epoch in epochs:
        by_run.setdefault(epoch["trial"], {}).setdefault(epoch["seed"], []).append(epoch)
    drawn = [trial for trial in _drawing_order(rows) if trial in by_run]
    panels = []
    for trial in drawn[:CURVES_AT_MOST]:
        curves = [_curve(seed, states.get((trial, seed), ""), own)
                  for seed, own in sorted(by_run[trial].items())]
        panels.append(Panel(trial, names[trial], curves))
    return CurvesData(panels, len(drawn) - len(panels))


def _curve(seed: int, state: str, epochs: Sequence[Row]) -> Curve:
    losses = [number(epoch["train_loss_db"]) for epoch in epochs]
    return Curve(
        seed,
        ended=state if state in ("stopped", "failed") else "",
        audio_s=[epoch["audio_s"] for epoch in epochs],
        train_si_snr_db=[None if loss is None else -loss for loss in losses],
        valid_si_snri_db=[number(epoch["valid_si_snri_db"]) for epoch in epochs])


def _drawing_order(rows: Sequence[Row]) -> list[int]:
    """Trials: the reference, the front from cheap to dear, then the others by score."""
    def worst_last(row: Row) -> tuple[float, int]:
        score = number(row[SCORE])
        return math.inf if score is None else -score, row["trial"]

    reference = [row for row in rows if row["trial"] == 0]
    ordered = [*reference, *trials.front(rows), *sorted(rows, key=worst_last)]
    return list(dict.fromkeys(row["trial"] for row in ordered))


def draw_curves(data: CurvesData, axes: Sequence[Axes]) -> None:
    """Small multiples with equal axes; a run that was stopped or failed is pale, with a cross."""
    for panel, ax in zip(data.panels, axes, strict=False):
        for curve in panel.curves:
            _draw_curve(curve, ax, alone=len(panel.curves) == 1)
        ax.set_title(style.wrapped(panel.name), loc="left", pad=3)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.tick(value)))
    ended = {curve.ended for panel in data.panels for curve in panel.curves} - {""}
    entries = [("train: SI-SNR (minus the loss)", ORANGE, "s"), ("validation: SI-SNRi", BLUE, "o")]
    if ended:
        entries.append((" or ".join(sorted(ended, reverse=True)), BLACK, "x"))
    if data.panels:
        style.common_legend(axes, entries)
        style.common_labels(axes, "seconds of audio trained on", "dB")
    style.hide_unused(axes, len(data.panels), "No epoch has ended yet.")


def _draw_curve(curve: Curve, ax: Axes, alone: bool) -> None:
    """Training and validation; larger where the panel has no other curve."""
    size, width = (2.4, 1.2) if alone else (1.2, 0.7)
    alpha = 0.4 if curve.ended else 1
    for values, colour, shape in (
        (curve.train_si_snr_db, ORANGE, "s"),
        (curve.valid_si_snri_db, BLUE, "o"),
    ):
        y = [np.nan if value is None else value for value in values]
        ax.plot(curve.audio_s, y, color=colour, marker=shape if len(y) <= 30 else "",
                markersize=size, linewidth=width, alpha=alpha)
        if curve.ended:
            ax.plot(curve.audio_s[-1:], y[-1:], color=BLACK, marker="x", markersize=4.5,
                    linestyle="")


class HypervolumeData(NamedTuple):
    """The hypervolume after so many trials and so much audio, from nothing on."""

    trials: list[int]
    audio: list[float]
    unit: str  # of audio: hours, minutes or seconds
    volume: list[float]
    point: dict[str, float]  # what it is measured from
    reached: int  # place in these lists where MOST of the last volume is reached


def hypervolume_data(found: Progress | None) -> HypervolumeData | None:
    """None where there is nothing to see: fewer than two trials, no audio, no hypervolume yet."""
    if found is None or len(found.trials) < 2 or found.audio_s[-1] <= 0 or found.volume[-1] <= 0:
        return None
    last_s = found.audio_s[-1]
    unit, seconds = next(unit for unit in UNITS_S if last_s >= 2 * unit[1] or unit[1] == 1)
    volume = [0.0, *found.volume]
    return HypervolumeData(
        trials=[0, *found.trials],
        audio=[0.0, *(audio_s / seconds for audio_s in found.audio_s)],
        unit=unit,
        volume=volume,
        point=dict(found.point),
        reached=next(i for i, some in enumerate(volume) if some >= MOST * volume[-1]))


def draw_hypervolume(data: HypervolumeData, axes: Sequence[Axes]) -> None:
    """One staircase against trials, the same against audio; a disc where MOST is reached."""
    reached_audio = f"{data.audio[data.reached]:,.3g} {data.unit}"
    _draw_staircase(data, axes[0], data.trials, counted(data.trials[data.reached], "trial"))
    _draw_staircase(data, axes[1], data.audio, reached_audio)
    axes[0].set_xlabel("trained trials")
    axes[1].set_xlabel(f"{data.unit} of audio trained on")
    axes[0].set_ylabel("hypervolume (dB × octaves of\nparameters × octaves of MACs)")
    axes[0].xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _draw_staircase(data: HypervolumeData, ax: Axes, x: Sequence[float], reached: str) -> None:
    place, height = x[data.reached], data.volume[data.reached]
    left = place < 0.6 * x[-1]
    ax.plot(x, data.volume, drawstyle="steps-post", color=BLUE, linewidth=1.2, zorder=3)
    ax.fill_between(x, data.volume, step="post", color=BLUE, alpha=0.12, lw=0, zorder=2)
    ax.vlines(place, 0, height, color=BLACK, linewidth=0.8, linestyle=":", zorder=4)
    ax.plot(place, height, marker="o", markersize=3.5, color=BLACK, zorder=4)
    ax.annotate(f"{wording.percent(MOST)} after {reached}", (place, 0), (4 if left else -4, 6),
                textcoords="offset points", ha="left" if left else "right", fontsize=6.5, zorder=4)
    ax.set(xlim=(0, 1.02 * x[-1]), ylim=(0, 1.08 * data.volume[-1]))
    ax.grid(axis="y")
