"""Files made to harm: every one is refused in one line, by the name of what is wrong, in bounded time and memory."""

import json
import os
import random
import signal
import struct
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, replace

import pytest
import torch

import tasnet_core
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint, safetensors_file
from tasnet_core.checkpoints.unpickle import read_saved
from tasnet_core.errors import CheckpointError
from tasnet_core.network.model import seeded
from tasnet_core.records import Epoch
from tests.support.asteroid_files import SMALL, file_of, weights_of
from tests.support.tiny import RECIPE, TINY

BILLIONS = 2_000_000_000
MANY = torch.zeros(9000)
WEIGHTS = seeded(TINY, 0).state_dict()
CONTENT = {"format": 1, "variant": asdict(TINY), "recipe": asdict(RECIPE),
           "epochs": [asdict(Epoch(1, -3.0, 2.0, 1e-3, 10.0, 1.5))], "model": WEIGHTS, "best": WEIGHTS}


@contextmanager
def within(seconds=5, megabytes=50):
    """What takes longer, or more memory of Python's own, is an error."""
    def late(*_):
        raise AssertionError(f"more than {seconds} s")
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 2**20
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refusal(path, read=tasnet_core.load):
    with within(), pytest.raises(CheckpointError) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600
    return str(caught.value)


def saved(path, legacy=False, **changes):
    torch.save({**CONTENT, **changes}, path, _use_new_zipfile_serialization=not legacy)
    return path


