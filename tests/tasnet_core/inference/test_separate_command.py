"""What `separate` reads and where it writes: nothing that anybody needs is replaced, and what cannot be read is named."""

import os
import re

import pytest

from tasnet_core import audio
from tasnet_core.__main__ import main as core
from tasnet_core.checkpoints import checkpoint
from tasnet_core.inference import separate_command
from tasnet_core.network.model import seeded
from tests.support.recordings import people, voice
from tests.support.tiny import RECIPE, TINY


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint.save(tmp_path / "a.pt", TINY, RECIPE, [], {"best": seeded(TINY, 0).state_dict()})
    return tmp_path


def command(*arguments):
    return core(["separate", "--checkpoint", "a.pt", *arguments])


def beside(here, *names, links=()):
    """Recordings in one folder, which the outputs go to as well; links from one name to another."""
    for seed, name in enumerate(names):
        audio.write(here / f"in/{name}", voice(seed, 0, 0.1), 8000)
    for name, target in links:
        (here / "in" / name).symlink_to(target)


@pytest.mark.parametrize("order", [("in/m.wav", "in/m_1.wav"), ("in/m_1.wav", "in/m.wav"), ("in/m.wav", "in/same.wav"),
                                   ("in/m.wav", "in/hard.wav"), ("in/m.wav", "linked/m_1.wav"), ("in/m.wav", "in/m.json")])
def test_an_output_never_replaces_a_recording_of_the_same_call(here, capsys, order):
    beside(here, "m.wav", "m_1.wav", links=[("same.wav", "m_1.wav")])
    (here / "linked").symlink_to("in")
    (here / "in/hard.wav").hardlink_to(here / "in/m_1.wav")
    (here / "in/m.json").write_bytes((here / "in/m_1.wav").read_bytes())
    before = {path: path.read_bytes() for path in here.rglob("*.*") if path.is_file()}
    assert command(*order, "--out", "in") == 2
    capsys.readouterr()
    assert command(*order, "--out", "in", "--overwrite") == 2
    said = capsys.readouterr().err
    assert "would write in/m" in said
    assert "which this same call reads as" in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in here.rglob("*.*") if path.is_file()} == before


def test_an_output_never_replaces_the_network_it_is_separated_by(here, capsys):
    beside(here, "config.wav")
    network = here / "network"
    assert core(["export", "--checkpoint", "a.pt", "--out", str(network), "--format", "safetensors"]) == 0
    kept = (network / "config.json").read_bytes()
    assert core(["separate", "--checkpoint", str(network), "in/config.wav", "--out", str(network), "--overwrite"]) == 2
    assert "config.json, which this same call reads as" in capsys.readouterr().err
    assert (network / "config.json").read_bytes() == kept


def test_two_names_of_one_output_are_noticed_through_links_and_capital_letters(here, capsys, monkeypatch):
    beside(here, "a/x.wav", "b/x.wav", "X.wav", "x.wav")
    (here / "out/a").mkdir(parents=True)
    (here / "out/b").symlink_to("a")
    assert command("in", "--out", "out") == 2
    assert "would write out/b/x_1.wav, and so would in/a/x.wav" in capsys.readouterr().err
    seen = separate_command.identity        # of a disk that ignores capital letters
    monkeypatch.setattr(separate_command, "identity", lambda path:
                        (0, str(path).lower()) if "out" in str(path) and path.exists() else
                        (0, "out/x_1.wav") if str(path) == "out/x_1.wav" and (here / "out/X_1.wav").exists() else seen(path))
    assert command("in/X.wav", "in/x.wav", "--out", "out") == 2
    said = capsys.readouterr()
    assert "left out: in/x.wav: would write out/x_1.wav, and so did in/X.wav" in said.out
    assert not (here / "out/x_1.wav").exists()


def test_a_link_to_nowhere_is_somebodys_file(here, capsys):
    beside(here, "m.wav")
    (here / "in/m_1.wav").symlink_to("/not/mounted/now")
    assert command("in/m.wav", "--out", "in") == 2
    assert "in/m_1.wav: is there already" in capsys.readouterr().err


@pytest.mark.parametrize(("out", "words"), [
    (".", r"in: no recording in it but below \., where results go; choose another folder with --out"),
    ("in/..", "in: no recording in it but below in/.., where")])
def test_a_folder_that_lies_where_results_go_is_not_said_to_be_empty(here, capsys, out, words):
    beside(here, "m.wav")
    assert command("in", "--out", out) == 2
    assert re.search(words, capsys.readouterr().err)


def test_a_mixture_is_not_written_over_a_recording_of_its_corpus(here, capsys):
    people(here / "talks", speakers=6, recordings=3)
    arguments = ["--corpus", "folder:talks", "--mixture", "test/000", "--out", "talks/s1"]
    assert command(*arguments) == 0
    capsys.readouterr()
    assert command(*arguments, "--overwrite") == 2
    assert "is there already, in the folder of the corpus" in capsys.readouterr().err


def test_a_recording_that_changes_or_vanishes_before_its_turn_is_named(here, capsys, monkeypatch):
    beside(here, "a.wav", "b.wav", "c.wav")
    first = separate_command.separate_file

    def meanwhile(network, job, how, source, tell):
        made = first(network, job, how, source, tell)
        audio.write(here / "in/b.wav", voice(1, 1, 0.2), 16_000)
        (here / "in/c.wav").unlink(missing_ok=True)
        return made

    monkeypatch.setattr(separate_command, "separate_file", meanwhile)
    assert command("in") == 2
    said = capsys.readouterr().out
    assert "left out: in/b.wav: was changed since this call began" in said
    assert "left out: in/c.wav: cannot be read: No such file" in said
    assert (here / "separated/a_1.wav").exists()
    assert not (here / "separated/b_1.wav").exists()


def test_what_is_no_file_in_a_folder_is_named_and_stops_no_other(here, capsys, monkeypatch):
    beside(here, "a.wav", links=[("nowhere.wav", "gone.wav"), ("round.wav", "round.wav")])
    os.mkfifo(here / "in/pipe.wav")
    (here / "in/folder.wav").mkdir()
    walk = os.walk

    def closed(path, onerror):
        onerror(PermissionError(13, "Permission denied", f"{path}/closed"))
        return walk(path)

    monkeypatch.setattr(os, "walk", closed)
    assert command("in") == 2
    said = capsys.readouterr().out
    assert "left out: in/closed: cannot be read: Permission denied" in said
    assert "left out: in/nowhere.wav: cannot be read: No such file" in said
    assert "left out: in/round.wav: cannot be read: Too many levels" in said
    assert "left out: in/pipe.wav: a FIFO, socket or device" in said
    assert "folder.wav" not in said
    assert (here / "separated/a_2.wav").exists()
