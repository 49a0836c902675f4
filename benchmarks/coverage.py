"""How often a report's intervals hold the truth, and how often it finds what is not there, on simulated studies.

    python benchmarks/coverage.py [STUDIES]
    python benchmarks/coverage.py DATABASE      the variances that a world below is made of, from a study's scores

A simulated score is the variant's true score, the chance of its seed, and what its test mixture does: part of it to all
variants alike, part to each in its own way; and each part is a sum of effects of the speakers, of their pair, and of the rest.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from study.analysis import effects
from study.analysis.mixture_scores import Mixtures, People, people_of
from study.analysis.replicates import SCORE
from study.analysis.uncertainty import Design, Means, SeedSpread, Uncertainty, holm, on_front

Floats = NDArray[np.float64]
MIXTURES, LIMIT_DB = 120, 0.5
SEEDS = np.array([3] * 6 + [1] * 14)                # of each variant
SEED_SD_DB, FREEDOM = 0.25, int((SEEDS - 1).sum())
SPEAKERS = (4, 6, 8, 12, 24, 40)


class World(NamedTuple):
    """Variances in dB^2: of a speaker, a pair and the rest, for all variants alike and for each."""

    name: str
    shared: tuple[float, float, float]
    own: tuple[float, float, float]
    corpus: str = "folder:x"


# Fitted (`fitted` below) to recorded studies: 6 variants on `voices` after 8,000 s of audio, its 24 speakers and its 7 voices of
# espeak-ng as people; 7 on `voices2`, 3 seeds each; 3 on spoken digits of 6 people after 2,000 s; 3 on 44 people's orders after
# 32,000 s, 8 in the test.
WORLDS = (World("voices, by speaker", (0.65, 0.0, 10.53), (0.12, 0.0, 0.75)),
          World("voices, by voice", (0.0, 9.65, 3.30), (0.11, 0.23, 0.57)),
          World("voices2", (0.0, 0.0, 9.62), (0.16, 0.0, 0.60)),
          World("digits", (0.13, 7.61, 1.92), (0.06, 0.23, 0.47)),
          World("orders", (2.26, 1.85, 0.89), (0.19, 0.28, 0.35)),
          World("no effect of speakers", (0.0, 0.0, 10.53), (0.0, 0.0, 0.75)))
KNOWN = tuple(world._replace(name=f"{world.name}, known people", corpus="folder:x?split=recording")
              for world in (WORLDS[1], *WORLDS[3:5]))


def mixtures(speakers: int, corpus: str, rng: np.random.Generator) -> Mixtures:
    """Pairs of speakers, none and nobody much more often than another."""
    pairs = [(a, b) for a in range(speakers) for b in range(a)]
    often: dict[tuple[int, int], int] = defaultdict(int)
    uses, people = np.zeros(speakers), []
    for _ in range(MIXTURES):
        some = [pairs[i] for i in rng.permutation(len(pairs))[:50]]
        a, b = pair = min(some, key=lambda pair: (often[pair], uses[list(pair)].sum()))
        often[pair] += 1
        uses[[a, b]] += 1
        people.append(f"s{a:02}+s{b:02}")
    return Mixtures(tuple(f"{i:03}" for i in range(MIXTURES)), tuple(people), ("",) * MIXTURES, {}, (), {},
                    np.zeros(0, np.uint64), people_of(corpus))


class Before(Design):
    """Pairs of speakers as if they were independent: what a bootstrap over pairs gives."""

    def __init__(self, heard: Mixtures):
        pairs = tuple("~".join(sorted(some.split("+"))) for some in heard.speakers)
        super().__init__(heard._replace(speakers=pairs, people=people_of("folder:x")))

    def _variances(self, deviations: Floats) -> Floats:
        return (self._independent(deviations) ** 2).sum(axis=0)


def simulated(world: World, design: Design, studies: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Scores [studies, variants, mixtures] of equally good variants, and their true means [studies, variants]."""
    tables = [design.speaker.toarray(), design.group.toarray(), np.eye(MIXTURES)]
    scores, true = np.zeros((studies, len(SEEDS), MIXTURES)), np.zeros((studies, len(SEEDS)))
    for variances, variants in ((world.shared, 1), (world.own, len(SEEDS))):
        for table, variance in zip(tables, variances, strict=True):
            effect = rng.normal(0, np.sqrt(variance), (studies, variants, table.shape[1])) @ table.T
            scores += effect
            if design.known and table is not tables[2]:
                true += effect.mean(axis=2)
    return scores, true