class Calls:
    """Pickled as a call, which whoever unpickles it makes."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


def laughs(kind=list):
    found = kind("a")
    for _ in range(60):
        found = kind((found, found))       # in itself twice, sixty times: 2^60 items in 300 bytes
    return found


def same(one, other):
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) and one.dtype == other.dtype if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize("legacy", [False, True])
def test_what_torch_saves_is_what_is_read(tmp_path, legacy):
    network = seeded(replace(TINY, norm="batch"), 0)
    optimizer = torch.optim.Adam(network.parameters())
    sum(weight.sum() for weight in network.parameters()).backward()
    optimizer.step()
    shared = torch.arange(12.0)
    content = {"network": network.state_dict(), "optimizer": optimizer.state_dict(),
               "plain": [1, -2.5, None, True, 2**40, "é", (), (3,)],
               "views": [shared[2:5], shared.view(3, 4).T, shared], "kinds": [torch.ones(2, dtype=kind) for kind in (
                   torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8, torch.bool)],
               "empty": torch.empty(0, 3), "scalar": torch.tensor(7), "parameter": torch.nn.Parameter(torch.ones(2))}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    found, wanted = read_saved(tmp_path / "a.pt"), torch.load(tmp_path / "a.pt", weights_only=True)
    assert same(found, wanted)
    found["views"][2].zero_()
    assert not found["views"][0].any()      # still one storage


@pytest.mark.parametrize(("changes", "words"), [
    ({"variant": {**asdict(TINY), "N": BILLIONS}}, "N=8, not 2000000000"),
    ({"variant": {**asdict(TINY), "H": BILLIONS, "Sc": BILLIONS}}, "H=8, not 2000000000; Sc=4, not 2000000000"),
    ({"variant": {**asdict(TINY), "R": 5000}}, "X·R=2, not 10000"),
    ({"variant": {**asdict(TINY), "X": 10**6, "R": 10**6}}, "X=1000000 R=1000000: 1000000000000 blocks, but at most 10000"),
    ({"variant": {**asdict(TINY), "X": 70}}, "X=70: with dilations"),
    ({"variant": {**asdict(TINY), "N": 10**300}}, "N must be at most 2147483647"),
    ({"variant": {**asdict(TINY), "norm": laughs()}}, "norm=a list is no value"), ({"variant": [1]}, "list where values by name"),
    ({"variant": {**asdict(TINY), "norm": "x" * 10**6}}, "norm=a long str is no value"), ({"format": laughs()}, "format a list"),
    ({"best": [1]}, "not tensors by name"), ({"best": {**WEIGHTS, "decoder.weight": 3}}, "not tensors by name"),
    ({"best": {**WEIGHTS, "separator.norm.weight": torch.ones(9)}}, r"separator.norm.weight has the shape \[9\], not \[8\]"),
    ({"best": {**WEIGHTS, "separator.norm.weight": torch.ones(8, dtype=torch.int64)}}, "separator.norm.weight is torch.int64"),
    ({"best": {**WEIGHTS, "encoder.weight": torch.empty(BILLIONS, 1, 0)}}, "N=2000000000, not 8"),
    ({"best": {**WEIGHTS, "encoder.weight": torch.tensor(3.0)}}, "N=None, not 8"),
    ({"best": {**WEIGHTS, "encoder.weight": torch.zeros(1).expand(2**31, 1, 4)}}, "show more than they have"),
    ({"more": [MANY[:] for _ in range(9)]}, "show more than they have"),
    ({"epochs": "abc"}, "str where values by name"), ({"epochs": [{"number": 1}]}, "missing 5 required"),
    ({"epochs": [{**CONTENT["epochs"][0], "valid_si_snri_db": float("nan")}]}, "epoch 1: valid_si_snri_db=nan must be a finite"),
    ({"epochs": [{**CONTENT["epochs"][0], "number": -4}]}, "epoch -4 where epoch 1 belongs"),
    ({"recipe": {**asdict(RECIPE), "epochs": "5"}}, "epochs='5' must be a whole number"),
    ({"recipe": {}, "variant": {}, "best": {}}, "N=None, not 512"),
    ({"x": Calls(bytearray, 2**40)}, "bytearray in it"), ({"x": Calls(torch.Tensor, 2**40)}, "in it"),
    ({"x": Calls(str, laughs())}, "in it"), ({"x": torch.zeros(2).to_sparse()}, "in it"),
    ({"x": {("a", "b"): 1}}, "a table of tuple"), ({"x": torch.empty(2**40, device="meta")}, "meta_tensor_no_storage in it")])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_checkpoint_that_claims_what_it_has_not_is_refused(tmp_path, changes, words, legacy):
    path = saved(tmp_path / "a.pt", legacy, **changes)
    with pytest.raises(CheckpointError, match=words):
        raise CheckpointError(refusal(path))
    assert "\n" not in refusal(path, lambda path: tasnet_core.load(path) and checkpoint.read(path))


def repacked(path, change=lambda name, data: data, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        records = [(record.filename, archive.read(record)) for record in archive.infolist()]
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in records:
            archive.writestr(name, change(name, data))
    return path


def test_a_file_that_unpacks_to_more_is_refused_from_its_directory(tmp_path):
    path = repacked(saved(tmp_path / "a.pt", more=torch.zeros(2**24)), method=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**18         # of 64 MiB
    assert "its records are compressed" in refusal(path)
    data = bytearray(repacked(saved(path)).read_bytes())
    entry = data.rindex(b"PK\1\2")
    data[entry + 20:entry + 28] = struct.pack("<II", 2**30, 2**30)
    path.write_bytes(data)
    assert "unpacks to more than its size" in refusal(path)


def test_a_record_with_another_size_than_its_tensors_is_refused(tmp_path):
    for change in (lambda data: data[:-4], lambda data: data + b"more"):
        path = repacked(saved(tmp_path / "a.pt"),
                        lambda name, data, change=change: change(data) if name.endswith("data/0") else data)
        assert "damaged" in refusal(path)


@pytest.mark.parametrize(("change", "words"), [
    ({"n_filters": BILLIONS, "in_chan": BILLIONS, "out_chan": BILLIONS}, "n_filters=8, not 2000000000"),
    ({"n_blocks": 10**6, "n_repeats": 10**6}, "10000 can be built"), ({"n_blocks": 100}, "X=100"),
    ({"n_repeats": 4}, "n_blocks·n_repeats=6, not 12"), ({"hid_chan": laughs()}, "hid_chan=a list"),
    ({"kernel_size": "6"}, "unsupported operand"), ({"sample_rate": float("inf")}, "infinity"),
    ({"norm_type": []}, "norm_type=a list"), ({"n_src": float("nan")}, "C=nan must be a whole number")])
def test_asteroids_arguments_that_do_not_fit_its_weights_are_refused(tmp_path, change, words):
    assert words in refusal(file_of(tmp_path / "a.pth", {**SMALL, **change}, weights_of(SMALL)))


def test_an_asteroid_file_of_other_kinds_is_refused(tmp_path):
    for arguments, weights in (("abc", {}), (SMALL, [1]), (SMALL, {3: 4}), (SMALL, {"a": "b"})):
        refusal(file_of(tmp_path / "a.pth", arguments, weights))
    assert "Asteroid's a list" in refusal(file_of(tmp_path / "a.pth", SMALL, {}, name=laughs()))


@pytest.mark.parametrize(("name", "data", "words"), [
    ("config.json", {"N": BILLIONS}, "N=8, not 2000000000"), ("config.json", {"X": 10**6, "R": 10**6}, "10000 can be built"),
    ("config.json", {"norm": [[]]}, "norm=a list"), ("config.json", b"[" * 10**6, "is damaged"),
    ("config.json", b"[1]", "model_type"),
    ("config.json", b" " * 2**21, "is damaged"), ("config.json", b'{"model_type": ' + b"9" * 5000 + b"}", "is damaged"),
    ("model.safetensors", struct.pack("<Q", 2**60) + b"{}", "is damaged"), ("model.safetensors", b"", "is damaged"),
    ("model.safetensors", {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 4]}}, "is damaged"),
    ("model.safetensors", {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                           "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, "is damaged")])
def test_an_exported_folder_that_claims_what_it_has_not_is_refused(tmp_path, name, data, words):
    safetensors_file.save_hub(seeded(TINY, 0), tmp_path)
    if name == safetensors_file.CONFIG and isinstance(data, dict):
        data = json.dumps({**json.loads((tmp_path / name).read_text()), **data}).encode()
    elif isinstance(data, dict):
        header = json.dumps(data).encode()
        data = struct.pack("<Q", len(header)) + header + bytes(4)
    (tmp_path / name).write_bytes(data)
    assert words in refusal(tmp_path)


def test_a_pipe_a_device_and_a_strange_name_are_no_checkpoints(tmp_path):
    os.mkfifo(tmp_path / "a.pt")
    assert "not a file" in refusal(tmp_path / "a.pt")
    assert "not a file" in refusal("/dev/zero")
    assert "cannot be read" in refusal("a\0b.pt")
    safetensors_file.save_hub(seeded(TINY, 0), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors").symlink_to("/dev/zero")
    assert "not a file" in refusal(tmp_path)


@pytest.mark.parametrize("letters", ["X1000000 R1000000", "X70", f"N{10**40}", "R20000"])
@pytest.mark.parametrize("command", ["describe", "train"])
def test_letters_beyond_all_networks_are_one_line(capsys, letters, command):
    with within():
        more = ["--corpus", "voices", "--checkpoint", "x"] if command == "train" else []
        assert core([command, *letters.split(), *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_gigantic_network_has_its_exact_cost_without_being_built(capsys):
    with within():
        assert core(["describe", f"N{BILLIONS}"]) == 0
    per_filter = 2 * 16 + 2 + 128 + 2 * 128 + 2     # encoder and decoder, norm, bottleneck, masks
    assert f"{4_984_881 + (BILLIONS - 512) * per_filter:,}" in capsys.readouterr().out


def made_of_each_kind(folder):
    """A small network as a checkpoint, as one of torch before 1.6, from Asteroid, and as safetensors: path and files."""
    safetensors_file.save_hub(seeded(TINY, 0), folder / "hub")
    small = {**SMALL, "n_repeats": 1, "n_blocks": 1}
    return [saved(folder / "zip.pt"), saved(folder / "old.pt", legacy=True),
            file_of(folder / "asteroid.pth", small, weights_of(small)),
            folder / "hub/model.safetensors", folder / "hub/config.json"]


def mutated(data, rng):
    """A file's bytes with something else in them: bits, numbers, parts doubled, exchanged or gone."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 10))):
        place, size = rng.randrange(len(data)), rng.randrange(1, 40)
        match rng.randrange(6):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.randrange(256)
            case 2:
                data[place:place + 4] = struct.pack("<I", rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1)))
            case 3:
                del data[place:place + size]
            case 4:
                data[place:place] = data[rng.randrange(len(data)):][:size]
            case 5:
                data[place:] = data[place:place + rng.randrange(len(data))]
    return bytes(data)


