"""Asteroid's files, against a restatement of what its ConvTasNet computes and, where it is installed, against itself."""

import importlib

import pytest
import torch
from torch.nn import functional as F

import tasnet_core
from tasnet_core.checkpoints.asteroid import from_asteroid
from tasnet_core.errors import CheckpointError
from tests.support.asteroid_files import SMALL, file_of, weights_of

FAMILY = [{}, {"skip_chan": 0}, {"skip_chan": None}, {"norm_type": "cgLN", "causal": True}, {"norm_type": "cLN", "causal": True},
          {"norm_type": "cLN"}, {"norm_type": "bN"}, {"mask_act": "relu"}, {"mask_act": "softmax", "n_src": 3},
          {"encoder_activation": "relu"}, {"conv_kernel_size": 5, "n_src": 5}]


def restated(a, w, sound):
    """What Asteroid computes with these weights, from its own names on: [B, T] -> [B, n_src, T]."""
    def norm(name, x):
        if a["norm_type"] == "bN":
            return F.batch_norm(x, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))
        if a["norm_type"] == "cgLN":
            count = x.shape[1] * torch.arange(1, x.shape[-1] + 1)
            mean = x.sum(1).cumsum(-1) / count
            var, mean = (x.square().sum(1).cumsum(-1) / count - mean.square())[:, None], mean[:, None]
        else:
            over = (1, 2) if a["norm_type"] == "gLN" else (1,)
            mean, var = x.mean(over, keepdim=True), x.var(over, keepdim=True, unbiased=False)
        return w[f"{name}.gamma"][:, None] * (x - mean) / (var + 1e-8).sqrt() + w[f"{name}.beta"][:, None]

    def conv(name, x, **how):
        return F.conv1d(x, w[f"{name}.weight"], w[f"{name}.bias"], **how)

    encoded = F.conv1d(sound[:, None], w["encoder.filterbank._filters"], stride=a["stride"])
    encoded = encoded.relu() if a["encoder_activation"] == "relu" else encoded
    x, skips = conv("masker.bottleneck.1", norm("masker.bottleneck.0", encoded)), 0
    for block in range(a["n_repeats"] * a["n_blocks"]):
        shared, dilation = f"masker.TCN.{block}.shared_block", 2 ** (block % a["n_blocks"])
        y = norm(f"{shared}.2", F.prelu(conv(f"{shared}.0", x), w[f"{shared}.1.weight"]))
        padding = (a["conv_kernel_size"] - 1) * dilation // (1 if a["causal"] else 2)
        y = conv(f"{shared}.3" + (".0" if a["causal"] else ""), y, padding=padding, dilation=dilation, groups=a["hid_chan"])
        y = norm(f"{shared}.5", F.prelu(y[..., :x.shape[-1]], w[f"{shared}.4.weight"]))
        skips = skips + conv(f"masker.TCN.{block}.skip_conv", y) if a["skip_chan"] else 0
        x = x + conv(f"masker.TCN.{block}.res_conv", y)
    y = conv("masker.mask_net.1", F.prelu(skips if a["skip_chan"] else x, w["masker.mask_net.0.weight"]))
    y = y.view(len(sound), a["n_src"], a["n_filters"], -1)
    masks = {"sigmoid": torch.sigmoid, "relu": torch.relu, "softmax": lambda y: y.softmax(1)}[a["mask_act"]](y)
    decoded = F.conv_transpose1d((masks * encoded[:, None]).flatten(0, 1), w["decoder.filterbank._filters"], stride=a["stride"])
    return decoded.view(len(sound), a["n_src"], -1)


@pytest.mark.parametrize("changes", FAMILY, ids=str)
def test_a_network_from_asteroid_gives_the_output_it_gave_there(changes, tmp_path):
    arguments = {**SMALL, **changes}
    sound = torch.randn(2, 6 + 3 * 60)      # whole frames: Asteroid leaves out the rest
    expected = restated(arguments, weights_of(arguments), sound)
    network = tasnet_core.load(file_of(tmp_path / "asteroid.pth", arguments))
    with torch.no_grad():
        assert (network(sound) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (network.variant.C, network.variant.Sc) == (arguments["n_src"], arguments["skip_chan"] or 0)


@pytest.mark.parametrize(("changes", "words"), [
    ({"fb_name": "STFTFB"}, "fb_name='STFTFB' has no counterpart here; known are free, FreeFB"),
    ({"stride": 2}, "stride=2 has no counterpart here; wanted 3"), ({"out_chan": 4}, "out_chan=4"),
    ({"norm_type": "fgLN"}, "norm_type='fgLN'"), ({"mask_act": "tanh"}, "mask_act='tanh'"),
    ({"encoder_activation": "gelu"}, "encoder_activation='gelu'"), ({"n_src": None}, "lack n_src"),
    ({"kernel_size": 7}, "L=7 must be even"), ({"hid_chan": 9}, "do not fit its model_args: hid_chan=7, not 9")])
def test_what_has_no_counterpart_is_refused_by_name_in_one_line(changes, words, tmp_path):
    path = file_of(tmp_path / "a.pth", {**SMALL, **changes}, weights_of(SMALL))
    with pytest.raises(CheckpointError, match=words) as caught:
        from_asteroid(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_other_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="Asteroid's DPRNNTasNet; only its ConvTasNet"):
        from_asteroid(file_of(tmp_path / "a.pth", SMALL, {}, name="DPRNNTasNet"))
    torch.save({"state_dict": {}}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="not an Asteroid model file"):
        from_asteroid(tmp_path / "b.pth")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        from_asteroid(tmp_path / "gone.pth")


@pytest.mark.skipif(importlib.util.find_spec("asteroid") is None,
                    reason="needs asteroid installed; benchmarks/asteroid_parity.py compares with its source alone")
@pytest.mark.filterwarnings("ignore")
def test_asteroid_itself_agrees(tmp_path):
    import asteroid
    theirs = asteroid.ConvTasNet(**{**SMALL, "skip_chan": 6}).eval()
    torch.save(theirs.serialize(), tmp_path / "a.pth")
    sound = torch.randn(2, 6 + 3 * 60)
    with torch.no_grad():
        torch.testing.assert_close(from_asteroid(tmp_path / "a.pth")(sound), theirs(sound), rtol=0, atol=1e-5)
