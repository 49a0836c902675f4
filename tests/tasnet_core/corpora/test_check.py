import itertools
import threading

import pytest

from tasnet_core import progress
from tasnet_core.__main__ import main
from tests.support.corpus_layouts import small_wsj0
from tests.support.recordings import people


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_check_says_what_each_split_has(tmp_path, capsys):
    small_wsj0(tmp_path)
    (tmp_path / "spkrinfo.txt").write_text("011 F\n012 M\n")
    assert main(["check", f"wsj0mix:{tmp_path}"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path}: reading the headers of 27 files, once"
    assert said[1] == "train     2 speakers (1 F, 1 M), 6 recordings, 0.1 min; 3 fixed mixtures"
    assert "every file can be used" in said
    assert said[-1].startswith("everything read in ")


def test_headers_alone_do_not_read_the_sound(tmp_path, capsys):
    small_wsj0(tmp_path, count=5)
    path = sorted((tmp_path / "tr/s1").iterdir())[4]
    path.write_bytes(path.read_bytes()[:44] + bytes(len(path.read_bytes()) - 44))  # silence
    assert main(["check", f"wsj0mix:{tmp_path}", "--headers"]) == 0
    assert "every file can be used\nheaders read in" in capsys.readouterr().out
    assert main(["check", f"wsj0mix:{tmp_path}"]) == 0
    assert f"tr/s1/{path.name}: silent" in capsys.readouterr().out


def test_check_reads_a_folder_of_any_number_of_speakers_and_rate(tmp_path, capsys):
    people(tmp_path / "people")
    assert main(["check", f"folder:{tmp_path / 'people'}?split=recording", "-C", "3", "--sample-rate-hz", "16000"]) == 0
    assert "files resampled from 8000 Hz" in capsys.readouterr().out


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_and_only_a_few_wait(threads):
    begun = itertools.count()
    latest = 0

    def work(number):
        nonlocal latest
        latest = next(begun)
        return number * number

    results = progress.in_order(work, range(1000), threads)
    assert [next(results) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert latest < 5 + 5 * threads + 1
    assert list(results) == [number * number for number in range(5, 1000)]


def test_an_error_in_a_thread_is_raised_and_ends_the_work():
    before = threading.active_count()

    def work(number):
        if number == 7:
            raise ValueError("seven")
        return number

    results = progress.in_order(work, range(1000), 2)
    with pytest.raises(ValueError, match="seven"):
        list(results)
    assert threading.active_count() == before


def test_where_there_is_no_terminal_a_line_is_written_now_and_then(capsys, monkeypatch):
    clock = itertools.count(step=6)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    assert list(progress.shown(range(6), 6, "reading", "files")) == list(range(6))
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[0].startswith("reading: ")
    assert "of 6 files" in said.err
