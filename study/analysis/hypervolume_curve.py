"""How the front grew: hypervolume over trials and over the sound they were trained on."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from study.analysis.pareto import front, hypervolume
from study.analysis.replicates import SCORE, Row, counts, number

AXES = ("parameters", "macs_per_s")
STEPS = 150         # points of the curve at most; a front of hundreds takes its time at each


class Progress(NamedTuple):
    """The hypervolume after so many trained trials, in dB × octaves of parameters × octaves of MACs per second."""

    trials: list[int]
    audio_s: list[float]
    volume: list[float]
    point: dict[str, float]     # where volumes are measured from, stored with the study: si_snri_db, parameters, macs_per_s


def point_of(parameters: int, macs_per_s: int) -> dict[str, float]:
    """Where a study's hypervolumes are measured from: no separation at all, a little above the reference's cost, so that
    the reference encloses something."""
    return {SCORE: 0.0, "parameters": 1.05 * parameters, "macs_per_s": 1.05 * macs_per_s}


def progress(runs: Sequence[Row], point: Mapping[str, float]) -> Progress:
    """In the order of trials, each run of the study's own seed with the sound it was trained on."""
    first: dict[int, Row] = {}
    for run in sorted(runs, key=lambda run: (run["trial"], run["seed"])):
        if run["state"] in ("complete", "stopped", "failed"):
            first.setdefault(run["trial"], run)
    known = list(first.values())
    audio_s = np.cumsum([number(run["audio_s"]) or 0.0 for run in known]).tolist()
    costs = [np.log2(point[name]) for name in AXES]
    points = [[-run[SCORE], *(np.log2(run[name]) for name in AXES)] if counts(run) else None for run in known]
    ends = sorted({round(i) for i in np.linspace(1, len(known), min(len(known), STEPS))}) if known else []
    volume, kept, start = [], np.empty((0, 1 + len(AXES))), 0
    for end in ends:
        kept = np.concatenate([kept, [one for one in points[start:end] if one is not None] or kept[:0]])
        kept, start = kept[front(kept)], end       # what is beaten encloses nothing, now or later
        volume.append(hypervolume(kept, [-point[SCORE], *costs]) if len(kept) else 0.0)
    return Progress(ends, [audio_s[end - 1] for end in ends], volume, dict(point))
