"""The answer of a study in words, worked out from rows: how small, and at what cost in dB."""

from collections.abc import Sequence

from study import tables
from study.tables import SCORE, Row, decibels, percent
from tasnet_core.records import Variant

TOLERANCE_DB = 0.5
# Two trainings of one network from two seeds differ by tenths of a dB: one training each proves no less.
NO_FINDING_DB = 0.3


def answer(rows: Sequence[Row], mixtures: int) -> list[str]:
    """Sentences: how many are beaten by none, the smallest near the reference, how sure that is."""
    return [_beaten_by_none(rows), _smallest_near(rows), _how_sure(rows, mixtures)]


def sample_rate_hz(rows: Sequence[Row]) -> int:
    """The rate all rows' seconds of sound have: a receptive field is known in samples and in seconds."""
    for row in rows:
        if tables.number(row["receptive_field_s"]):
            frames = row["R"] * (row["P"] - 1) * (2 ** row["X"] - 1)
            return round(int(frames * row["L"] // 2 + row["L"]) / float(row["receptive_field_s"]))
    return Variant.sample_rate_hz


def _beaten_by_none(rows: Sequence[Row]) -> str:
    runs, kept = tables.finished(rows), tables.front(rows)
    variants = len({row["variant"] for row in runs})
    if len(runs) == 1:
        return "Only one run has finished, so there is nothing to compare it with yet."
    what = f"{len(runs)} variants" if variants == len(runs) else f"{len(runs)} runs of {variants} variants"
    verb = "is" if len(kept) == 1 else "are"
    return (f"Of {what} measured, {len(kept)} {verb} beaten by none: no other separates at least as well "
            f"with no more parameters and no more MACs.")


def _smallest_near(rows: Sequence[Row]) -> str:
    base, runs = tables.reference(rows), tables.finished(rows)
    if base is None or base not in runs:
        best = max(runs, key=lambda row: (row[SCORE], -row["parameters"]))
        fate = "is missing" if base is None else f"has no score (state: {base['state']}"
        fate += "" if base is None else f", {base['reason']})" if base["reason"] else ")"
        return (f"The reference, trial 0, {fate}, so no loss against it can be given; "
                f"the best measured is trial {best['trial']} with {decibels(best[SCORE])} dB SI-SNRi.")
    smaller = [row for row in runs if row["parameters"] < base["parameters"]]
    named = f"the reference ({tables.letters(base)}: {decibels(base[SCORE])} dB SI-SNRi)"
    if not smaller:
        return f"Nothing smaller than {named} has been measured yet."
    near = [row for row in smaller if round(base[SCORE] - row[SCORE], 9) <= TOLERANCE_DB]
    if not near:
        best = max(smaller, key=lambda row: (row[SCORE], -row["parameters"]))
        return (f"No smaller variant comes within {TOLERANCE_DB} dB of {named}; "
                f"the nearest is {_beside(best, base, rows)}.")
    # The smallest of them; among equals the one with fewer MACs, then the better one: it is on the front.
    pick = min(near, key=lambda row: (row["parameters"], row["macs_per_s"], -row[SCORE]))
    return f"The smallest within {TOLERANCE_DB} dB of {named} is {_beside(pick, base, rows)}."


def _beside(row: Row, base: Row, rows: Sequence[Row]) -> str:
    loss = base[SCORE] - row[SCORE]
    how = f"{decibels(loss)} dB worse" if round(loss, 2) > 0 else \
        f"{decibels(-loss)} dB better" if round(loss, 2) < 0 else "equally good"
    parameters, macs = (percent(row[cost] / base[cost]) for cost in tables.COSTS)
    name = tables.names(rows)[row["trial"]]
    return f"{name}: {how}, with {parameters} of its parameters and {macs} of its MACs"


def _how_sure(rows: Sequence[Row], mixtures: int) -> str:
    runs = tables.finished(rows)
    if len(runs) == 1:
        return ""
    seeds: dict[str, set[int]] = {}
    for row in runs:
        seeds.setdefault(row["variant"], set()).add(row["seed"])
    repeated = sum(len(some) > 1 for some in seeds.values())
    trained = "Each variant was trained once"
    if repeated:
        trained = f"{repeated} of {len(seeds)} variants were trained more than once, each row is one training"
    tested = f" and tested on {mixtures} mixtures" if mixtures else ""
    return f"{trained}{tested}: differences below about {NO_FINDING_DB} dB are not findings.{_too_short(runs)}"


def _too_short(runs: Sequence[Row]) -> str:
    """A warning where the order of sizes is upside down: the budget, not the size, then decides who is ahead."""
    base = tables.reference(runs)
    if base is None or not any(row["parameters"] < base["parameters"] and row[SCORE] > base[SCORE] + NO_FINDING_DB
                               for row in runs):
        return ""
    return (f" Smaller variants are ahead of the reference: with {base['audio_s']:,.0f} s of sound it has not learned "
            "all it could, so a longer training may change the order.")
