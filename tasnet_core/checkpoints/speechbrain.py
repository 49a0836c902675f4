"""Networks of SpeechBrain's recipes (github.com/speechbrain/speechbrain): a folder of four files.

encoder.ckpt, masknet.ckpt and decoder.ckpt hold weights, hyperparams.yaml what they are: the ReLU
encoder and the decoder of `lobes.models.dual_path` around `lobes.models.conv_tasnet.MaskNet`. That
has no skip path, no biases, no PReLU before the masks and a norm of each frame in front. Its
depthwise convolutions mirror frames at the ends; with causal=True they look back alone, by half a
kernel more than they need, and with a global norm they hear the future all the same: here kernels
with more taps, of which some are zero. Where a recording does not end with a whole frame, its last
samples are silent, and here they are not.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from tasnet_core.checkpoints.conversion import (
    Given,
    ask,
    network_as,
    options,
    renamed,
    slope,
    taps,
    tensors,
    with_taps,
    with_zero_biases,
    word,
)
from tasnet_core.checkpoints.unpickle import read_saved
from tasnet_core.checkpoints.yaml_file import Tagged, read_yaml
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import ConvTasNet

DESCRIPTION, LOBES = "hyperparams.yaml", "speechbrain.lobes.models."
PARTS = {"encoder": "dual_path.Encoder", "masknet": "conv_tasnet.MaskNet",
         "decoder": "dual_path.Decoder"}
FILES = tuple(f"{part}.ckpt" for part in PARTS)
MASKNET = {"norm_type": "gLN", "causal": False, "mask_nonlinear": "relu"}
LETTERS = ("N", "B", "H", "P", "X", "R", "C")
ENCODER = {"kernel_size": 2, "out_channels": 64, "in_channels": 1}
DECODER = {"kernel_size": None, "stride": 1, "in_channels": None, "out_channels": None,
           "bias": True}
NORMS = {"gLN": "global", "cLN": "frame"}
BATCH = "known are gLN, cLN; its batch norm takes frames for channels"
FILTERS = "the only one known is relu; its softmax is over the filters, not over the speakers"
BLOCK, OURS = r"masknet\.(\d+)\.", r"separator.blocks.\1."
NAMES = (
    (r"encoder\.conv1d\.", "encoder."), (r"masknet\.layer_norm\.", "separator.norm."),
    (r"masknet\.bottleneck_conv1x1\.conv\.", "separator.bottleneck."),
    (BLOCK + r"conv\.conv\.", OURS + "widen."), (BLOCK + r"act\.", OURS + "prelu1."),
    (BLOCK + r"norm\.", OURS + "norm1."),
    (BLOCK + r"DSconv\.conv_0\.conv\.", OURS + "depthwise."),
    (BLOCK + r"DSconv\.act\.", OURS + "prelu2."), (BLOCK + r"DSconv\.act_0\.", OURS + "norm2."),
    (BLOCK + r"DSconv\.conv_1\.conv\.", OURS + "residual."),
    (r"masknet\.mask_conv1x1\.conv\.", "separator.to_masks."),
)


def folder_of(path: Path) -> Path | None:
    """SpeechBrain's folder, where a user names it or one of its files."""
    names = (DESCRIPTION, *FILES)
    folder = path if os.path.isdir(path) else path.parent
    named = folder == path or path.name in names
    return folder if named and any(os.path.isfile(folder / name) for name in names) else None


