import errno
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tasnet_core
from study.database.study_names import checkpoint_name
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.training_files import checkpoint_beside, files_of
from tasnet_core.errors import CheckpointError, DiskFull
from tasnet_core.network.model import seeded
from tasnet_core.records import Epoch, Variant
from tests.support.tiny import RECIPE, TINY

EPOCH = Epoch(1, -3.0, 2.0, 1e-3, 10.0, 1.5)


def saved(path, seed=0, variant=TINY):
    network = seeded(variant, seed)
    checkpoint.save(path, variant, RECIPE, [EPOCH], {"model": network.state_dict(), "best": network.state_dict()})
    return network


def test_what_is_saved_is_what_is_read(tmp_path):
    network = saved(tmp_path / "a.pt")
    content = checkpoint.read(tmp_path / "a.pt")
    assert (content["variant"], content["recipe"], content["epochs"]) == (TINY, RECIPE, [EPOCH])
    loaded, mixture = tasnet_core.load(tmp_path / "a.pt"), torch.randn(1, 50)
    assert torch.equal(loaded(mixture), network(mixture))
    assert not loaded.training


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint at all", None])
def test_a_damaged_file_is_named_in_one_line(tmp_path, damage):
    path = tmp_path / "a.pt"
    saved(path)
    path.write_bytes(path.read_bytes()[:-500] if damage is None else damage)
    with pytest.raises(CheckpointError, match=r"a\.pt: damaged") as error:
        checkpoint.read(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_strange_one_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        tasnet_core.load(tmp_path / "none.pt")
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="no network that can be read here"):
        tasnet_core.load(tmp_path / "other.pt")


def test_a_pickle_that_would_run_code_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)
    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.read(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


def test_another_variant_or_recipe_is_refused_with_the_fields_that_differ(tmp_path):
    saved(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"X: 2, not 3; R: 1, not 2"):
        checkpoint.read_for(tmp_path / "a.pt", replace(TINY, X=3, R=2), RECIPE)
    with pytest.raises(CheckpointError, match=r"seed: 0, not 1"):
        checkpoint.read_for(tmp_path / "a.pt", TINY, replace(RECIPE, seed=1))
    assert checkpoint.read_for(tmp_path / "a.pt", TINY, replace(RECIPE, epochs=99))


def test_weights_of_another_shape_are_one_line(tmp_path):
    network = seeded(TINY, 0)
    checkpoint.save(tmp_path / "a.pt", Variant(), RECIPE, [], {"best": network.state_dict()})
    with pytest.raises(CheckpointError, match=r"do not fit its variant N512 L16.*: N=8, not 512; L=4, not 16.*X·R=2, not 24$"):
        tasnet_core.load(tmp_path / "a.pt")


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    saved(path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="No space left on device"):
        saved(path, seed=1)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.pt"]     # and no scratch file beside it


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_without_space_is_reported(tmp_path):
    # A real ENOSPC, from the kernel: the scratch file is a link to a device that is always full.
    path = tmp_path / "a.pt"
    os.symlink("/dev/full", path.with_name(f"a.pt.{os.getpid()}.tmp"))
    with pytest.raises(DiskFull, match="No space left on device"):
        saved(path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["a.pt", "trial-0003-seed-2.pt", "my.best.pt"])
def test_each_file_of_a_training_tells_whose_it_is(name):
    files = files_of(Path("x") / name)
    assert len(set(files)) == 3
    assert [checkpoint_beside(path.name) for path in files[1:]] == [name, name]


@pytest.mark.parametrize("trial", [0, 12, 12345])
def test_no_two_runs_of_a_study_have_one_checkpoint(trial):
    names = [checkpoint_name(trial, replicate) for replicate in (None, 0, 1, 12)] + [checkpoint_name(trial + 1)]
    assert len(set(names)) == 5
    assert checkpoint_name(0) == "trial-0000.pt"        # as studies of before have them


def test_a_file_is_read_once(tmp_path, monkeypatch):
    saved(tmp_path / "a.pt")
    opened, archive = [], zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda file: opened.append(file) or archive(file))
    tasnet_core.load(tmp_path / "a.pt")
    assert len(opened) == 1


def test_loading_a_network_draws_no_chance(tmp_path):
    """torch's random state is the whole process's: a thread that loaded would take from the first weights another one draws."""
    variant = replace(TINY, norm="batch")
    saved(tmp_path / "a.pt", variant=variant)
    before = torch.get_rng_state()
    loaded = tasnet_core.load(tmp_path / "a.pt")
    assert torch.equal(torch.get_rng_state(), before)
    for name, weight in seeded(variant, 0).state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)
    assert all(weight.requires_grad and not weight.is_meta for weight in loaded.parameters())
