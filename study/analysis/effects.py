"""The effect of each hyperparameter on the score: main effects, importance, and interactions.

The model is ordinary least squares, SI-SNRi = c + Σ β log2(value / the reference's), over the
finished variants, each once: β is what doubling a hyperparameter gains while the others stay.
Hyperparameters here are all numbers in which trainings of a study differ, those of the recipe too;
one that is a word, such as the norm, has a β for each word that is not the reference's. Intervals
are Student's. Shares of importance have intervals by a bootstrap over variants. `letter` in these
records is the symbol of a hyperparameter.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from study.analysis.mixture_scores import Floats
from study.analysis.replicates import SCORE, Row
from study.analysis.uncertainty import LEVEL
from study.records import Estimate
from study.space.searched import NUMBERS, value_of, varied

AT_LEAST = 16  # finished variants, and at least SPARE more than the model has coefficients
SPARE = 8
DRAWS = 500
TOP = 0.25  # share of the variants that PED-ANOVA calls the best
# Of 20 variants PED-ANOVA names the right hyperparameter first in 44 % of simulated studies, where
# main effects do in 88 %: its best quarter is five variants.
PED_ANOVA_AT_LEAST = 64


class Effect(NamedTuple):
    """One hyperparameter, the others held at the reference's."""

    letter: str
    doubling_db: Estimate | None  # None for words, and where there is one value beside 0
    levels: list[Any]  # the values that occur, ascending
    effect_db: list[Estimate]  # at each level, against the reference's value
    # Partial residuals of each variant: (level, effect plus the residual in dB, trial).
    points: list[tuple[Any, float, int]]


class Effects(NamedTuple):
    """The model of main effects on the logarithms of the hyperparameters."""

    letters: list[Effect]
    explained: float  # share of the variance between variants, 0 to 1
    variants: int
    refused: str  # why there is no model; empty where there is one


class Importance(NamedTuple):
    """The shares of one hyperparameter; over all of them they sum to 1."""

    letter: str
    ped_anova: Estimate | None  # of what tells the best quarter from all
    main: Estimate  # of the variance that the main effects explain


class Interaction(NamedTuple):
    """Whether two hyperparameters do together what neither does alone."""

    first: str  # X
    second: str  # R
    values: tuple[list[int], list[int]]
    mean_db: list[list[float | None]]  # [first, second]: mean SI-SNRi, other effects taken out
    variants: list[list[int]]  # likewise, how many
    both_db: Estimate | None  # what doubling both gains beyond the sum of doubling each
    refused: str


class Fit(NamedTuple):
    """Least squares: coefficients [columns], their covariance, residuals [variants]."""

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    freedom: int

    def along(self, way: Floats) -> Estimate:
        """A sum of coefficients, with its interval."""
        value = float(way @ self.coefficients)
        variance = float(way @ self.covariance @ way)
        quantile = float(scipy.stats.t.ppf((1 + LEVEL) / 2, self.freedom))
        reach = math.sqrt(max(variance, 0.0)) * quantile
        return Estimate(value, value - reach, value + reach)


class Design(NamedTuple):
    """The variants in the model's terms: a column of ones, then each logarithm or word."""

    rows: Sequence[Row]
    letters: list[str]
    base: Mapping[str, Any]
    table: Floats  # [variants, columns]
    # Of a logarithm ('N'), of 'Sc=0' where some have no skip path, of words ('norm=batch').
    columns: dict[str, int]
    scores: Floats  # [variants]

    def columns_of(self, *letters: str) -> list[int]:
        return [i for name, i in self.columns.items() if name.partition("=")[0] in letters]

    def way(self, letter: str, level: Any) -> Floats:
        """From the reference's value of a hyperparameter to another, in the model's terms."""
        way = np.zeros(self.table.shape[1])
        for name, value in terms(letter, level, self.base[letter], self.columns):
            way[self.columns[name]] = value
        return way


def column_names(letter: str, levels: Collection[Any], base: Any) -> list[str]:
    """The columns of a hyperparameter: its logarithm, 'Sc=0' where some have none, or its words."""
    if letter not in NUMBERS:
        return [f"{letter}={level}" for level in sorted(set(levels) - {base})]
    names = [letter] if len(set(levels) - {0}) > 1 else []
    return [*names, f"{letter}=0"] if 0 in levels else names


