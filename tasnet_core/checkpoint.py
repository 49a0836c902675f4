"""A training on disk: whole or not at all, and read without running code from the file."""

import errno
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasnet_core.asteroid import is_asteroids, network_of
from tasnet_core.errors import CheckpointError, DiskFull
from tasnet_core.files import write_atomically
from tasnet_core.hub import is_hub, read_hub
from tasnet_core.model import ConvTasNet, letters_of
from tasnet_core.records import VALIDATION, VALIDATION_BEFORE, Epoch, Recipe, Variant, differences
from tasnet_core.saved import read_saved

FORMAT = 1


def save(path: Path, variant: Variant, recipe: Recipe, epochs: list[Epoch], state: dict[str, Any]) -> None:
    """Write a training at an epoch's end; `state` holds the tensors: model, best, optimizer.

    Raises:
        DiskFull: when there is no space left; an older file stays whole.
        CheckpointError: when the folder cannot be written.
    """
    content = {"format": FORMAT, "variant": asdict(variant), "recipe": asdict(recipe), "validation": VALIDATION,
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


def read_for(path: Path, variant: Variant, recipe: Recipe) -> dict[str, Any]:
    """A saved training, if it is one of this variant and recipe; only the number of epochs may grow.

    Raises:
        CheckpointError: naming the fields that differ.
    """
    content = read(path)
    found = differences(content["variant"], variant) + [
        line for line in differences(content["recipe"], recipe) if not line.startswith("epochs:")]
    if (validated := content.get("validation", VALIDATION_BEFORE)) != VALIDATION:
        found.append(f"validation: {validated}, not {VALIDATION}")
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