def tested(design: Design, values: Floats, shares: Floats, sd_db: Floats) -> Means:
    """Means of values [studies, lines, mixtures], flat, with so many times each study's variance of seeds added."""
    means = design.means(values.reshape(-1, MIXTURES))
    return means.plus((sd_db[:, None]**2 * shares).ravel(), FREEDOM)


def coverage(world: World, speakers: int, studies: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Before and after: shares of intervals that hold the truth, of false findings, and the width of intervals of losses
    against those of somebody who knows all variances."""
    rng = np.random.default_rng((seed, speakers))
    hits: dict[str, dict[str, list[Any]]] = {"before": defaultdict(list), "after": defaultdict(list)}
    for _ in range(4):      # sets of mixtures
        heard = mixtures(speakers, world.corpus, rng)
        after = Design(heard)
        scores, true = simulated(world, after, studies // 4, rng)
        scores = scores + rng.normal(0, SEED_SD_DB / np.sqrt(SEEDS), true.shape)[:, :, None]
        sd_db = SEED_SD_DB * np.sqrt(rng.chisquare(FREEDOM, len(scores)) / FREEDOM)
        for name, design in (("before", Before(heard)), ("after", after)):
            _judge(hits[name], design, scores, true, sd_db, _true_variance(world, after))
    return {name: {key: float(np.mean(found)) for key, found in some.items()} for name, some in hits.items()}


def _judge(hits: dict[str, list[Any]], design: Design, scores: Floats, true: Floats, sd_db: Floats, variance: float) -> None:
    own = tested(design, scores, 1 / SEEDS, sd_db)
    low, high = own.intervals()
    hits["score"].append((low <= true.ravel()) & (true.ravel() <= high))
    losses, lost = scores[:, :1] - scores[:, 1:], (true[:, :1] - true[:, 1:]).ravel()
    shares = 1 / SEEDS[0] + 1 / SEEDS[1:]
    against = tested(design, losses, shares, sd_db)
    low, high = against.intervals()
    hits["loss"].append((low <= lost) & (lost <= high))
    ideal = 2 * stats.norm.ppf(0.975) * np.sqrt(variance + shares * SEED_SD_DB**2)
    hits["width"].append((high - low).reshape(len(scores), -1) / ideal)
    p = against._replace(value=against.value - lost).p_values().reshape(len(scores), -1)
    hits["p"].append(p < 0.05)
    hits["holm"].append([min(holm(dict(enumerate(some))).values()) < 0.05 for some in p.tolist()])


def _true_variance(world: World, design: Design) -> float:
    """Of the mean loss on these mixtures, without seeds."""
    tables = (design.speaker, design.group, np.eye(MIXTURES))
    parts = [2 * variance * (table.sum(axis=0)**2).sum() / MIXTURES**2 for table, variance in zip(tables, world.own, strict=True)]
    return float(parts[2] if design.known else sum(parts))


def calibration(world: World, speakers: int, studies: int, seed: int = 0) -> Iterator[tuple[str, str, int, float, float]]:
    """Of chances said within each fifth, before and after: how many, their mean, how many are true. Of being within 0.5 dB of the
    reference, true losses anywhere from -1 to 2 dB; and of being Pareto-optimal."""
    rng = np.random.default_rng((seed, speakers))
    said: dict[tuple[str, str], list[float]] = defaultdict(list)
    true: dict[str, list[bool]] = defaultdict(list)
    seeds = dict(enumerate(SEEDS.tolist()))
    for _ in range(studies):
        heard = mixtures(speakers, world.corpus, rng)
        (scores,), (known,) = simulated(world, Design(heard), 1, rng)
        costs = np.sort(10 ** rng.uniform(4, 5.5, len(SEEDS)))[::-1]
        truth = known - np.r_[0, rng.uniform(-1, 2, len(SEEDS) - 1)]
        spread = SeedSpread(SEED_SD_DB * float(np.sqrt(rng.chisquare(FREEDOM) / FREEDOM)), FREEDOM)
        scores += (truth - known + rng.normal(0, SEED_SD_DB / np.sqrt(SEEDS)))[:, None]
        true["within"] += [bool(truth[0] - one <= LIMIT_DB) for one in truth[1:]]
        true["front"] += [bool((one > truth[costs < cost]).all()) for one, cost in zip(truth, costs, strict=True)]
        rows = [{"trial": trial, "parameters": cost} for trial, cost in enumerate(costs)]
        heard = heard._replace(owners=tuple(range(len(SEEDS))), scores={SCORE: scores})
        for name, design in (("before", Before), ("after", Design)):
            made = Uncertainty(heard, seeds, spread, draws=400)
            made.design = design(heard)
            said[name, "within"] += made.within(range(1, len(SEEDS)), 0, LIMIT_DB).values()
            said[name, "front"] += on_front(rows, ("parameters",), made).values()
    for (name, what), some in said.items():
        chances, happened = np.array(some), np.array(true[what])
        for low in np.arange(5) / 5:
            inside = (low <= chances) & (chances < low + 0.2) | ((low == 0.8) & (chances == 1))
            yield f"{what}, {name}", f"{low:.1f} to {low + 0.2:.1f}", int(inside.sum()), *(
                float(of[inside].mean()) for of in (chances, happened))


def fitted(url: str) -> Iterator[str]:
    """The variances of a study's scores: what all variants have alike, and each of its own."""
    from study.database.store import open_database
    with open_database(url) as db:
        heard = db.test_scores(db.studies()[-1])
    scores = heard.scores[SCORE]
    own = (scores - scores.mean(axis=0)) * np.sqrt(len(scores) / (len(scores) - 1))
    parts = {"shared": scores.mean(axis=0)[None], "own": own}
    for people in {People(), heard.people._replace(known=False)}:
        design = Design(heard._replace(people=people))
        for name, lines in parts.items():
            squares = np.array([((table.T @ design._deviations(lines)) ** 2).sum(axis=0) for table in design.tables])
            found = ", ".join(f"{one:.2f}" for one in np.maximum(design.solution @ squares, 0).mean(axis=1))
            yield f"{name}: {found} ({design.speakers} {people.noun}s, {design.groups} pairs of them)"


def letters(variants: int, studies: int, rng: np.random.Generator) -> dict[str, float]:
    """Main effects with known truth: coverage, how often an interaction is found that is not there, the share of N, which
    does nothing."""
    base, slopes = {"N": 128, "H": 128, "B": 64, "X": 6, "R": 2}, {"N": 0.0, "H": 0.4, "B": 0.3, "X": 1.5, "R": 0.8}
    choices = {"N": (32, 64, 96, 128), "H": (32, 64, 96, 128), "B": (16, 32, 48, 64), "X": (2, 3, 4, 5, 6), "R": (1, 2)}
    others = {"L": 16, "Sc": 64, "P": 3, "C": 2}
    held, false, shares = [], [], []
    for number in range(studies):
        rows = []
        for trial in range(variants):
            row = {letter: int(rng.choice(values)) if trial else base[letter] for letter, values in choices.items()}
            score = 5 + sum(slopes[letter] * np.log2(row[letter] / base[letter]) for letter in slopes) + rng.normal(0, 0.3)
            rows.append({"trial": trial, **others, **row, "si_snri_db": float(score)})
        design = effects.design(rows, rows[0])
        held += [one.doubling_db.low <= slopes[one.letter] <= one.doubling_db.high
                 for one in effects.main_effects(design).letters]
        both = effects.interaction(design).both_db
        if both is not None:        # few variants may not tell it apart from the rest
            false.append(not both.low <= 0 <= both.high)
        if number < 20:
            shares += [one.main.value for one in effects.importance(design, draws=2) if one.letter == "N"]
    return {"coverage": float(np.mean(held)), "X×R found": float(np.mean(false)), "share of N": float(np.mean(shares))}


def main(studies: int = 400) -> None:
    heads = ("world", "test speakers", "score, %", "loss, %", "p < 0.05, %", "any of 19, Holm, %", "width against ideal")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for world in (*WORLDS, *KNOWN):
        for speakers in SPEAKERS:
            both = coverage(world, speakers, studies)
            cells = [" → ".join(f"{100 * some[key]:.0f}" for some in both.values()) for key in ("score", "loss", "p", "holm")]
            width = " → ".join(f"{some['width']:.2f}" for some in both.values())
            print(f"| {world.name} | {speakers} | {' | '.join(cells)} | {width} |", flush=True)
    print("\n| chance | said | variants | mean chance | true |\n|---|---|---|---|---|")
    for speakers in (6, 24):
        for name, low, count, said, true in calibration(WORLDS[4], speakers, studies // 2):
            print(f"| {name}, {speakers} speakers | {low} | {count} | {said:.2f} | {true:.2f} |", flush=True)
    print("\n| variants | coverage of a letter's effect | X×R found where there is none | share of a letter without effect |")
    print("|---|---|---|---|")
    for variants in (16, 24, 50):
        found = letters(variants, studies, np.random.default_rng(0))
        print(f"| {variants} | {found['coverage']:.1%} | {found['X×R found']:.1%} | {found['share of N']:.1%} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].isdigit():
        print(*fitted(sys.argv[1]), sep="\n")
    else:
        main(*map(int, sys.argv[1:]))
