"""Networks trained with Asteroid (github.com/asteroid-team/asteroid), from its `serialize()`.

A file holds `model_name`, `model_args` and `state_dict`. Its ConvTasNet is this network under other
names, with the last block's residual convolution always there. Its "cLN" is a norm per frame; the
cumulative one is "cgLN". Where a recording does not end with a whole frame, Asteroid leaves the
last samples silent and this network does not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasnet_core.checkpoints.conversion import renamed
from tasnet_core.checkpoints.unpickle import plain, read_saved, shown
from tasnet_core.checkpoints.weights import network_with
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant

# What Asteroid's ConvTasNet takes where its file says nothing.
DEFAULTS = {
    "n_blocks": 8, "n_repeats": 3, "bn_chan": 128, "hid_chan": 512, "skip_chan": 128,
    "conv_kernel_size": 3, "norm_type": "gLN", "mask_act": "sigmoid", "causal": False,
    "fb_name": "free", "kernel_size": 16, "n_filters": 512, "encoder_activation": "linear",
    "sample_rate": 8000}
LETTERS = {"N": "n_filters", "L": "kernel_size", "B": "bn_chan", "H": "hid_chan", "Sc": "skip_chan",
           "P": "conv_kernel_size", "X": "n_blocks", "R": "n_repeats", "C": "n_src"}
NORMS = {
    "gLN": "global", "GlobLN": "global", "cgLN": "cumulative", "CumLN": "cumulative",
    "cLN": "frame", "ChanLN": "frame", "bN": "batch", "BN": "batch", "BatchNorm": "batch"}
OTHERS = ("stride", "in_chan", "out_chan", "padding", "output_padding", "who_is_pinv")
WORDS = {
    "encoder_activation": {"linear": "linear", "relu": "relu"}, "norm_type": NORMS,
    "mask_act": {"sigmoid": "sigmoid", "relu": "relu", "softmax": "softmax"},
    "fb_name": {"free": "", "FreeFB": ""}}

# Its names, in order of the network, and ours.
NAMES = (
    (r"encoder\.filterbank\._filters", "encoder.weight"),
    (r"decoder\.filterbank\._filters", "decoder.weight"),
    (r"masker\.bottleneck\.0\.", "separator.norm."),
    (r"masker\.bottleneck\.1\.", "separator.bottleneck."),
    (r"masker\.TCN\.(\d+)\.shared_block\.0\.", r"separator.blocks.\1.widen."),
    (r"masker\.TCN\.(\d+)\.shared_block\.1\.", r"separator.blocks.\1.prelu1."),
    (r"masker\.TCN\.(\d+)\.shared_block\.2\.", r"separator.blocks.\1.norm1."),
    # .0: of a causal network.
    (r"masker\.TCN\.(\d+)\.shared_block\.3\.(?:0\.)?", r"separator.blocks.\1.depthwise."),
    (r"masker\.TCN\.(\d+)\.shared_block\.4\.", r"separator.blocks.\1.prelu2."),
    (r"masker\.TCN\.(\d+)\.shared_block\.5\.", r"separator.blocks.\1.norm2."),
    (r"masker\.TCN\.(\d+)\.res_conv\.", r"separator.blocks.\1.residual."),
    (r"masker\.TCN\.(\d+)\.skip_conv\.", r"separator.blocks.\1.skip."),
    (r"masker\.mask_net\.0\.", "separator.prelu."),
    (r"masker\.mask_net\.1\.", "separator.to_masks."),
)


def from_asteroid(path: str | Path) -> ConvTasNet:
    """The network of a file that Asteroid wrote, ready to separate.

    Raises:
        CheckpointError: when the file cannot be read or is no Asteroid file, and, naming it, for
            what has no counterpart here: another model, filterbank, stride, norm or activation.
    """
    path = Path(path)
    content = read_saved(path)
    if not is_asteroids(content):
        raise CheckpointError(
            f"{path}: not an Asteroid model file; "
            "wanted model_name, model_args and state_dict in it")
    return network_of(content, path)


def is_asteroids(content: Any) -> bool:
    """Whether what torch loaded is a model that Asteroid serialized."""
    wanted = {"model_name", "model_args", "state_dict"}
    return isinstance(content, dict) and wanted <= content.keys()


def network_of(content: Mapping[str, Any], path: Path) -> ConvTasNet:
    """The network of a file's content.

    Raises:
        CheckpointError: naming what has no counterpart here.
    """
    if content["model_name"] != "ConvTasNet":
        name = shown(content["model_name"]).strip("'")
        raise CheckpointError(f"{path}: Asteroid's {name}; only its ConvTasNet can be read here")
    arguments, weights = content["model_args"], content["state_dict"]
    if not isinstance(arguments, Mapping) or not isinstance(weights, Mapping):
        raise CheckpointError(
            f"{path}: its model_args are a {type(arguments).__name__}, and its state_dict is a "
            f"{type(weights).__name__}; tables are wanted")
    try:
        names = {"X·R": "n_blocks·n_repeats", **LETTERS}
        return network_with(variant_of(arguments, path), renamed(weights, NAMES), names)
    except ValueError as error:
        raise CheckpointError(f"{path}: its weights do not fit its model_args: {error}") from error


def variant_of(arguments: Mapping[str, Any], path: Path) -> Variant:
    """The variant of Asteroid's arguments; one left out, or None, is Asteroid's default.

    As there, a causal network with another norm than "cgLN" and "cLN" has "cLN".

    Raises:
        CheckpointError: naming the argument that has no counterpart here.
    """
    try:
        plain({name: arguments.get(name) for name in (*DEFAULTS, *LETTERS.values(), *OTHERS)})
    except TypeError as error:
        raise CheckpointError(f"{path}: {error}") from None
    given = {**DEFAULTS, **{name: value for name, value in arguments.items() if value is not None}}
    # There, None is no skip path.
    given["skip_chan"] = arguments.get("skip_chan", DEFAULTS["skip_chan"]) or 0
    if given["causal"] and given["norm_type"] not in ("cgLN", "cLN"):
        given["norm_type"] = "cLN"
    for name, words in WORDS.items():
        if given[name] not in words:
            raise CheckpointError(
                f"{path}: {name}={given[name]!r} has no counterpart here; "
                f"known are {', '.join(words)}")
    try:
        filters, hop = given["n_filters"], given["kernel_size"] // 2
        for name, wanted in zip(OTHERS, (hop, filters, filters, 0, 0, None), strict=True):
            if (found := given.get(name) or wanted) != wanted:
                raise CheckpointError(
                    f"{path}: {name}={found} has no counterpart here; wanted {wanted}")
        return Variant(
            **{letter: given[name] for letter, name in LETTERS.items()},
            encoder=WORDS["encoder_activation"][given["encoder_activation"]],
            mask=WORDS["mask_act"][given["mask_act"]], norm=NORMS[given["norm_type"]],
            causal=given["causal"], last_residual=True, sample_rate_hz=round(given["sample_rate"]))
    except KeyError as error:
        raise CheckpointError(f"{path}: its model_args lack {error.args[0]}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: {error}") from None
