"""A training on disk: whole or not at all, and read without running code from the file."""

import errno
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasnet_core.asteroid import is_asteroids, network_of
from tasnet_core.errors import CheckpointError, DiskFull, Foreign
from tasnet_core.files import write_atomically
from tasnet_core.hub import is_hub, read_hub
from tasnet_core.model import ConvTasNet, letters_of
from tasnet_core.records import Epoch, Recipe, Variant, differences
from tasnet_core.saved import read_saved

FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """Where a training belongs, beside its variant and recipe: what its checkpoint must say to be gone on with."""

    corpus: str = ""                    # its fingerprint
    study: str = ""                     # its identity; empty where a network is trained without a study
    grown_from: str = ""                # the identity of the study whose trainings this one's go on from
    curve: Sequence[float] = ()         # validation scores of the run, as far as its study knows them

    def stamp(self) -> dict[str, str]:
        """What a checkpoint says of it."""
        return {"corpus": self.corpus, "study": self.study}

    def strange(self, content: Mapping[str, Any]) -> str:
        """Why a saved training is not of here, in words; empty where it is.

        A file of before checkpoints had a stamp is known by its curve: to the last digit, no two trainings have the same. Without
        a study there is nothing to compare it with.
        """
        if "corpus" not in content:
            pairs = list(zip((epoch.valid_si_snri_db for epoch in content["epochs"]), self.curve, strict=False))
            known = bool(pairs) and all(theirs == ours for theirs, ours in pairs)
            return "" if known or not self.study else "says not which study it is of, and its curve is not this run's"
        if content["corpus"] != self.corpus:
            return f"trained on another corpus (fingerprint {content['corpus']}, not {self.corpus})"
        if self.study and content["study"] not in filter(None, (self.study, self.grown_from)):
            return "of another study" if content["study"] else "of no study"
        return ""

    def strange_teacher(self, content: Mapping[str, Any]) -> str:
        """The same of the network that others inherit from, which has another curve."""
        return self.strange(content) if "corpus" in content else ""


NOWHERE = Origin()


def save(path: Path, variant: Variant, recipe: Recipe, epochs: list[Epoch], state: dict[str, Any]) -> None:
    """Write a training at an epoch's end; `state` holds the tensors: model, best, optimizer.

    Raises:
        DiskFull: when there is no space left; an older file stays whole.
        CheckpointError: when the folder cannot be written.
    """
    content = {"format": FORMAT, "variant": asdict(variant), "recipe": asdict(recipe),
               "epochs": [asdict(epoch) for epoch in epochs], **state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))
    except OSError as error:
        kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else CheckpointError
        raise kind(f"{path}: the checkpoint cannot be written: {error.strerror or error}; free some space or "
                   "choose another folder, then run again: nothing before this epoch is lost") from error


def read(path: Path) -> dict[str, Any]:
    """A saved training, with its records built: variant, recipe, epochs, and the tensors.

    Raises:
        CheckpointError: when the file is missing, damaged, or no checkpoint of this project.
    """
    return _built(read_saved(path), path)


def _built(content: Any, path: Path) -> dict[str, Any]:
    if is_asteroids(content):
        raise CheckpointError(f"{path}: a network trained with Asteroid: it can be loaded and separate, but not continued")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format", "none") if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(f"{path}: checkpoint format {found}, but this version reads format {FORMAT}")
    try:
        return {**content, "variant": Variant(**content["variant"]), "recipe": Recipe(**content["recipe"]),
                "epochs": [Epoch(**epoch) for epoch in content["epochs"]]}
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: not a checkpoint this version can read: {error}") from error


def read_for(path: Path, variant: Variant, recipe: Recipe, origin: Origin | None = None) -> dict[str, Any]:
    """A saved training, if it is one of this variant and recipe, and of this origin; only the number of epochs may grow.

    Raises:
        Foreign: it is of another corpus or study.
        CheckpointError: naming the fields that differ.
    """
    content = read(path)
    if origin and (how := origin.strange(content)):
        raise Foreign(path, how)
    found = differences(content["variant"], variant) + [
        line for line in differences(content["recipe"], recipe) if not line.startswith("epochs:")]
    if found:
        raise CheckpointError(f"{path}: trained with {'; '.join(found)}; choose another checkpoint file")
    return content


def load(path: str | Path) -> ConvTasNet:
    """The trained network of a checkpoint, with its best weights, ready to separate; also of a file from Asteroid and of a
    folder with model.safetensors and config.json.

    Raises:
        CheckpointError: when the file is missing, damaged, or its weights fit another variant.
    """
    path = Path(path)
    if is_hub(path):
        variant, best = read_hub(path)
    else:
        content = read_saved(path)
        if is_asteroids(content):
            return network_of(content, path)
        content = _built(content, path)
        variant, best = content["variant"], content.get("best", {})
    network = ConvTasNet(variant)
    try:
        network.load_state_dict(best)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit its variant {variant}: {misfit(network, best)}") from error
    return network.eval()


def misfit(network: ConvTasNet, weights: Mapping[str, Tensor]) -> str:
    """Why weights do not go into a network: the letters they show that differ, or else their names."""
    mine, theirs = letters_of(network.state_dict()), letters_of(weights)
    found = [f"{letter}={theirs.get(letter)}, not {mine[letter]}" for letter in mine if theirs.get(letter) != mine[letter]]
    names = network.state_dict().keys() ^ weights.keys()
    return "; ".join(found) or f"{len(names)} of its names differ, such as {min(names, default='none: their shapes do')}"
