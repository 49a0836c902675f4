"""The commands from Python."""

import doctest
import inspect
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import study
from study import api
from study.cli import options
from tasnet_core.errors import UserError
from tests.support import study_folder


@pytest.fixture
def here(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_the_examples_are_what_happens(here):
    study_folder.make(here)
    found = doctest.testmod(api, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 10
    assert not found.failed


COMMANDS = {kind.command: kind for kind in options.COMMANDS}
METHODS = {"run": api.run, "continue": api.Study.go_on,
           **{name: getattr(api.Study, name) for name in COMMANDS if name not in ("run", "continue", "space")}}
OWN = {"self", "study", "storage"}      # a Study has its name and database


def test_every_command_has_its_function():
    assert METHODS.keys() | {"space"} == COMMANDS.keys()
    assert 'name = "quick"' in study.describe_space("quick")


@pytest.mark.parametrize("name", METHODS)
def test_arguments_are_the_options_with_their_defaults(name):
    parameters = {one.name: one.default for one in inspect.signature(METHODS[name]).parameters.values() if one.name not in OWN}
    defaults = {one.name: one.default for one in fields(COMMANDS[name]) if one.name not in OWN}
    assert parameters.keys() == defaults.keys()
    for argument, default in parameters.items():
        if default is not inspect.Parameter.empty:
            assert str(default) == str(defaults[argument])     # out is a Path there


def test_what_is_given_is_what_the_command_line_gives(monkeypatch):
    seen = []
    monkeypatch.setattr(api, "perform", lambda asked: seen.append(asked) or "s")
    assert study.run(6, objectives=("si_snri", "macs"), max_parameters="50k", timeout="90m", dry_run=True, seed=0) == \
        study.Study("s")
    line = "run --trials 6 --objectives si_snri,macs --max-parameters 50k --timeout 90m --dry-run --seed 0"
    assert seen == [options.read(line.split())]


@pytest.mark.parametrize(("given", "words"), [
    ({"device": "tpu"}, "device: 'tpu' is unknown; choose from auto, cpu, cuda"),
    ({"metrics": ("sdr", "sdri")}, "metrics: 'sdri' is unknown; choose from"),
    ({"workers": 0}, "workers: '0' is not a whole number of at least 1"),
    ({"batch_size": 2.5}, "batch_size: '2.5' is not a whole number")])
def test_a_value_that_an_option_cannot_have_is_named(given, words):
    with pytest.raises(UserError, match=f"^{re.escape(words)}"):
        study.run(6, **given)


@pytest.mark.parametrize("line", [
    "run --trials 6 --corpus folder:x --tune batch_size,segment_s --stop-margin off --batch-size auto --dry-run --timeout 5400.0",
    "run --trials 1", "run --trials 1 --metrics si_snr,sdr --stop-margin 0.5 --study a'b --max-parameters 50000"])
def test_options_as_a_command_line_are_those_options(line):
    asked = options.read(line.split())
    assert sorted(asked.line()) == sorted(line.split())
    assert options.read(asked.line()) == asked


def test_a_study_that_is_nowhere_is_an_error_of_one_line(here):
    with pytest.raises(UserError, match=r"^results/study.db: no such study database; .*$"):
        study.Study().status()
    assert not list(here.iterdir())


def test_importing_the_package_loads_nothing_of_weight():
    probe = "import sys, study; assert not {'torch', 'optuna', 'pandas', 'numpy', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)


@pytest.mark.long
@pytest.mark.parametrize("more", ["", ", dry_run=True"])
def test_a_script_without_the_guard_is_told_so_in_one_line(here, more):
    study_folder.make(here)
    (here / "script.py").write_text("import study\nstudy.run(trials=2, corpus='folder:speech', space='tiny.toml', device='cpu', "
                                    f"workers=2{more})\n")
    ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False,
                           env={**os.environ, "PYTHONPATH": str(Path(study.__file__).parents[1])})
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == (
        f"tasnet_core.errors.UserError: {here / 'script.py'}: begins a study where it is imported, and every worker process "
        "imports it; put what it does under: if __name__ == \"__main__\":")
    assert ended.stderr.count("Traceback") == 1     # of the script itself
    assert "died" not in ended.stdout
