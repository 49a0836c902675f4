"""The same weights in Asteroid's ConvTasNet and in ours: parameters, and the largest difference of their outputs.

Asteroid and asteroid-filterbanks are wanted as source folders beside each other; what else Asteroid imports and this
network does not need may be missing. Every weight is moved off its start, so that gains, biases and slopes count as
well, and a second of noise goes through both, in float32. Prints a Markdown table; status 1 if a difference passes 1e-5.

    ASTEROID=FOLDER python benchmarks/asteroid_parity.py
"""

import importlib.machinery
import os
import sys
import tempfile
import types
import warnings
from pathlib import Path
from typing import Any, ClassVar

import torch

from tasnet_core.checkpoints.asteroid import NAMES, from_asteroid
from tasnet_core.checkpoints.conversion import renamed
from tasnet_core.cost.count import exact
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Variant

V3: dict[str, Any] = {"n_src": 2}
V1 = {**V3, "n_filters": 256, "kernel_size": 20, "stride": 10, "bn_chan": 256, "hid_chan": 512, "skip_chan": 0,
      "n_blocks": 8, "n_repeats": 4, "mask_act": "softmax", "encoder_activation": "relu"}
ROWS: dict[str, dict[str, Any]] = {
    "v1": V1,
    "v2, causal, frame norm": {**V1, "norm_type": "cLN", "causal": True},
    "v3": V3,
    "v3 without skip path": {**V3, "skip_chan": 0},
    "v3 causal, cumulative norm": {**V3, "norm_type": "cgLN", "causal": True},
    "v3 causal, frame norm": {**V3, "norm_type": "cLN", "causal": True},
    "v3, three speakers": {**V3, "n_src": 3},
    "v3, five speakers": {**V3, "n_src": 5},
    "v3, cumulative norm": {**V3, "norm_type": "cgLN"},
    "v3, frame norm": {**V3, "norm_type": "cLN"},
    "v3, batch norm": {**V3, "norm_type": "bN"},
    "v3, relu mask": {**V3, "mask_act": "relu"},
    "v3, softmax mask": {**V3, "mask_act": "softmax"},
    "v3, relu encoder": {**V3, "encoder_activation": "relu"},
    "P=5, X=4, R=2, 16 kHz, L=32": {**V3, "conv_kernel_size": 5, "n_blocks": 4, "n_repeats": 2, "kernel_size": 32,
                                    "stride": 16, "sample_rate": 16000},
}


class Missing(types.ModuleType):
    """Stands for a module that is not installed and that no network needs: every name in it is an empty class."""

    __path__: ClassVar[list[str]] = []
    __version__ = "0"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def asteroid_from(folder: str) -> Any:
    """Import Asteroid from a folder of its source."""
    sys.path.insert(0, folder)
    for name in ("scipy", "scipy.optimize", "scipy.signal", "huggingface_hub", "pytorch_lightning", "torchaudio", "requests",
                 "julius", "torch_stoi", "pb_bss_eval", "torchmetrics", "yaml", "pandas"):
        try:
            __import__(name)
        except (ImportError, OSError):      # OSError: torchaudio's, of another torch
            sys.modules[name] = Missing(name)
            sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    import asteroid
    return asteroid


def drawn(asteroid: Any, arguments: dict[str, Any], seed: int) -> Any:
    """A network of Asteroid's with every weight away from where training starts, and outputs of full scale."""
    torch.manual_seed(seed)
    network = asteroid.ConvTasNet(**arguments).eval()
    if arguments is V1:     # Asteroid has one norm for all places; its parts make the first version's all the same
        network.masker.bottleneck[0] = asteroid.masknn.norms.get("cLN")(network.masker.in_chan)
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            if weight.is_floating_point():
                scale = 0.1 * weight.abs().mean().clamp(min=0.1)
                weight.add_(scale * (torch.rand_like(weight) if name.endswith("running_var") else torch.randn_like(weight)))
        network.decoder.filterbank._filters /= network(sound_of(arguments)).abs().max()
    return network


def sound_of(arguments: dict[str, Any]) -> torch.Tensor:
    """A second of noise, in whole frames since Asteroid leaves out the rest: [2, T]."""
    length, rate = arguments.get("kernel_size", 16), arguments.get("sample_rate", 8000)
    return torch.randn(2, length + rate // (length // 2) * (length // 2), generator=torch.Generator().manual_seed(0))


def compared(theirs: Any, arguments: dict[str, Any], path: Path) -> tuple[ConvTasNet, float]:
    """Our network with the weights of Asteroid's, and the largest difference of their outputs."""
    torch.save(theirs.serialize(), path)
    ours = from_asteroid(path)
    if arguments is V1:
        ours = ConvTasNet(Variant.v1()).eval()
        ours.load_state_dict(renamed(theirs.state_dict(), NAMES))
    assert exact(ours.variant).parameters == sum(weight.numel() for weight in theirs.parameters())
    with torch.no_grad():
        one, other = theirs(sound_of(arguments)), ours(sound_of(arguments))
    return ours, (one - other).abs().max().item()


def main() -> int:
    asteroid = asteroid_from(os.environ["ASTEROID"])
    warnings.simplefilter("ignore")
    print("| network | variant here | parameters | largest difference |\n|---|---|---:|---:|")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, arguments) in enumerate(ROWS.items()):
            ours, difference = compared(drawn(asteroid, arguments, seed), arguments, Path(folder) / "asteroid.pth")
            v = ours.variant
            worst = max(worst, difference)
            print(f"| {name} | {v} {v.encoder} {v.mask} {v.norm}{' causal' if v.causal else ''} | "
                  f"{exact(v).parameters:,} | {difference:.1e} |", flush=True)
    print(f"\nlargest of all {worst:.1e}, of outputs that reach 1; at most 1e-5 is wanted")
    return worst > 1e-5


if __name__ == "__main__":
    sys.exit(main())
