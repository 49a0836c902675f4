"""The commands from Python."""

import doctest
import inspect
import os
import subprocess
import sys
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


def test_the_examples_are_what_happens(here):
    study_folder.make(here)
    found = doctest.testmod(api, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 10
    assert not found.failed


COMMANDS = options.parser()._subparsers._group_actions[0].choices
METHODS = {"run": api.run, "continue": api.Study.go_on,
           **{name: getattr(api.Study, name) for name in COMMANDS if name not in ("run", "continue", "space")}}
OWN = {"self", "help", "study", "storage"}      # a Study has its name and database


def test_every_command_has_its_function():
    assert METHODS.keys() | {"space"} == COMMANDS.keys()
    assert 'name = "quick"' in study.describe_space("quick")


@pytest.mark.parametrize("name", METHODS)
def test_arguments_are_the_options_with_their_defaults(name):
    parameters = {one.name: one.default for one in inspect.signature(METHODS[name]).parameters.values() if one.name not in OWN}
    actions = {action.dest: action.default for action in COMMANDS[name]._actions if action.dest not in OWN}
    assert parameters.keys() == actions.keys()
    for argument, default in parameters.items():
        if default is not inspect.Parameter.empty:
            wanted = actions[argument]
            assert str(list(default) if isinstance(default, tuple) else default) == str(wanted)     # out is a Path there


def test_what_is_given_is_what_the_command_line_gives(monkeypatch):
    seen = []
    monkeypatch.setattr(api.commands, "run", lambda given: seen.append(vars(given)) or "s")
    assert study.run(6, objectives=("si_snri", "macs"), max_parameters="50k", timeout="90m", dry_run=True, seed=0) == \
        study.Study("s")
    wanted = options.parser().parse_args(
        "run --trials 6 --objectives si_snri,macs --max-parameters 50k --timeout 90m --dry-run --seed 0".split())
    assert {**seen[0], "words": None} == {**vars(wanted), "words": None}


def test_a_study_that_is_nowhere_is_an_error_of_one_line(here):
    with pytest.raises(UserError, match=r"^results/study.db: no such study database; .*$"):
        study.Study().status()
    assert not list(here.iterdir())


def test_importing_the_package_loads_nothing_of_weight():
    probe = "import sys, study; assert not {'torch', 'optuna', 'pandas', 'numpy', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)


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
