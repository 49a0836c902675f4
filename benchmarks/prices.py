"""Which share of measured losses the printed interval holds, each variant left out of the recorded tables in turn.

    python benchmarks/prices.py

Prints a row for each table in results/ and benchmarks/ with 16 variants or more: how many variants, the terms that joined
the main effects, R², the error left out, the share of left-out losses inside the prediction interval of
`study.analysis.score_model`, its median half width, and the share inside the interval of the coefficients alone.
"""

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from study.analysis import effects
from study.analysis.score_model import score_model
from tasnet_core.records import LETTERS, Variant

ROOT = Path(__file__).parents[1]
HEAD = "| table | variants | joined | R² | error left out, dB | inside | half width, dB | inside before |"


def tables() -> Iterator[tuple[str, list[dict]]]:
    """Variants trained on equally much audio, the mean of their seeds each, the largest first."""
    for path in [*sorted((ROOT / "results").glob("*.csv")), ROOT / "benchmarks/curves.csv"]:
        groups = defaultdict(lambda: defaultdict(list))
        with path.open() as lines:
            for row in csv.DictReader(lines):
                if row.get("state", "complete") == "complete" and row["si_snri_db"]:
                    variant = tuple(int(row[letter]) for letter in LETTERS)
                    groups[row.get("audio_s", "")][variant].append(float(row["si_snri_db"]))
        for audio_s, scores in groups.items():
            rows = [{"trial": i, **dict(zip(LETTERS, variant, strict=True)), "si_snri_db": float(np.mean(scores[variant]))}
                    for i, variant in enumerate(sorted(scores, key=lambda one: -math.prod(one)))]
            yield f"{path.stem} {audio_s}".strip(), rows


def left_out(rows: list[dict]) -> tuple[float, float, float, str, float, float] | None:
    base = rows[0]
    reference = Variant(**{letter: base[letter] for letter in LETTERS})
    whole = effects.design(rows, base)
    if effects.refusal(whole):
        return None
    inside, before, widths = [], [], []
    for i, row in enumerate(rows[1:], 1):
        others = effects.design(rows[:i] + rows[i + 1:], base)
        if effects.refusal(others):
            continue
        changed = {letter: row[letter] for letter in whole.letters}
        if whole.columns.keys() != others.columns.keys():
            continue        # it alone has a value that the others cannot tell
        loss, model = base["si_snri_db"] - row["si_snri_db"], score_model(others, reference, base["si_snri_db"])
        found = model.loss(changed)
        inside.append(found.low <= loss <= found.high)
        widths.append((found.high - found.low) / 2)
        way = sum((others.way(letter, value) for letter, value in changed.items()), others.table[0] * 0.0)
        gain = effects.fit(others.table, others.scores).along(way)
        before.append(-gain.high <= loss <= -gain.low)
    model = score_model(whole, reference, base["si_snri_db"])
    return (float(np.mean(inside)), float(np.median(widths)), float(np.mean(before)), ", ".join(model.terms) or "–",
            model.explained, model.error_db)


def main() -> None:
    print(HEAD)
    print("|---" * 8 + "|")
    for name, rows in tables():
        if found := left_out(rows):
            inside, width, before, terms, explained, error = found
            print(f"| {name} | {len(rows)} | {terms} | {explained:.3f} | {error:.2f} "
                  f"| {inside:.0%} | {width:.2f} | {before:.0%} |")


if __name__ == "__main__":
    main()
