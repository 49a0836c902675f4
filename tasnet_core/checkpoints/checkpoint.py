"""A training on disk: whole or not at all, and read without running code from the file."""

import errno
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasnet_core.checkpoints import toolkits
from tasnet_core.checkpoints.asteroid import is_asteroids
from tasnet_core.checkpoints.safetensors_file import is_hub, read_hub
from tasnet_core.checkpoints.unpickle import plain, read_saved, shown
from tasnet_core.checkpoints.weights import misfit, network_with
from tasnet_core.errors import CheckpointError, DiskFull, Foreign
from tasnet_core.files import write_atomically
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import VALIDATION, VALIDATION_BEFORE, Epoch, Recipe, Variant, differences

FORMAT = 1
MOMENTS = {"step", "exp_avg", "exp_avg_sq"}      # of Adam, for each weight


@dataclass(frozen=True)
class Origin:
    """The corpus and study of a training: its checkpoint continues only where they agree."""

    corpus: str = ""  # its fingerprint
    study: str = ""  # its identity; empty where a network is trained without a study
    grown_from: str = ""  # the identity of the study whose trainings this one's go on from
    # Validation scores of the run, as far as its study knows them.
    curve: Sequence[float] = ()

    def stamp(self) -> dict[str, str]:
        """What a checkpoint says of it."""
        return {"corpus": self.corpus, "study": self.study}

    def foreign(self, content: Mapping[str, Any]) -> str:
        """Why a saved training is not of here, in words; empty where it is.

        A file of before checkpoints had a stamp is known by its curve: to the last digit, no two
        trainings have the same. Without a study there is nothing to compare it with.
        """
        if "corpus" not in content:
            curve = [epoch.valid_si_snri_db for epoch in content["epochs"]]
            common = min(len(curve), len(self.curve))
            known = common > 0 and curve[:common] == [*self.curve[:common]]
            if known or not self.study:
                return ""
            return "says not which study it is of, and its curve is not this run's"
        if content["corpus"] != self.corpus:
            return f"trained on another corpus (fingerprint {content['corpus']}, not {self.corpus})"
        if self.study and content["study"] not in filter(None, (self.study, self.grown_from)):
            return "of another study" if content["study"] else "of no study"
        return ""

    def foreign_teacher(self, content: Mapping[str, Any]) -> str:
        """The same of the network that others inherit from, which has another curve."""
        return self.foreign(content) if "corpus" in content else ""


NOWHERE = Origin()


def save(
    path: Path, variant: Variant, recipe: Recipe, epochs: list[Epoch], state: dict[str, Any]
) -> None:
    """Write a training at an epoch's end; `state` holds the tensors: model, best, optimizer.

    Raises:
        DiskFull: when there is no space left; an older file stays whole.
        CheckpointError: when the folder cannot be written.
    """
    content = {
        "format": FORMAT, "variant": asdict(variant), "recipe": asdict(recipe),
        "validation": VALIDATION, "epochs": [asdict(epoch) for epoch in epochs], **state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))
    except OSError as error:
        kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else CheckpointError
        raise kind(
            f"{path}: the checkpoint cannot be written: {error.strerror or error}; free some space "
            "or choose another folder, then run again: nothing before this epoch is lost"
        ) from error


def read(path: Path) -> dict[str, Any]:
    """A saved training, with its records built: variant, recipe, epochs, and the tensors.

    Raises:
        CheckpointError: when the file is missing, damaged, or no checkpoint of this project.
    """
    return _built(read_saved(path), path)


def _built(content: Any, path: Path) -> dict[str, Any]:
    if is_asteroids(content):
        raise CheckpointError(
            f"{path}: a network trained with Asteroid: it can be loaded and separate, "
            "but not continued")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        has_one = isinstance(content, dict) and "format" in content
        found = shown(content["format"]) if has_one else "none"
        raise CheckpointError(
            f"{path}: checkpoint format {found}, but this version reads format {FORMAT}")
    try:
        built = {
            **content, "variant": Variant(**plain(content["variant"])),
            "recipe": Recipe(**plain(content["recipe"])),
            "epochs": [Epoch(**plain(epoch)) for epoch in content["epochs"]]}
        _check_epochs(built["epochs"])
    except KeyError as error:
        raise CheckpointError(
            f"{path}: not a checkpoint this version can read: it lacks {error}") from error
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: not a checkpoint this version can read: {error}") from error
    return built


def _check_epochs(epochs: list[Epoch]) -> None:
    for number, epoch in enumerate(epochs, 1):
        if epoch.number != number:
            raise ValueError(f"epoch {shown(epoch.number)} where epoch {number} belongs")
        for name, value in asdict(epoch).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not math.isfinite(value):
                raise ValueError(f"epoch {number}: {name}={shown(value)} must be a finite number")


