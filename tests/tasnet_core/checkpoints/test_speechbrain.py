"""SpeechBrain's folders against its own code; nothing in them is run, and what has no counterpart is refused."""

import pytest
import torch

import tasnet_core
from tasnet_core.errors import CheckpointError
from tests.support.toolkit_files import HYPERPARAMS, speechbrain_folder

pytestmark = pytest.mark.filterwarnings("ignore")       # SpeechBrain's own, on import
FAMILY = [{}, {"norm_type": "cLN"}, {"P": 5, "C": 3}, {"P": 1}, {"causal": True}, {"causal": True, "P": 5},
          {"causal": True, "norm_type": "cLN"}, {"causal": True, "norm_type": "cLN", "P": 5}]


@pytest.mark.parametrize("changes", FAMILY, ids=str)
def test_a_network_of_speechbrain_gives_the_output_it_gave_there(tmp_path, changes):
    torch.manual_seed(0)
    theirs, ours = speechbrain_folder(tmp_path, changes), tasnet_core.load(tmp_path)
    for level in (1, 0.01):
        mixture = level * torch.randn(2, 16 + 8 * 150)      # whole frames: SpeechBrain leaves out the rest
        with torch.no_grad():
            torch.testing.assert_close(ours(mixture), theirs(mixture), rtol=0, atol=1e-5)
    assert ours.variant.sample_rate_hz == 8000


def test_a_causal_network_hears_nothing_later_and_one_with_a_global_norm_is_called_what_it_is(tmp_path):
    speechbrain_folder(tmp_path, {"causal": True, "norm_type": "cLN"})
    assert tasnet_core.load(tmp_path).variant.causal
    assert tasnet_core.Stream(tasnet_core.load(tmp_path)).latency_samples == 16
    speechbrain_folder(tmp_path, {"causal": True})
    assert not tasnet_core.load(tmp_path).variant.causal


def test_each_of_its_files_names_the_folder(tmp_path):
    speechbrain_folder(tmp_path)
    wanted = tasnet_core.load(tmp_path).state_dict()
    for name in ("hyperparams.yaml", "encoder.ckpt", "masknet.ckpt", "decoder.ckpt"):
        assert torch.equal(tasnet_core.load(tmp_path / name).state_dict()["encoder.weight"], wanted["encoder.weight"])


@pytest.mark.parametrize(("old", "new", "words"), [
    ("'relu'", "'softmax'", "mask_nonlinear='softmax' has no counterpart here; .* over the filters, not over the speakers"),
    ("'gLN'", "'BN'", "norm_type='BN' has no counterpart here; .* takes frames for channels"),
    ("conv_tasnet.MaskNet", "dual_path.Dual_Path_Model",
     "0 of .*MaskNet, but one is wanted; there are dual_path.Encoder, dual_path.Dual"),
    ("Encoder: !new", "Second: &a !new:speechbrain.lobes.models.dual_path.Encoder\n    kernel_size: 16\nEncoder: !new",
     "2 of .*dual_path.Encoder, but one is wanted"),
    ("stride: 8", "stride: 4", "decoder .*'stride': 4.* wanted one channel"), ("bias: False", "bias: True", "and no bias"),
    ("kernel_size: 16", "kernel_size: !ref <a> + 1", "!ref <a> . 1 where a plain value belongs; write the number"),
    ("kernel_size: 16", "kernel_size: !ref <kernel_size>",
     "!ref <kernel_size> where a plain value belongs"),
    ("    X: 3", "    X: 2", "X·R=5, not 4"),
    ("    H: 9", "    H: 9\n    K: 2", "K=2 has no counterpart here"),
    ("    H: 9\n", "", "lacks H"), ("sample_rate: 8000", "", "does not say sample_rate_hz: give"),
    ("seed: 1234", "seed: !!python/object/apply:os.system ['touch hacked']", "could not determine a constructor for the tag")])
def test_what_has_no_counterpart_is_refused_in_one_line(tmp_path, old, new, words):
    text = HYPERPARAMS.replace(old.replace("'relu'", "'{mask_nonlinear}'").replace("'gLN'", "'{norm_type}'")
                               .replace("X: 3", "X: {X}").replace("H: 9", "H: {H}"), new)
    assert text != HYPERPARAMS
    speechbrain_folder(tmp_path, text=text)
    with pytest.raises(CheckpointError, match=words) as caught:
        tasnet_core.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_file_that_is_missing_or_cut_off_is_named(tmp_path):
    speechbrain_folder(tmp_path)
    whole = (tmp_path / "masknet.ckpt").read_bytes()
    (tmp_path / "masknet.ckpt").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"masknet\.ckpt: damaged"):
        tasnet_core.load(tmp_path)
    (tmp_path / "masknet.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"masknet\.ckpt: no such"):
        tasnet_core.load(tmp_path)
    (tmp_path / "hyperparams.yaml").unlink()
    with pytest.raises(CheckpointError, match=r"hyperparams\.yaml: no such file; it lies in the output folder"):
        tasnet_core.load(tmp_path)
