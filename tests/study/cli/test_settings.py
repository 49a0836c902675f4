"""From options to settings: what is asked for, what is left as it was, and what no study can do."""

from dataclasses import replace

import pytest

from study.cli import settings
from study.cli.options import read
from study.cli.settings import OF_LISTS, check_possible, default_workers, settings_of
from study.database.store import check_same
from study.records import SAMPLERS, Settings, StopRule
from study.space.plan import StudyPlan
from study.space.presets import SPACES
from study.space.toml import read_space, space_named
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe
from tests.support import tiny_study
from tests.support.tiny import TINY

FILE = """
reference = {N = 8, L = 4, B = 4, H = 8, Sc = 4, X = 2, R = 1}
metrics = []
[choices]
N = {from = 2, to = 8, step = 2}
X = [1, 2]
[recipe]
epochs = 3
"""


def asked(*options, known=None, space="tiny"):
    """The settings of `run` with these options; a study that is known is continued in its space."""
    named = space_named(space) if known is None else None
    settings = settings_of(read(["run", "--trials", "1", *options]), known, named)
    check_possible(StudyPlan.of("s", settings), settings.budget)
    return settings


def refusal(*options, **named):
    with pytest.raises(UserError) as caught:
        asked(*options, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_left_out_is_the_spaces():
    found = asked()
    assert (found.space, found.recipe, found.metrics) == ("tiny", tiny_study.SPACE.recipe, ("si_snr",))
    assert (found.sampler, found.stop, found.tune, found.definition) == ("model", StopRule(), (), {})
    assert asked(space="table2").stop is None       # a list is wanted whole


def test_every_option_of_a_study_reaches_its_settings():
    found = asked("--corpus", "folder:x", "--objectives", "si-snri, Receptive-Field", "--metrics", "stoi", "--sampler", "nsga2",
                  "--tune", "batch_size", "--epochs", "2", "--epoch-segments", "7", "--segment-s", "0.5", "--batch-size", "3",
                  "--precision", "bf16", "--optimizer", "muon",
                  "--seed", "4", "--max-parameters", "1k", "--max-macs", "1M", "--stop-margin", "0.3", "--threads", "2")
    assert found == Settings(
        "folder:x", "tiny", replace(tiny_study.SPACE.recipe, epochs=2, epoch_segments=7, segment_s=0.5, batch_size=3, seed=4,
                                    precision="bf16", optimizer="muon"),
        replace(found.budget, max_parameters=1000, max_macs_per_s=1_000_000), "nsga2", ("si_snri_db", "receptive_field_s"),
        ("si_snr", "stoi"), StopRule(margin_db=0.3), ("batch_size",), 2)


def test_a_study_that_is_continued_keeps_what_is_not_named():
    known = asked("--sampler", "gp", "--epochs", "2", "--max-macs", "1M", "--stop-margin", "off", "--objectives", "si_snri,macs")
    assert asked(known=known) == known
    assert asked("--epochs", "3", known=known) == replace(known, recipe=replace(known.recipe, epochs=3))
    assert asked("--stop-margin", "2", known=known).stop == StopRule(margin_db=2.0)


def test_axes_of_devices_keep_the_name_of_the_device():
    line = ["--objectives", "si-snri,Realtime-Factor@Pi-5", "--at-most", "memory@my-Phone=100M", "latency_ms@Pi-5=0.00005"]
    found = settings_of(read(["run", "--trials", "1", *line]), None, space_named("tiny"))
    assert found.objectives == ("si_snri_db", "realtime_factor@Pi-5")
    assert found.budget.on_devices == {"memory@my-Phone": 1e8, "latency_ms@Pi-5": 5e-5}
    again = read(read(["run", "--trials", "1", *line]).line())
    assert settings_of(again, None, space_named("tiny")) == found


@pytest.mark.parametrize("more", [(), ("--corpus", "folder:x"), ("--init", "inherit"), ("--corpus", "librimix:x")])
def test_a_new_study_of_quick_trains_by_muon_but_for_who_asks_for_adam(more, tmp_path):
    own = tmp_path / "mine.toml"
    own.write_text('base = "quick"')
    for space in ("quick", str(own)):
        assert asked(*more, space=space).recipe.optimizer == "muon"
        assert asked(*more, "--optimizer", "adam", space=space).recipe.optimizer == "adam"


def test_a_space_made_from_quick_goes_on_by_the_optimizer_with_which_it_was_begun(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "quick"\nrecipe = {optimizer = "adam"}')
    known = asked(space=str(path))
    path.write_text('base = "quick"')
    check_same("s", settings_of(read(["run", "--trials", "1"]), known, read_space(path)), known)
    new = asked(space=str(path))
    path.write_text('base = "quick"\nrecipe = {optimizer = "adam"}')
    with pytest.raises(UserError, match="recipe optimizer: adam, not muon"):
        check_same("s", settings_of(read(["run", "--trials", "1"]), new, read_space(path)), new)


def test_a_study_of_quick_that_was_begun_by_adam_goes_on_by_adam():
    begun = asked("--corpus", "folder:x", "--optimizer", "adam", space="quick").as_dict()
    del begun["recipe"]["optimizer"]        # by a version that had no other
    known = Settings.from_dict(begun)
    for options in ((), ("--corpus", "folder:x")):
        for space in (None, SPACES["quick"]):
            assert settings_of(read(["run", "--trials", "1", *options]), known, space) == known


def test_the_spaces_of_papers_keep_the_optimizer_of_the_papers():
    for space in ("full", "thesis", "table2", "causal"):
        assert asked("--corpus", "folder:x", space=space).recipe == SPACES[space].recipe


def test_an_objective_brings_its_metric():
    assert asked("--objectives", "sdri,parameters").metrics == ("si_snr", "sdr")


def test_the_order_of_what_is_tuned_says_nothing():
    one, other = (asked("--tune", words) for words in ("learning_rate,batch_size", "batch-size, learning-rate,batch_size"))
    assert one == other
    assert len(one.tune) == 2
    assert asked("--tune", "", known=one).tune == ()


@pytest.mark.parametrize(("options", "words"), [
    (("--objectives", "si_snri,weight"), ["'weight' is unknown", "receptive_field"]),
    (("--objectives", "si_snri,speed@phone"), ["'speed@phone' is unknown", "on a device realtime_factor@NAME, latency_ms@NAME"]),
    (("--objectives", ""), ["choose exactly one"]),
    (("--objectives", ","), ["choose exactly one"]),
    (("--objectives", "si_snri,macs,macs"), ["'macs' is there twice"]),
    (("--tune", "epochs"), ["'epochs'", "choose from learning_rate, segment_s, batch_size"])])
def test_words_that_stand_for_nothing_are_refused(options, words):
    assert all(word in refusal(*options) for word in words)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in OF_LISTS])
