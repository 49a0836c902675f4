"""The figures of single test mixtures: `mixtures`, `sexes`, `conditions`. First the numbers (`x_data`), then the ink (`draw_x`).

Test scores are means over the seeds of a variant: the owners of these Mixtures are trials.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from study.analysis import trials, wording
from study.analysis.mixture_scores import Floats, Mixtures
from study.analysis.replicates import SCORE, Row
from study.records import Estimate
from study.report.figures import style
from study.report.figures.style import BLUE, GREY, INK, ORANGE, VERMILION

SHOWN_AT_MOST, DENSITY_STEPS, TICKS_AT_MOST = 14, 160, 4000
IN_A_BIN, BINS_AT_MOST = 12, 10
FACTS = {"input_si_snr_db": "mean input SI-SNR (dB)", "level_difference_db": "level difference of speakers (dB)",
         "duration_s": "duration (s)"}


def shown(rows: Sequence[Row], most: int = SHOWN_AT_MOST) -> list[Row]:
    """The reference and the front, or an even choice of it, from few parameters to many."""
    front = [row for row in trials.front(rows) if row["trial"] != 0]
    if len(front) >= most:
        front = [front[i] for i in np.linspace(0, len(front) - 1, most - 1).round().astype(int)]
    return sorted([*front, *(row for row in trials.finished(rows) if row["trial"] == 0)],
                  key=lambda row: (row["parameters"], row["trial"]))


class Spread(NamedTuple):
    """One variant's scores over the test mixtures."""

    trial: int
    name: str
    parameters: int
    si_snri_db: list[float]
    median_db: float
    unscored: int


def mixtures_data(rows: Sequence[Row], test_scores: Mixtures) -> list[Spread]:
    """The scores of the reference and the front, fewest parameters first."""
    names, found = trials.names(rows), []
    for row in shown(rows):
        own = test_scores.of(row["trial"], SCORE)
        scores = own[np.isfinite(own)]
        if len(scores):
            found.append(Spread(row["trial"], names[row["trial"]], row["parameters"], scores.tolist(),
                                float(np.median(scores)), len(own) - len(scores)))
    return found


def draw_mixtures(data: Sequence[Spread], axes: Axes) -> None:
    """A hill of density over the mixtures themselves, one variant under the other, the smallest on top."""
    pixels = sum(len(run.si_snri_db) for run in data) > TICKS_AT_MOST
    for place, run in enumerate(data):
        colour = VERMILION if run.trial == 0 else BLUE
        grid, density = _density(run.si_snri_db)
        axes.fill_between(grid, place, place - 0.82 * density, color=colour, alpha=0.22, lw=0, zorder=2)
        axes.plot(grid, place - 0.82 * density, color=colour, linewidth=0.9, zorder=3)
        axes.plot(run.si_snri_db, np.full(len(run.si_snri_db), place + 0.09), linestyle="", marker="|", markersize=4,
                  markeredgewidth=0.6, color=colour, alpha=min(0.7, 200 / len(run.si_snri_db)), zorder=3, rasterized=pixels)
        axes.plot([run.median_db] * 2, [place, place - 0.5], color=INK, linewidth=1.3, zorder=4)
        axes.annotate(style.minus(f"{run.median_db:.1f}"), (run.median_db, place - 0.28), (2.5, 0), zorder=5,
                      textcoords="offset points", fontsize=6.2, va="center")
    if data:
        axes.axvline(0, color=INK, linewidth=0.7, linestyle=":", zorder=1)
        _variants(axes, [f"{run.name}\n{wording.engineering(run.parameters)} parameters" for run in data])
        axes.set_ylim(len(data) - 0.6, -1.0)
        axes.set_xlabel("SI-SNRi of each test mixture (dB)")
    style.close([axes], len(data), "No test mixture has been scored yet.")


def _variants(axes: Axes, names: Sequence[str]) -> None:
    """Names of variants for the lines of a figure."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _density(values: Sequence[float]) -> tuple[Any, Any]:
    """A Gaussian kernel density with Silverman's width, its top at 1."""
    spread = min(float(np.std(values)), float(np.subtract(*np.percentile(values, [75, 25]))) / 1.349)
    width = max(0.9 * spread * len(values) ** -0.2, 0.15)
    grid = np.linspace(min(values) - 2.5 * width, max(values) + 2.5 * width, DENSITY_STEPS)
    density = np.exp(-0.5 * ((grid[:, None] - np.asarray(values)) / width) ** 2).sum(axis=1)
    return grid, density / density.max()


class Mean(NamedTuple):
    """The score over the mixtures of one pair of sexes."""

    pair: str
    mixtures: int
    db: Estimate  # the mean, give or take 1.96 standard errors over mixtures; without width where there is one


class Pairs(NamedTuple):
    """One variant by pairs of sexes."""

    trial: int
    name: str
    means: list[Mean]


def sexes_data(rows: Sequence[Row], test_scores: Mixtures) -> list[Pairs]:
    """The reference and the front by pairs of sexes; empty where no pair is known, or all are alike."""
    names, sexes = trials.names(rows), np.array(test_scores.sexes)
    pairs = [pair for pair in sorted(set(test_scores.sexes)) if pair and "?" not in pair]
    found = []
    for row in shown(rows):
        own = test_scores.of(row["trial"], SCORE)
        means = [_mean(pair, some) for pair in pairs if len(some := own[(sexes == pair) & np.isfinite(own)])]
        found += [Pairs(row["trial"], names[row["trial"]], means)] if means else []
    return found if len({mean.pair for one in found for mean in one.means}) > 1 else []


