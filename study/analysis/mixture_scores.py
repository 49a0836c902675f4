"""The scores of a study on its test mixtures, as arrays: there can be millions of scores.

A score that is missing, infinite or not a number is NaN here.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.analysis.replicates import SCORES, Row, in_mean

Floats = NDArray[np.float64]
# Of a mixture, whoever separates it.
FACTS = ("duration_s", "input_si_snr_db", "level_difference_db")
COLUMNS = ("trial", "seed", "mixture", "speakers", "sexes", *FACTS, *SCORES)


class People(NamedTuple):
    """Of whom the test mixtures of a corpus are a sample."""

    known: bool = False                         # every test speaker was in training too
    cluster: Callable[[str], str] = str         # of a speaker: what a new one would be drawn with
    noun: str = "speaker"                       # for a cluster


def _voice(speaker: str) -> str:
    """Of espeak-ng's, each of which reads several languages: `anika` of test010-cs-anika."""
    return speaker.rpartition("-")[2]


_CLUSTERS: dict[str, tuple[Callable[[str], str], str]] = {"voices": (_voice, "voice")}


def people_of(corpus: str) -> People:
    """Of whom a corpus, named as in the settings of a study, has a sample."""
    kind, *options = re.split("[:?&]", corpus)
    return People("split=recording" in options, *_CLUSTERS.get(kind, ()))


class Mixtures(NamedTuple):
    """The test mixtures, in the order of their names, and each run's scores on them."""

    names: tuple[str, ...]
    speakers: tuple[str, ...]       # of each mixture, joined by '+'
    sexes: tuple[str, ...]          # likewise, sorted: FF, FM, MM; '' where unknown
    facts: Mapping[str, Floats]     # of FACTS, [mixtures]
    owners: tuple[Any, ...]         # whose scores a row is: (trial, seed) of runs, or trials
    scores: Mapping[str, Floats]    # of replicates.SCORES those that any has, [owners, mixtures]
    tests: NDArray[np.uint64]       # [owners]: equal where names, speakers and durations are
    people: People = People()

    def of(self, owner: Any, score: str) -> Floats:
        """One owner's scores, [mixtures]; NaN for an owner or a score that is not there."""
        if score not in self.scores or owner not in self.owners:
            return np.full(len(self.names), np.nan)
        return np.asarray(self.scores[score][self.owners.index(owner)])

    def only(self, owners: Iterable[Any]) -> "Mixtures":
        """What these owners were tested on, and their scores."""
        lines = [self.owners.index(owner) for owner in owners if owner in self.owners]
        tested = np.zeros(len(self.names), dtype=bool)
        for table in self.scores.values():
            tested |= np.isfinite(table[lines]).any(axis=0)
        columns = np.flatnonzero(tested)
        return self._replace(
            names=tuple(self.names[i] for i in columns),
            speakers=tuple(self.speakers[i] for i in columns),
            sexes=tuple(self.sexes[i] for i in columns),
            facts={name: facts[columns] for name, facts in self.facts.items()},
            owners=tuple(self.owners[line] for line in lines),
            tests=self.tests[lines],
            scores={name: table[lines][:, columns] for name, table in self.scores.items()})

    def per_trial(self, runs: Iterable[Row]) -> "Mixtures":
        """The means over the runs of a trial that are in its mean, of each score over those that
        have it; owners are trials."""
        place = {owner: line for line, owner in enumerate(self.owners)}
        lines: dict[int, list[int]] = {}
        for run in sorted(in_mean(runs), key=lambda run: (run["trial"], run["seed"])):
            if (run["trial"], run["seed"]) in place:
                lines.setdefault(run["trial"], []).append(place[run["trial"], run["seed"]])
        scores = {
            name: np.stack([_mean(table[some]) for some in lines.values()]) if lines else table[:0]
            for name, table in self.scores.items()}
        tests = self.tests[[some[0] for some in lines.values()]]
        return self._replace(owners=tuple(lines), scores=scores, tests=tests)


def _mean(table: Floats) -> Floats:
    """The mean of each column over the rows that have a value; [rows, mixtures] -> [mixtures]."""
    if len(table) == 1:
        return np.asarray(table[0])
    there = np.isfinite(table)
    with np.errstate(invalid="ignore"):
        means = np.where(there, table, 0.0).sum(axis=0) / there.sum(axis=0)     # nobody: 0/0
    return np.asarray(means)


def from_rows(rows: Sequence[Row]) -> Mixtures:
    """The tables of rows that have the columns COLUMNS, or some of them."""
    return from_chunks([[tuple(row.get(name) for name in COLUMNS) for row in rows]])


def from_chunks(chunks: Iterable[Sequence[tuple[Any, ...]]]) -> Mixtures:
    """The tables of rows of COLUMNS, which come some at a time. Of a mixture the first row counts.
    """
    place: dict[str, int] = {}
    line: dict[tuple[int, int], int] = {}
    known: list[tuple[Any, ...]] = []       # the first row of each mixture
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64], Floats]] = []
    for rows in filter(len, chunks):
        trial, seed, mixture, speakers, _, duration_s, *_ = columns = tuple(zip(*rows, strict=True))
        for i, name in enumerate(mixture):
            if name not in place:
                place[name] = len(place)
                known.append(rows[i])
        whose = [line.setdefault(owner, len(line)) for owner in zip(trial, seed, strict=True)]
        facts = zip(mixture, speakers, duration_s, strict=True)
        mark = np.fromiter(map(hash, facts), np.int64, len(rows)).view(np.uint64)
        where = np.fromiter(map(place.__getitem__, mixture), np.int64, len(rows))
        scores = np.array(columns[-len(SCORES):], dtype=np.float64)      # None becomes NaN
        parts.append((np.array(whose), where, mark, scores))
    return _tables(list(line), known, parts)


def _tables(owners: list[tuple[int, int]], known: list[tuple[Any, ...]],
            parts: Sequence[tuple[Any, ...]]) -> Mixtures:
    order = sorted(range(len(known)), key=lambda i: known[i][2])
    known, rank = [known[i] for i in order], np.argsort(order)
    tests = np.zeros(len(owners), np.uint64)
    scores = {}
    for whose, _, mark, _ in parts:
        np.add.at(tests, whose, mark)
    for i, score in enumerate(SCORES):
        if any(np.isfinite(part[3][i]).any() for part in parts):
            scores[score] = np.full((len(owners), len(known)), np.nan)
            for whose, where, _, values in parts:
                finite = np.where(np.isfinite(values[i]), values[i], np.nan)
                scores[score][whose, rank[where]] = finite
    return Mixtures(
        names=tuple(row[2] for row in known),
        speakers=tuple(row[3] or "" for row in known),
        sexes=tuple("".join(sorted(sex for sex in row[4] or "" if sex in "FM?")) for row in known),
        facts={fact: np.array([row[5 + i] for row in known], dtype=np.float64)
               for i, fact in enumerate(FACTS)},
        owners=tuple(owners),
        scores=scores,
        tests=tests)