def test_a_list_is_measured_in_its_order_by_no_other_sampler(sampler):
    assert f"--sampler {sampler}: space 'table2' is a list" in refusal("--sampler", sampler, space="table2")


def test_a_budget_nobody_fits_says_by_how_much_the_cheapest_is_over_it():
    least = count.exact(replace(TINY, N=2, H=2, X=1))
    assert f"{least.parameters:,} parameters, {least.parameters - 90:,} more than" in refusal("--max-parameters", "90")
    assert f"{least.macs_per_s:,} macs_per_s, {least.macs_per_s - 1000:,} more than" in refusal("--max-macs", "1k")
    asked("--max-parameters", str(least.parameters))        # the cheapest itself fits


def test_a_file_that_was_changed_since_is_told_by_its_differences(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    known = asked("--corpus", "tiny", space=str(path))
    assert (known.space, known.recipe.epochs) == ("mine", 3)
    assert StudyPlan.of("s", known).space == read_space(path)
    again = read(["run", "--trials", "1"])
    check_same("s", settings_of(again, known, read_space(path)), known)
    path.write_text(FILE.replace("to = 8", "to = 12").replace("[1, 2]", "[2]").replace("epochs = 3", "epochs = 4"))
    with pytest.raises(UserError) as caught:
        check_same("s", settings_of(again, known, read_space(path)), known)
    assert str(caught.value) == (
        "study 's' was started with other settings: definition choices N to: 12, not 8; definition choices X: [2], not [1, 2]; "
        "definition recipe epochs: 4, not 3; give the same, leave them out, or name another --study")


def test_a_study_of_a_file_goes_on_although_recipes_have_more_fields_than_when_it_was_begun(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    begun = asked("--corpus", "tiny", space=str(path)).as_dict()
    for recipe in (begun["recipe"], begun["definition"]["recipe"]):
        del recipe["optimizer"], recipe["distill"]
    known = Settings.from_dict(begun)
    check_same("s", settings_of(read(["run", "--trials", "1"]), known, read_space(path)), known)


def test_a_study_is_not_continued_in_another_space():
    known = asked()
    other = settings_of(read(["run", "--trials", "1"]), known, SPACES["quick"])
    with pytest.raises(UserError, match="settings: space: quick, not tiny; give"):
        check_same("s", other, known)


@pytest.mark.parametrize(("cores", "gpu", "threads", "workers"), [
    (1, False, 1, 1), (6, False, 1, 6), (64, False, 1, 8), (6, False, 4, 1), (6, False, 8, 1), (16, False, 4, 4),
    (64, True, 1, 1)])
def test_there_are_as_many_workers_as_the_machine_has_room_for(monkeypatch, cores, gpu, threads, workers):
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert default_workers(gpu, threads) == workers


def test_a_metric_without_its_package_stops_a_study_that_wants_it_and_is_said_of_one_that_could(monkeypatch, capsys):
    monkeypatch.setattr(settings, "installed", lambda metric: metric != "pesq")
    wants = Settings(metrics=("si_snr", "stoi", "pesq"), recipe=Recipe())
    with pytest.raises(UserError, match=r"metric pesq: needs the package pesq, .* without it: --metrics si_snr,stoi"):
        settings.check_installed(StudyPlan.of("s", wants), chosen=True)
    assert "pesq" in SPACES["full"].metrics
    could = StudyPlan.of("s", replace(wants, space="full", metrics=("si_snr",)))
    settings.check_installed(could, chosen=True)
    assert capsys.readouterr().out == ""
    settings.check_installed(could, chosen=False)
    assert capsys.readouterr().out == "PESQ is not measured: the package pesq is not installed (pip install pesq)\n"


@pytest.mark.parametrize("text", ["0.3dB", "0.3 db", "0.3"])
def test_decibels_are_read_with_and_without_their_unit(text):
    assert read(["run", "--trials", "1", "--until", text]).until == 0.3
