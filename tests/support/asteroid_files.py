"""Files as Asteroid writes them."""

import torch
from torch.torch_version import TorchVersion

SMALL = {"fb_name": "FreeFB", "n_filters": 8, "kernel_size": 6, "stride": 3, "sample_rate": 8000, "in_chan": 8, "out_chan": 8,
         "bn_chan": 5, "hid_chan": 7, "skip_chan": 4, "conv_kernel_size": 3, "n_blocks": 3, "n_repeats": 2, "n_src": 2,
         "norm_type": "gLN", "mask_act": "sigmoid", "causal": False, "encoder_activation": None}


def weights_of(a):
    """A state_dict with Asteroid's names, shapes and order, every number drawn."""
    def conv(name, out, channels, taps):
        return {f"{name}.weight": (out, channels, taps), f"{name}.bias": (out,)}

    def norm(name, channels):
        if a["norm_type"] == "bN":
            names = ("weight", "bias", "running_mean", "running_var")
            return {f"{name}.{part}": (channels,) for part in names} | {f"{name}.num_batches_tracked": ()}
        return {f"{name}.gamma": (channels,), f"{name}.beta": (channels,)}

    filters, hidden, skip = (a["n_filters"], 1, a["kernel_size"]), a["hid_chan"], a["skip_chan"]
    shapes = {"encoder.filterbank._filters": filters, **norm("masker.bottleneck.0", a["n_filters"]),
              **conv("masker.bottleneck.1", a["bn_chan"], a["n_filters"], 1)}
    for block in range(a["n_repeats"] * a["n_blocks"]):
        shared = f"masker.TCN.{block}.shared_block"
        shapes |= {**conv(f"{shared}.0", hidden, a["bn_chan"], 1), f"{shared}.1.weight": (1,), **norm(f"{shared}.2", hidden),
                   **conv(f"{shared}.3.0" if a["causal"] else f"{shared}.3", hidden, 1, a["conv_kernel_size"]),
                   f"{shared}.4.weight": (1,), **norm(f"{shared}.5", hidden),
                   **conv(f"masker.TCN.{block}.res_conv", a["bn_chan"], hidden, 1)}
        if skip:
            shapes |= conv(f"masker.TCN.{block}.skip_conv", skip, hidden, 1)
    shapes |= {"masker.mask_net.0.weight": (1,),
               **conv("masker.mask_net.1", a["n_src"] * a["n_filters"], skip or a["bn_chan"], 1),
               "decoder.filterbank._filters": filters}
    rng = torch.Generator().manual_seed(0)
    drawn = {name: torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    return {name: torch.tensor(7) if name.endswith("tracked") else weight.abs() + 0.5 if name.endswith("_var") else weight
            for name, weight in drawn.items()}


def file_of(path, arguments, weights=None, name="ConvTasNet"):
    """A file as Asteroid's serialize() makes it."""
    torch.save({"model_name": name, "state_dict": weights_of(arguments) if weights is None else weights,
                "model_args": arguments, "infos": {"software_versions": {"torch_version": TorchVersion("2.0.0")}}}, path)
    return path
