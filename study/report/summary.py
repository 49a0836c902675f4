"""The answer of a study in words, worked out from rows, one per variant: how small, and at what cost in dB."""

from collections.abc import Sequence

from study.analysis import trials
from study.analysis.bootstrap import DRAWS, Repeated
from study.analysis.extrapolation import Crossing, crossings, rising
from study.analysis.learned import NO_FINDING_DB, TOLERANCE_DB, ended, finding, limit_db
from study.analysis.replicates import EXPECTED, SCORE, Row, number, pooled_seed_sd, with_seeds
from study.analysis.wording import decibels, percent
from study.space.searched import configuration
from tasnet_core.errors import counted

PAIRS_AT_MOST = 5       # of each kind that may change places


def inherited(rows: Sequence[Row], name: str) -> list[str]:
    """A sentence where weights were inherited; none where all were trained from scratch."""
    if not any(map(trials.inherited, rows)):
        return []
    tuned = max((row["epochs"] for row in rows if row["init"] == "inherit"), default=0)
    began = f"began as a slice of the reference and was tuned for {counted(tuned, 'epoch')}" if tuned else "is a slice of the " \
            "reference as it is, without a training of its own"
    return [f"Every variant {began}: scores to search by. The front is what holds from scratch: python -m study confirm --study "
            f"{name} trains it so."]


def answer(rows: Sequence[Row], mixtures: int, why: str = "") -> list[str]:
    """Sentences: how many are beaten by none, the smallest near the reference, how sure that is. Where nothing can be
    recommended (`learned.finding`, which is also asked here), that comes first, instead of the smallest."""
    told, why = [_beaten_by_none(rows), _smallest_near(rows), _how_sure(rows, mixtures)], why or finding(rows)
    return [why, told[0], told[2]] if why else told


def _beaten_by_none(rows: Sequence[Row]) -> str:
    known, kept = trials.finished(rows), trials.front(rows)
    if len(known) == 1:
        return "Only one variant has been measured, so there is nothing to compare it with yet."
    verb = "is" if len(kept) == 1 else "are"
    return (f"Of {len(known)} variants measured, {len(kept)} {verb} beaten by none: no other separates at least as well "
            f"with no more parameters and no more MACs.")


def _smallest_near(rows: Sequence[Row]) -> str:
    base, known = trials.reference(rows), trials.finished(rows)
    if base is None or base not in known:
        best = max(known, key=lambda row: (row[SCORE], -row["parameters"]))
        fate = "is missing" if base is None else f"has no score (state: {base['state']}"
        if base is not None:
            fate += "".join(f", {why}" for why in (base.get("kind"), base["reason"]) if why) + ")"
        return (f"The reference, trial 0, {fate}, so no loss against it can be given; "
                f"the best measured is trial {best['trial']} with {decibels(best[SCORE])} dB SI-SNRi{_in_brackets(best)}.")
    smaller = [row for row in known if row["parameters"] < base["parameters"]]
    named = (f"the reference ({configuration(base)}: {decibels(base[SCORE])} dB SI-SNRi"
             f"{', ' if with_seeds(base) else ''}{with_seeds(base)})")
    if not smaller:
        return f"Nothing smaller than {named} has been measured yet."
    pick = trials.smallest_within(smaller, lambda row: float(base[SCORE] - row[SCORE]), TOLERANCE_DB)
    if pick is None:
        best = max(smaller, key=lambda row: (row[SCORE], -row["parameters"]))
        return (f"No smaller variant comes within {TOLERANCE_DB} dB of {named}; "
                f"the nearest is {_beside(best, base, rows)}.")
    return f"The smallest within {TOLERANCE_DB} dB of {named} is {_beside(pick, base, rows)}."


def _in_brackets(row: Row) -> str:
    return f" ({with_seeds(row)})" if with_seeds(row) else ""


def _beside(row: Row, base: Row, rows: Sequence[Row]) -> str:
    loss = base[SCORE] - row[SCORE]
    how = f"{decibels(loss)} dB worse" if round(loss, 2) > 0 else \
        f"{decibels(-loss)} dB better" if round(loss, 2) < 0 else "equally good"
    parameters, macs = (percent(row[cost] / base[cost]) for cost in trials.COSTS)
    name = trials.names(rows)[row["trial"]]
    return f"{name}{_in_brackets(row)}: {how}, with {parameters} of its parameters and {macs} of its MACs"


def _how_sure(rows: Sequence[Row], mixtures: int) -> str:
    known = trials.finished(rows)
    if len(known) == 1:
        return ""
    mixed = len({_seeds(row) > 1 for row in known}) == 2
    tested = f"{'; all were' if mixed else ' and'} tested on {counted(mixtures, 'mixture')}" if mixtures else ""
    return f"{_trained(known)}{tested}: {_limit(known)}{_without(known)}{_too_short(known)}"


def _trained(known: Sequence[Row]) -> str:
    """How often each variant was trained."""
    several = [seeds for row in known if (seeds := _seeds(row)) > 1]
    if not several:
        return "Each variant was trained once"
    how = f"{min(several)}" + (f" to {max(several)}" if max(several) > min(several) else "")
    how = f"trained with {how} seeds (scores are their means)"
    once = len(known) - len(several)
    if not once:
        return f"Each variant was {how}"
    return (f"{len(several)} of {len(known)} variants {'was' if len(several) == 1 else 'were'} {how}, "
            f"the other{'' if once == 1 else f' {once}'} once")


