"""Networks of other toolkits, made and saved by their own code where it is installed, and ESPnet's restated."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
import yaml
from torch.nn import functional as F

TORCHAUDIO = {"num_sources": 2, "enc_kernel_size": 16, "enc_num_feats": 12, "msk_kernel_size": 3, "msk_num_feats": 6,
              "msk_num_hidden_feats": 9, "msk_num_layers": 3, "msk_num_stacks": 2, "msk_activate": "sigmoid"}
MASKNET = {"N": 12, "B": 6, "H": 9, "P": 3, "X": 3, "R": 2, "C": 2, "norm_type": "gLN", "causal": False, "mask_nonlinear": "relu"}
SEPARATOR = {"num_spk": 2, "layer": 3, "stack": 2, "bottleneck_dim": 6, "hidden_dim": 9, "kernel": 3, "causal": False,
             "norm_type": "gLN", "nonlinear": "relu"}
FILTERS = {"channel": 12, "kernel_size": 16, "stride": 8}
# As its recipes have it, with all that is run by whoever loads it otherwise.
HYPERPARAMS = """
seed: 1234
__set_seed: !apply:speechbrain.utils.seed_everything [!ref <seed>]
data_folder: !PLACEHOLDER
output_folder: !ref results/<seed>
num_spks: {C}
sample_rate: 8000
N_encoder_out: {N}
kernel_size: 16
Encoder: !new:speechbrain.lobes.models.dual_path.Encoder
    kernel_size: !ref <kernel_size>
    out_channels: !ref <N_encoder_out>
MaskNet: !new:speechbrain.lobes.models.conv_tasnet.MaskNet
    N: {N}
    B: {B}
    H: {H}
    P: {P}
    X: {X}
    R: {R}
    C: !ref <num_spks>
    norm_type: '{norm_type}'
    causal: {causal}
    mask_nonlinear: '{mask_nonlinear}'
Decoder: !new:speechbrain.lobes.models.dual_path.Decoder
    in_channels: !ref <N_encoder_out>
    out_channels: 1
    kernel_size: !ref <kernel_size>
    stride: 8
    bias: False
optimizer: !name:torch.optim.Adam
    lr: 0.00015
modules:
    encoder: !ref <Encoder>
"""


def drawn(network):
    """A network all of whose weights and statistics are drawn: none is the 1 or 0 it begins with."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.numel() == max(weight.shape):
                weight += 0.3 * torch.randn(weight.shape, generator=rng)
        for name, statistic in network.named_buffers():
            if not name.endswith("tracked"):
                statistic.copy_(0.5 + torch.rand(statistic.shape, generator=rng))
    return network.eval()


