"""Networks of ESPnet's enhancement task (github.com/espnet/espnet): a .pth with its config.yaml.

Its convolutional encoder (with ReLU) and decoder around `TCNSeparator`: no skip path, no biases, a
norm of each frame in front. What it computes otherwise is turned into weights that say the same:
the eps of its norms is float32's, a network without an activation before the masks has a PReLU that
leaves everything, and causal convolutions under a global norm, with which it hears the future all
the same, become kernels of a network with causal=False. Where a recording does not end with a whole
frame, its last samples are silent, and here they are not.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
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
    with_eps,
    with_taps,
    with_zero_biases,
    word,
)
from tasnet_core.checkpoints.unpickle import read_saved, shown
from tasnet_core.checkpoints.weights import letters_of
from tasnet_core.checkpoints.yaml_file import read_yaml
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import ConvTasNet

KNOWN_BY = "separator.tcn.network.1.weight"
CONFIG, TRAINING = "config.yaml", "checkpoint.pth"
PARTS = {"encoder": "conv", "separator": "tcn", "decoder": "conv"}
SEPARATOR = {
    "num_spk": 2, "predict_noise": False, "layer": 8, "stack": 3, "bottleneck_dim": 128,
    "hidden_dim": 512, "kernel": 3, "causal": False, "norm_type": "gLN", "nonlinear": "relu",
    "pre_mask_nonlinear": "prelu", "masking": True}
FILTERS = ("channel", "kernel_size", "stride")
NORMS = {"gLN": "global", "GN": "global", "cLN": "frame", "BN": "batch"}
MASKS = {"relu": "relu", "sigmoid": "sigmoid"}
SLOPES = {"relu": 0.0, "linear": 1.0}       # of the PReLU that is each activation before the masks
UNLIKE = ("normalize_variance", "normalize_variance_per_ch", "always_forward_in_48k")
EPS = torch.finfo(torch.float32).eps


def config_of(path: Path) -> Path | None:
    """The config.yaml of what a user names: itself, its folder, or a file beside it."""
    folder = path if os.path.isdir(path) else path.parent
    found = path if path.name == CONFIG else folder / CONFIG
    return found if os.path.isfile(found) else None


def is_espnets(content: Any) -> bool:
    """Whether what torch loaded is a state_dict of ESPnet's TCN separator."""
    return isinstance(content, Mapping) and KNOWN_BY in content


def read_folder(config: Path, given: Given) -> ConvTasNet:
    """The network of a folder with one file of weights.

    Raises:
        CheckpointError: when there is none or several, or naming what has no counterpart here.
    """
    found = sorted(one for one in config.parent.glob("*.pth") if one.name != TRAINING)
    if len(found) != 1:
        names = ", ".join(one.name for one in found[:3]) or "none"
        raise CheckpointError(
            f"{config.parent}: {len(found)} files of weights (*.pth: {names}); name the one wanted")
    return network_of(read_saved(found[0]), found[0], given)


def network_of(content: Any, path: Path, given: Given) -> ConvTasNet:
    """The network of a state_dict, with the config.yaml beside its file.

    Raises:
        CheckpointError: when that is missing, or naming what has no counterpart here.
    """
    config = config_of(path)
    if config is None:
        raise CheckpointError(
            f"{path}: ESPnet's network, whose norms and masks stand in {CONFIG}: no such file "
            f"in {path.parent}")
    described = read_yaml(config)
    _check_parts(described, config)
    size, channels = _filters(described, config)
    separator = options(config, "separator_conf", described.get("separator_conf") or {}, SEPARATOR)
    if not separator["masking"]:
        raise CheckpointError(f"{config}: masking=False has no counterpart here")
    ask(path, "ESPnet", () if "sample_rate_hz" in given else ("sample_rate_hz",))
    norm = word(config, "norm_type", separator["norm_type"], NORMS)
    mask = word(config, "nonlinear", separator["nonlinear"], MASKS)
    weights = _renamed(tensors(content, path), separator, config)
    weights = with_eps(with_zero_biases(weights), EPS, separator["norm_type"] in ("gLN", "cLN"))
    causal = bool(separator["causal"])
    if causal and norm == "global":
        causal, weights = False, with_taps(weights, 0, both_sides=True)
    return network_as(path, "ESPnet", {
        "N": channels, "L": size, "B": separator["bottleneck_dim"],
        "H": separator["hidden_dim"], "Sc": 0, "P": taps(weights), "X": separator["layer"],
        "R": separator["stack"], "C": separator["num_spk"], "encoder": "relu", "mask": mask,
        "norm": norm, "causal": causal, "input_norm": "frame",
        "sample_rate_hz": given["sample_rate_hz"]}, weights)