def fuzz(folder, rounds, seed=0):
    """Load so many files of each kind, each with something else wrong; how many were refused. Anything else is raised."""
    rng, refused = random.Random(seed), 0
    for path in made_of_each_kind(folder):
        whole = path.read_bytes()
        for _ in range(rounds):
            if rng.random() < 0.5 and whole.startswith(b"PK"):     # else a checksum ends nearly all of them
                repacked(path, lambda name, data: mutated(data, rng) if name.endswith("pkl") else data)
            else:
                path.write_bytes(mutated(whole, rng))
            try:
                tasnet_core.load(path)
            except CheckpointError as error:
                refused += ("\n" not in str(error) and len(str(error)) < 1000) or pytest.fail(str(error))
            path.write_bytes(whole)
    return refused


def test_whatever_a_file_has_it_loads_or_is_refused_in_one_line(tmp_path):
    with within(seconds=60):
        assert fuzz(tmp_path, rounds=8) > 20


def test_a_training_that_cannot_go_on_from_a_file_says_what_is_wrong(tmp_path):
    from tasnet_core.training.trainer import train
    from tests.support.tiny import Tiny
    path = tmp_path / "a.pt"
    list(train(TINY, replace(RECIPE, epochs=1, schedule="plateau"), Tiny(), path))
    good = checkpoint.read(path)
    state = good["optimizer"]["state"]
    changed = {number: {**one, "exp_avg": torch.zeros(3)} for number, one in state.items()}
    for change, words in [({"model": {}}, "'model' do not fit: N=None"), ({"best": None}, "'best' do not fit"),
                          ({"optimizer": {}}, "it lacks 'state'"), ({"optimizer": 3}, "cannot be continued"),
                          ({"optimizer": {"state": changed}}, "optimizer's state of weight 0"),
                          ({"optimizer": {"state": {999: state[0]}}}, "cannot be continued"),
                          ({"micro_batch": -1}, "micro_batch=-1"), ({"micro_batch": "2"}, "micro_batch='2'")]:
        torch.save({**good, "variant": asdict(good["variant"]), "recipe": asdict(good["recipe"]),
                    "epochs": [asdict(epoch) for epoch in good["epochs"]], **change}, path)
        assert words in refusal(path, lambda path: list(train(TINY, replace(RECIPE, epochs=2, schedule="plateau"), Tiny(), path)))
