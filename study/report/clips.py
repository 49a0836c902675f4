"""The mixtures of a report that can be listened to, as the variants of the study separated them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from study.analysis import trials
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import SCORE, Row, number, per_trial
from study.report.page import Clip, Output, Sound
from tasnet_core.inference import example_files

LISTENED_AT_MOST = 5  # variants beside the reference that can be listened to


def clips_of(all_runs: Sequence[Row], scores: Mixtures, checkpoints: Path,
             recommended: Iterable[int]) -> list[Clip]:
    """Audio of the reference and the recommended, of each the run with the lowest seed."""
    chosen = list(dict.fromkeys([0, *recommended]))[:LISTENED_AT_MOST + 1]
    names = trials.names(per_trial(all_runs))
    runs = {(run["trial"], run["seed"]): run["checkpoint"]
            for run in all_runs if run["trial"] in chosen}
    made = []
    for kept in example_files.read(checkpoints, runs):
        outputs = []
        for trial in chosen:
            run = min((run for run in kept.outputs if run[0] == trial), default=None)
            if run:
                audio = [_sound(clip) for clip in kept.outputs[run]]
                score = _score_of(scores, run, kept.id)
                outputs.append(Output(f"trial {trial}: {names[trial]}", trial, score, audio))
        people = ", ".join(f"{name} ({sex})" if sex in ("F", "M") else name
                           for name, sex in zip(kept.speakers, kept.sexes, strict=True))
        if outputs:
            truths = [_sound(clip) for clip in kept.truths]
            made.append(Clip(f"{kept.id}: {people}", _sound(kept.mixture), truths, outputs))
    return made


def _score_of(scores: Mixtures, run: tuple[int, int], mixture: str) -> float | None:
    if mixture not in scores.names:
        return None
    return number(float(scores.of(run, SCORE)[scores.names.index(mixture)]))


def _sound(clip: example_files.Clip) -> Sound:
    return Sound(clip.mime, clip.content)
