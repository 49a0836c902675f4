"""What each letter does to the score: a model of main effects, importance, and how two letters act together.

The model is ordinary least squares, SI-SNRi = c + Σ β log2(letter / the reference's), over the finished variants, each once:
β is what doubling a letter gains while the others stay. Letters here are all numbers in which trainings of a study differ, those
of the recipe too; what is a word, such as the norm, has a β for each word that is not the reference's. Intervals are Student's.
Shares of importance have intervals by a bootstrap over variants.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from study.analysis.mixture_scores import Floats
from study.analysis.replicates import SCORE, Row
from study.analysis.uncertainty import LEVEL
from study.records import Estimate
from study.space.searched import NUMBERS, value_of, varied

AT_LEAST = 16           # finished variants, and at least SPARE more than the model has numbers to find
SPARE = 8
DRAWS = 500
TOP = 0.25              # share of the variants that PED-ANOVA calls the best


class Effect(NamedTuple):
    """One letter, the others held at the reference's."""

    letter: str
    doubling_db: Estimate | None        # what doubling it gains; None for words, and where there is one value beside 0
    levels: list[Any]                   # the values that occur, ascending
    effect_db: list[Estimate]           # at each level, against the reference's value of the letter
    points: list[tuple[Any, float, int]]  # (level, effect plus the residual in dB, trial) of each variant: partial residuals


class Effects(NamedTuple):
    """The model of main effects on the logarithms of the letters."""

    letters: list[Effect]
    explained: float    # share of the variance between variants, 0 to 1
    variants: int
    refused: str        # why there is no model, in words; empty where there is one


class Importance(NamedTuple):
    """How much of what tells variants apart is one letter's doing, as shares that sum to 1 over the letters."""

    letter: str
    ped_anova: Estimate     # of what tells the best quarter from all
    main: Estimate          # of the variance that the main effects explain


class Interaction(NamedTuple):
    """Whether two letters do together what neither does alone."""

    first: str                          # X
    second: str                         # R
    values: tuple[list[int], list[int]]
    mean_db: list[list[float | None]]   # [first, second]: mean SI-SNRi, the other letters' effects taken out
    variants: list[list[int]]           # likewise, how many
    both_db: Estimate | None            # what doubling both gains beyond the sum of doubling each
    refused: str


class Fit(NamedTuple):
    """Least squares: coefficients [columns], their covariance, what is left over [variants] and its freedom."""

    coefficients: Floats
    covariance: Floats
    residuals: Floats
    freedom: int

    def along(self, way: Floats) -> Estimate:
        """A sum of coefficients, with its interval."""
        value = float(way @ self.coefficients)
        variance = float(way @ self.covariance @ way)
        reach = math.sqrt(max(variance, 0.0)) * float(stats.t.ppf((1 + LEVEL) / 2, self.freedom))
        return Estimate(value, value - reach, value + reach)


class Design(NamedTuple):
    """The variants in the model's terms: a first column of ones, then each letter's logarithm, or its words."""

    rows: Sequence[Row]
    letters: list[str]
    base: Mapping[str, Any]
    table: Floats                       # [variants, columns]
    columns: dict[str, int]             # of a letter's logarithm; of 'Sc=0' where some have no skip path; of 'norm=batch'
    scores: Floats                      # [variants]

    def way(self, letter: str, level: Any) -> Floats:
        """From the reference's value of a letter to another, in the model's terms."""
        way = np.zeros(self.table.shape[1])
        for name, value in _terms(letter, level, self.base[letter], self.columns):
            way[self.columns[name]] = value
        return way


def _terms(letter: str, level: Any, base: Any, columns: Iterable[str]) -> Iterator[tuple[str, float]]:
    """A value's place in each of the columns that are the letter's."""
    for name in columns:
        own, is_one, one = name.partition("=")
        if own == letter:
            there, here = (value == 0 if letter in NUMBERS else str(value) == one for value in (level, base))
            yield name, float(there - here) if is_one else _octaves(level, base)


def _octaves(level: float, base: float) -> float:
    """log2 of the ratio. Nothing at all has no logarithm: a column of its own says what it does, and where the reference has
    nothing, octaves are counted from 1."""
    return math.log2(level / (base or 1)) if level else 0.0


def design(rows: Sequence[Row], base: Row) -> Design:
    """The finished variants, a row each, against the reference's letters."""
    letters = list(varied(rows))
    own = {letter: value_of(base, letter) for letter in letters}
    names: list[str] = []
    for letter in letters:
        levels = {value_of(row, letter) for row in rows}
        names += [*[letter] * (len(levels - {0}) > 1), *[f"{letter}=0"] * (0 in levels)] if letter in NUMBERS else \
            [f"{letter}={level}" for level in sorted(levels - {own[letter]})]
    lines = [[1.0, *(value for letter in letters for _, value in _terms(letter, value_of(row, letter), own[letter], names))]
             for row in rows]
    return Design(rows, letters, own, np.array(lines).reshape(len(rows), -1), {name: i for i, name in enumerate(names, 1)},
                  np.array([row[SCORE] for row in rows], dtype=float))


def refusal(found: Design) -> str:
    """Why these variants cannot tell what the letters do, in words; empty where they can."""
    need = max(AT_LEAST, found.table.shape[1] + SPARE)
    if not found.letters:
        return "all finished variants have the same letters"
    if len(found.rows) < need:
        return f"{len(found.rows)} finished variants, and at least {need} are needed to tell what {len(found.letters)} letters do"
    if np.ptp(found.scores) == 0:
        return "all scores are equal"
    if np.linalg.matrix_rank(found.table) < found.table.shape[1]:
        return f"some of the letters {', '.join(found.letters)} only ever change together"
    return ""


