"""What is printed: at terminals that know few letters, from names that would act on them, and into what takes no more."""

import io
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress

import pytest

from study.__main__ import main as study
from tasnet_core import terminal
from tasnet_core.__main__ import main as core
from tasnet_core.progress import phase, progress

# Clears the screen, is a new line, goes up, starts a C1 sequence, is text from right to left, rings, is red in rich.
HOSTILE = "\x1b[2J\nINJECTED\x1b[1A\x9b31m\u202etxt.exe\x07\x7f\r[red]x[/red]:smile:"
SHOWN = r"\x1b[2J\nINJECTED\x1b[1A\x9b31m\u202etxt.exe\x07\x7f\r[red]x[/red]:smile:"
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def test_what_would_act_is_shown_as_an_escape_and_the_rest_as_it_is():
    assert terminal.plain(HOSTILE) == SHOWN
    assert terminal.plain("Zoë 小 −3 dB ↑ [red]") == "Zoë 小 −3 dB ↑ [red]"
    assert terminal.plain("\udce9") == r"\udce9"       # a byte of a file's name that is not UTF-8


@pytest.fixture
def hostile(filled):
    """A database whose every word that anybody can write is hostile."""
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("update runs set reason = ?, owner = ?, checkpoint = ?", (HOSTILE, HOSTILE, HOSTILE))
        db.execute("update runs set kind = ?, state = 'failed' where trial = 3", (HOSTILE,))
        db.execute("update runs set state = 'running', lease_until_s = 0 where trial = 4")
        db.execute("update mixtures set mixture = mixture || ?, speakers = ?, sexes = ?, reason = ?",
                   (HOSTILE, *["a+b" + HOSTILE] * 3))
        for table in ("study_settings", "runs"):
            db.execute(f"update {table} set study = ?", (HOSTILE,))
        db.execute("update study_settings set settings = replace(settings, '\"voices\"', ?)",
                   ('"folder:' + HOSTILE.encode("unicode_escape").decode().replace("\\x", "\\u00") + '"',))
    return str(filled)


@pytest.mark.parametrize("words", [["status"], ["show", "0"], ["show", "3"], ["show", "4"], ["show", "99"], ["compare", "0", "1"],
                                   ["doctor"], ["export", "--study", f"no{HOSTILE}"], ["report", "--study", f"no{HOSTILE}"],
                                   ["status", "--study", f"no{HOSTILE}"], ["status", f"--no{HOSTILE}"]],
                         ids=lambda words: terminal.plain("-".join(words)))
def test_nothing_from_a_database_acts_on_a_terminal(hostile, words, capsys):
    with suppress(SystemExit):
        study([words[0], "--storage", hostile, *words[1:]])
    printed, said = capsys.readouterr()
    assert "INJECTED" in printed + said or words[0] == "compare"       # which prints nothing that anybody can write
    assert not ACTS.findall(printed + said)
    assert not [line for line in (printed + said).splitlines() if line.startswith("INJECTED")]


def test_a_study_of_another_kind_is_named_on_one_line(tmp_path, capsys):
    assert study(["status", "--storage", str(tmp_path / HOSTILE.replace("/", ""))]) == 2
    said = capsys.readouterr().err
    assert not ACTS.findall(said)
    assert said.count("\n") == 1


def test_how_far_work_is_acts_on_nothing(capsys, monkeypatch):
    monkeypatch.setattr("tasnet_core.progress.QUIET_S", -1.0)
    with progress(f"reading {HOSTILE}", 2) as advance:
        advance(1)
    assert capsys.readouterr().err == f"reading {SHOWN}: 1 of 2\n"


def test_what_is_under_way_is_a_line_at_once_in_a_pipe(capsys):
    with phase(f"reading {HOSTILE}"):
        assert capsys.readouterr().err == f"reading {SHOWN}\n"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_terminal_that_knows_few_letters_shows_the_others_as_escapes(monkeypatch, encoding, errors):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding, errors=errors))
    assert core(["describe", "X2", "R1"]) == 0
    assert ("512 × 999" if encoding == "latin-1" else r"512 \xd7 999") in written.getvalue().decode(encoding)
    assert study(["space", "quick"]) == 0


def test_rich_writes_to_a_terminal_that_knows_few_letters(monkeypatch, filled):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    with closing(sqlite3.connect(filled)) as db, db:
        db.execute("update runs set slope_db_per_doubling = 1, si_snri_extrapolated_low_db = 99, reason = 'Zoë ↑'")
    assert study(["status", "--storage", str(filled)]) == 0
    assert study(["show", "0", "--storage", str(filled)]) == 0
    assert r"Zo\xeb \u2191" in written.getvalue().decode("ascii")


@pytest.fixture
def output(monkeypatch):
    """Lets standard output be a file descriptor, with or without a buffer."""
    opened = []

    def to(descriptor, **options):
        opened.append(os.fdopen(descriptor, "w", **options))
        monkeypatch.setattr(sys, "stdout", opened[-1])
    yield to
    for file in opened:
        file.close()


FULL = "standard output: cannot be written (No space left on device); all that was done is saved\n"
COMMANDS = [(core, ["describe", "X2", "R1"]), (study, ["space", "quick"]), (study, ["status"]), (study, ["show", "0"]),
            (study, ["compare", "0", "1"]), (study, ["export"])]


def storage(words, filled):
    return words if words[0] in ("describe", "space") else [*words, "--storage", str(filled)]


@pytest.mark.parametrize(("main", "words"), COMMANDS, ids=lambda given: given[0] if isinstance(given, list) else "")
def test_a_pipe_that_nobody_reads_ends_a_command_without_a_word(main, words, output, filled, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read, write = os.pipe()
    os.close(read)
    output(write)
    assert main(storage(words, filled)) == 141
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("main", "words"), COMMANDS, ids=lambda given: given[0] if isinstance(given, list) else "")
def test_a_full_disk_behind_standard_output_is_one_line(main, words, output, filled, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output(os.open("/dev/full", os.O_WRONLY))
    assert main(storage(words, filled)) == 2
    assert capsys.readouterr().err == FULL


@pytest.mark.parametrize(("shell", "status", "words"), [("| true", 141, ""), (">/dev/full", 2, FULL)])
def test_nothing_is_left_for_python_to_complain_about_at_its_end(shell, status, words):
    line = f"(sleep 0.1; exec {sys.executable} -m study --help) {shell}; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False,
                           env={**os.environ, "PYTHONUNBUFFERED": ""})
    assert (ended.returncode, ended.stderr) == (status, words)


def test_without_any_standard_output_commands_work(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert study(["space", "quick"]) == 0
