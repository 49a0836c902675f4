"""The figures of a report: first the numbers (`x_data`), then the ink (`draw_x`).

Plotting lives here, in fronts.py and, for what all figures share, in ink.py; nowhere else.
A row is a variant, the mean over its seeds; `runs` are the rows of its single trainings.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from study import ink, tables
from study.fronts import FrontData, draw_front, front_data
from study.ink import BLUE, GREY, INK, ORANGE, PAPER, VERMILION
from study.replicates import SCORE, Row, number, per_mixture, per_trial
from tasnet_core.records import LETTERS

CURVES_AT_MOST, DISTRIBUTIONS_AT_MOST, DENSITY_STEPS = 12, 14, 160


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
    names = tables.names(rows)
    states = {(run["trial"], run["seed"]): run["state"] for run in runs}
    by_trial: dict[int, dict[int, list[Row]]] = {}
    for epoch in epochs:
        by_trial.setdefault(epoch["trial"], {}).setdefault(epoch["seed"], []).append(epoch)
    panels = [
        Panel(trial, names[trial], [_curve(seed, states.get((trial, seed), ""), by_trial[trial][seed])
                                    for seed in sorted(by_trial[trial])])
        for trial in _by_interest(rows) if trial in by_trial]
    return CurvesData(panels[:CURVES_AT_MOST], max(0, len(panels) - CURVES_AT_MOST))


def _curve(seed: int, state: str, epochs: Sequence[Row]) -> Curve:
    losses = [number(epoch["train_loss_db"]) for epoch in epochs]
    return Curve(seed, state if state in ("stopped", "failed") else "", [epoch["audio_s"] for epoch in epochs],
                 [None if loss is None else -loss for loss in losses],
                 [number(epoch["valid_si_snri_db"]) for epoch in epochs])


def draw_curves(data: CurvesData, axes: Sequence[Axes]) -> None:
    """Small multiples with equal axes; a run that was stopped or failed is muted and ends in a cross."""
    for panel, ax in zip(data.panels, axes, strict=False):
        alone = len(panel.curves) == 1
        for curve in panel.curves:
            for values, colour, marker in ((curve.train_si_snr_db, ORANGE, "s"), (curve.valid_si_snri_db, BLUE, "o")):
                y = [np.nan if value is None else value for value in values]
                ax.plot(curve.audio_s, y, color=colour, marker=marker, markersize=2.4 if alone else 1.2,
                        linewidth=1.2 if alone else 0.7, alpha=0.4 if curve.ended else 1)
                if curve.ended:
                    ax.plot(curve.audio_s[-1:], y[-1:], color=INK, marker="x", markersize=4.5, linestyle="")
        ax.set_title(ink.wrapped(panel.name), loc="left", pad=3)
        ax.grid(axis="y")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ink.tick(value)))
        sns.despine(ax=ax)
    ended = {curve.ended for panel in data.panels for curve in panel.curves} - {""}
    if data.panels:
        ink.common_legend(axes, [("train: SI-SNR (minus the loss)", ORANGE, "s"), ("validation: SI-SNRi", BLUE, "o"),
                                 *([(" or ".join(sorted(ended, reverse=True)), INK, "x")] if ended else [])])
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
    """Scores of the finished variants by value, for each letter that has more than one."""
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
    """One panel per letter; values stand at equal distances, variants beside each other."""
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
        ax.set_xticks(range(len(letter.values)), [tables.cell(letter.letter, value) for value in letter.values])
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
    """One variant's scores over the test mixtures."""

    trial: int
    name: str
    parameters: int
    si_snri_db: list[float]
    median_db: float
    unscored: int


def mixtures_data(rows: Sequence[Row], mixtures: Sequence[Row]) -> list[Spread]:
    """The reference and the front, or an even choice of it, from few parameters to many.

    `mixtures` has a row per variant and mixture.
    """
    front = [row for row in tables.front(rows) if row["trial"] != 0]
    if len(front) >= DISTRIBUTIONS_AT_MOST:
        even = np.linspace(0, len(front) - 1, DISTRIBUTIONS_AT_MOST - 1).round().astype(int)
        front = [front[i] for i in even]
    runs = [*front, *(row for row in tables.finished(rows) if row["trial"] == 0)]
    names, found = tables.names(rows), []
    for row in sorted(runs, key=lambda row: (row["parameters"], row["trial"])):
        own = [mixture[SCORE] for mixture in mixtures if mixture["trial"] == row["trial"]]
        scores = [score for score in own if number(score) is not None]
        if scores:
            found.append(Spread(row["trial"], names[row["trial"]], row["parameters"], scores,
                                float(np.median(scores)), len(own) - len(scores)))
    return found


def draw_mixtures(data: Sequence[Spread], axes: Axes) -> None:
    """A hill of density over the mixtures themselves, one variant under the other, the smallest on top."""
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
    rest = sorted(rows, key=lambda row: (-(score if (score := number(row[SCORE])) is not None else -math.inf), row["trial"]))
    return list(dict.fromkeys([*(row["trial"] for row in rows if row["trial"] == 0), *front,
                               *(row["trial"] for row in rest)]))


class Drawn(NamedTuple):
    """A figure's numbers and its two files."""

    data: Any
    svg: str
    png: bytes
    unlabelled: int = 0  # labels that found no room


def draw_all(runs: Sequence[Row], epochs: Sequence[Row], mixtures: Sequence[Row]) -> dict[str, Drawn]:
    """Every figure of the report, by the name of its file, from the rows of single runs."""
    rows, mixtures = per_trial(runs), per_mixture(runs, mixtures)
    with ink.house_style():
        return {"front_parameters": _drawn_front(front_data(rows, "parameters")),
                "front_macs": _drawn_front(front_data(rows, "macs_per_s")),
                "curves": _drawn_panels(draw_curves, curves_data(rows, runs, epochs), 4, 1.45),
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