def read_for(
    path: Path, variant: Variant, recipe: Recipe, origin: Origin | None = None
) -> dict[str, Any]:
    """A saved training of this variant, recipe and origin; only the number of epochs may grow.

    Raises:
        Foreign: it is of another corpus or study.
        CheckpointError: naming the fields that differ.
    """
    content = read(path)
    if origin and (how := origin.foreign(content)):
        raise Foreign(path, how)
    found = differences(content["variant"], variant) + [
        line for line in differences(content["recipe"], recipe) if not line.startswith("epochs:")]
    if (validated := content.get("validation", VALIDATION_BEFORE)) != VALIDATION:
        found.append(f"validation: {validated}, not {VALIDATION}")
    if found:
        # Within a study only who has a copy of its database gives a trial of that number another
        # variant.
        shared = origin and origin.study and content["variant"] != variant
        way_out = "choose another checkpoint file"
        if shared:
            way_out = ("by a copy of this study's database, which has this folder, too: move one "
                       "of them, with a copy of the checkpoints, to a folder of its own")
        raise CheckpointError(f"{path}: trained with {'; '.join(found)}; {way_out}")
    return content


def check_state(
    content: Mapping[str, Any], path: Path, recipe: Recipe, weights: Sequence[Tensor]
) -> None:
    """Check that a training of these weights can go on from what `read` returned.

    Raises:
        CheckpointError: naming what is missing, or does not fit.
    """
    try:
        for name in ("model", "best"):
            if why := misfit(content["variant"], content[name]):
                raise ValueError(f"the weights {name!r} do not fit: {why}")
        for number, state in content["optimizer"]["state"].items():
            shapes = ((), weights[number].shape)
            fits = all(value.shape in shapes for value in state.values())
            if not fits or not state.keys() >= MOMENTS:
                raise ValueError(f"the optimizer's state of weight {number} does not fit")
        limits: tuple[tuple[str, type, float, float], ...] = (
            ("micro_batch", int, 1, recipe.batch_size), ("segments", int, 0, recipe.epoch_segments),
            ("seconds", float, 0, math.inf))
        for name, kind, least, most in limits:
            # The last two only where it was saved within an epoch.
            value: Any = content.get(name)
            is_one = isinstance(value, kind)
            is_within = is_one and least <= value <= most and abs(value) < math.inf
            if name in content and not is_within:
                raise ValueError(f"{name}={shown(value)}")
        loss = content.get("loss", torch.zeros(2))
        if loss.shape != (2,) or not loss.isfinite().all():
            raise ValueError(f"loss={shown(loss)}")
    except KeyError as error:
        raise CheckpointError(
            f"{path}: cannot be continued: it lacks {error}; choose another checkpoint file"
        ) from error
    except (ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: cannot be continued: {str(error)[:300]}; choose another checkpoint file"
        ) from error


def load(path: str | Path, **hyperparameters: Any) -> ConvTasNet:
    """The trained network of a checkpoint, with its best weights, ready to separate.

    Also of a folder with model.safetensors and config.json, and of what Asteroid, torchaudio,
    SpeechBrain and ESPnet saved. `hyperparameters` are what such a file does not say, such as
    R=3, mask="relu", sample_rate_hz=8000.

    Raises:
        CheckpointError: when the file is missing, damaged, or its weights fit another variant;
            asking for hyperparameters that it does not say; where it says others.
    """
    path = Path(path)
    network = toolkits.of_folder(path, hyperparameters) or _of_file(path, hyperparameters)
    for name, value in hyperparameters.items():
        found = getattr(network.variant, name, "no hyperparameter")
        if found != value:
            raise CheckpointError(f"{path}: {name}={value!r} was given, but its is {found!r}")
    return network


def _of_file(path: Path, hyperparameters: dict[str, Any]) -> ConvTasNet:
    if is_hub(path):
        return _with_weights(path, *read_hub(path))
    content = read_saved(path)
    if network := toolkits.of_content(content, path, hyperparameters):
        return network
    if not isinstance(content, dict) or "format" not in content:
        raise CheckpointError(
            f"{path}: no network that can be read here; wanted a checkpoint or export of this "
            "project, or a Conv-TasNet of Asteroid, torchaudio, SpeechBrain or ESPnet")
    return best_of(_built(content, path), path)


def best_of(content: Mapping[str, Any], path: Path) -> ConvTasNet:
    """The trained network in what `read` returned, as `load` has it."""
    return _with_weights(path, content["variant"], content.get("best", {}))


def _with_weights(path: Path, variant: Variant, best: Mapping[str, Tensor]) -> ConvTasNet:
    try:
        return network_with(variant, best)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: its weights do not fit its variant {variant}: {error}") from error
