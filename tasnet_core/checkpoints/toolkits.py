"""Which toolkit a file or folder comes from, and the network in it."""

import os
from pathlib import Path
from typing import Any

from tasnet_core.checkpoints import asteroid, espnet, speechbrain, torchaudio
from tasnet_core.checkpoints.conversion import Given
from tasnet_core.network.model import ConvTasNet

OWN = ("model.safetensors", "config.json")      # an exported network, whatever lies beside it


def of_folder(path: Path, given: Given) -> ConvTasNet | None:
    """The network of another toolkit's folder; None where a path belongs to none.

    Raises:
        CheckpointError: when it is damaged, has no counterpart here, or does not say all of it.
    """
    if os.path.isdir(path) and any(os.path.exists(path / name) for name in OWN):
        return None
    if folder := speechbrain.folder_of(path):
        return speechbrain.read_folder(folder, given)
    if (config := espnet.config_of(path)) and (os.path.isdir(path) or path == config):
        return espnet.read_folder(config, given)
    return None


def of_content(content: Any, path: Path, given: Given) -> ConvTasNet | None:
    """The network of what another toolkit saved in a file; None where it is of none.

    Raises:
        CheckpointError: as `of_folder`.
    """
    if asteroid.is_asteroids(content):
        return asteroid.network_of(content, path)
    if torchaudio.is_torchaudios(content):
        return torchaudio.network_of(content, path, given)
    if espnet.is_espnets(content):
        return espnet.network_of(content, path, given)
    return None