def _limit(known: Sequence[Row]) -> str:
    """Below which difference two scores may differ by chance, and the spread it rests on where it was measured."""
    spread, least = pooled_seed_sd(known), min(map(_seeds, known))
    between = " between variants trained once" if least == 1 and spread else ""
    seen = f" Seeds of one variant differ by a standard deviation of {decibels(spread[0])} dB." if spread else ""
    return f"differences below about {limit_db(known):.1f} dB{between} are not findings.{seen}"


def _without(known: Sequence[Row]) -> str:
    """Further trainings of these variants that are in no mean."""
    others, nothing = (sum(row.get(name, 0) for row in known) for name in ("seeds_without", "seeds_unlearned"))
    said = ""
    if others:
        said = (f" {counted(others, 'further training')} of these variants {'has' if others == 1 else 'have'} no score "
                f"(stopped, failed or still running) and {'is' if others == 1 else 'are'} in no mean.")
    if nothing:
        said += (f" {counted(nothing, 'further training')} of these variants learned nothing, where another seed did, and "
                 f"{'is' if nothing == 1 else 'are'} in no mean.")
    return said


def _seeds(row: Row) -> int:
    return int(row.get("seeds", 1))


def still_rising(rows: Sequence[Row], picked: Sequence[int] = ()) -> str:
    """Sentences on what a longer training may change: who still rises, and which of the front, the reference and the trials
    `picked` may change places at twice the sound; empty where no curve is long enough to tell."""
    judged = [row for row in trials.finished(rows) if number(row.get(EXPECTED)) is not None]
    if not judged:
        return ""
    high, done = sum(map(rising, judged)), sum(ended(row) and not rising(row) for row in judged)
    rest = len(judged) - high - done
    told = (f"At the end of their training {high} of {counted(len(judged), 'variant')} with a curve that can be fitted "
            f"{'was' if high == 1 else 'were'} clearly still rising ({trials.RISING})")
    told += f", {done} had less than {NO_FINDING_DB:g} dB to gain from twice the sound" if done else ""
    told += f", and of {rest} the curve is too short or uneven to tell." if rest else "."
    shown = {0, *picked, *(row["trial"] for row in trials.front(rows))}
    near = [row for row in judged if row["trial"] in shown]
    if len(near) < 2:       # where weights were inherited, the reference alone has a curve
        return told
    pairs = crossings(near, trials.COSTS)
    if not pairs:
        return f"{told} By these curves no pair of the front would change places at twice the sound."
    passing = _listed([_passes(pair) for pair in pairs if pair.passes])
    unsure = _listed([f"{pair.below['trial']} and {pair.above['trial']}" for pair in pairs if not pair.passes])
    both = filter(None, (passing, unsure and f"the intervals overlap of trials {unsure}"))
    return f"{told} The front could still change order: at twice the sound {'; '.join(both)}."


def _passes(pair: Crossing) -> str:
    here, there = (f"trial {row['trial']}" for row in pair[:2])
    return f"{here} is expected to pass {there} ({decibels(pair.below[EXPECTED])} against {decibels(pair.above[EXPECTED])} dB)"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:PAIRS_AT_MOST]) + (f" and {len(words) - PAIRS_AT_MOST} more" if len(words) > PAIRS_AT_MOST else "")


def stopped(runs: Sequence[Row]) -> str:
    """A sentence on the runs, one row each, that were stopped early; empty when none was."""
    count, spared = sum(run["state"] == "stopped" for run in runs), trials.spared_s(runs)
    if not count:
        return ""
    trained = sum(number(run["audio_s"]) or 0 for run in runs)
    return (f"{counted(count, 'run')} {'was' if count == 1 else 'were'} stopped early, when another that costs no more was well "
            f"ahead at the same epoch; that saved {spared:,.0f} s of sound, {percent(spared / (spared + trained))} of what the "
            "study would have trained on.")


def intervals(repeated: Repeated) -> str:
    """What the intervals of a report are, and what they do not hold."""
    if not repeated.enough:
        return (f"The test has {counted(repeated.pairs, 'pair')} of speakers, too few for intervals."
                if repeated.pairs else "")
    seeds = ("and the spread of seeds, pooled over the variants that have several" if repeated.spread else
             "but not the chance of a training: no variant was trained with several seeds (python -m study confirm), so no "
             "chance of being on the front can be given")
    told = (f"Intervals are made to hold the truth in 95 of 100 studies. They hold the chance of the test mixtures, by {DRAWS:,} "
            f"bootstrap draws of {counted(repeated.pairs, 'pair')} of speakers, {seeds}. They speak of people like these: where "
            "single voices matter much, new ones differ more.")
    return told + (" The chance of being on the front is a share of these draws." if repeated.spread else "")


def _too_short(known: Sequence[Row]) -> str:
    """A warning where the order of sizes is upside down: the budget, not the size, then decides who is ahead."""
    base = trials.reference(known)
    if base is None or not any(row["parameters"] < base["parameters"] and row[SCORE] > base[SCORE] + NO_FINDING_DB
                               for row in known):
        return ""
    return (f" Smaller variants are ahead of the reference: with {base['audio_s']:,.0f} s of sound it has not learned "
            "all it could, so a longer training may change the order.")
