"""Whatever two runs of a study may differ in is seen: in columns, names, effects, comparisons and commands."""

import html
import re
import shlex
from dataclasses import fields, replace
from pathlib import Path

import pytest

from study.__main__ import main as study
from study.analysis import effects, trials, wording
from study.analysis.compare import compare
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import per_trial
from study.cli.terminal import front_table
from study.database.store import open_database
from study.report import again, tables, write
from study.report.figures.effects import effects_data
from study.report.figures.hyperparameters import hyperparameters_data, parallel_data
from study.report.published import FORMS, table_of
from study.search.optuna_study import asked
from study.space.searched import TUNED
from study.space.space import Grid
from study.space.toml import as_dict, read_space
from tasnet_core.arguments import variant_of
from tasnet_core.errors import UserError
from tasnet_core.records import Variant
from tests.support import fakes, tiny_study
from tests.support.fakes import REFERENCE, mixture, row
from tests.support.filled_database import fill

# Another value for each field, and what a reference needs to take it.
OTHER = {"N": 64, "L": 20, "B": 32, "H": 64, "Sc": 0, "P": 5, "X": 4, "R": 1, "encoder": "relu", "mask": "relu", "norm": "frame",
         "causal": True, "last_residual": True, "input_norm": "batch", "dropout": 0.1, "extra_dilation": 4,
         "padding_mode": "reflect", "encoder_padding": True, "learning_rate": 2e-3 * 2 ** 0.5, "segment_s": 1.0, "batch_size": 16}
BASE = replace(REFERENCE, norm="cumulative")
RECIPE = fakes.SETTINGS.recipe
each = pytest.mark.parametrize(("name", "value"), OTHER.items(), ids=OTHER)


def of(trial, changes=(), **more):
    """A run of the reference, but for the changes."""
    return row(trial, **{**vars(BASE), **{name: getattr(RECIPE, name) for name in TUNED}, **dict(changes), **more})


def test_every_field_that_a_space_may_vary_is_looked_at():
    of_corpus = {"C", "sample_rate_hz"}
    assert set(OTHER) == {field.name for field in fields(Variant)} - of_corpus | set(TUNED)


@each
def test_it_is_a_column_of_the_view_and_of_what_is_read_of_it(tmp_path, name, value):
    fill(url := f"sqlite:///{tmp_path / 'study.db'}", [of(0), of(1, {name: value})])
    with open_database(url) as database:
        first, second = database.results("fake")
        assert (first[name], second[name]) == (of(0)[name], value)
        assert type(second[name]) is type(value)
        plain, = database.query(f'SELECT "{name}" AS it FROM results WHERE trial = 1')
        assert plain["it"] == value


@each
def test_it_is_in_the_name_the_tables_and_what_the_terminal_shows(name, value, capsys):
    rows = [of(0), of(1, {name: value}, parameters=1000)]
    said = trials.names(rows)
    assert said[0] == "reference"
    variant, recipe = asked(said[1], Grid("s", BASE, {name: sorted({of(0)[name], value})}, RECIPE) if name in TUNED else
                            Grid("s", BASE, {"X": [6]}, RECIPE), RECIPE)
    found = getattr(recipe if name in TUNED else variant, name)
    assert found == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
    assert trials.names([*rows[1:], of(2)])[1] == said[1]       # without a reference: by what varies
    front = tables.front_table(rows)
    assert value in [line[front.columns.index(name)] for line in front.rows]
    *_, shown = front_table(per_trial(rows)).columns[1].cells
    assert said[1].split()[0] in shown.split()


@each
def test_it_has_an_effect_that_is_what_was_put_in(name, value):
    other = "N" if name == "X" else "X"
    rows = [of(trial, {other: 6 * 2 ** (trial % 3), **({name: value} if trial % 4 > 1 else {})},
               si_snri_db=5 + trial % 3 + 0.75 * (trial % 4 > 1)) for trial in range(24)]
    model = effects.main_effects(effects.design(rows, rows[0]))
    assert model.explained == pytest.approx(1)
    effect = next(one for one in model.letters if one.letter == name)
    found = dict(zip(effect.levels, effect.effect_db, strict=True))
    assert (found[value].value, found[of(0)[name]].value) == (pytest.approx(0.75), 0)
    assert (effect.doubling_db is None) == (type(value) in (str, bool) or 0 in found)
    assert [panel.hyperparameter for panel in effects_data(model, {})] == [one.letter for one in model.letters]
    assert {one.letter for one in effects.importance(effects.design(rows, rows[0]), draws=5)} == {name, other}
    assert {one.hyperparameter for one in hyperparameters_data(rows)} == {name, other}
    assert [scale.name for scale in parallel_data(rows).scales][:-3] == [one.letter for one in model.letters]


@each
def test_two_trials_that_differ_in_it_alone_are_compared_by_it(name, value):
    heard = from_rows([mixture(trial, i, 5.0 - trial) for trial in (0, 1) for i in range(4)])
    lines = compare([of(0), of(1, {name: value})], heard, 1, 0)
    assert [name, *(wording.cell(name, one) for one in (value, of(0)[name]))] in [re.split("  +", line) for line in lines]


