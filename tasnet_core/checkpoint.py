"""A training on disk: whole or not at all, and read without running code from the file."""

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tasnet_core.errors import CheckpointError
from tasnet_core.files import write_atomically
from tasnet_core.model import ConvTasNet
from tasnet_core.records import Epoch, Recipe, Variant, differences

FORMAT = 1


def save(path: Path, variant: Variant, recipe: Recipe, epochs: list[Epoch], state: dict[str, Any]) -> None:
    """Write a training at an epoch's end; `state` holds the tensors: model, best, optimizer.

    Raises:
        CheckpointError: when the disk is full or the folder cannot be written; an older file stays whole.
    """
    content = {"format": FORMAT, "variant": asdict(variant), "recipe": asdict(recipe),
               "epochs": [asdict(epoch) for epoch in epochs], **state}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    try:
        write_atomically(path, lambda file: file.write(buffer.getbuffer()))
    except OSError as error:
        raise CheckpointError(f"{path}: the checkpoint cannot be written: {error.strerror or error}; free some space or "
                              "choose another folder, then run again: nothing before this epoch is lost") from error


def read(path: Path) -> dict[str, Any]:
    """A saved training, with its records built: variant, recipe, epochs, and the tensors.

    Raises:
        CheckpointError: when the file is missing, damaged, or no checkpoint of this project.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except Exception as error:      # torch raises whatever its unpickler met in the damaged file
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({type(error).__name__}); "
                              "delete it to train again from the start") from error
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
    if found:
        raise CheckpointError(f"{path}: trained with {'; '.join(found)}; choose another checkpoint file")
    return content


def load(path: str | Path) -> ConvTasNet:
    """The trained network of a checkpoint, with its best weights, ready to separate.

    Raises:
        CheckpointError: when the file is missing, damaged, or its weights fit another variant.
    """
    content = read(Path(path))
    network = ConvTasNet(content["variant"])
    try:
        network.load_state_dict(content["best"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path}: its weights do not fit its variant {content['variant']}") from error
    return network.eval()