def _check_parts(described: Mapping[str, Any], config: Path) -> None:
    """Refuse what is around the weights and has no counterpart here."""
    for part, kind in PARTS.items():
        if described.get(part) != kind:
            raise CheckpointError(
                f"{config}: {part}: {shown(described.get(part))}; only {kind} can be read here")
    model = described.get("model_conf") or {}
    unlike = [name for name in UNLIKE if isinstance(model, Mapping) and model.get(name)]
    if unlike or described.get("mask_module"):
        raise CheckpointError(
            f"{config}: {(unlike or ['mask_module'])[0]} has no counterpart here")


def _filters(described: Mapping[str, Any], config: Path) -> tuple[Any, Any]:
    """L and N of an encoder and a decoder that fit each other."""
    encoder, decoder = (
        options(config, f"{part}_conf", described.get(f"{part}_conf"), {}, FILTERS)
        for part in ("encoder", "decoder"))
    size = encoder["kernel_size"]
    if encoder != decoder or not isinstance(size, int) or encoder["stride"] != size // 2:
        raise CheckpointError(
            f"{config}: encoder {encoder} and decoder {decoder}: "
            "wanted the same, with a stride of half the kernel_size")
    return size, encoder["channel"]


def _renamed(content: Mapping[str, Tensor], separator: Mapping[str, Any],
             config: Path) -> dict[str, Tensor]:
    """Weights under our names; of a network that estimates noise, too, without that."""
    tcn, block, ours = r"separator\.tcn\.network\.", r"(\d+)\.net\.", r"separator.blocks.\1."
    inside = block + r"3\.net\."
    first = 2 if separator["causal"] else 1     # a causal one cuts frames off there
    last = 4 if f"{tcn}4.weight".replace("\\", "") in content else 3
    names = (
        (r"encoder\.conv1d\.", "encoder."), (r"decoder\.convtrans1d\.", "decoder."),
        (tcn + r"0\.", "separator.norm."), (tcn + r"1\.", "separator.bottleneck."),
        (tcn + rf"{last}\.", "separator.to_masks."), (tcn + r"3\.", "separator.prelu."),
        (inside + r"0\.", ours + "depthwise."), (inside + rf"{first}\.", ours + "prelu2."),
        (inside + rf"{first + 1}\.", ours + "norm2."),
        (inside + rf"{first + 2}\.", ours + "residual."),
        (block + r"0\.", ours + "widen."), (block + r"1\.", ours + "prelu1."),
        (block + r"2\.", ours + "norm1."))
    per_stack = separator["layer"] if isinstance(separator["layer"], int) else 1
    numbered = {_numbered(name, per_stack): weight for name, weight in content.items()}
    weights = renamed(numbered, names)
    if "separator.prelu.weight" not in weights:
        kind = separator["pre_mask_nonlinear"] if last == 4 else "linear"
        known = word(config, "pre_mask_nonlinear", kind, {name: name for name in SLOPES})
        weights["separator.prelu.weight"] = slope(SLOPES[known])
    letters = letters_of(weights)
    if separator["predict_noise"] and "C" in letters:
        kept = (letters["C"] - 1) * letters["N"]
        weights["separator.to_masks.weight"] = weights["separator.to_masks.weight"][:kept]
    return weights


def _numbered(name: str, per_stack: int) -> str:
    """A block's name by its number in the network, in place of those of its stack and in it."""
    found = re.fullmatch(r"separator\.tcn\.network\.2\.(\d{1,5})\.(\d{1,5})\.(.*)", name)
    if not found:
        return name
    return f"{int(found[1]) * per_stack + int(found[2])}.{found[3]}"
