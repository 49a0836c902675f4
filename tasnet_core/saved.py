"""What torch saved, read without running code from the file."""

from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from tasnet_core.errors import CheckpointError


def read_saved(path: Path) -> Any:
    """The content of a file that torch.save wrote, on the CPU.

    Raises:
        CheckpointError: when the file is missing or damaged, or holds anything but tensors and plain data.
    """
    try:
        # Asteroid notes torch's version in its files, as torch's own kind of string.
        with torch.serialization.safe_globals([TorchVersion]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except Exception as error:      # torch raises whatever its unpickler met in the damaged file
        raise CheckpointError(f"{path}: damaged, or not a checkpoint ({type(error).__name__}); "
                              "delete it to train again from the start") from error
