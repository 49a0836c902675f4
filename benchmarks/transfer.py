"""Does the order of variants on one corpus foretell that on another, and is a halving's price the same?

    python benchmarks/transfer.py results/quick_voices2_muon.csv results/quick_orders_muon.csv

For each budget that both tables have, in seconds of audio, of the variants in both (means over their seeds):
- Kendall's τ of the two orders with its 95 % interval (`rank_agreement.tau`), of the order by parameters alone, and of two seeds
  on the second corpus, where the table has them: so much do orders differ by chance alone;
- regret: of 24 limits of parameters and of MACs in even ratios, the best variant within each by the first corpus, and what it
  has less than the best there is by the second, mean and most; the interval of the mean is of a bootstrap over the variants;
- the price of halving each hyperparameter on both corpora, and the difference, from a fit to the differences of the scores, which
  leaves out what both corpora have in common; 95 % intervals of the fit.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from study.analysis import effects
from study.analysis.rank_agreement import tau
from study.records import Estimate
from tasnet_core.cost.formulas import exact
from tasnet_core.records import LETTERS, Variant

LIMITS = 24
LEAST = 10      # variants with two seeds, whose orders can be compared
DRAWS = 2_000
Key = tuple[int, ...]


def seeds_of(path: Path) -> dict[float, dict[Key, list[float]]]:
    """By seconds of audio and variant, the scores of its seeds."""
    found: dict[float, dict[Key, list[float]]] = defaultdict(lambda: defaultdict(list))
    with path.open() as lines:
        for row in csv.DictReader(lines):
            if row["state"] == "complete" and row["si_snri_db"] and row["init"] == "scratch":
                audio_s = float(row["epochs"]) * float(row["epoch_segments"]) * float(row["segment_s"])
                found[audio_s][tuple(int(row[letter]) for letter in LETTERS)].append(float(row["si_snri_db"]))
    return found


def two_seeds(scores: dict[Key, list[float]]) -> Estimate | None:
    """Kendall's τ of the orders by the first and by the second seed of the variants that have two."""
    twice = [some[:2] for some in scores.values() if len(some) > 1]
    return tau(*np.array(twice).T) if len(twice) >= LEAST else None


def regret(costs: np.ndarray, chosen_by: np.ndarray, true: np.ndarray) -> np.ndarray:
    """[limits]: what the best within each limit of cost by one score has less than the best by the other."""
    limits = np.geomspace(costs.min(), costs.max(), LIMITS) * (1 + 1e-9)
    found = []
    for limit in limits:
        within = np.flatnonzero(costs <= limit)
        found.append(true[within].max() - true[within[chosen_by[within].argmax()]])
    return np.array(found)


def regrets(costs: list[np.ndarray], one: np.ndarray, other: np.ndarray) -> tuple[Estimate, float]:
    """Their mean over all costs and limits with its interval, and the most."""
    rng, count = np.random.default_rng(0), len(one)

    def mean(some: np.ndarray) -> float:
        return float(np.mean([regret(cost[some], one[some], other[some]) for cost in costs]))
    drawn = [mean(rng.integers(count, size=count)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, (0.025, 0.975))
    most = max(float(regret(cost, one, other).max()) for cost in costs)
    return Estimate(mean(np.arange(count)), float(low), float(high)), most


def prices(keys: list[Key], scores: np.ndarray) -> dict[str, Estimate]:
    """dB that halving each hyperparameter costs."""
    rows = [{"trial": place, **dict(zip(LETTERS, key, strict=True)), "si_snri_db": float(score)}
            for place, (key, score) in enumerate(zip(keys, scores, strict=True))]
    base = max(rows, key=lambda row: exact(Variant(**{letter: row[letter] for letter in LETTERS})).parameters)
    found = effects.main_effects(effects.design(rows, base)).letters
    return {one.letter: one.doubling_db for one in found if one.doubling_db}


def interval(one: Estimate | None) -> str:
    return f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" if one else ""


def shown(one: Estimate | None) -> str:
    """Nothing where too few variants tell."""
    if one is None:
        return ""
    return f"{one.value:.2f} ± {(one.high - one.low) / 2:.2f}"


def main(first: str, second: str) -> None:
    tables = [seeds_of(Path(path)) for path in (first, second)]
    names = [Path(path).stem for path in (first, second)]
    budgets = sorted(tables[0].keys() & tables[1].keys())
    print(f"{names[0]} against {names[1]}\n\n| s of audio | variants | τ [95 %] | τ of parameters alone | "
          "τ of two seeds of the second | regret, dB [95 %] | the most, dB |\n" + "|---" * 7 + "|")
    lines = []
    for audio_s in budgets:
        keys = sorted(tables[0][audio_s].keys() & tables[1][audio_s].keys())
        one, other = (np.array([np.mean(table[audio_s][key]) for key in keys]) for table in tables)
        cost = [exact(Variant(**dict(zip(LETTERS, key, strict=True)))) for key in keys]
        costs = [np.array([getattr(each, axis) for each in cost], float) for axis in ("parameters", "macs_per_s")]
        agreement, by_size, (mean, most) = tau(one, other), tau(costs[0], other), regrets(costs, one, other)
        cells = map(interval, (agreement, by_size, two_seeds(tables[1][audio_s]), mean))
        print(f"| {audio_s:,.0f} | {len(keys)} | {' | '.join(cells)} | {most:.2f} |")
        found = [prices(keys, some) for some in (one, other, other - one)]
        for name, own in zip((*names, "difference"), found, strict=True):
            lines.append((audio_s, name, own))
    letters = list(dict.fromkeys(letter for *_, own in lines for letter in own))
    print(f"\nThe price of a halving, dB\n\n| s of audio | | {' | '.join(letters)} |\n|{'---|' * (2 + len(letters))}")
    for audio_s, name, own in lines:
        print(f"| {audio_s:,.0f} | {name} | {' | '.join(shown(own.get(letter)) for letter in letters)} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
