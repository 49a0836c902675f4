"""The figures of what each letter does: `effects`, `interaction` and `importance`. First the numbers, then the ink."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from study.analysis.effects import Effects, Importance, Interaction
from study.analysis.wording import cell
from study.records import Estimate
from study.report.figures import style
from study.report.figures.style import BLUE, GREY, INK, LOOKS, ORANGE

DARK, LIGHT = "#010101", "#fefefe"  # type on coloured cells; no colours that a dark page would replace


class EffectPanel(NamedTuple):
    """One letter: what each of its values does against the reference's, the others held there."""

    letter: str
    doubling: str  # what doubling it gains, in words; or what each word does that is not the reference's
    levels: list[str]
    places: list[float]  # of the levels, in octaves; 0 stands an octave below the least
    effect_db: list[Estimate]
    points: list[tuple[float, float, str]]  # (place, effect plus residual in dB, kind) of each variant


def effects_data(effects: Effects, kinds: Mapping[int, str]) -> list[EffectPanel]:
    """A panel for each letter; none where the model is refused."""
    panels = []
    for one in effects.letters:
        places = style.octaves(one.levels) if one.doubling_db else map(float, range(len(one.levels)))
        place = dict(zip(one.levels, places, strict=True))
        named = [cell(one.letter, level) for level in one.levels]
        told = f"{signed(one.doubling_db)} per doubling" if one.doubling_db else ", ".join(
            f"{name} {signed(effect)}" for name, effect in zip(named, one.effect_db, strict=True) if effect.low != effect.high)
        panels.append(EffectPanel(one.letter, told, named, list(place.values()), list(one.effect_db),
                                  [(place[level], db, kinds.get(trial, "beaten")) for level, db, trial in one.points]))
    return panels


def signed(estimate: Estimate) -> str:
    """As in '+1.9 dB [1.2, 2.6]': as many digits as the interval is worth."""
    digits = 1 if estimate.high - estimate.low >= 0.2 else 2
    low, high = (f"{round(end, digits) + 0.0:.{digits}f}" for end in (estimate.low, estimate.high))
    return style.minus(f"{round(estimate.value, digits) + 0.0:+.{digits}f} dB [{low}, {high}]")


def draw_effects(data: Sequence[EffectPanel], axes: Sequence[Axes]) -> None:
    """The model's line with its band, and the partial residuals beside it."""
    for panel, ax in zip(data, axes, strict=False):
        apart = min(np.diff(panel.places), default=1.0)
        points = [(place + 0.35 * apart * aside, db, kind)
                  for aside, (place, db, kind) in zip(style.aside(len(panel.points)), panel.points, strict=True)]
        for name, look in LOOKS.items():
            style.marks(ax, [point for *point, kind in points if kind == name], look, zorder=3 if name == "reference" else 2)
        value, low, high = np.array(panel.effect_db).T
        ax.fill_between(panel.places, low, high, color=INK, alpha=0.16, lw=0, zorder=1.5)
        ax.plot(panel.places, value, color=INK, linewidth=1.2, zorder=5)
        ax.axhline(0, color=INK, linewidth=0.6, linestyle=":", zorder=1)
        ax.set_title(panel.doubling, loc="left", pad=3)
        ax.set_xticks(panel.places, panel.levels)
        ax.set_xlim(panel.places[0] - 0.4 * apart, panel.places[-1] + 0.4 * apart)
        ax.set_xlabel(panel.letter, labelpad=1.5)
        ax.grid(axis="y")
    found = {kind for panel in data for *_, kind in panel.points}
    style.common_legend(axes, [*style.kind_keys(found), ("effect, 95 % band", INK, "_")], line=False)
    style.common_labels(axes, "hyperparameter value (spaced by octaves)", "SI-SNRi against the reference's value (dB)")
    style.close(axes, len(data), "")


def draw_interaction(data: Interaction, axes: Axes) -> None:
    """A cell for each pair of values, coloured by its mean; hatched where no variant has them."""
    table = np.array([[np.nan if mean is None else mean for mean in line] for line in data.mean_db]).T   # [second, first]
    colours = colormaps["cividis"]
    mesh = axes.pcolormesh(table, cmap=colours, edgecolors="none", linewidth=0)
    for (y, x), mean in np.ndenumerate(table):
        if np.isnan(mean):
            axes.fill_between([x, x + 1], y, y + 1, facecolor="none", edgecolor=GREY, hatch="////", linewidth=0, alpha=0.6)
            continue
        type_colour = LIGHT if _luminance(colours(mesh.norm(mean))) < 0.18 else DARK
        axes.text(x + 0.5, y + 0.54, style.minus(f"{mean:.2f}"), ha="center", va="bottom", color=type_colour, fontsize=8)
        axes.text(x + 0.5, y + 0.46, f"n = {data.variants[x][y]}", ha="center", va="top", color=type_colour, fontsize=6)
    for side, name, letter in ((0, "x", data.first), (1, "y", data.second)):
        ticks = np.arange(len(data.values[side])) + 0.5
        getattr(axes, f"set_{name}ticks")(ticks, [str(value) for value in data.values[side]])
        getattr(axes, f"set_{name}label")(letter)
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
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    return float(0.2126 * red + 0.7152 * green + 0.0722 * blue)


def together(data: Interaction) -> str:
    """The sentence on both letters together."""
    letters = f"{data.first} and {data.second}"
    if data.both_db is None:
        return f"What doubling both {letters} brings beyond the sum of each alone cannot be told from these variants."
    sure = "" if data.both_db.low > 0 or data.both_db.high < 0 else ": no interaction is proved"
    return f"Doubling both {letters} brings {signed(data.both_db)} beyond the sum of each alone{sure}."


def draw_importance(data: Sequence[Importance], axes: Axes) -> None:
    """Two points per letter with their intervals, the most important letter above."""
    kinds = [("main", BLUE, "o", "of the variance that the main effects explain"),
             ("ped_anova", ORANGE, "D", "of what tells the best quarter from all (PED-ANOVA)")]
    shown = [kind for kind in kinds if all(getattr(one, kind[0]) for one in data)]
    highest = 0.0
    for (name, colour, marker, _), shift in zip(shown, (-0.14, 0.14) if len(shown) > 1 else (0.0,), strict=True):
        for place, one in enumerate(data):
            share: Estimate = getattr(one, name)
            highest = max(highest, share.high)
            axes.plot([share.low, share.high], [place + shift] * 2, color=colour, linewidth=1.4, alpha=0.55, zorder=2,
                      solid_capstyle="butt")
            axes.plot(share.value, place + shift, color=colour, marker=marker, markersize=5 if marker == "o" else 4, zorder=3)
    axes.set_yticks(range(len(data)), [one.letter for one in data])
    axes.set_ylim(len(data) - 0.5, -0.5)
    axes.set_xlim(-0.01, min(1.0, 1.05 * highest))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    axes.set_xlabel("share of what tells variants apart (%)")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)
    style.common_legend([axes], [(words, colour, marker) for _, colour, marker, words in shown])
