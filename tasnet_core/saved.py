"""What torch saved, read without running code from the file."""

from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from tasnet_core.errors import CheckpointError, Damaged


def read_saved(path: Path) -> Any:
    """The content of a file that torch.save wrote, on the CPU.

    Raises:
        Damaged: when it holds anything but tensors and plain data.
        CheckpointError: when it is missing.
    """
    try:
        # Asteroid notes torch's version in its files, as torch's own kind of string.
        with torch.serialization.safe_globals([TorchVersion]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except Exception as error:      # torch raises whatever its unpickler met in the damaged file
        raise Damaged(path, type(error).__name__) from error