def _mean(pair: str, scores: Floats) -> Mean:
    mean, number = float(scores.mean()), len(scores)
    reach = 1.96 * float(scores.std(ddof=1)) / number**0.5 if number > 1 else 0.0
    return Mean(pair, number, Estimate(mean, mean - reach, mean + reach))


def draw_sexes(data: Sequence[Pairs], axes: Axes) -> None:
    """A line for each variant, the smallest on top; a point for each pair of sexes."""
    most: dict[str, int] = {}
    for one in data:
        most |= {mean.pair: max(mean.mixtures, most.get(mean.pair, 0)) for mean in one.means}
    pairs = sorted(most)
    looks = dict(zip(pairs, ((ORANGE, "o"), (INK, "s"), (BLUE, "D"), (VERMILION, "^"), (INK, "v"), (BLUE, "x")), strict=False))
    for place, one in enumerate(data):
        for mean in one.means:
            colour, marker = looks.get(mean.pair, (INK, "."))
            y = place + 0.5 * ((pairs.index(mean.pair) + 0.5) / len(pairs) - 0.5)
            axes.plot([mean.db.low, mean.db.high], [y, y], color=colour, linewidth=1.2, alpha=0.55, zorder=2)
            axes.plot(mean.db.value, y, color=colour, marker=marker, markersize=4, zorder=3)
    _variants(axes, [one.name for one in data])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlabel("mean SI-SNRi (dB)")
    style.common_legend([axes], [(f"{pair} ({most[pair]} mixtures)", *look) for pair, look in looks.items()])


class Trend(NamedTuple):
    """One variant's scores against a fact of the mixtures."""

    trial: int
    name: str
    role: str  # reference, smallest, middle or best
    points: list[tuple[float, float]]  # (fact, SI-SNRi in dB) of each mixture
    means: list[tuple[float, float]]  # likewise the means over bins of equally many mixtures


class Condition(NamedTuple):
    """One fact of the mixtures, and how variants do with it."""

    fact: str
    title: str
    trends: list[Trend]


ROLES = {"reference": (VERMILION, "*", 6.0), "smallest": (ORANGE, "o", 3.0), "middle": (GREY, "s", 3.0), "best": (BLUE, "D", 3.0)}


def conditions_data(rows: Sequence[Row], test_scores: Mixtures) -> list[Condition]:
    """The reference and the smallest, the middle and the best of the front against each fact that varies."""
    names, roles = trials.names(rows), _roles(rows)
    found = []
    for fact, title in FACTS.items():
        x = test_scores.facts.get(fact, np.full(len(test_scores.names), np.nan))
        trends = []
        for trial, role in roles.items():
            y = test_scores.of(trial, SCORE)
            there = np.isfinite(x) & np.isfinite(y)
            if there.any() and np.ptp(x[there]) > 0:
                trends.append(Trend(trial, names[trial], role, list(zip(x[there].tolist(), y[there].tolist(), strict=True)),
                                    _bins(x[there], y[there])))
        found += [Condition(fact, title, trends)] if trends else []
    return found


def _roles(rows: Sequence[Row]) -> dict[int, str]:
    """By trial, why it is shown; a variant that is two things is the first of them."""
    front = [row for row in trials.front(rows) if row["trial"] != 0]
    roles = {row["trial"]: "reference" for row in trials.finished(rows) if row["trial"] == 0}
    if front:
        best = max(front, key=lambda row: row[SCORE])
        for row, role in ((front[0], "smallest"), (best, "best"), (front[len(front) // 2], "middle")):
            roles.setdefault(row["trial"], role)
    return dict(sorted(roles.items(), key=lambda one: list(ROLES).index(one[1])))


def _bins(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """Means over bins of equally many mixtures, equal facts in one bin; none for fewer mixtures than two bins take."""
    number = min(len(x) // IN_A_BIN, BINS_AT_MOST)
    if number < 2:
        return []
    inner = np.unique(np.quantile(x, np.linspace(0, 1, number + 1)[1:-1]))
    place = np.searchsorted(inner, x, side="left")
    return [(float(x[place == i].mean()), float(y[place == i].mean())) for i in np.unique(place)]


def draw_conditions(data: Sequence[Condition], axes: Sequence[Axes]) -> None:
    """Mixtures as faint points, the means of bins as a line."""
    for condition, ax in zip(data, axes, strict=False):
        for trend in condition.trends:
            colour, marker, size = ROLES[trend.role]
            ax.plot(*np.array(trend.points).T, color=colour, marker=".", markersize=4, markeredgewidth=0, linestyle="",
                    alpha=0.4 if len(trend.points) < 200 else 0.22, zorder=2, rasterized=len(trend.points) > TICKS_AT_MOST / 40)
            if trend.means:
                ax.plot(*np.array(trend.means).T, color=colour, marker=marker, markersize=size, linewidth=1.2, zorder=3)
        ax.axhline(0, color=INK, linewidth=0.6, linestyle=":", zorder=1)
        ax.set_xlabel(condition.title)
        ax.grid(axis="y")
    axes[0].set_ylabel("SI-SNRi of a mixture (dB)")
    style.common_legend(axes, [(trend.name if trend.role == "reference" else f"{trend.role}: {trend.name}",
                                *ROLES[trend.role][:2]) for trend in data[0].trends])