def fit(table: Floats, scores: Floats) -> Fit:
    """Ordinary least squares with the textbook's covariance."""
    inverse = np.linalg.pinv(table.T @ table)
    coefficients = inverse @ table.T @ scores
    residuals, freedom = scores - table @ coefficients, len(scores) - table.shape[1]
    return Fit(coefficients, inverse * (residuals @ residuals / freedom), residuals, freedom)


def main_effects(found: Design) -> Effects:
    """What each letter does while the others stay at the reference's."""
    if refused := refusal(found):
        return Effects([], 0.0, len(found.rows), refused)
    model = fit(found.table, found.scores)
    effects = []
    for letter in found.letters:
        levels = sorted({value_of(row, letter) for row in found.rows})
        at = {level: model.along(found.way(letter, level)) for level in levels}
        doubling = model.along(np.eye(found.table.shape[1])[found.columns[letter]]) if letter in found.columns else None
        points = [(value_of(row, letter), at[value_of(row, letter)].value + float(left), row["trial"])
                  for row, left in zip(found.rows, model.residuals, strict=True)]
        effects.append(Effect(letter, doubling, levels, list(at.values()), points))
    explained = 1 - float(model.residuals.var() / found.scores.var())
    return Effects(effects, explained, len(found.rows), "")


def importance(found: Design, draws: int = DRAWS, seed: int = 0) -> list[Importance]:
    """Each letter's share, the most important first by main effects; none where the variants cannot tell."""
    if refusal(found):
        return []
    levels = [np.unique([value_of(row, letter) for row in found.rows], return_inverse=True)[1] for letter in found.letters]
    rng, number = np.random.default_rng(seed), len(found.rows)
    here = [ped_anova(levels, found.scores), main_shares(found, np.arange(number))]
    drawn = []
    for _ in range(draws):
        some = rng.integers(number, size=number)
        drawn.append((ped_anova([codes[some] for codes in levels], found.scores[some]), main_shares(found, some)))
    ends = np.quantile(np.array(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)     # [2, 2, letters]

    def estimate(kind: int, i: int) -> Estimate:
        value = float(here[kind][i])
        return Estimate(value, min(float(ends[0, kind, i]), value), max(float(ends[1, kind, i]), value))
    shares = [Importance(letter, estimate(0, i), estimate(1, i)) for i, letter in enumerate(found.letters)]
    return sorted(shares, key=lambda one: -one.main.value)


def main_shares(found: Design, some: NDArray[np.int64]) -> Floats:
    """Each letter's share of the variance that the main effects explain, as if letters were drawn independently."""
    table = found.table[some]
    coefficients = np.linalg.pinv(table.T @ table) @ table.T @ found.scores[some]      # a draw may lack a letter's values
    # A letter that can be 0 has two columns, which make one effect.
    effects = np.stack([table[:, own] @ coefficients[own] for own in (
        [i for name, i in found.columns.items() if name.partition("=")[0] == letter] for letter in found.letters)])
    return _shares(effects.var(axis=1))


def ped_anova(levels: Sequence[NDArray[np.int64]], scores: Floats) -> Floats:
    """PED-ANOVA (Watanabe et al. 2023, arXiv 2304.10255): how far each letter's values among the best quarter differ from those
    among all, as the Pearson divergence of the two histograms, in shares; the best are those of the highest score."""
    top = np.argsort(-scores, kind="stable")[:max(2, round(TOP * len(scores)))]
    return _shares(np.maximum([divergence(codes, top) for codes in levels], 0.0))


def divergence(codes: NDArray[np.int64], top: NDArray[np.int64]) -> float:
    """The Pearson divergence between the values of a letter in the places `top` and all its values, less what as many places
    drawn by chance show, (k−1)(n−m)/(m(n−1)) for k values: so a letter of many values does not look important for that."""
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
    """Two letters side by side, the effects of the others taken out; and whether both together do more than each alone."""
    varied = [letter for letter in (first, second) if letter in found.letters]
    refused = refusal(found) or ("" if len(varied) == 2 else f"{first} and {second} do not both vary")
    if refused:
        return Interaction(first, second, ([], []), [], [], None, refused)
    both = (found.table[:, found.columns[first]] * found.table[:, found.columns[second]])[:, None]
    table = np.hstack([found.table, both])
    estimate = None
    if np.linalg.matrix_rank(table) == table.shape[1]:
        estimate = fit(table, found.scores).along(np.eye(table.shape[1])[-1])
    model = fit(found.table, found.scores)
    others = [i for name, i in found.columns.items() if name.partition("=")[0] not in (first, second)]
    left = found.scores - found.table[:, others] @ model.coefficients[others]
    values = tuple(sorted({int(row[letter]) for row in found.rows}) for letter in (first, second))
    cells = [[[float(score) for row, score in zip(found.rows, left, strict=True) if (row[first], row[second]) == (x, r)]
              for r in values[1]] for x in values[0]]
    return Interaction(first, second, (values[0], values[1]),
                       [[float(np.mean(cell)) if cell else None for cell in line] for line in cells],
                       [[len(cell) for cell in line] for line in cells], estimate, "")