@each
def test_the_commands_that_make_the_study_again_enqueue_equal_networks_by_equal_recipes(name, value):
    wanted = [of(trial, changes) for trial, changes in enumerate(({}, {name: value}, {"H": 96}))]
    choices = {"X": [6]} | ({name: sorted({of(0)[name], value})} if name in TUNED else {})
    space = Grid("mine", BASE, choices, RECIPE)
    settings = replace(fakes.SETTINGS, space="mine", definition=as_dict(space))
    for study_name, put_in in (("mine", {1, 2}), ("mine-scratch", set())):
        lines = again.commands(study_name, settings, wanted, put_in)
        enqueued = [shlex.split(line)[6:] for line in lines if " enqueue " in line]
        found = [asked(text, space, RECIPE) for texts in enqueued for text in texts]
        assert [variant for variant, _ in found] == [Variant.of(one) for one in wanted[1:]]
        assert [[getattr(recipe, field) for field in TUNED] for _, recipe in found] == [
            [one[field] for field in TUNED] for one in wanted[1:]]


@each
def test_a_networks_own_words_are_read_back(name, value):
    if name not in TUNED:
        variant = replace(BASE, **{name: value})
        assert variant_of(str(variant).split()) == Variant.of(vars(variant)) == variant


def test_commands_write_a_space_of_ones_own_to_a_file_and_leave_to_the_sampler_what_it_proposes(tmp_path):
    space = Grid("my own", BASE, {"X": range(4, 7, 2), "extra_dilation": range(0, 5, 4)}, RECIPE)
    settings = replace(fakes.SETTINGS, space=space.name, definition=as_dict(space))
    runs = [of(0), of(1, {"X": 4}), of(2, {"norm": "frame"}), of(3, {"H": 64}), of(4, {"extra_dilation": 4})]
    written, *lines = again.commands("s", settings, runs)
    head, text = written.split("\n", 1)
    assert (head, text[-4:]) == ("cat > my-own.toml <<'END'", "\nEND")
    (tmp_path / "a.toml").write_text(text.removesuffix("END"))
    assert read_space(tmp_path / "a.toml") == space
    assert "--trials 2 --study s --corpus voices2 --space my-own.toml " in lines[0]
    assert lines[1:] == ["python -m study enqueue --study s norm=frame H64", "python -m study run --trials 4 --study s",
                         "python -m study run --trials 5 --study s", "python -m study report --study s"]


def test_a_field_of_the_recipe_that_is_not_searched_cannot_be_enqueued():
    space = Grid("s", BASE, {"X": [6], "batch_size": [4, 8]}, RECIPE)
    with pytest.raises(UserError, match=r"'learning_rate=0.1': all trainings of this study share one learning_rate, 0.002"):
        asked("X6 learning_rate=0.1", space, RECIPE)
    for text in ("batch_size=4.5", "batch_size=0", "batch_size="):
        with pytest.raises(UserError, match="batch_size"):
            asked(text, space, RECIPE)


def test_the_rate_of_a_report_is_the_networks_own(tmp_path):
    for rate_hz in (8000, 16000):
        variant = {"X": 4, "R": 1, "extra_dilation": 4, "sample_rate_hz": rate_hz}
        rows = [of(trial, variant, si_snri_db=5.0 + trial) for trial in (0, 1)]
        fill(url := f"sqlite:///{tmp_path / f'{rate_hz}.db'}", rows)
        page = write.write_report(url, None, tmp_path / "out").read_text()
        assert f"one second of audio at {rate_hz // 1000} kHz" in page


def test_a_network_that_differs_from_the_published_list_in_what_is_not_printed_repeats_no_row():
    printed = {"N": 512, "L": 16, "B": 128, "H": 512, "Sc": 128, "P": 3, "X": 8, "R": 3}
    found = table_of(FORMS["table2"], per_trial([row(0, **printed), row(1, **printed, extra_dilation=4)]))
    lines = [line for line in found.rows if line[0] is not None]
    assert [(line[0], line[-2] is None) for line in lines] == [(0, False), (1, True)]


@pytest.mark.long
def test_a_study_of_ones_own_space_is_made_again_by_the_commands_on_its_page(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('base = "tiny"\n[choices]\nX = [1, 2]\nextra_dilation = [0, 3]\n')
    run = ("run", *tiny_study.ARGUMENTS, "--space", "mine.toml", "--workers", "1", "--tune", "batch_size", "--epochs", "1",
           "--epoch-segments", "4")
    assert study([*run, "--trials", "2"]) == 0
    assert study(["enqueue", "X1", "X1 batch_size=1 norm=frame input_norm=batch"]) == 0
    assert study([*run, "--trials", "5"]) == 0
    assert study(["report"]) == 0
    lines = re.search(r"<pre><code>(.*?)</code>", html.unescape(Path("reports/index.html").read_text()), re.DOTALL)[1]

    def measured():
        with open_database("results/study.db") as database:
            return [(one["variant"], *(one[name] for name in TUNED), one["si_snri_db"]) for one in database.results("mine-tiny")]
    wanted = measured()
    assert len({one[:4] for one in wanted}) == 5
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    head, text, rest = re.fullmatch(r"(cat > .*?)\n(.*?)END\n(.*)", lines, re.DOTALL).groups()
    Path(shlex.split(head)[2]).write_text(text)
    for line in rest.splitlines():
        assert study([*shlex.split(line)[3:], *(["--device", "cpu", "--workers", "1"] if " run " in line else [])]) == 0
    assert measured() == wanted
