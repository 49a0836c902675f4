"""Numbers as people read them: decibels, shares, counts; and what stands above a column."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from study.analysis import cost_axes
from study.records import Estimate
from study.space.searched import FLAGS, VARIED

UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
Titles = Mapping[str, tuple[str, str]]  # by column: what stands above it, and the unit


class Table(NamedTuple):
    """Column names, the unit in each, and cells as plain values."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


class Score(NamedTuple):
    """A score of METRICS in words."""

    title: str
    unit: str
    digits: int  # behind the point, where it stands alone
    meaning: str  # in the manual
    definition: str = ""  # in the report, where it is shown beside SI-SNRi

    def value(self, number: float) -> str:
        """Such as '12.30 dB', or '0.812'."""
        return f"{number:.{self.digits}f}{' dB' if self.unit == 'dB' else ''}"

    def text(self, number: float) -> str:
        """Such as '12.30 dB SDRi', or 'STOI 0.812'."""
        parts = (self.value(number), self.title)
        return " ".join(parts if self.unit == "dB" else reversed(parts))


SCORE_WORDS = {
    "si_snr_db": Score("SI-SNR", "dB", 2, "scale-invariant SNR of the estimates, mean over the "
                       "speakers; of a run, over the test mixtures"),
    "si_snri_db": Score("SI-SNRi", "dB", 2, "its improvement over the mixture"),
    "sdr_db": Score("SDR", "dB", 2, "SDR of BSS Eval v3"),
    "sdri_db": Score("SDRi", "dB", 2, "its improvement over the mixture", "the same with the "
                     "signal-to-distortion ratio of BSS Eval v3 (512 taps)"),
    "stoi": Score("STOI", "0 to 1", 3, "short-time objective intelligibility, 0 to 1",
                  "the short-time objective intelligibility"),
    "pesq": Score("PESQ", "MOS", 2, "MOS-LQO; narrow band at 8 kHz, wide band at 16 kHz",
                  "the estimated listening quality"),
}
# What people read above a column, and in which unit. Files for machines keep the column's own name.
TITLES: Titles = {
    **{column: (score.title, score.unit) for column, score in SCORE_WORDS.items()},
    **cost_axes.titles(cost_axes.KNOWN),
    "trial": ("trial", ""),
    "name": ("variant", "against the reference"),
    "state": ("state", ""),
    "sexes": ("sexes", "of the speakers"),
    "scored": ("scored", "mixtures"),
    "segment_s": ("segments", "s"),
    "loss_db": ("loss", "dB below the reference"),
    "low_db": ("from", "dB, 95 %"),
    "high_db": ("to", "dB, 95 %"),
    "loss_low_db": ("from", "dB, 95 %"),
    "loss_high_db": ("to", "dB, 95 %"),
    "p": ("p", "of the loss, Holm"),
    "chance": ("probability", "of being Pareto-optimal"),
    "parameters_fraction": ("parameters", "of the reference's"),
    "macs_fraction": ("MACs", "of the reference's"),
    "receptive_field_s": ("receptive field", "s"),
    "predicted": ("predicted", "costs on"),
    "audio_s": ("trained on", "s of audio"),
    "seconds": ("wall time", "s"),
    "seed": ("seed", ""),
    "kind": ("kind", "of failure"),
    "reason": ("reason", ""),
    "init": ("weights", "at the start"),
    "rising": ("not converged", ""),
    "slope_db_per_doubling": ("slope", "dB per doubling of audio"),
    "si_snri_extrapolated_db": ("forecast", "dB at twice the audio"),
    "si_snri_extrapolated_low_db": ("from", "dB, 95 %"),
    "si_snri_extrapolated_high_db": ("to", "dB, 95 %"),
    "seeds": ("seeds", "in the mean"),
    "seeds_without": ("seeds", "without a score"),
    "seeds_unlearned": ("seeds", "that learned nothing, in no mean"),
    "si_snri_sd_db": ("sd", "dB between seeds"),
    "chosen_db": ("chosen with", "dB, in no mean"),
}


def cell(column: str, value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "as norm" if column == "input_norm" else ""
    if column in FLAGS:  # SQL and files know them as 0 and 1
        return "yes" if value else "no"
    if column in VARIED:
        return f"{value:g}" if isinstance(value, float) else str(value)
    if column.endswith("_fraction"):
        return percent(value)
    if column == "chance":
        return probability(value)
    if column in SCORE_WORDS or column.endswith(("_db", "_per_doubling")):
        return decibels(value)
    if column == "macs_per_s":
        return engineering(value)
    is_count = column.endswith(("parameters", "_bytes")) or column.startswith(("memory@", "bytes@"))
    if is_count or column in ("audio_s", "seconds"):
        return f"{value:,.0f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decibels(value: float) -> str:
    """Two decimals, with a real minus sign and no minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Two decimals with their sign."""
    text = decibels(value)
    return text if text.startswith("\N{MINUS SIGN}") or text == "0.00" else f"+{text}"


def change(loss: Estimate) -> str:
    """A loss as the change of the score, with its interval: '−0.20 dB [−0.30, −0.10]'."""
    return f"{signed(-loss.value)} dB [{signed(-loss.high)}, {signed(-loss.low)}]"


def percent(fraction: float) -> str:
    """Whole per cent; below ten with a decimal."""
    value = 100 * fraction
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %"


def probability(share: float) -> str:
    """Whole per cent, never surer than the bootstrap draws are."""
    if share > 0.99:
        return "> 99 %"
    return "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def engineering(value: float) -> str:
    """Three digits and k, M or G: 1234567 is 1.23M, and 999999 is 1.00M. `scaled` reads it."""
    for letter in "GMk":
        amount = value / UNITS[letter]
        if abs(amount) >= 999.5:
            return f"{amount:,.0f}{letter}"
        if abs(amount) >= 0.9995:
            return f"{amount:#.3g}".rstrip(".") + letter
    return f"{value:.3g}"


def scaled(text: str, units: Mapping[str, float] = UNITS) -> float | None:
    """The number of digits and a unit, such as 1.5M or 1,234; None where the text is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([a-zA-Z]?)", text.replace(",", "").replace("_", ""))
    return float(match[1]) * units[match[2]] if match and match[2] in units else None
