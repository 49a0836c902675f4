"""The hypervolume of the front over trials and over the audio they were trained on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from study.analysis.pareto import front, hypervolume
from study.analysis.replicates import SCORE, Row, counts, number

AXES = ("parameters", "macs_per_s")
STEPS = 150  # points of the curve at most; a front of hundreds needs its time at each


class Progress(NamedTuple):
    """The hypervolume after so many trained trials, in dB × octaves of parameters × of MACs/s."""

    trials: list[int]
    audio_s: list[float]
    volume: list[float]
    point: dict[str, float]  # the reference point, stored with the study: SCORE and AXES


def point_of(parameters: int, macs_per_s: int) -> dict[str, float]:
    """The reference point: no separation at all, a little above the reference's cost, so that the
    reference encloses something."""
    return {SCORE: 0.0, "parameters": 1.05 * parameters, "macs_per_s": 1.05 * macs_per_s}


def progress(runs: Sequence[Row], point: Mapping[str, float]) -> Progress:
    """In the order of trials, each run of the study's own seed with the audio it was trained on."""
    first: dict[int, Row] = {}
    for run in sorted(runs, key=lambda run: (run["trial"], run["seed"])):
        if run["state"] in ("complete", "stopped", "failed"):
            first.setdefault(run["trial"], run)
    known = list(first.values())
    audio_s = np.cumsum([number(run["audio_s"]) or 0.0 for run in known]).tolist()
    count = min(len(known), STEPS)
    ends = sorted({round(end) for end in np.linspace(1, len(known), count)})
    reference = _place(point)
    kept = np.empty((0, len(reference)))
    start = 0
    volume = []
    for end in ends:
        new = [_place(run) for run in known[start:end] if counts(run)]
        kept = np.concatenate([kept, new or kept[:0]])
        kept = kept[front(kept)]  # dominated points enclose nothing, now or later
        volume.append(hypervolume(kept, reference) if len(kept) else 0.0)
        start = end
    return Progress(ends, [audio_s[end - 1] for end in ends], volume, dict(point))


def _place(row: Mapping[str, float]) -> list[float]:
    return [-row[SCORE], *(np.log2(row[name]) for name in AXES)]
