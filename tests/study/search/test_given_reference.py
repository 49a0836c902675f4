"""Studies whose reference is a trained network that was given: as it is, adapted, and cut smaller."""

import html
import re
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from study.__main__ import main as study
from study.database.store import open_database
from study.search.inherit_recipe import adapted_epochs
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.safetensors_file import save_hub
from tasnet_core.evaluation import metrics
from tasnet_core.network.model import seeded
from tasnet_core.network.slices import take
from tasnet_core.records import TAUGHT, Recipe
from tasnet_core.training.trainer import train
from tests.support import asteroid_files, tiny_study, toolkit_files
from tests.support.commands import refused
from tests.support.tiny import RECIPE, TINY, Tiny

pytestmark = pytest.mark.long

STORAGE = "results/study.db"
ON = ("--device", "cpu", "--workers", "1")
GO_ON = ("run", "--study", "mine-tiny", *ON, "--trials")
RUN = ("run", "--corpus", "tiny", "--device", "cpu", "--reference", "mine.pt", "--epoch-segments", "4", "--workers", "1",
       "--epochs", "4", "--segment-s", "0.05", "--batch-size", "2", "--metrics", "si_snr")
SOUND_S = 4 * 0.05      # of an epoch


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    list(train(TINY, replace(RECIPE, epochs=2, seed=3), Tiny(), Path("mine.pt")))


def runs(name="mine-tiny"):
    with open_database(STORAGE) as database:
        return database.runs(name)


def score_of(network):
    return metrics.summary(metrics.score_test(network, Tiny())).si_snri_db


def page_of(*options):
    assert study(["report", *options]) == 0
    return html.unescape(Path("reports/index.html").read_text())


def test_the_given_network_is_trial_0_as_it_is_and_all_others_begin_as_its_adapted_slices(capsys):
    assert study([*RUN, "--trials", "5", "--inherit-epochs", "0"]) == 0
    found = runs()
    assert [run["init"] for run in found] == ["given", "adapted", *["inherit"] * 3]
    assert [run["epochs"] for run in found] == [0, 2, 0, 0, 0]          # half of the epochs adapt
    assert [run["audio_s"] for run in found] == pytest.approx([0, 2 * SOUND_S * (1 + TAUGHT), 0, 0, 0])
    mine = checkpoint.load("mine.pt")
    assert found[0]["si_snri_db"] == score_of(mine)
    kept = checkpoint.load(found[0]["checkpoint"]).state_dict()
    assert all(torch.equal(weight, kept[name]) for name, weight in mine.state_dict().items())
    adapted = checkpoint.load(found[1]["checkpoint"])
    with open_database(STORAGE) as database:
        for run in found[2:]:
            variant = database.variant(run["variant"])
            assert run["si_snri_db"] == score_of(take(adapted, variant))
    page = page_of()
    assert "The reference is N8 L4 B4 H8 Sc4 P3 X2 R1 C2" in page
    assert "the given network as it is" in page
    assert f"adapted together with its slices for {2 * SOUND_S * (1 + TAUGHT):,.0f} s of audio (trial 1)" in page


def test_an_adapted_network_begins_as_the_given_one_with_its_channels_in_another_order():
    assert study([*RUN, "--trials", "2", "--adapt-epochs", "1"]) == 0
    content = checkpoint.read(Path(runs()[1]["checkpoint"]))
    assert content["recipe"].init == "adapted"
    from tasnet_core.backend.devices import device_of
    from tasnet_core.training.trainer import Training
    training = Training(TINY, replace(content["recipe"], epochs=1, precision="float32"), Tiny(), device_of("cpu"))
    training.inherit(Path("mine.pt"))
    mixture, mine = torch.randn(2, 400), checkpoint.load("mine.pt")
    begun = training.network.eval()
    assert torch.allclose(begun(mixture), mine(mixture), atol=1e-6)
    assert not torch.equal(begun.encoder.weight, mine.encoder.weight)


def test_from_scratch_the_given_network_is_only_the_yardstick():
    assert study([*RUN, "--trials", "3", "--init", "scratch"]) == 0
    assert [(run["init"], run["epochs"]) for run in runs()] == [("given", 0), ("scratch", 4), ("scratch", 4)]
    assert "inherited" not in page_of()


def test_slices_learn_from_its_estimates_unless_asked_not_to_and_it_and_the_adapted_one_do_not():
    assert study([*RUN, "--trials", "3"]) == 0
    assert [run["distill"] for run in runs()] == [0, 0, 0.5]
    assert study([*RUN, "--trials", "3", "--study", "plain", "--distill", "0"]) == 0
    assert study([*RUN, "--trials", "2", "--study", "begun", "--init", "scratch"]) == 0
    assert {run["distill"] for name in ("plain", "begun") for run in runs(name)} == {0}
    assert runs("plain")[1]["si_snri_db"] == runs()[1]["si_snri_db"]
    assert runs("plain")[2]["si_snri_db"] != runs()[2]["si_snri_db"]


