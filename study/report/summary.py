"""The answer of a study in sentences, worked out from rows, one per variant."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from study.analysis import trials
from study.analysis.analyse import Analysis
from study.analysis.extrapolation import Crossing, crossings, rising
from study.analysis.learned import NO_FINDING_DB, TOLERANCE_DB, ended, limit_db
from study.analysis.recommendations import Compared, within
from study.analysis.replicates import (
    BESIDE,
    EXPECTED,
    SCORE,
    Row,
    given,
    number,
    pooled_seed_sd,
    with_seeds,
)
from study.analysis.uncertainty import Uncertainty
from study.analysis.wording import SCORE_WORDS, decibels, percent, signed
from study.space.searched import configuration, value_of
from tasnet_core.errors import counted

PAIRS_AT_MOST = 5  # of each kind that may change places
FORECAST = (
    f"'Not converged' ({trials.RISING}) and 'forecast' come from a power law fitted to each run's "
    "validation curve before the decay. They assume that test scores gain as much and that the "
    "decay lifts a longer training alike; the interval of a forecast has the "
    "chance of seeds in it: 55 of 56 longer trainings known to us ended inside, most above its "
    "middle.")


class Answer(NamedTuple):
    """How small, and how sure that is; empty where there is nothing to say."""

    finding: str  # why nothing can be recommended (`learned.finding`); then no smallest
    smallest: str
    front: str
    reference: str
    uncertainty: str

    @property
    def sentences(self) -> list[str]:
        return [sentence for sentence in self if sentence]


def answer(compared: Compared, mixtures: int, why: str = "",
           uncertainty: Uncertainty | None = None) -> Answer:
    """The answer of a study tested on so many mixtures."""
    smallest = "" if why else _smallest(compared, uncertainty)
    return Answer(why, smallest, _front(compared), _reference(compared),
                  _uncertainty(compared, mixtures))


def inherited(rows: Sequence[Row], name: str) -> list[str]:
    """A sentence where weights were inherited; none where all were trained from scratch."""
    if not any(map(trials.inherited, rows)):
        return []
    if any(map(given, rows)):
        return [_slices_of_given(rows, name)]
    tuned = max((row["epochs"] for row in rows if row["init"] == "inherit"), default=0)
    began = "is a slice of the reference as it is, without a training of its own"
    if tuned:
        began = f"began as a slice of the reference and was tuned for {counted(tuned, 'epoch')}"
    return [f"Every variant {began}: scores to search by. The front from scratch counts: "
            f"python -m study confirm --study {name} trains it so."]


def _slices_of_given(rows: Sequence[Row], name: str) -> str:
    """How the variants of a network that was given began."""
    epochs = max((row["epochs"] for row in rows if row["init"] == "inherit"), default=0)
    adapted = next((row for row in rows if row["init"] == "adapted"), None)
    began = "Every variant began as a slice of the given network, adapted together with its slices"
    tuned = counted(epochs, "epoch")
    if adapted is None:     # in the study that this one confirms
        return f"{began}, and was trained on for {tuned}."
    audio_s = f" for {adapted['audio_s']:,.0f} s of audio (trial {adapted['trial']})"
    end = f"and was tuned for {tuned}" if epochs else "and was not trained further"
    return (f"{began}{audio_s}, {end}: scores to search by. "
            f"python -m study confirm --study {name} trains the front on by the whole recipe.")


def _front(compared: Compared) -> str:
    known, kept = compared.known, trials.front(compared.known)
    if len(known) == 1:
        return "Only one variant has been measured, so there is nothing to compare it with yet."
    verb = "is" if len(kept) == 1 else "are"
    return (f"Of {len(known)} variants measured, {len(kept)} {verb} Pareto-optimal: no other "
            "separates at least as well with no more parameters and no more MACs.")


def _smallest(compared: Compared, uncertainty: Uncertainty | None) -> str:
    if compared.base is None:
        best = max(compared.known, key=lambda row: (row[SCORE], -row["parameters"]))
        return f"The best measured: {compared.described(best)}."
    if not compared.smaller:
        return "Nothing smaller than the reference has been measured yet."
    return within(compared, uncertainty, TOLERANCE_DB).sentence


def _reference(compared: Compared) -> str:
    base = compared.reference
    if base is None:
        return "The reference, trial 0, is missing, so no loss against it can be given."
    if base not in compared.known:
        why = "".join(f", {word}" for word in (base.get("kind"), base["reason"]) if word)
        return (f"The reference, trial 0, has no score (state: {base['state']}{why}), so no loss "
                "against it can be given.")
    seeds = f" ({with_seeds(base)})" if with_seeds(base) else ""
    if given(base):
        seeds = ", the given network as it is"
    return f"The reference is {configuration(base)}: {decibels(base[SCORE])} dB SI-SNRi{seeds}."


def _uncertainty(compared: Compared, mixtures: int) -> str:
    known = compared.known
    if len(known) == 1:
        return ""
    tested = ""
    if mixtures:
        mixed = len({row.get("si_snri_sd_db") is None for row in known}) == 2
        tested = f"{'; all were' if mixed else ' and'} tested on {counted(mixtures, 'mixture')}"
    return (f"{_trained(known)}{tested}: {_limit(known)}{_chosen(known)}{_without(known)}"
            f"{_too_short(compared)}")


def _trained(known: Sequence[Row]) -> str:
    """How often each variant was trained."""
    trained = (_seeds(row) + (row.get("chosen_db") is not None) for row in known)
    several = [seeds for seeds in trained if seeds > 1]
    if not several:
        return "Each variant was trained once"
    least, most = min(several), max(several)
    how = f"{least} to {most}" if most > least else f"{least}"
    how = f"trained with {how} seeds (scores are their means)"
    once = len(known) - len(several)
    if not once:
        return f"Each variant was {how}"
    others = "other" if once == 1 else f"other {once}"
    were = "was" if len(several) == 1 else "were"
    return f"{len(several)} of {len(known)} variants {were} {how}, the {others} once"


def _limit(known: Sequence[Row]) -> str:
    """The difference that two scores may have by chance, and the spread it is computed from."""
    spread, least = pooled_seed_sd(known), min(map(_seeds, known))
    between = " between variants trained once" if least == 1 and spread else ""
    told = f"differences below about {limit_db(known):.1f} dB{between} are not findings."
    if spread:
        told += f" Seeds of one variant differ by a standard deviation of {decibels(spread[0])} dB."
    return told


def _chosen(known: Sequence[Row]) -> str:
    """The first seeds, which led to a choice and so have luck in their scores."""
    more = [row["chosen_db"] - row[SCORE] for row in known if row.get("chosen_db") is not None]
    if not more:
        return ""
    were = "variant was" if len(more) == 1 else "variants were"
    apart = f"{signed(math.fsum(more) / len(more))} dB against the fresh seeds"
    return (f" {len(more)} {were} chosen with the first seed, which is in no mean: "
            f"{apart}{' on average' if len(more) > 1 else ''}.")


def _without(known: Sequence[Row]) -> str:
    """Further trainings of these variants that are in no mean."""
    why = {"seeds_without": "{have} no score (stopped, failed or still running)",
           "seeds_unlearned": "learned nothing, where another seed did,"}
    told = ""
    for column, reason in why.items():
        count = sum(row.get(column, 0) for row in known)
        if count:
            have, are = ("has", "is") if count == 1 else ("have", "are")
            told += (f" {counted(count, 'further training')} of these variants "
                     f"{reason.format(have=have)} and {are} in no mean.")
    return told


def _too_short(compared: Compared) -> str:
    """A warning where smaller variants are ahead: the budget, not the size, decides then."""
    base = compared.base
    if base is None or all(row[SCORE] <= base[SCORE] + NO_FINDING_DB for row in compared.smaller):
        return ""
    return (f" Smaller variants are ahead of the reference: with {base['audio_s']:,.0f} s of audio "
            "it has not learned all it could, so a longer training may change the order.")


def _seeds(row: Row) -> int:
    return int(row.get("seeds", 1))


def not_converged(rows: Sequence[Row], recommended: Sequence[int] = ()) -> str:
    """Which trainings have not converged, and which variants a longer training may reorder.

    Of the front, the reference and the trials `recommended`; empty where no curve can be fitted.
    """
    fitted = [row for row in trials.finished(rows) if number(row.get(EXPECTED)) is not None]
    if not fitted:
        return ""
    high = sum(map(rising, fitted))
    done = sum(ended(row) and not rising(row) for row in fitted)
    told = f"{high} of {counted(len(fitted), 'fitted learning curve')} "
    told += f"{'has' if high == 1 else 'have'} clearly not converged ({trials.RISING})"
    if done:
        told += (f"; {done} had less than {NO_FINDING_DB:g} dB to gain from twice the audio")
    if unclear := len(fitted) - high - done:
        told += f"; {unclear} {'is' if unclear == 1 else 'are'} too short or uneven to tell"
    told += "."
    shown = {0, *recommended, *(row["trial"] for row in trials.front(rows))}
    near = [row for row in fitted if row["trial"] in shown]
    if len(near) < 2:  # where weights were inherited, the reference alone has a curve
        return told
    pairs = crossings(near, trials.COSTS)
    if not pairs:
        return f"{told} At twice the audio no pair of the front is forecast to change places."
    passing = _listed([_passes(pair) for pair in pairs if pair.passes])
    unsure = _listed([f"{pair.below['trial']} and {pair.above['trial']}"
                      for pair in pairs if not pair.passes])
    if unsure:
        unsure = f"the confidence intervals overlap of trials {unsure}"
    return (f"{told} The front could still change order: at twice the audio "
            f"{'; '.join(filter(None, (passing, unsure)))}.")


def _passes(pair: Crossing) -> str:
    below, above = pair.below, pair.above
    return (f"trial {below['trial']} is forecast to pass trial {above['trial']} "
            f"({decibels(below[EXPECTED])} against {decibels(above[EXPECTED])} dB)")


def _listed(words: Sequence[str]) -> str:
    more = len(words) - PAIRS_AT_MOST
    return ", ".join(words[:PAIRS_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def stopped(runs: Sequence[Row]) -> str:
    """A sentence on the runs that were stopped early; empty when none was."""
    count = sum(run["state"] == "stopped" for run in runs)
    if not count:
        return ""
    saved = trials.spared_s(runs)
    share = saved / (saved + sum(number(run["audio_s"]) or 0 for run in runs))
    were = "was" if count == 1 else "were"
    return (f"{counted(count, 'run')} {were} stopped early, when another that costs no more was "
            f"well ahead at the same epoch; that saved {saved:,.0f} s of audio, {percent(share)} "
            "of what the study would have trained on.")


def intervals(uncertainty: Uncertainty) -> str:
    """For whom the confidence intervals of a report are, and what they cover."""
    of_whom = uncertainty.of_whom()
    if not uncertainty.enough:
        return of_whom
    seeds = ("and the spread of seeds, pooled over the variants that have several. The probability "
             "of being Pareto-optimal is a share of draws from the same variances.")
    if not uncertainty.spread:
        seeds = ("but not the chance of a training: no variant was trained with several seeds "
                 "(python -m study confirm), so no probability of being Pareto-optimal can be "
                 "given.")
    return f"{of_whom} They cover the choice of test mixtures, {seeds}"


def trained_s(runs: Sequence[Row]) -> list[float]:
    """The amounts of audio that finished runs were trained on."""
    return sorted({run["audio_s"] for run in trials.finished(runs) if number(run["audio_s"])})


def small_print(runs: Sequence[Row], analysis: Analysis) -> list[str]:
    """The definitions of the figures, and what they are computed from."""
    rows = analysis.rows

    def measured(*names: str) -> bool:
        return any(number(row.get(name)) is not None for row in rows for name in names)

    several = any(row["seeds"] > 1 for row in rows)
    rate_hz = value_of(rows[0], "sample_rate_hz")
    return [line for line in (
        f"MACs are multiply-accumulates for one second of audio at {rate_hz / 1000:g} kHz. SI-SNRi "
        "is the improvement in scale-invariant signal-to-noise ratio over the mixture, in dB, "
        "averaged over the test set"
        f"{' and over the seeds a variant was trained with' if several else ''}; higher is better.",
        FORECAST if measured(EXPECTED) else "",
        _other_scores() if measured(*BESIDE) else "",
        _audio(runs), _states(runs), stopped(runs),
        intervals(analysis.uncertainty)) if line]


def _other_scores() -> str:
    first, *others = (SCORE_WORDS[name] for name in BESIDE)
    defined = [f"{first.title} is {first.definition}",
               *(f"{score.title} {score.definition}" for score in others)]
    return f"{', '.join(defined)}; each is a mean over the test mixtures that have it."


def _audio(runs: Sequence[Row]) -> str:
    trained = trained_s(runs)
    if not trained:
        return ""
    if len(trained) == 1:
        return f"Every finished run was trained on the same {trained[0]:,.0f} s of audio."
    return (f"The finished runs were trained on different amounts of audio, {trained[0]:,.0f} to "
            f"{trained[-1]:,.0f} s: compare with care.")


def _states(runs: Sequence[Row]) -> str:
    states = Counter(run["state"] for run in runs)
    named = ", ".join(f"{number} {state}" for state, number in states.items())
    return f"{counted(len(runs), 'run')}: {named}."
