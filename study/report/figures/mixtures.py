"""The figures of single test mixtures: `mixtures`, `sexes`, `conditions`.

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
from study.report.figures.style import BLACK, BLUE, GREY, ORANGE, VERMILION

SHOWN_AT_MOST, DENSITY_STEPS, TICKS_AT_MOST = 14, 160, 4000
IN_A_BIN, BINS_AT_MOST = 12, 10
FACTS = {
    "input_si_snr_db": "mean input SI-SNR (dB)",
    "level_difference_db": "level difference of speakers (dB)",
    "duration_s": "duration (s)",
}
# Colour and shape of each pair of sexes, in their order.
PAIR_MARKERS = ((ORANGE, "o"), (BLACK, "s"), (BLUE, "D"), (VERMILION, "^"), (BLACK, "v"),
                (BLUE, "x"))


def shown(rows: Sequence[Row], most: int = SHOWN_AT_MOST) -> list[Row]:
    """The reference and the front, or an even choice of it, from few parameters to many."""
    front = [row for row in trials.front(rows) if row["trial"] != 0]
    if len(front) >= most:
        front = [front[i] for i in np.linspace(0, len(front) - 1, most - 1).round().astype(int)]
    reference = [row for row in trials.finished(rows) if row["trial"] == 0]
    return sorted([*front, *reference], key=lambda row: (row["parameters"], row["trial"]))


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
            found.append(Spread(
                row["trial"], names[row["trial"]], row["parameters"], scores.tolist(),
                median_db=float(np.median(scores)), unscored=len(own) - len(scores)))
    return found


def draw_mixtures(data: Sequence[Spread], axes: Axes) -> None:
    """The density over the mixtures, a tick for each; one variant under the other."""
    pixels = sum(len(run.si_snri_db) for run in data) > TICKS_AT_MOST
    for place, run in enumerate(data):
        _draw_density(run, axes, place, pixels)
    if data:
        axes.axvline(0, color=BLACK, linewidth=0.7, linestyle=":", zorder=1)
        _variants(axes, [f"{run.name}\n{wording.engineering(run.parameters)} parameters"
                         for run in data])
        axes.set_ylim(len(data) - 0.6, -1.0)
        axes.set_xlabel("SI-SNRi of each test mixture (dB)")
    style.hide_unused([axes], len(data), "No test mixture has been scored yet.")


def _draw_density(run: Spread, axes: Axes, place: int, pixels: bool) -> None:
    colour, count = VERMILION if run.trial == 0 else BLUE, len(run.si_snri_db)
    grid, density = kernel_density(run.si_snri_db)
    height = place - 0.82 * density
    axes.fill_between(grid, place, height, color=colour, alpha=0.22, lw=0, zorder=2)
    axes.plot(grid, height, color=colour, linewidth=0.9, zorder=3)
    axes.plot(run.si_snri_db, np.full(count, place + 0.09), linestyle="", marker="|", markersize=4,
              markeredgewidth=0.6, color=colour, alpha=min(0.7, 200 / count), zorder=3,
              rasterized=pixels)
    axes.plot([run.median_db] * 2, [place, place - 0.5], color=BLACK, linewidth=1.3, zorder=4)
    axes.annotate(style.minus(f"{run.median_db:.1f}"), (run.median_db, place - 0.28), (2.5, 0),
                  zorder=5, textcoords="offset points", fontsize=6.2, va="center")


def _variants(axes: Axes, names: Sequence[str]) -> None:
    """Names of variants for the lines of a figure."""
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def kernel_density(values: Sequence[float]) -> tuple[Any, Any]:
    """A grid and on it a Gaussian kernel density of Silverman's width, its top at 1."""
    quartiles = np.percentile(values, [75, 25])
    spread = min(float(np.std(values)), float(np.subtract(*quartiles)) / 1.349)
    width = max(0.9 * spread * len(values) ** -0.2, 0.15)
    grid = np.linspace(min(values) - 2.5 * width, max(values) + 2.5 * width, DENSITY_STEPS)
    density = np.exp(-0.5 * ((grid[:, None] - np.asarray(values)) / width) ** 2).sum(axis=1)
    return grid, density / density.max()


class Mean(NamedTuple):
    """The score over the mixtures of one pair of sexes."""

    pair: str
    mixtures: int
    db: Estimate  # the mean ± 1.96 standard errors over mixtures; of one mixture, without width