def test_its_front_is_confirmed_by_whole_trainings_from_its_slices(capsys):
    assert study([*RUN, "--trials", "4"]) == 0
    capsys.readouterr()
    assert study(["confirm", "2", "3", "--seeds", "2", "--workers", "1"]) == 0
    said = capsys.readouterr().out
    assert "trained on from the slices of the reference, by the whole recipe, in study 'mine-tiny-tuned'" in said
    found = runs("mine-tiny-tuned")
    assert sorted((run["trial"], run["seed"], run["init"], run["epochs"]) for run in found) == [
        (0, 0, "given", 0), (1, 0, "inherit", 4), (1, 1, "inherit", 4), (2, 0, "inherit", 4), (2, 1, "inherit", 4)]
    adapted = checkpoint.load(runs()[1]["checkpoint"])
    folder = Path(found[0]["checkpoint"]).parent
    kept = checkpoint.load(folder / "adapted.pt").state_dict()
    assert all(torch.equal(weight, kept[name]) for name, weight in adapted.state_dict().items())
    assert study(["confirm", "2", "3", "--study", "mine-tiny", "--seeds", "2", "--workers", "1"]) == 0
    assert len(runs("mine-tiny-tuned")) == 5        # nothing is trained twice
    for name in ("mine-tiny", "mine-tiny-tuned"):
        capsys.readouterr()
        assert study(["doctor", "--study", name]) == 0
        assert "all is well" in capsys.readouterr().out


def test_before_it_is_adapted_it_is_reported_and_nothing_begins_from_it(capsys):
    assert study([*RUN, "--trials", "1"]) == 0
    assert "the given network as it is" in page_of()
    capsys.readouterr()
    refused(study, ("confirm", "0", *ON), capsys, "trial 1: not in study 'mine-tiny'")
    assert study([*RUN, "--trials", "2"]) == 0
    adapted = Path(runs()[1]["checkpoint"])
    adapted.rename("elsewhere.pt")
    refused(study, ("confirm", "0", *ON), capsys, "lacks the checkpoint of trial 1")
    with open_database(STORAGE) as database:
        assert database.studies() == ["mine-tiny"]


def test_what_was_confirmed_is_taken_and_trained_on(capsys):
    pytest.importorskip("onnxruntime")
    assert study([*RUN, "--trials", "3"]) == 0
    assert study(["confirm", "2", "--seeds", "1", "--workers", "1"]) == 0
    capsys.readouterr()
    assert study(["take", "1", "--study", "mine-tiny-tuned", "--out", "home", "--audio-s", "2", "--seeds", "2"]) == 0
    card = Path("home/README.md").read_text()
    assert "It began as a part of a larger network." in card
    assert "2 s of audio" in card
    kept, other = sorted(next(Path("results").rglob("taken")).glob("*epochs-10.pt"))
    assert checkpoint.read(kept)["recipe"].init == checkpoint.read(other)["recipe"].init == "inherit"
    refused(study, ("take", "2", "--study", "mine-tiny", "--out", "b", "--audio-s", "2"), capsys, "confirm 2", "whole recipe")
    refused(study, ("take", "0", "--study", "mine-tiny", "--out", "b", "--audio-s", "2"), capsys, "is the network that was given")
    assert study(["take", "0", "--study", "mine-tiny", "--out", "b"]) == 0
    assert "It was not trained on `tiny`." in Path("b/README.md").read_text()


def test_both_are_made_again_by_the_commands_on_their_pages(tmp_path, monkeypatch):
    assert study([*RUN, "--trials", "4"]) == 0
    assert study(["confirm", "2", "3", "--seeds", "2", "--workers", "1"]) == 0
    names = ("mine-tiny", "mine-tiny-tuned")
    first = {name: {(run["variant"], run["init"], run["seed"]): run["si_snri_db"] for run in runs(name)} for name in names}
    pages = {name: page_of("--study", name) for name in names}
    for name, page in pages.items():
        folder = tmp_path / f"again-{name}"
        folder.mkdir()
        shutil.copy("mine.pt", folder)
        with monkeypatch.context() as moved:
            moved.chdir(folder)
            commands = re.search(r"<pre><code>(.*?)</code>", page, re.DOTALL)[1]
            file, text, lines = re.fullmatch(r"cat > (\S+) <<'END'\n(.*)END\n(.*)", commands, re.DOTALL).groups()
            Path(file).write_text(text)
            for line in lines.splitlines():
                assert study([*shlex.split(line)[3:], *(["--device", "cpu"] if " run " in line else [])]) == 0
            assert {(run["variant"], run["init"], run["seed"]): run["si_snri_db"] for run in runs(name)} == first[name]


