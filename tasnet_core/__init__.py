"""Conv-TasNet, exact and small: the network, its training, its cost. Needs no study.

The paper's letters (arXiv 1809.07454, Table I) are used unchanged everywhere:
N encoder filters, L their length in samples, B bottleneck channels, H channels inside a block,
Sc skip channels (0: no skip path), P kernel size, X blocks per repeat, R repeats, C speakers.
K is the number of encoder frames, T samples; in shapes, a leading B is the batch.
"""

from importlib import import_module
from typing import Any

# Names are fetched when first used, so that the records cost no torch import.
_HOMES = {
    "Variant": "records", "Recipe": "records", "Cost": "records", "Epoch": "records",
    "Scores": "records",
    "ConvTasNet": "network.model", "si_snr": "network.loss", "pit_loss": "network.loss",
    "measure": "cost.count",
    "load": "checkpoints.checkpoint", "load_onnx": "checkpoints.onnx_file",
    "from_asteroid": "checkpoints.asteroid",
    "Stream": "inference.stream",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tasnet_core' has no attribute {name!r}")
    return getattr(import_module(f"tasnet_core.{_HOMES[name]}"), name)