class Pairs(NamedTuple):
    """One variant by pairs of sexes."""

    trial: int
    name: str
    means: list[Mean]


def sexes_data(rows: Sequence[Row], test_scores: Mixtures) -> list[Pairs]:
    """The reference and the front by pairs of sexes; empty where fewer than two pairs are known."""
    names, sexes = trials.names(rows), np.array(test_scores.sexes)
    pairs = [pair for pair in sorted(set(test_scores.sexes)) if pair and "?" not in pair]
    found = []
    for row in shown(rows):
        own = test_scores.of(row["trial"], SCORE)
        known = np.isfinite(own)
        means = [_mean(pair, own[known & (sexes == pair)]) for pair in pairs
                 if (known & (sexes == pair)).any()]
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
    markers = dict(zip(pairs, PAIR_MARKERS, strict=False))
    for place, one in enumerate(data):
        for mean in one.means:
            colour, shape = markers.get(mean.pair, (BLACK, "."))
            y = place + 0.5 * ((pairs.index(mean.pair) + 0.5) / len(pairs) - 0.5)
            axes.plot([mean.db.low, mean.db.high], [y, y], color=colour, linewidth=1.2, alpha=0.55,
                      zorder=2)
            axes.plot(mean.db.value, y, color=colour, marker=shape, markersize=4, zorder=3)
    _variants(axes, [one.name for one in data])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlabel("mean SI-SNRi (dB)")
    style.common_legend([axes], [(f"{pair} ({most[pair]} mixtures)", *marker)
                                 for pair, marker in markers.items()])


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


ROLES = {
    "reference": (VERMILION, "*", 6.0),
    "smallest": (ORANGE, "o", 3.0),
    "middle": (GREY, "s", 3.0),
    "best": (BLUE, "D", 3.0),
}


def conditions_data(rows: Sequence[Row], test_scores: Mixtures) -> list[Condition]:
    """The variants of _roles against each fact that varies."""
    names, roles = trials.names(rows), _roles(rows)
    found = []
    for fact, title in FACTS.items():
        known = test_scores.facts.get(fact, np.full(len(test_scores.names), np.nan))
        trends = []
        for trial, role in roles.items():
            score = test_scores.of(trial, SCORE)
            both = np.isfinite(known) & np.isfinite(score)
            x, y = known[both], score[both]
            if len(x) and np.ptp(x) > 0:
                points = list(zip(x.tolist(), y.tolist(), strict=True))
                trends.append(Trend(trial, names[trial], role, points, _bins(x, y)))
        found += [Condition(fact, title, trends)] if trends else []
    return found


def _roles(rows: Sequence[Row]) -> dict[int, str]:
    """By trial, one of ROLES: the reference, and the smallest, middle and best of the front.

    A variant that is two of them has the first.
    """
    front = [row for row in trials.front(rows) if row["trial"] != 0]
    roles = {row["trial"]: "reference" for row in trials.finished(rows) if row["trial"] == 0}
    if front:
        best, middle = max(front, key=lambda row: row[SCORE]), front[len(front) // 2]
        for row, role in ((front[0], "smallest"), (best, "best"), (middle, "middle")):
            roles.setdefault(row["trial"], role)
    return dict(sorted(roles.items(), key=lambda one: list(ROLES).index(one[1])))


def _bins(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """Means over bins of equally many mixtures, equal facts in one; none if two are not full."""
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
            _draw_trend(trend, ax)
        ax.axhline(0, color=BLACK, linewidth=0.6, linestyle=":", zorder=1)
        ax.set_xlabel(condition.title)
        ax.grid(axis="y")
    axes[0].set_ylabel("SI-SNRi of a mixture (dB)")
    entries = []
    for trend in data[0].trends:
        text = trend.name if trend.role == "reference" else f"{trend.role}: {trend.name}"
        entries.append((text, *ROLES[trend.role][:2]))
    style.common_legend(axes, entries)


def _draw_trend(trend: Trend, ax: Axes) -> None:
    colour, shape, size = ROLES[trend.role]
    ax.plot(*np.array(trend.points).T, color=colour, marker=".", markersize=4, markeredgewidth=0,
            linestyle="", alpha=0.4 if len(trend.points) < 200 else 0.22, zorder=2,
            rasterized=len(trend.points) > TICKS_AT_MOST / 40)
    if trend.means:
        ax.plot(*np.array(trend.means).T, color=colour, marker=shape, markersize=size,
                linewidth=1.2, zorder=3)
