"""The command `take`: one network of a study, trained on where that is asked, to take home."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from study.analysis.replicates import SCORE
from study.cli.options import Take
from study.cli.stored import corpus_of, settings_in
from study.database.store import Database, open_database
from study.devices.bundle import Chosen, check_free, chosen
from study.devices.take import Taken, write_taken
from study.records import Result, Settings
from study.search.evaluate import Hooks, Task, evaluate
from study.search.events import EpochEnded, Message, Progress
from study.search.given_reference import lent
from tasnet_core.backend.devices import device_of, precision_of
from tasnet_core.checkpoints.safetensors_file import optional
from tasnet_core.checkpoints.training_files import before_decay
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.count import exact
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe
from tasnet_core.terminal import say
from tasnet_core.training.slimmable import Lineage


def take(asked: Take) -> list[Path]:
    """Write everything into a new folder; the files.

    Raises:
        UserError: in one line: no such trial, nothing that could be trained on, a folder with files
            of a user's, a package that is not installed, a corpus that is not there.
    """
    check_free(asked.out)
    for package in ("onnx", "onnxruntime", "safetensors"):
        optional(package)
    device_of(asked.device)
    with open_database(asked.storage) as database:
        name, settings = settings_in(database, asked.study)
        best = chosen(database, name, asked.trial)
        precision_of(Recipe.of(best.run).precision, asked.device)
        _check_more(asked, Recipe.of(best.run), name, settings)
        corpus = corpus_of(database, name)
        taken = _as_it_is(database, name, best)
        if asked.audio_s:
            taken = _trained_on(asked, database, taken, corpus, settings)
    files = write_taken(taken, corpus, asked.out, say)
    score = taken.scores[SCORE]
    shown = f", {score:.2f} dB SI-SNRi on the test set" if score is not None else ""
    say(f"trial {taken.trial}, seed {taken.seed}: {taken.checkpoint}{shown}",
        f"{asked.out}: {', '.join(path.name for path in files if path.parent == asked.out)}, "
        "examples; "
        f"try it: python {asked.out / 'run.py'} RECORDING.wav")
    return files


def _check_more(asked: Take, recipe: Recipe, study: str, settings: Settings) -> None:
    if asked.audio_s is None:
        if asked.seeds > 1:
            raise UserError(f"--seeds {asked.seeds}: only with --audio-s; without it the best seed "
                            f"there is is taken, and more are trained by: "
                            f"python -m study confirm {asked.trial} --seeds {asked.seeds}")
        return
    if recipe.init == "given":
        raise UserError(f"trial {asked.trial}: is the network that was given, so there is no "
                        "training of it to go on with; leave --audio-s out")
    # What confirms a given reference has trained its slices by the whole recipe.
    if recipe.init != "scratch" and not settings.adapted_in:
        raise UserError(f"trial {asked.trial}: its weights were inherited, so there is no training "
                        f"of its own to go on with; python -m study confirm {asked.trial} "
                        f"--study {study} trains it by the whole recipe")
    if asked.audio_s <= recipe.audio_s:
        raise UserError(f"--audio-s {asked.audio_s:g}: it was trained on {recipe.audio_s:,.0f} s "
                        "already; give more, or leave it out")


def _as_it_is(database: Database, study: str, best: Chosen) -> Taken:
    run, settings = best.run, database.settings(study)
    assert settings is not None
    variant = database.variant(run["variant"])
    mixtures = [one for one in database.mixtures(study)
                if (one["trial"], one["seed"]) == (run["trial"], run["seed"])]
    devices = [one for one in database.device_costs() if one["variant"] == run["variant"]]
    costs = asdict(exact(variant)) | {
        name: run[name] for name in ("peak_memory_bytes", "realtime_factor")}
    return Taken(study, settings.corpus, run["trial"], run["seed"], variant, Recipe.of(run),
                 best.checkpoint, run["audio_s"], run, mixtures, costs, devices)


def _trained_on(asked: Take, database: Database, taken: Taken, corpus: Corpus,
                settings: Settings) -> Taken:
    """The best seed by validation of trainings to so much audio.

    The checkpoints lie beside the study's, so the same command goes on where it was interrupted.
    """
    recipe = taken.recipe
    assert asked.audio_s is not None
    epochs = round(asked.audio_s / (recipe.epoch_segments * recipe.segment_s))
    longer = replace(recipe, epochs=max(epochs, recipe.epochs + 1))
    first = taken.seed
    seeds = [first, *(seed for seed in range(first + asked.seeds) if seed != first)][:asked.seeds]
    found: list[tuple[Result, Taken]] = []
    for seed in seeds:
        path = _begun(database, taken, seed, longer.epochs)
        mine = replace(longer, seed=seed)
        how = "goes on" if path.exists() else "is trained from its start"
        say(f"trial {taken.trial}, seed {seed}: {how} to {mine.audio_s:,.0f} s of audio, in {path}")
        lineage = Lineage(*lent(settings, database.checkpoints(taken.study), mine))
        result = evaluate(Task(taken.variant, mine, path, asked.device, settings.metrics,
                               exact(taken.variant), lineage=lineage, trial=taken.trial),
                          corpus, Hooks(_told))
        if result.state != "complete":
            say(f"trial {taken.trial}, seed {seed}: {result.state}: {result.reason}")
            continue
        found.append((result, taken._replace(
            seed=seed, recipe=mine, checkpoint=path, audio_s=result.curve[-1].audio_s,
            scores=asdict(result.scores), mixtures=list(map(asdict, result.mixtures)))))
    if not found:
        raise UserError(f"trial {taken.trial}: no training to {longer.audio_s:,.0f} s of audio was "
                        "completed, so nothing was written")
    return max(found, key=lambda one: one[0].selection.valid_si_snri_db or -1e9)[1]


def _begun(database: Database, taken: Taken, seed: int, epochs: int) -> Path:
    """Where a longer training is kept; a new one begins where the study's was before its decay."""
    stem = f"trial-{taken.trial:04d}-seed-{seed}-epochs-{epochs}.pt"
    path = database.checkpoints(taken.study) / "taken" / stem
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        return path
    runs = [run for run in database.runs(taken.study)
            if (run["trial"], run["seed"], run["state"]) == (taken.trial, seed, "complete")]
    for run in runs:
        whole = database.checkpoints(taken.study) / Path(run["checkpoint"]).name
        # What has decayed cannot go on; where nothing was kept before that, it begins anew.
        known = [before_decay(whole), *([whole] if taken.recipe.schedule == "plateau" else [])]
        if start := next(filter(Path.is_file, known), None):
            scratch = path.with_suffix(".copy")
            shutil.copy(start, scratch)
            scratch.rename(path)
    return path


def _told(event: Progress) -> str:
    match event:
        case EpochEnded():
            epoch: Any = event.epoch
            say(f"seed {event.seed}: epoch {epoch.number}, valid {epoch.valid_si_snri_db:.2f} dB "
                f"SI-SNRi, {epoch.audio_s:,.0f} s of audio")
        case Message():
            say(event.text)
    return ""
