"""ESPnet's networks against a restatement of what they compute and, where it is installed, against its own code."""

import pytest
import torch

import tasnet_core
from tasnet_core.errors import CheckpointError
from tests.support.toolkit_files import FILTERS, espnet_folder, espnet_restated

FAMILY = [{}, {"norm_type": "cLN"}, {"norm_type": "BN"}, {"norm_type": "GN"}, {"causal": True}, {"causal": True, "kernel": 5},
          {"causal": True, "norm_type": "cLN"}, {"causal": True, "norm_type": "BN", "num_spk": 3},
          {"nonlinear": "sigmoid", "kernel": 5},
          {"pre_mask_nonlinear": "linear"}, {"pre_mask_nonlinear": "relu"}, {"predict_noise": True, "num_spk": 3}]
LEVELS = (1, 1e-3)      # the second: where an eps of 1e-8 would be another network
RATE = {"sample_rate_hz": 8000}


@pytest.mark.parametrize("changes", FAMILY, ids=str)
def test_a_network_of_espnet_gives_the_output_it_gave_there(tmp_path, changes):
    torch.manual_seed(0)
    folder, weights, conf = espnet_folder(tmp_path, changes)
    network = tasnet_core.load(folder, **RATE)
    for level in LEVELS:
        mixture = level * torch.randn(2, 16 + 8 * 150)      # whole frames: ESPnet leaves the rest silent
        mixture = mixture.double()      # a frame's norm over few channels makes much of the rounding of float32
        expected = espnet_restated(conf, {name: value.double() for name, value in weights.items()}, mixture)
        with torch.no_grad():
            assert (network.double()(mixture) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (network.variant.C, network.variant.norm == "global") == (conf["num_spk"], conf["norm_type"] in ("gLN", "GN"))


@pytest.mark.parametrize("changes", FAMILY, ids=str)
def test_espnet_itself_agrees(tmp_path, changes):
    own = pytest.importorskip("espnet2.enh.separator.tcn_separator", reason="needs espnet, which pins packages of its own")
    from espnet2.enh.decoder.conv_decoder import ConvDecoder
    from espnet2.enh.encoder.conv_encoder import ConvEncoder
    folder, weights, conf = espnet_folder(tmp_path, changes)
    theirs = torch.nn.ModuleDict({"encoder": ConvEncoder(**FILTERS), "decoder": ConvDecoder(**FILTERS),
                                  "separator": own.TCNSeparator(input_dim=FILTERS["channel"], **conf)}).eval()
    theirs.load_state_dict(weights)
    network, lengths = tasnet_core.load(folder, **RATE), torch.tensor([1216, 1216])
    for level in LEVELS:
        mixture = level * torch.randn(2, 1216)
        with torch.no_grad():
            masked, *_ = theirs["separator"](*theirs["encoder"](mixture, lengths))
            expected = torch.stack([theirs["decoder"](one, lengths)[0] for one in masked], 1)
            assert (network(mixture) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_folder_its_config_and_its_weights_are_one_network(tmp_path):
    espnet_folder(tmp_path)
    wanted = tasnet_core.load(tmp_path, **RATE).encoder.weight
    torch.save({"model": 1}, tmp_path / "checkpoint.pth")       # of the training, beside what it chose
    for name in ("", "config.yaml", "valid.loss.ave.pth"):
        assert torch.equal(tasnet_core.load(tmp_path / name, **RATE).encoder.weight, wanted)
    torch.save({}, tmp_path / "5epoch.pth")
    with pytest.raises(CheckpointError, match=r"2 files of weights \(\*\.pth: 5epoch\.pth, valid\.loss\.ave\.pth\); name the"):
        tasnet_core.load(tmp_path, **RATE)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"whose norms and masks stand in config\.yaml: no such file in"):
        tasnet_core.load(tmp_path / "valid.loss.ave.pth", **RATE)


@pytest.mark.parametrize(("changes", "config", "words"), [
    ({}, {"separator": "rnn"}, "separator: 'rnn'; only tcn can be read here"),
    ({}, {"encoder": "stft"}, "encoder: 'stft'; only conv"),
    ({}, {"model_conf": {"normalize_variance": True}}, "normalize_variance has no counterpart"),
    ({}, {"mask_module": "multi_mask"}, "mask_module has no counterpart"),
    ({}, {"decoder_conf": {**FILTERS, "kernel_size": 20}}, "wanted the same, with a stride of half"),
    ({}, {"encoder_conf": {"channel": 12}}, "encoder_conf lacks kernel_size"), ({"masking": False}, {}, "masking=False has no"),
    ({"nonlinear": "tanh"}, {}, "nonlinear='tanh' has no counterpart here; known are relu, sigmoid"),
    ({"nonlinear": ["relu"]}, {}, "nonlinear=a list is no value"), ({"norm_type": "LN"}, {}, "norm_type='LN' has no counterpart"),
    ({"sc": 1}, {}, "separator_conf: sc=1 has no counterpart"), ({"layer": 4}, {}, "X·R=6, not 8|names differ"),
    ({"kernel": 4}, {}, "P=4 must be odd"), ({"stack": 10**12}, {}, "must be at most"), ({"hidden_dim": 8}, {}, "H=9, not 8")])
def test_what_has_no_counterpart_is_refused_in_one_line(tmp_path, changes, config, words):
    made = {name: value for name, value in changes.items() if name == "kernel"}
    folder, weights, _ = espnet_folder(tmp_path, made)
    espnet_folder(tmp_path, changes, weights, **config)
    with pytest.raises(CheckpointError, match=words) as caught:
        tasnet_core.load(folder, **RATE)
    assert "\n" not in str(caught.value)


def test_activations_before_the_masks_that_a_prelu_is_not_are_refused(tmp_path):
    folder, weights, _ = espnet_folder(tmp_path, {"pre_mask_nonlinear": "relu"})
    espnet_folder(tmp_path, {"pre_mask_nonlinear": "tanh"}, weights)
    with pytest.raises(CheckpointError, match="pre_mask_nonlinear='tanh' has no counterpart here; known are relu, linear"):
        tasnet_core.load(folder, **RATE)


def test_the_sample_rate_is_asked_for(tmp_path):
    folder, *_ = espnet_folder(tmp_path)
    with pytest.raises(CheckpointError, match="ESPnet's network, and its file does not say sample_rate_hz: give"):
        tasnet_core.load(folder)
    assert tasnet_core.load(folder, sample_rate_hz=16000).variant.sample_rate_hz == 16000
