"""How good the front is after so many trainings, by sampler, read off by measurement and by the score surface.

    python benchmarks/samplers.py [WORLD ...]

Worlds with known truth: tables of trainings (the 54 of curves.csv; 20 of results/quick_voices_budgets.csv at each budget; 63
of digits; 299 slices), and `simulated`: all of `quick`, where the score falls with a mean of the hyperparameters' shortages of
constant elasticity (CES) and with too short a receptive field, of which the surface's terms know nothing; what no
hyperparameter explains has a standard deviation of 0.1 dB, seeds of 0.15. In a table, the recorded variant that is nearest to a
proposal and untrained is trained. A front is read off at 24 sizes of parameters and 24 of MACs: at each the variant that is
best within it, by its measured score, or by the surface's mean over all variants, trained or not. Regret is how far its true
score (in a table, the recorded one) is below that of the best within the size. Hypervolume is that of the variants read off, by
true scores, as a share of the whole world's.
"""

import csv
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from curves import FILE as CURVES
from prices import ROOT

from study.analysis.pareto import hypervolume
from study.analysis.predicted_front import Sizes
from study.analysis.score_surface import Coding, Surface, Trained
from study.records import FRONT, Budget
from study.search.samplers import Proposals
from study.space.points import Points, fixed, index_of, points
from study.space.presets import QUICK
from study.space.space import suggest
from tasnet_core.records import LETTERS, Variant

SAMPLERS = ("model", "tpe", "gp", "nsga2", "qmc", "random")
AT = (4, 8, 12, 16, 24, 32, 64, 96)         # trainings, the reference among them
SEEDS, SLOW = 5, {"gp": 32}                 # a Gaussian process of Optuna takes minutes for more
SEED_SD_DB, UNEXPLAINED_SD_DB = 0.15, 0.1
EVERYTHING = points(QUICK, np.arange(len(QUICK)))


class World(NamedTuple):
    """Points that can be trained, with their true scores."""

    pool: Points
    true_db: np.ndarray
    measured_db: np.ndarray


def table(path: str, **wanted: str) -> World:
    """The trainings of a recorded table."""
    known: dict[int, float] = {}
    with (ROOT / path).open() as lines:
        for row in csv.DictReader(lines):
            variant = Variant(**{letter: int(row[letter]) for letter in LETTERS})
            place = QUICK.parameters_of(variant)
            other = any(row[name] != value for name, value in wanted.items()) or row.get("init") == "teacher"
            if place and row["si_snri_db"] and not other:
                known[index_of(QUICK, place)] = float(row["si_snri_db"])
    scores = np.array(list(known.values()))
    return World(points(QUICK, np.array(list(known))), scores, scores)


def curves() -> World:
    """curves.csv lies on a grid of its own."""
    with CURVES.open() as lines:
        rows = list(csv.DictReader(lines))
    places = [QUICK.parameters_of(Variant(**{letter: int(row[letter]) for letter in LETTERS})) for row in rows]
    assert all(places)
    scores = np.array([float(row["si_snri_db"]) for row in rows])
    return World(points(QUICK, np.array([index_of(QUICK, place) for place in places if place])), scores, scores)


def simulated(seed: int) -> World:
    rng = np.random.default_rng(1000 + seed)
    names = ("N", "B", "H", "Sc", "X", "R")
    values = np.column_stack([EVERYTHING.fields[name] for name in names]).astype(float)
    powers, weights, elasticity = rng.uniform(0.3, 1.2, 6), rng.dirichlet(np.full(6, 2.0)), rng.uniform(0.5, 2.5)
    shortage = (weights * ((values.max(axis=0) / values) ** powers) ** elasticity).sum(axis=1) ** (1 / elasticity)
    reach = 2 ** values[:, 4] * values[:, 5]
    score = -np.log2(shortage) - rng.uniform(0.5, 2) * np.exp(-reach / rng.uniform(6, 20))
    score -= score[-1]
    true = 6.5 + rng.uniform(3.5, 5.5) * score / -score.min() + rng.normal(0, UNEXPLAINED_SD_DB, len(score))
    return World(EVERYTHING, true, true + np.random.default_rng(seed).normal(0, SEED_SD_DB, len(true)))


def worlds(seed: int) -> Iterator[tuple[str, World]]:
    yield "curves, 54", curves()
    for audio_s in ("4000", "8000", "16000", "32000"):
        yield f"voices, 20 on {audio_s} s", table("results/quick_voices_budgets.csv", audio_s=f"{audio_s}.0")
    yield "digits, 63", table("results/quick_fsdd_inherited.csv")
    yield "slices, 299", table("results/quick_voices_slices.csv")
    yield "simulated, 2,560", simulated(seed)


