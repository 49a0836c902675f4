"""Networks of `torchaudio.models.ConvTasNet` (github.com/pytorch/audio), from a bare state_dict.

Shapes show N, L, B (Sc is the same), H, P and the number of blocks; R, the mask and the sample rate
are in no file. Its encoder has a hop of zeros on both sides, and it is never causal.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasnet_core.checkpoints.conversion import Given, ask, network_as, renamed, tensors, word
from tasnet_core.checkpoints.weights import letters_of
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import ConvTasNet

KNOWN_BY = "mask_generator.input_norm.weight"
MASKS = {"sigmoid": "sigmoid", "relu": "relu"}
BLOCK, OURS = r"mask_generator\.conv_layers\.(\d+)\.", r"separator.blocks.\1."
NAMES = (
    (r"mask_generator\.input_norm\.", "separator.norm."),
    (r"mask_generator\.input_conv\.", "separator.bottleneck."),
    (BLOCK + r"conv_layers\.0\.", OURS + "widen."),
    (BLOCK + r"conv_layers\.1\.", OURS + "prelu1."),
    (BLOCK + r"conv_layers\.2\.", OURS + "norm1."),
    (BLOCK + r"conv_layers\.3\.", OURS + "depthwise."),
    (BLOCK + r"conv_layers\.4\.", OURS + "prelu2."),
    (BLOCK + r"conv_layers\.5\.", OURS + "norm2."),
    (BLOCK + r"res_out\.", OURS + "residual."),
    (BLOCK + r"skip_out\.", OURS + "skip."),
    (r"mask_generator\.output_prelu\.", "separator.prelu."),
    (r"mask_generator\.output_conv\.", "separator.to_masks."),
)


def is_torchaudios(content: Any) -> bool:
    """Whether what torch loaded is a state_dict of torchaudio's ConvTasNet."""
    return isinstance(content, Mapping) and KNOWN_BY in content


def network_of(content: Any, path: Path, given: Given) -> ConvTasNet:
    """The network of a state_dict, where the caller gives what it does not show.

    Raises:
        CheckpointError: asking for what is neither shown nor given, or naming what does not fit.
    """
    weights = renamed(tensors(content, path), NAMES)
    letters = letters_of(weights)
    blocks = letters.pop("X·R")
    ask(path, "torchaudio", [
        name for name, lacking in (
            ("R", blocks > 1 and not {"X", "R"} & given.keys()), ("mask", "mask" not in given),
            ("sample_rate_hz", "sample_rate_hz" not in given)) if lacking])
    if letters.get("P", 3) != 3:
        raise CheckpointError(
            f"{path}: torchaudio's network with P={letters['P']}; it pads by the dilation, "
            "so its own code can run P=3 alone")
    word(path, "mask", given["mask"], MASKS)
    R = given["R"] if "R" in given else blocks // max(given.get("X", 1), 1)
    X = given["X"] if "X" in given else blocks // max(R, 1)
    if blocks != X * R:
        raise CheckpointError(
            f"{path}: {blocks} blocks, which are not X{X} times R{R}; "
            "give the R it was trained with")
    values = {**letters, "X": X, "R": R, "mask": given["mask"], "encoder_padding": True,
              "sample_rate_hz": given["sample_rate_hz"]}
    return network_as(path, "torchaudio", values, weights)