def torchaudios():
    """torchaudio's module conv_tasnet, without the package, whose compiled part may be of another torch."""
    found = importlib.util.find_spec("torchaudio")
    if found is None:
        pytest.skip("needs torchaudio, which comes with the extra test-all")
    path = Path(found.origin).parent / "models/conv_tasnet.py"
    spec = importlib.util.spec_from_file_location("torchaudios_conv_tasnet", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def speechbrains():
    """SpeechBrain's modules conv_tasnet and dual_path; its torchaudio, which they never use, is none.

    None of its modules stays where all are looked through: some load themselves, and fail, when they are looked at.
    """
    if importlib.util.find_spec("speechbrain") is None:
        pytest.skip("needs SpeechBrain, which comes with the extra test-all")
    names = ["torchaudio", *(f"torchaudio.{name}" for name in ("transforms", "functional", "compliance", "compliance.kaldi"))]
    sys.modules |= dict.fromkeys(names, MagicMock(__version__="2.11.0", __spec__=None))
    try:
        from speechbrain.lobes.models import conv_tasnet, dual_path
    finally:
        for name in [*names, *(name for name in sys.modules if name.partition(".")[0] == "speechbrain")]:
            del sys.modules[name]
    return conv_tasnet, dual_path


def speechbrain_folder(folder, changes=(), text=HYPERPARAMS):
    """A folder as SpeechBrain's training leaves it, and its network as its recipe calls it: [B, T] -> [B, C, T]."""
    conv_tasnet, dual_path = speechbrains()
    letters = {**MASKNET, **dict(changes)}
    encoder = drawn(dual_path.Encoder(16, letters["N"]))
    masknet = drawn(conv_tasnet.MaskNet(**letters))
    decoder = drawn(dual_path.Decoder(letters["N"], 1, 16, stride=8, bias=False))
    folder.mkdir(exist_ok=True)
    for name, part in (("encoder", encoder), ("masknet", masknet), ("decoder", decoder)):
        torch.save(part.state_dict(), folder / f"{name}.ckpt")
    (folder / "hyperparams.yaml").write_text(text.format(**letters))

    def network(mixture):
        frames = encoder(mixture)
        masked = torch.stack([frames] * letters["C"]) * masknet(frames)
        return torch.stack([decoder(one) for one in masked], 1)
    return network


def espnet_weights(conf):
    """A state_dict with the names and shapes of ESPnet's enhancement model, every number drawn."""
    B, H, N = conf["bottleneck_dim"], conf["hidden_dim"], FILTERS["channel"]

    def norm(name, channels):
        if conf["norm_type"] in ("gLN", "cLN"):
            return {f"{name}.gamma": (1, channels, 1), f"{name}.beta": (1, channels, 1)}
        names = ("weight", "bias", "running_mean", "running_var")[:4 if conf["norm_type"] == "BN" else 2]
        counted = {f"{name}.num_batches_tracked": ()} if conf["norm_type"] == "BN" else {}
        return {f"{name}.{part}": (channels,) for part in names} | counted

    tcn, second = "separator.tcn.network", 2 if conf["causal"] else 1
    shapes = {"encoder.conv1d.weight": (N, 1, 16), f"{tcn}.0.gamma": (1, N, 1), f"{tcn}.0.beta": (1, N, 1),
              f"{tcn}.1.weight": (B, N, 1)}
    for r in range(conf["stack"]):
        for x in range(conf["layer"]):
            block = f"{tcn}.2.{r}.{x}.net"
            shapes |= {f"{block}.0.weight": (H, B, 1), f"{block}.1.weight": (1,), **norm(f"{block}.2", H),
                       f"{block}.3.net.0.weight": (H, 1, conf["kernel"]), f"{block}.3.net.{second}.weight": (1,),
                       **norm(f"{block}.3.net.{second + 1}", H), f"{block}.3.net.{second + 2}.weight": (B, H, 1)}
    kind = conf.get("pre_mask_nonlinear", "prelu")
    masks = (conf["num_spk"] + conf.get("predict_noise", False)) * N
    shapes |= {f"{tcn}.3.weight": (1,)} if kind == "prelu" else {}
    shapes |= {f"{tcn}.{3 if kind == 'linear' else 4}.weight": (masks, B, 1), "decoder.convtrans1d.weight": (N, 1, 16)}
    rng = torch.Generator().manual_seed(0)
    found = {name: 0.3 * torch.randn(shape, generator=rng) for name, shape in shapes.items()}
    for name, weight in found.items():
        if name.endswith(("var", "gamma")):
            weight.abs_().add_(0.5)
    return {name: torch.tensor(7) if name.endswith("tracked") else weight for name, weight in found.items()}


def espnet_restated(conf, w, mixture):
    """What ESPnet computes with these weights, from its own names on: [B, T] -> [B, C, T]."""
    def norm(name, x, kind=conf["norm_type"]):
        if kind == "BN":
            return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))
        if kind == "GN":
            return F.group_norm(x, 1, w[f"{name}.weight"], w[f"{name}.bias"], 1e-8)
        over = (1, 2) if kind == "gLN" else (1,)
        mean, var = x.mean(over, keepdim=True), x.var(over, keepdim=True, unbiased=False)
        return w[f"{name}.gamma"] * (x - mean) / (var + 2 ** -23).sqrt() + w[f"{name}.beta"]

    tcn, second, reach = "separator.tcn.network", 2 if conf["causal"] else 1, conf["kernel"] - 1
    frames = F.conv1d(mixture[:, None], w["encoder.conv1d.weight"], stride=8).relu()
    x = F.conv1d(norm(f"{tcn}.0", frames, "cLN"), w[f"{tcn}.1.weight"])
    for r in range(conf["stack"]):
        for layer in range(conf["layer"]):
            block, padding = f"{tcn}.2.{r}.{layer}.net", reach * 2 ** layer
            y = norm(f"{block}.2", F.prelu(F.conv1d(x, w[f"{block}.0.weight"]), w[f"{block}.1.weight"]))
            y = F.pad(y, (padding, 0) if conf["causal"] else (padding // 2, padding // 2))
            y = F.conv1d(y, w[f"{block}.3.net.0.weight"], dilation=2 ** layer, groups=conf["hidden_dim"])
            y = norm(f"{block}.3.net.{second + 1}", F.prelu(y, w[f"{block}.3.net.{second}.weight"]))
            x = x + F.conv1d(y, w[f"{block}.3.net.{second + 2}.weight"])
    kind = conf.get("pre_mask_nonlinear", "prelu")
    x = {"prelu": lambda: F.prelu(x, w[f"{tcn}.3.weight"]), "relu": x.relu, "linear": lambda: x}[kind]()
    masks = getattr(F.conv1d(x, w[f"{tcn}.{3 if kind == 'linear' else 4}.weight"]), conf["nonlinear"])()
    masks = masks.unflatten(1, (-1, FILTERS["channel"]))[:, :conf["num_spk"]]
    signals = F.conv_transpose1d((masks * frames[:, None]).flatten(0, 1), w["decoder.convtrans1d.weight"], stride=8)
    return signals.view(len(mixture), conf["num_spk"], -1)


def espnet_folder(folder, changes=(), weights=None, **config):
    """A folder as ESPnet's training leaves it; what it says of its separator is the third value."""
    conf = {**SEPARATOR, **dict(changes)}
    described = {"encoder": "conv", "encoder_conf": FILTERS, "separator": "tcn", "separator_conf": conf, "decoder": "conv",
                 "decoder_conf": FILTERS, "model_conf": {"loss_type": "si_snr"}, "mask_module": None, **config}
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(described))
    weights = espnet_weights(conf) if weights is None else weights
    torch.save(weights, folder / "valid.loss.ave.pth")
    return folder, weights, conf
