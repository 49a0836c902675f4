"""A network as model hubs keep one: model.safetensors, and its variant in config.json.

The only door to safetensors. The file holds tensors and nothing that could run.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasnet_core.checkpoints.unpickle import opened, plain, shown
from tasnet_core.errors import CheckpointError, UserError
from tasnet_core.files import write_atomically
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant

WEIGHTS, CONFIG = "model.safetensors", "config.json"
KIND = "conv-tasnet"
LARGEST_CONFIG = 2**20      # bytes; ours has 400


def optional(name: str) -> Any:
    """A package that only `export` needs.

    Raises:
        UserError: when it is not installed.
    """
    from importlib import import_module
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(
            f"{name}: not installed; it comes with: pip install 'tasnet-study[export]'") from error


def is_hub(path: Path) -> bool:
    """Whether `load` finds an exported network here: a folder, or weights beside their config."""
    return path.is_dir() or path.suffix == ".safetensors"


def save_hub(network: ConvTasNet, folder: Path) -> list[Path]:
    """Write both files, each whole or not at all.

    Raises:
        UserError: when safetensors is not installed, or the folder cannot be written.
    """
    data = optional("safetensors.torch").save(
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()},
        metadata={"format": "pt"})
    config = {"model_type": KIND, **asdict(network.variant)}
    try:
        write_atomically(folder / WEIGHTS, lambda file: file.write(data))
        text = json.dumps(config, indent=2) + "\n"
        write_atomically(folder / CONFIG, lambda file: file.write(text.encode()))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror or error}; "
            "choose another place with --out") from error
    return [folder / WEIGHTS, folder / CONFIG]


def read_hub(path: Path) -> tuple[Variant, dict[str, Any]]:
    """The variant and the tensors of a folder, or of the weights in it.

    Raises:
        CheckpointError: when one of the two files is missing, damaged, or of another kind of model.
        UserError: when safetensors is not installed.
    """
    weights = path / WEIGHTS if path.is_dir() else path
    config = weights.with_name(CONFIG)
    torch_files = optional("safetensors.torch")
    for path in (config, weights):
        if not path.exists():
            raise CheckpointError(
                f"{path}: no such file; an exported network is {WEIGHTS} and {CONFIG}")
    try:
        with opened(config) as file:
            values = json.loads(file.read(LARGEST_CONFIG))
        with opened(weights) as file:
            tensors = torch_files.load(file.read())
    except CheckpointError:
        raise
    except Exception as error:      # safetensors has an error type of its own
        raise CheckpointError(f"{weights.parent}: {WEIGHTS} or {CONFIG} is damaged "
                              f"({type(error).__name__}: {str(error)[:200]})") from error
    kind = values.pop("model_type", None) if isinstance(values, dict) else None
    if kind != KIND:
        raise CheckpointError(f"{config}: model_type {shown(kind)}, but {KIND!r} is wanted")
    try:
        return Variant(**plain(values)), tensors
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{config}: describes no network of this version: {error}") from error