def test_it_goes_on_without_the_file_and_with_the_same_network_under_another_name(capsys):
    assert study([*RUN, "--trials", "2"]) == 0
    Path("mine.pt").rename("moved.pt")
    assert study([*GO_ON, "3"]) == 0
    save_hub(checkpoint.load("moved.pt"), Path("exported"))
    assert study([*GO_ON, "4", "--reference", "exported"]) == 0
    assert len(runs()) == 4
    # What was lost of it comes back from the file.
    kept = next(Path("results").rglob("reference.pt"))
    kept.unlink()
    refused(study, (*GO_ON, "5"), capsys, "is gone", "--reference")
    assert study([*GO_ON, "5", "--reference", "moved.pt"]) == 0
    assert kept.is_file()


def test_a_network_of_asteroid_is_a_reference_and_what_it_is_stays(capsys):
    asteroid_files.file_of("theirs.pth", {**asteroid_files.SMALL, "norm_type": "cLN", "causal": True, "skip_chan": 4})
    arguments = ["theirs.pth" if word == "mine.pt" else word for word in RUN]
    assert study([*arguments, "--trials", "3"]) == 0
    variant = checkpoint.load("theirs.pth").variant
    with open_database(STORAGE) as database:
        for run in database.runs("theirs-tiny"):
            one = asdict(database.variant(run["variant"]))
            for name in ("L", "P", "C", "norm", "input_norm", "causal", "mask", "encoder"):
                assert one[name] == getattr(variant, name)


def test_what_a_file_does_not_say_is_said_once_and_stands_in_the_commands_of_its_page():
    """A state_dict of torchaudio's shows neither the rate nor how blocks are divided."""
    theirs = toolkit_files.drawn(toolkit_files.torchaudios().ConvTasNet(**toolkit_files.TORCHAUDIO))
    torch.save(theirs.state_dict(), "bare.pt")
    arguments = ["bare.pt" if word == "mine.pt" else word for word in RUN]
    words = "R=2,mask=sigmoid,sample_rate_hz=8000"
    assert study([*arguments, "--hyperparameters", words, "--trials", "2"]) == 0
    assert study(["run", "--study", "bare-tiny", *ON, "--trials", "3"]) == 0
    page = page_of()
    assert f"--reference bare.pt --hyperparameters {words}" in page


@pytest.mark.parametrize(("options", "words"), [
    (("--reference", "nowhere.pt"), ("nowhere.pt",)),
    (("--reference", "cut.pt"), ("cut.pt",)),
    (("--reference", "code.pt"), ("code.pt",)),
    (("--reference", "mine.pt", "--space", "table2"), ("table2", "leave --space out")),
    (("--reference", "mine.pt", "--space", "quick"), ("mine.pt: N=8, but space 'quick' has N 32, 64, 96, 128",)),
    (("--reference", "mine.pt", "--init", "scratch", "--adapt-epochs", "2"), ("--adapt-epochs 2",)),
    (("--reference", "mine.pt", "--tune", "learning_rate"), ("--tune",)),
    (("--reference", "mine.pt", "--distill", "1"), ("--distill", "below 1")),
    (("--distill", "0.5"), ("--distill 0.5", "--reference FILE")),
    (("--adapt-epochs", "2"), ("--adapt-epochs 2", "--reference FILE")),
    (("--hyperparameters", "R=2"), ("--hyperparameters", "--reference FILE"))])
def test_what_cannot_be_a_reference_is_refused_in_one_line(capsys, options, words):
    Path("cut.pt").write_bytes(Path("mine.pt").read_bytes()[:2000])

    class Code:
        def __reduce__(self):
            return (print, ("run",))
    torch.save({"format": 1, "variant": Code()}, "code.pt")
    refused(study, ("run", "--corpus", "tiny", "--device", "cpu", "--trials", "2", *options), capsys, *words)


def test_another_network_is_no_way_to_go_on(capsys):
    assert study([*RUN, "--trials", "2"]) == 0
    other = seeded(TINY, 9)
    checkpoint.save(Path("other.pt"), TINY, Recipe(), [], {"model": other.state_dict(), "best": other.state_dict()})
    refused(study, (*GO_ON, "3", "--reference", "other.pt"), capsys,
            "other.pt: holds another network than the study's, mine.pt")
    refused(study, (*GO_ON, "3", "--adapt-epochs", "1"), capsys, "adapt_epochs")


def test_half_of_the_epochs_adapt_unless_asked_otherwise():
    assert study([*RUN, "--trials", "2"]) == 0
    with open_database(STORAGE) as database:
        settings = database.settings("mine-tiny")
    assert adapted_epochs(settings) == 2
    assert adapted_epochs(replace(settings, adapt_epochs=7)) == 7
    assert tiny_study.SPACE.reference == TINY