def search(world: World, name: str, seed: int, trainings: int) -> list[int]:
    """Places in the world, in the order of training."""
    study = optuna.create_study(sampler=Proposals(name, QUICK, Budget(), seed), directions=[way for _, way in FRONT])
    place_of = {int(index): place for place, index in enumerate(world.pool.indices)}
    steps = np.column_stack(np.unravel_index(world.pool.indices, [len(one.numbers) for one in QUICK.axes.values()]))
    order: list[int] = []
    study.enqueue_trial(QUICK.parameters_of(QUICK.reference) or {})
    while len(order) < trainings:
        trial = study.ask()
        suggest(trial, QUICK)
        place = place_of.get(index_of(QUICK, trial.params))
        if place is None or place in order:
            wanted = [numbers.index(trial.params[key]) for key, numbers in QUICK.ranges().items()]
            apart = np.abs(steps - wanted).sum(axis=1) + 1e9 * np.isin(np.arange(len(steps)), order)
            place = int(apart.argmin())
            # It is what was proposed, as far as samplers know.
            study._storage._get_trial(trial._trial_id).params = QUICK.point(int(world.pool.indices[place]))  # type: ignore
        order.append(place)
        study.tell(trial, (world.measured_db[place], world.pool.parameters[place], world.pool.macs_per_s[place]))
    return order


class Front(NamedTuple):
    """A front that was read off, by true scores."""

    regret_db: float    # mean over the sizes
    worst_db: float
    volume: float       # share of the hypervolume of all

    @classmethod
    def of(cls, world: World, scores: np.ndarray) -> "Front":
        """That of the best by these scores at each size."""
        reference = points(QUICK, np.array([len(QUICK) - 1]))
        sizes = Sizes.of(world.pool, (float(reference.parameters[0]), float(reference.macs_per_s[0])))
        best, true = sizes.best(scores), world.true_db
        regret = true[sizes.best(true)] - true[best]
        # Where nothing within a size was trained, the worst within it stands for it.
        empty = ~np.isfinite(scores[best])
        regret[empty] = (true[sizes.best(true)] - true[sizes.best(-true)])[empty]
        taken = np.unique(best[~empty])
        return cls(float(regret.mean()), float(regret.max()), volume(world, taken) / volume(world, np.arange(len(true))))


def volume(world: World, places: np.ndarray) -> float:
    """Hypervolume of (-dB, log parameters, log MACs): from 0 dB and 1.05 times the dearest down."""
    costs = np.log([world.pool.parameters, world.pool.macs_per_s])
    corner = (0.0, *(costs.max(axis=1) + np.log(1.05)))
    return hypervolume(np.column_stack([-world.true_db[places], *costs[:, places]]), corner)


def fronts(world: World, order: Sequence[int]) -> tuple[Front, Front]:
    """By the surface and by measurement, from the trainings so far."""
    places = list(order)
    trained = Trained({name: column[places] for name, column in world.pool.fields.items()},
                      world.measured_db[places], np.ones(len(places)))
    coding = Coding.of(fixed(QUICK), trained.fields, world.pool.fields)
    mean, _ = Surface(coding, trained).predict(coding.inputs(world.pool.fields))
    measured = np.full(len(mean), -np.inf)
    measured[places] = world.measured_db[places]
    return Front.of(world, mean), Front.of(world, measured)


def main(wanted: Sequence[str]) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    names = [name for name, _ in worlds(0) if not wanted or any(word in name for word in wanted)]
    for name in names:
        print(f"\n{name} variants: regret mean / worst in dB, share of the hypervolume, by surface; by measurement\n")
        print("| sampler | " + " | ".join(map(str, AT)) + " |\n|---" + "|---" * len(AT) + "|", flush=True)
        for sampler in SAMPLERS:
            found: dict[int, list[tuple[Front, Front]]] = {}
            for seed in range(SEEDS):
                world = dict(worlds(seed))[name]
                most = min(max(AT), SLOW.get(sampler, max(AT)), len(world.true_db) - 1)
                order = search(world, sampler, seed, most)
                for count in (count for count in AT if count <= most):
                    found.setdefault(count, []).append(fronts(world, order[:count]))
            cells = [" ; ".join(_cell([both[way] for both in found[count]]) for way in (0, 1)) if count in found else ""
                     for count in AT]
            print(f"| {sampler} | {' | '.join(cells)} |", flush=True)


def _cell(fronts: Sequence[Front]) -> str:
    regret, worst, share = np.mean(fronts, axis=0)
    return f"{regret:.2f} / {worst:.2f}, {share:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
