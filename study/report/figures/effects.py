"""The figures of each hyperparameter's effect: `effects`, `interaction` and `importance`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from study.analysis.effects import Effect, Effects, Importance, Interaction
from study.analysis.wording import cell
from study.records import Estimate
from study.report.figures import style
from study.report.figures.style import BLACK, BLUE, GREY, ORANGE

# Of type on coloured cells; no colours that a dark page would replace.
DARK, LIGHT = "#010101", "#fefefe"


class EffectPanel(NamedTuple):
    """What each value of one hyperparameter does against the reference's, the others held there."""

    hyperparameter: str
    doubling: str  # what doubling it gains; of a word, what it does against the reference's
    levels: list[str]
    places: list[float]  # of the levels, in octaves; 0 is an octave below the least
    effect_db: list[Estimate]
    points: list[tuple[float, float, str]]  # (place, effect plus residual in dB, kind) by variant


def effects_data(effects: Effects, kinds: Mapping[int, str]) -> list[EffectPanel]:
    """A panel for each hyperparameter; none where the model is refused."""
    return [_panel(effect, kinds) for effect in effects.letters]


def _panel(effect: Effect, kinds: Mapping[int, str]) -> EffectPanel:
    levels = [cell(effect.letter, level) for level in effect.levels]
    if effect.doubling_db:
        doubling = f"{signed(effect.doubling_db)} per doubling"
        places = style.log2_places(effect.levels)
    else:
        doubling = ", ".join(f"{level} {signed(db)}"
                             for level, db in zip(levels, effect.effect_db, strict=True)
                             if db.low != db.high)
        places = [float(i) for i in range(len(levels))]
    place = dict(zip(effect.levels, places, strict=True))
    points = [(place[level], db, kinds.get(trial, "dominated"))
              for level, db, trial in effect.points]
    return EffectPanel(effect.letter, doubling, levels, places, list(effect.effect_db), points)


def signed(estimate: Estimate) -> str:
    """As in '+1.9 dB [1.2, 2.6]': as many digits as the interval is worth."""
    digits = 1 if estimate.high - estimate.low >= 0.2 else 2
    low, high = (f"{round(end, digits) + 0.0:.{digits}f}" for end in (estimate.low, estimate.high))
    return style.minus(f"{round(estimate.value, digits) + 0.0:+.{digits}f} dB [{low}, {high}]")


def draw_effects(data: Sequence[EffectPanel], axes: Sequence[Axes]) -> None:
    """The model's line with its band, and the partial residuals beside it."""
    for panel, ax in zip(data, axes, strict=False):
        apart = min(np.diff(panel.places), default=1.0)
        shifts = 0.35 * apart * style.jitter(len(panel.points))
        points = [(place + shift, db, kind)
                  for shift, (place, db, kind) in zip(shifts, panel.points, strict=True)]
        style.scatter_kinds(ax, points, zorder=2)
        value, low, high = np.array(panel.effect_db).T
        ax.fill_between(panel.places, low, high, color=BLACK, alpha=0.16, lw=0, zorder=1.5)
        ax.plot(panel.places, value, color=BLACK, linewidth=1.2, zorder=5)
        ax.axhline(0, color=BLACK, linewidth=0.6, linestyle=":", zorder=1)
        ax.set_title(panel.doubling, loc="left", pad=3)
        ax.set_xticks(panel.places, panel.levels)
        ax.set_xlim(panel.places[0] - 0.4 * apart, panel.places[-1] + 0.4 * apart)
        ax.set_xlabel(panel.hyperparameter, labelpad=1.5)
        ax.grid(axis="y")
    found = {kind for panel in data for *_, kind in panel.points}
    entries = [*style.legend_entries(found), ("effect, 95 % band", BLACK, "_")]
    style.common_legend(axes, entries, line=False)
    style.common_labels(axes, "hyperparameter value (spaced by octaves)",
                        "SI-SNRi against the reference's value (dB)")
    style.hide_unused(axes, len(data), "")


def draw_interaction(data: Interaction, axes: Axes) -> None:
    """A cell for each pair of values, coloured by its mean; hatched where no variant has them."""
    means = [[np.nan if mean is None else mean for mean in line] for line in data.mean_db]
    table = np.array(means).T  # [second, first]
    colours = colormaps["cividis"]
    mesh = axes.pcolormesh(table, cmap=colours, edgecolors="none", linewidth=0)
    for (y, x), mean in np.ndenumerate(table):
        if np.isnan(mean):
            axes.fill_between([x, x + 1], y, y + 1, facecolor="none", edgecolor=GREY, hatch="////",
                              linewidth=0, alpha=0.6)
            continue
        colour = LIGHT if _luminance(colours(mesh.norm(mean))) < 0.18 else DARK
        axes.text(x + 0.5, y + 0.54, style.minus(f"{mean:.2f}"), ha="center", va="bottom",
                  color=colour, fontsize=8)
        axes.text(x + 0.5, y + 0.46, f"n = {data.variants[x][y]}", ha="center", va="top",
                  color=colour, fontsize=6)
    first, second = data.values
    axes.set_xticks(np.arange(len(first)) + 0.5, [str(value) for value in first])
    axes.set_yticks(np.arange(len(second)) + 0.5, [str(value) for value in second])
    axes.set(xlabel=data.first, ylabel=data.second)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(together(data), loc="left", pad=5, fontsize=7.5)
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.015, aspect=14, fraction=0.06)
    bar.set_label("mean SI-SNRi (dB)")
    bar.outline.set_visible(False)
    if bar.solids:
        bar.solids.set_rasterized(True)  # else light gaps between its steps


def _luminance(colour: Any) -> float:
    """Of WCAG 2.2: 0 is black, 1 is white."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
                        for part in colour[:3])
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def together(data: Interaction) -> str:
    """The sentence on both hyperparameters together."""
    both = f"{data.first} and {data.second}"
    if data.both_db is None:
        return (f"What doubling both {both} brings beyond the sum of each alone cannot be told "
                "from these variants.")
    proved = "" if data.both_db.low > 0 or data.both_db.high < 0 else ": no interaction is proved"
    return (f"Doubling both {both} brings {signed(data.both_db)} beyond the sum of each "
            f"alone{proved}.")


def draw_importance(data: Sequence[Importance], axes: Axes) -> None:
    """Each share with its interval, two where both kinds are known; the most important above."""
    kinds = [("main", BLUE, "o", "of the variance that the main effects explain"),
             ("ped_anova", ORANGE, "D", "of what tells the best quarter from all (PED-ANOVA)")]
    shown = [kind for kind in kinds if all(getattr(one, kind[0]) for one in data)]
    shifts = (-0.14, 0.14) if len(shown) > 1 else (0.0,)
    highest = 0.0
    for (name, colour, shape, _), shift in zip(shown, shifts, strict=True):
        for place, one in enumerate(data):
            share: Estimate = getattr(one, name)
            highest = max(highest, share.high)
            axes.plot([share.low, share.high], [place + shift] * 2, color=colour, linewidth=1.4,
                      alpha=0.55, zorder=2, solid_capstyle="butt")
            axes.plot(share.value, place + shift, color=colour, marker=shape,
                      markersize=5 if shape == "o" else 4, zorder=3)
    axes.set_yticks(range(len(data)), [one.letter for one in data])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlim(-0.01, min(1.0, 1.05 * highest))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    axes.set_xlabel("share of what tells variants apart (%)")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    style.common_legend([axes], [(words, colour, shape) for _, colour, shape, words in shown])
