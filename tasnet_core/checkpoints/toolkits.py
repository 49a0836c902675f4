"""Which toolkit a file or folder comes from, and the network in it."""

import os
from pathlib import Path
from typing import Any

from tasnet_core.checkpoints import asteroid, espnet, speechbrain, torchaudio
from tasnet_core.checkpoints.conversion import Given
from tasnet_core.checkpoints.safetensors_file import is_hub
from tasnet_core.checkpoints.unpickle import read_saved
from tasnet_core.network.model import ConvTasNet

OWN = ("model.safetensors", "config.json")      # an exported network, whatever lies beside it


def network_of(path: Path, given: Given) -> ConvTasNet | None:
    """The network of another toolkit; None where a path is of none.

    Raises:
        CheckpointError: when it is damaged, has no counterpart here, or does not say all of it.
    """
    if os.path.isdir(path) and any(os.path.exists(path / name) for name in OWN):
        return None
    if folder := speechbrain.folder_of(path):
        return speechbrain.read_folder(folder, given)
    if (config := espnet.config_of(path)) and (os.path.isdir(path) or path == config):
        return espnet.read_folder(config, given)
    return None if is_hub(path) else _of_file(read_saved(path), path, given)


def _of_file(content: Any, path: Path, given: Given) -> ConvTasNet | None:
    if asteroid.is_asteroids(content):
        return asteroid.network_of(content, path)
    if torchaudio.is_torchaudios(content):
        return torchaudio.network_of(content, path, given)
    if espnet.is_espnets(content):
        return espnet.network_of(content, path, given)
    return None
