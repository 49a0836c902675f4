"""Networks of torchaudio's ConvTasNet against its own code, for every length; what is asked for and what is refused."""

import pytest
import torch

import tasnet_core
from tasnet_core.errors import CheckpointError
from tests.support.toolkit_files import TORCHAUDIO, drawn, torchaudios

GIVEN = {"R": 2, "mask": "sigmoid", "sample_rate_hz": 8000}


def saved(path, **changes):
    network = drawn(torchaudios().ConvTasNet(**{**TORCHAUDIO, **changes}))
    torch.save(network.state_dict(), path)
    return network


@pytest.mark.parametrize("changes", [{}, {"msk_activate": "relu"}, {"num_sources": 3, "enc_kernel_size": 20},
                                     {"enc_kernel_size": 2}, {"msk_num_layers": 1, "msk_num_stacks": 1}], ids=str)
def test_a_network_of_torchaudio_gives_the_output_it_gave_there(tmp_path, changes):
    torch.manual_seed(0)
    theirs = saved(tmp_path / "a.pt", **changes)
    mask, R = changes.get("msk_activate", "sigmoid"), changes.get("msk_num_stacks", 2)
    ours = tasnet_core.load(tmp_path / "a.pt", **{**GIVEN, "mask": mask, "R": R})
    for samples in (1, 7, 8, 333, 4000):
        mixture = torch.randn(2, samples)
        with torch.no_grad():
            torch.testing.assert_close(ours(mixture), theirs(mixture[:, None]), rtol=0, atol=1e-5)
    assert sum(weight.numel() for weight in ours.parameters()) == sum(weight.numel() for weight in theirs.parameters())


def test_what_the_shapes_do_not_show_is_asked_for_at_once(tmp_path):
    saved(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"say R, mask and sample_rate_hz: give .* R=3,mask=relu,sample_rate_hz=8000$"):
        tasnet_core.load(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match="does not say mask: give"):
        tasnet_core.load(tmp_path / "a.pt", X=3, sample_rate_hz=8000)
    saved(tmp_path / "one.pt", msk_num_layers=1, msk_num_stacks=1)
    assert tasnet_core.load(tmp_path / "one.pt", mask="relu", sample_rate_hz=8000).variant.X == 1
    assert tasnet_core.load(tmp_path / "a.pt", X=3, mask="relu", sample_rate_hz=16000).variant.R == 2


@pytest.mark.parametrize(("given", "words"), [
    ({"R": 4}, "6 blocks, which are not X1 times R4"), ({"R": 2, "X": 2}, "6 blocks, which are not X2 times R2"),
    ({"R": 0}, "6 blocks, which are not X6 times R0"), ({"R": 2, "mask": "softmax"}, "mask='softmax' has no counterpart"),
    ({"R": 2, "N": 99}, "N=99 was given, but its is 12"), ({"R": 2, "Q": 1}, "Q=1 was given, but its is 'no hyperparameter'")])
def test_what_is_given_and_is_not_there_is_refused_in_one_line(tmp_path, given, words):
    saved(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=words) as caught:
        tasnet_core.load(tmp_path / "a.pt", **{**GIVEN, **given})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("changes", "words"), [
    ({"msk_kernel_size": 5}, "with P=5; it pads by the dilation"), ({"enc_kernel_size": 15}, "L=15 must be even")])
def test_what_has_no_counterpart_is_refused_in_one_line(tmp_path, changes, words):
    saved(tmp_path / "a.pt", **changes)
    with pytest.raises(CheckpointError, match=words) as caught:
        tasnet_core.load(tmp_path / "a.pt", **GIVEN)
    assert "\n" not in str(caught.value)


def test_a_weight_too_many_is_refused_and_no_network_is_half_loaded(tmp_path):
    weights = saved(tmp_path / "a.pt").state_dict()
    torch.save({**weights, "mask_generator.more.weight": torch.ones(2)}, tmp_path / "b.pt")
    with pytest.raises(CheckpointError, match=r"1 of its names differ, such as mask_generator\.more\.weight"):
        tasnet_core.load(tmp_path / "b.pt", **GIVEN)
    torch.save({**weights, "mask_generator.more": 3}, tmp_path / "c.pt")
    with pytest.raises(CheckpointError, match="a dict where tensors by name belong"):
        tasnet_core.load(tmp_path / "c.pt", **GIVEN)