def read_folder(folder: Path, given: Given) -> ConvTasNet:
    """The network of a folder.

    Raises:
        CheckpointError: when a file is missing or damaged, or naming what has no counterpart here.
    """
    path = folder / DESCRIPTION
    if not os.path.isfile(path):
        raise CheckpointError(
            f"{path}: no such file; it lies in the output folder of SpeechBrain's training, "
            f"copy it beside {', '.join(FILES)}")
    described = read_yaml(path)
    found = {part: _arguments(described, kind, path) for part, kind in PARTS.items()}
    masknet = options(path, PARTS["masknet"], found["masknet"], MASKNET, LETTERS)
    size = _filter_length(found, path)
    norm = word(path, "norm_type", masknet["norm_type"], NORMS, BATCH)
    mask = word(path, "mask_nonlinear", masknet["mask_nonlinear"], {"relu": "relu"}, FILTERS)
    rate = given.get("sample_rate_hz", _resolved(described.get("sample_rate"), described, path))
    ask(path, "SpeechBrain", () if rate else ("sample_rate_hz",))
    weights = _weights(folder, masknet["X"])
    causal = bool(masknet["causal"])
    if causal:
        weights = with_taps(weights, (taps(weights) - 1) // 2, both_sides=norm == "global")
    return network_as(folder, "SpeechBrain", {
        **{letter: masknet[letter] for letter in LETTERS}, "P": taps(weights), "L": size, "Sc": 0,
        "encoder": "relu", "mask": mask, "norm": norm, "input_norm": "frame",
        "causal": causal and norm != "global", "padding_mode": "zeros" if causal else "reflect",
        "sample_rate_hz": rate}, weights)


def _filter_length(found: Mapping[str, Any], path: Path) -> Any:
    """L of an encoder and a decoder that fit each other."""
    encoder = options(path, PARTS["encoder"], found["encoder"], ENCODER)
    decoder = options(path, PARTS["decoder"], found["decoder"], DECODER)
    size = encoder["kernel_size"]
    wanted = {"kernel_size": size, "out_channels": 1, "bias": False,
              "in_channels": encoder["out_channels"],
              "stride": size // 2 if isinstance(size, int) else None}
    if decoder != wanted or encoder["in_channels"] != 1:
        raise CheckpointError(
            f"{path}: encoder {encoder} and decoder {decoder} have no counterpart here; "
            "wanted one channel, the same filters, a stride of half their length, and no bias")
    return size


def _arguments(described: Mapping[str, Any], kind: str, path: Path) -> Mapping[str, Any]:
    """The arguments of the one object of a class that a description makes."""
    made = [value for value in described.values() if isinstance(value, Tagged)]
    of_kind = [value.value for value in made if value.tag == f"new:{LOBES}{kind}"]
    if len(of_kind) != 1 or not isinstance(of_kind[0], Mapping):
        others = [value.tag.removeprefix("new:" + LOBES)[:100] for value in made
                  if value.tag.startswith("new:" + LOBES)]
        raise CheckpointError(
            f"{path}: {len(of_kind)} of {LOBES}{kind}, but one is wanted; "
            f"there {'is' if len(others) == 1 else 'are'} {', '.join(others[:5]) or 'none other'}")
    return {name: _resolved(value, described, path) for name, value in of_kind[0].items()}


def _resolved(value: Any, described: Mapping[str, Any], path: Path) -> Any:
    """A value, or the one that !ref <name> stands for."""
    for _ in range(9):
        if not isinstance(value, Tagged):
            return value
        name = re.fullmatch(r"<(\w+)>", str(value.value).strip())
        if value.tag != "ref" or not name:
            break
        value = described.get(name[1])
    raise CheckpointError(
        f"{path}: !{value.tag[:100]} {str(value.value)[:100]} where a plain value belongs; "
        "write the number there")


def _weights(folder: Path, per_repeat: Any) -> dict[str, Tensor]:
    """The weights of all three files under our names."""
    found = {"separator.prelu.weight": slope(1.0)}
    for part, name in zip(PARTS, FILES, strict=True):
        content = tensors(read_saved(folder / name), folder / name)
        numbered = {_numbered(f"{part}.{name}", per_repeat): one for name, one in content.items()}
        found |= renamed(numbered, NAMES)
    return with_zero_biases(found)


def _numbered(name: str, per_repeat: Any) -> str:
    """A block's name by its number in the network, in place of those of its repeat and in it."""
    block = r"masknet\.temporal_conv_net\.temporalblock_(\d{1,5})_(\d{1,5})\.layers\.(.*)"
    found = re.fullmatch(block, name)
    if not found or not isinstance(per_repeat, int):
        return name
    return f"masknet.{int(found[1]) * per_repeat + int(found[2])}.{found[3]}"