def terms(
    letter: str, level: Any, base: Any, columns: Iterable[str]
) -> Iterator[tuple[str, float]]:
    """A value's entry in each of the columns of its hyperparameter."""
    for name in columns:
        own, is_one, one = name.partition("=")
        if own != letter:
            continue
        if not is_one:
            yield name, _log_ratio(level, base)
        elif letter in NUMBERS:
            yield name, float((level == 0) - (base == 0))
        else:
            yield name, float((str(level) == one) - (str(base) == one))


def _log_ratio(level: float, base: float) -> float:
    """log2 of the ratio. Zero has no logarithm: it has a column of its own, and where the reference
    is zero, ratios are to 1."""
    return math.log2(level / (base or 1)) if level else 0.0


def design(rows: Sequence[Row], base: Row) -> Design:
    """The finished variants, a row each, against the reference's hyperparameters."""
    letters = list(varied(rows))
    own = {letter: value_of(base, letter) for letter in letters}
    names: list[str] = []
    for letter in letters:
        names += column_names(letter, {value_of(row, letter) for row in rows}, own[letter])
    lines = []
    for row in rows:
        line = [1.0]
        for letter in letters:
            coded = terms(letter, value_of(row, letter), own[letter], names)
            line += [value for _, value in coded]
        lines.append(line)
    return Design(
        rows, letters, own, table=np.array(lines).reshape(len(rows), 1 + len(names)),
        columns={name: i for i, name in enumerate(names, 1)},
        scores=np.array([row[SCORE] for row in rows], dtype=float))


def refusal(found: Design) -> str:
    """Why these variants cannot tell effects apart; empty where they can."""
    need = max(AT_LEAST, found.table.shape[1] + SPARE)
    if not found.letters:
        return "all finished variants have the same hyperparameters"
    if len(found.rows) < need:
        return (f"{len(found.rows)} finished variants, and at least {need} are needed to tell the "
                f"effects of {len(found.letters)} hyperparameters apart")
    if np.ptp(found.scores) == 0:
        return "all scores are equal"
    if np.linalg.matrix_rank(found.table) < found.table.shape[1]:
        names = ", ".join(found.letters)
        return f"some of the hyperparameters {names} only ever change together"
    return ""


def fit(table: Floats, scores: Floats) -> Fit:
    """Ordinary least squares with the textbook's covariance."""
    inverse = np.linalg.pinv(table.T @ table)
    coefficients = inverse @ table.T @ scores
    residuals = scores - table @ coefficients
    freedom = len(scores) - table.shape[1]
    return Fit(coefficients, inverse * (residuals @ residuals / freedom), residuals, freedom)


def main_effects(found: Design) -> Effects:
    """The effect of each hyperparameter while the others stay at the reference's."""
    if refused := refusal(found):
        return Effects([], 0.0, len(found.rows), refused)
    model = fit(found.table, found.scores)
    effects = [_effect(found, model, letter) for letter in found.letters]
    explained = 1 - float(model.residuals.var() / found.scores.var())
    return Effects(effects, explained, len(found.rows), "")


def _effect(found: Design, model: Fit, letter: str) -> Effect:
    values = [value_of(row, letter) for row in found.rows]
    at = {level: model.along(found.way(letter, level)) for level in sorted(set(values))}
    doubling = None
    if letter in found.columns:
        doubling = model.along(np.eye(found.table.shape[1])[found.columns[letter]])
    points = [(value, at[value].value + float(residual), row["trial"])
              for row, value, residual in zip(found.rows, values, model.residuals, strict=True)]
    return Effect(letter, doubling, list(at), list(at.values()), points)


