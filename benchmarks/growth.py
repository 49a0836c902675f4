"""How throughput, memory and time per trial grow with MACs, batch, segment, R and X: measured, fitted, drawn.

One process, one CPU thread, real training steps on the corpus `voices`; each sweep changes one thing, the others stay as in
BASE. One fit for all of them, by non-negative least squares of relative errors. Memory is counted: weights, Adam's
state, the most tensors alive in a step.

    python benchmarks/growth.py FIGURE.png      # or .svg; about two minutes
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from scipy.optimize import nnls

from study.planning.measure import Timed
from study.report.figures import style
from study.space.presets import QUICK
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.cost.count import LiveBytes
from tasnet_core.cost.formulas import exact, layers
from tasnet_core.records import Recipe, Variant

BASE = replace(QUICK.reference, N=64, B=32, H=64, Sc=32, X=4, R=1)
STEPS = 5
TERMS = ("calls", "blocks", "samples", "values", "MACs")
SWEEPS = ("MACs", "batch", "segment s", "R", "X")


class Case(NamedTuple):
    sweep: str
    place: float        # on the sweep's axis
    variant: Variant
    recipe: Recipe


class Row(NamedTuple):
    """One case: measured, and as the fit has it."""

    case: Case
    step_s: float
    fitted_s: float
    step_bytes: float
    fitted_bytes: float

    @property
    def sound_s(self) -> float:
        """In one step."""
        return self.case.recipe.batch_size * self.case.recipe.segment_s


class GrowthData(NamedTuple):
    """For each sweep its rows, in order."""

    panels: dict[str, list[Row]]


def cases() -> list[Case]:
    rng, recipe = np.random.default_rng(0), QUICK.recipe
    sizes = [QUICK.variant_of(QUICK.spread(share, rng, "macs_per_s")) for share in np.linspace(0, 1, 8)]
    return [
        *(Case("MACs", exact(variant).macs_per_s, variant, recipe) for variant in sizes),
        *(Case("batch", size, BASE, replace(recipe, batch_size=size)) for size in (1, 2, 4, 8, 16, 32)),
        *(Case("segment s", seconds, BASE, replace(recipe, segment_s=seconds)) for seconds in (0.25, 0.5, 1.0, 2.0, 4.0)),
        *(Case("R", R, replace(BASE, R=R), recipe) for R in (1, 2, 3, 4)),
        *(Case("X", X, replace(BASE, X=X), recipe) for X in (1, 2, 4, 6, 8))]


def measured() -> list[Row]:
    """Every case, in three rounds over all of them, so that a busy minute is in no case alone."""
    corpus, known = open_corpus("voices", say=print), cases()
    timed = [Timed(case.variant, case.recipe, corpus, torch.device("cpu"), STEPS) for case in known]
    times: list[list[float]] = [[] for _ in timed]
    for warm in (False, True, True, True):
        for one, found in zip(timed, times, strict=True):
            seconds_s = one.epoch()[:STEPS]
            found += seconds_s if warm else []
    steps, peaks = [statistics.median(found) for found in times], list(map(step_bytes, timed))
    works = np.array([work(case) for case in known])
    fits = [fit(works, np.array(values)) for values in (steps, peaks)]
    for name, unit, (weights, error) in zip(("seconds", "memory"), ("s", "bytes"), fits, strict=True):
        terms = ", ".join(f"{weight:.2g} {unit} × {term}" for term, weight in zip(TERMS, weights, strict=True) if weight)
        print(f"{name}: {terms}; the fit is off by {100 * error:.1f} % (root mean square)")
    (seconds, _), (memory, _) = fits
    return [Row(*row) for row in zip(known, steps, works @ seconds, peaks, works @ memory, strict=True)]


def work(case: Case) -> list[float]:
    """What one step computes, in TERMS."""
    variant, recipe = case.variant, case.recipe
    samples = recipe.batch_size * recipe.segment_s * variant.sample_rate_hz
    rows, frames = layers(variant), samples / variant.hop
    values = frames * sum(int(np.prod(row.channels)) for row in rows)
    return [1.0, variant.R * variant.X, samples, values, frames * sum(row.macs_per_frame for row in rows)]


def fit(works: Any, measured: Any) -> tuple[Any, float]:
    """The weights, none below 0, with the least squares of relative errors; and the errors' root mean square.

    Relative to what is fitted, found in a few rounds: relative to what is measured, quick steps would weigh most.
    """
    scale = measured
    for _ in range(4):
        weights, error = nnls(works / scale[:, None], measured / scale)
        scale = works @ weights
    return weights, float(error) / len(measured)**0.5


def step_bytes(one: Timed) -> int:
    """Memory of a training: weights, gradients, Adam's two moments, the best weights, and the most that one more step
    has alive at once. Counted, not sampled."""
    weights = sum(weight.numel() * weight.element_size() for weight in one.training.network.parameters())
    steps = one.training.steps()
    with LiveBytes() as live:
        next(steps)
    for _ in steps:     # to the epoch's end: a training stands between two of them
        pass
    return 5 * weights + int(live.peak)


def growth_data(rows: Sequence[Row]) -> GrowthData:
    return GrowthData({sweep: sorted((row for row in rows if row.case.sweep == sweep), key=lambda row: row.case.place)
                       for sweep in SWEEPS})


def draw_growth(data: GrowthData, axes: Sequence[Sequence[Axes]]) -> None:
    """Seconds above, memory below; dots are measured, lines are the fit."""
    for (sweep, rows), above, below in zip(data.panels.items(), *axes, strict=True):
        places = [row.case.place / (1e6 if sweep == "MACs" else 1) for row in rows]
        for ax, found, fitted, unit in ((above, "step_s", "fitted_s", 1e-3), (below, "step_bytes", "fitted_bytes", 1e6)):
            ax.plot(places, [getattr(row, fitted) / unit for row in rows], color=style.BLUE, linewidth=1.1)
            style.scatter(ax, [(place, getattr(row, found) / unit) for place, row in zip(places, rows, strict=True)],
                      (style.BLACK, "o", 14))
            ax.set_ylim(0)
            ax.grid(axis="y")
            ax.set_xlim(0)
        below.set_xlabel({"MACs": "MACs (M per s of sound)", "segment s": "segment (s)"}.get(sweep, sweep))
    axes[0][0].set_ylabel("a training step (ms)")
    axes[1][0].set_ylabel("memory (MB)")


def table(data: GrowthData) -> str:
    lines = ["| sweep | value | measured ms a step | fitted | off by | sound s per s | minutes a trial | peak MB | fitted |",
             "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for sweep, rows in data.panels.items():
        for row in rows:
            rate = row.sound_s / row.step_s
            trial_s = QUICK.recipe.audio_s / rate       # the sound of a trial of `quick`, without validations and scores
            lines.append(f"| {sweep} | {row.case.place:,g} | {1e3 * row.step_s:.1f} | {1e3 * row.fitted_s:.1f} | "
                         f"{100 * (row.fitted_s / row.step_s - 1):+.0f} % | {rate:.0f} | {trial_s / 60:.1f} | "
                         f"{row.step_bytes / 1e6:.0f} | {row.fitted_bytes / 1e6:.0f} |")
    return "\n".join(lines)


def main(path: Path) -> None:
    torch.set_num_threads(1)
    data = growth_data(measured())
    print(table(data))
    with style.figure_style():
        figure = style.new_figure(3.4, layout="constrained")
        draw_growth(data, figure.subplots(2, len(SWEEPS), sharey="row"))
        svg, png = style.files(figure)
    path.write_bytes(svg.encode() if path.suffix == ".svg" else png)


if __name__ == "__main__":
    if len(sys.argv) != 2 or Path(sys.argv[1]).suffix not in (".png", ".svg"):
        sys.exit("growth.py: wanted one path for the figure that ends in .png or .svg, such as growth.png")
    main(Path(sys.argv[1]))