def importance(found: Design, draws: int = DRAWS, seed: int = 0) -> list[Importance]:
    """The shares, the most important first by main effects; none where variants cannot tell."""
    if refusal(found):
        return []
    levels = []
    for letter in found.letters:
        values = [value_of(row, letter) for row in found.rows]
        levels.append(np.unique(values, return_inverse=True)[1])

    def shares(some: NDArray[np.int64]) -> tuple[Floats, Floats]:
        codes = [level[some] for level in levels]
        return ped_anova(codes, found.scores[some]), main_shares(found, some)

    rng, number = np.random.default_rng(seed), len(found.rows)
    here = shares(np.arange(number))
    drawn = np.array([shares(rng.integers(number, size=number)) for _ in range(draws)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)  # [2, letters]

    def estimate(kind: int, i: int) -> Estimate:
        value = float(here[kind][i])
        return Estimate(value, min(float(low[kind, i]), value), max(float(high[kind, i]), value))

    told_apart = number >= PED_ANOVA_AT_LEAST
    all_shares = [Importance(letter, estimate(0, i) if told_apart else None, estimate(1, i))
                  for i, letter in enumerate(found.letters)]
    return sorted(all_shares, key=lambda one: -one.main.value)


def main_shares(found: Design, some: NDArray[np.int64]) -> Floats:
    """Each share of the variance that the main effects explain, as if values were independent."""
    table = found.table[some]
    # Pseudo-inverse: a draw may lack a value.
    coefficients = np.linalg.pinv(table.T @ table) @ table.T @ found.scores[some]
    effects = []
    for letter in found.letters:  # one that can be 0 has two columns, which make one effect
        own = found.columns_of(letter)
        effects.append(table[:, own] @ coefficients[own])
    return _shares(np.stack(effects).var(axis=1))


def ped_anova(levels: Sequence[NDArray[np.int64]], scores: Floats) -> Floats:
    """PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255), in shares.

    How far each hyperparameter's values among the best quarter differ from those among all, as the
    Pearson divergence of the two histograms; the best are those of the highest score.
    """
    top = np.argsort(-scores, kind="stable")[:max(2, round(TOP * len(scores)))]
    return _shares(np.maximum([divergence(codes, top) for codes in levels], 0.0))


def divergence(codes: NDArray[np.int64], top: NDArray[np.int64]) -> float:
    """The Pearson divergence between the values in the places `top` and all values.

    Less what as many places drawn by chance show, (k−1)(n−m)/(m(n−1)) for k values: so many values
    alone make no hyperparameter look important.
    """
    number, best = len(codes), len(top)
    everywhere = np.bincount(codes) / number
    there = everywhere > 0
    among = np.bincount(codes[top], minlength=len(everywhere)) / best
    found = float((among[there] ** 2 / everywhere[there]).sum()) - 1
    return found - float((there.sum() - 1) * (number - best) / (best * (number - 1)))


def _shares(parts: Any) -> Floats:
    total = float(np.sum(parts))
    return np.asarray(parts) / total if total else np.zeros(len(parts))


def interaction(found: Design, first: str = "X", second: str = "R") -> Interaction:
    """Two hyperparameters side by side, the effects of the others taken out."""
    refused = refusal(found)
    if not refused and not {first, second}.issubset(found.letters):
        refused = f"{first} and {second} do not both vary"
    if refused:
        return Interaction(first, second, ([], []), [], [], None, refused)
    product = found.table[:, found.columns[first]] * found.table[:, found.columns[second]]
    table = np.hstack([found.table, product[:, None]])
    estimate = None
    if np.linalg.matrix_rank(table) == table.shape[1]:
        estimate = fit(table, found.scores).along(np.eye(table.shape[1])[-1])
    model = fit(found.table, found.scores)
    both = found.columns_of(first, second)
    others = [i for i in found.columns.values() if i not in both]
    left = found.scores - found.table[:, others] @ model.coefficients[others]
    xs, rs = (sorted({int(row[letter]) for row in found.rows}) for letter in (first, second))
    places = [(row[first], row[second]) for row in found.rows]
    means, counts = [], []
    for x in xs:
        cells = [left[[place == (x, r) for place in places]] for r in rs]
        means.append([float(cell.mean()) if len(cell) else None for cell in cells])
        counts.append([len(cell) for cell in cells])
    return Interaction(first, second, (xs, rs), means, counts, estimate, "")
