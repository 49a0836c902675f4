"""The page and its files, made from a real database filled with made-up runs."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from study.analysis import trials
from study.analysis.extrapolation import rising
from study.database.store import open_database
from study.report import write
from study.report.figures import style
from tasnet_core.errors import UserError
from tests.support import ROOT, fakes
from tests.support.filled_database import fill

DRAWN = ("curves", "front_macs", "front_parameters", "hypervolume", "letters", "mixtures", "parallel", "predicted")
FILES = sorted(["index.html", *(f"figures/{name}.{kind}" for kind in ("svg", "png") for name in DRAWN),
                *(f"tables/{name}.{kind}" for kind in ("csv", "md", "tex") for name in ("front", "predicted", "runs", "sexes"))])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A database with a study of nine runs, its report, and its rows."""
    folder = tmp_path_factory.mktemp("report")
    url = f"sqlite:///{folder / 'study.db'}"
    fill(url, *fakes.study(7, seed=2), notes=("test speakers also occur in training",))
    return url, write.write_report(url, None, folder / "out")


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Small PNGs are drawn faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "DOTS_PER_INCH", 40)
        yield


class Page(HTMLParser):
    """Every element with its attributes, and the text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text, self.inside = [], "", ""
        self.feed(Path(path).read_text())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def files(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_all_files_are_there_and_no_scratch_file_is_left(made):
    assert sorted(files(made[1].parent)) == FILES


def test_the_page_asks_for_nothing_from_anywhere(made):
    page = Page(made[1])
    assert not page.all("img")
    assert not page.all("iframe")
    for _, attrs in page.elements:
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attrs.get(name, "#").startswith(("#", "data:,")), attrs
    policy = next(attrs["content"] for attrs in page.all("meta") if attrs.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    source = made[1].read_text()
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)


def test_every_link_leads_somewhere_and_no_id_is_there_twice(made):
    page = Page(made[1])
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs.get("href") or attrs["xlink:href"] for tag, attrs in page.elements if tag in ("a", "use")]
    assert links
    assert {link[1:] for link in links} <= set(ids)
    used = re.findall(r"url\(#([^)]+)\)", made[1].read_text())
    assert used
    assert set(used) <= set(ids)


def test_every_figure_and_table_has_a_name_that_is_read_out(made):
    page = Page(made[1])
    ids = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    drawn = [attrs for attrs in page.all("svg") if attrs.get("aria-hidden") != "true"]
    assert len(drawn) == len(DRAWN)
    for attrs in [*drawn, *(attrs for attrs in page.all("table") if "aria-label" not in attrs)]:
        assert attrs["aria-labelledby"] in ids
    assert all(attrs["role"] == "img" for attrs in drawn)
    assert all(attrs.get("tabindex") == "0" for attrs in page.all("div") if attrs.get("class") == "scroll")
    assert page.all("html")[0]["lang"] == "en"


def test_the_page_says_what_the_rows_say(made):
    text = " ".join(Page(made[1]).text.replace("\N{NO-BREAK SPACE}", " ").split())
    with open_database(made[0]) as db:
        rows = db.results("fake")
    finished = trials.finished(rows)
    assert f"Of {len(finished)} variants measured, {len(trials.front(rows))} are Pareto-optimal" in text
    assert "test speakers also occur in training" in text
    assert "one second of audio at 8 kHz" in text
    assert "trained on the same 3,200 s of audio" in text
    assert ("python -m study run --trials 1 --study fake --corpus voices2 --space quick --stop-margin off --epochs 8 "
            "--epoch-segments 200 --segment-s 2.0 --batch-size 8 --precision float32 "
            "--optimizer adam --seed 0 --max-parameters 400000") in text
    assert "python -m study run --trials 7 --study fake" in text       # its variants, which quick has not, are put in between
    assert "x86_64, 2 cores" in text
    assert re.search(r"recipe\.learning_rate ?0\.002", text)
    for row in rows:
        if row["state"] != "complete":
            assert row["reason"] in text


def test_the_front_is_the_view_of_the_same_name(made):
    with open_database(made[0]) as db:
        rows, view = db.results("fake"), db.front("fake")
    assert {row["trial"] for row in trials.front(rows)} == {row["trial"] for row in view}


def test_the_same_rows_give_the_same_bytes_and_what_others_put_there_stays(made, tmp_path):
    mine = tmp_path / "out" / "figures" / "mine.svg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    again = write.write_report(made[0], "fake", tmp_path / "out")
    assert files(again.parent) == {**files(made[1].parent), "figures/mine.svg": b"mine"}


def test_a_study_of_a_published_table_is_printed_beside_it_and_says_what_differs(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    rows = [fakes.row(0, X=8, R=4, sdr_db=3.21, stoi=0.7, pesq=1.5), fakes.row(1, X=8, R=2, sdr_db=3.33, parameters=9)]
    one = {**fakes.mixture(0, 0, 3.0), "sexes": "MF", "stoi": None, "reason": "STOI: source 1: too short"}
    fill(url, rows, mixtures=[one], settings=replace(fakes.SETTINGS, space="thesis", metrics=("si_snr", "stoi")))
    page = Page(write.write_report(url, None, tmp_path / "out"))
    text = " ".join(page.text.replace("\N{NO-BREAK SPACE}", " ").split())
    for words in ("the bachelor thesis valgrut/TasNet", "Corpus and training budget differ", "3.21", "12.45", "12.71",
                  "STOI: too short: 1 of the scores, in test-000", "--metrics si_snr,stoi", "SDRi is the same with"):
        assert words in text
    assert len(page.all("table")) == 4
    written = (tmp_path / "out" / "tables" / "published.csv").read_text().splitlines()
    assert any(line.startswith("0,8,4,2.0,3.21,0.7,1.5,12.49") for line in written)       # its segments are of 2 s
    assert "FM" in (tmp_path / "out" / "tables" / "sexes.md").read_text()


def test_seeds_and_stopped_runs_are_told_and_every_run_has_its_line(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    runs, epochs, mixtures = fakes.confirmed(9, seed=2)
    runs[-1] |= {"kind": "diverged"} if runs[-1]["state"] == "failed" else {}
    fill(url, runs, epochs, mixtures)
    page = Page(write.write_report(url, None, tmp_path / "out"))
    text = " ".join(page.text.replace("\N{NO-BREAK SPACE}", " ").split())
    for words in ("3 runs were stopped early", "3 seeds, sd", "the cross at its end",
                  f"{len(runs)} runs: ", "--trials 9 "):
        assert words in text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    written = (tmp_path / "out" / "tables" / "runs.csv").read_text().splitlines()
    assert len(written) == 1 + len(runs)
    assert not re.search(r"\b1 (runs|mixtures|seeds|variants)", text)


def test_a_limit_that_is_given_is_kept_by_a_pick(made, tmp_path):
    written = write.write_report(made[0], None, tmp_path / "out", [{"parameters": 150_000, "macs_per_s": 10**9}])
    assert "The best with at most 150k parameters and 1G MACs per second: trial" in " ".join(Page(written).text.split())


def test_names_from_the_database_are_text_and_never_markup(tmp_path):
    url, evil = f"sqlite:///{tmp_path / 'study.db'}", "<script>alert('x')<script>"     # a study's name has no slash
    rows = [fakes.row(0), fakes.failed(1, X=4, reason=f"data: {evil}")]
    fill(url, rows, mixtures=[fakes.mixture(0, 0, 1.0)], name=evil, notes=(evil,))
    page = Page(write.write_report(url, None, tmp_path / "out"))
    assert [attrs.get("type") for attrs in page.all("script")] == ["application/json", "module"]
    assert page.text.count(evil) >= 4
    assert evil not in (tmp_path / "out" / "index.html").read_text()


def test_of_several_studies_the_newest_is_taken_and_said(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    fill(url, [fakes.row(0)], name="older")
    fill(url, [fakes.row(0)], name="newer")
    text = Page(write.write_report(url, None, tmp_path / "out")).text
    assert "holds 2 studies" in text
    assert "this is the newest, newer. Others, by --study: older." in text
    assert "holds 2 studies" not in Page(write.write_report(url, "older", tmp_path / "out")).text


def test_a_failed_reference_leaves_the_losses_empty_and_it_is_said(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    fill(url, [fakes.failed(0), fakes.row(1, X=4, parameters=1000)])
    page = Page(write.write_report(url, None, tmp_path / "out"))
    assert "has no score (state: failed, diverged" in page.text
    assert "no loss against it can be given" in page.text
    assert "loss" not in (tmp_path / "out" / "tables" / "front.md").read_text()


@pytest.mark.parametrize(("rows", "name", "said"), [
    (None, None, "python -m study run --trials 6"),
    ([fakes.failed(0), fakes.row(1, X=4, state="running")], None, "no finished run among 2"),
    ([fakes.row(0)], "other", "study 'other': not in this database, which holds fake")])
def test_without_anything_to_report_one_line_says_so_and_nothing_is_written(tmp_path, rows, name, said):
    url, out = f"sqlite:///{tmp_path / 'study.db'}", tmp_path / "out"
    if rows is not None:
        fill(url, rows)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        write.write_report(url, name, out)
    assert "\n" not in str(caught.value)
    assert "study run --trials 6" in str(caught.value)
    assert not out.exists()


def test_an_empty_database_has_no_study_yet(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    open_database(url, read_only=False).close()
    with pytest.raises(UserError, match="no study yet"):
        write.write_report(url, None, tmp_path / "out")


def test_a_file_in_the_way_is_named_before_anything_is_drawn(made, tmp_path, monkeypatch):
    monkeypatch.setattr(write.figures, "draw_all", None)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match="cannot be written"):
        write.write_report(made[0], None, tmp_path / "out")


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "index.html"
    target.write_bytes(b"old and whole")

    def full(scratch, place):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        write.write_file(target, b"new content")
    assert target.read_bytes() == b"old and whole"
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_a_report_needs_neither_torch_nor_optuna():
    code = "import study.report.write, sys; print({'torch', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_the_page_and_the_tables_mark_who_still_rises(made):
    url, index = made
    with open_database(url) as db:
        up = {row["trial"] for row in db.results("fake") if rising(row)}
        counted = sum(row["si_snri_extrapolated_db"] is not None and row["state"] == "complete" for row in db.results("fake"))
    page = Page(index)
    assert up
    assert f"{len(up)} of {counted} fitted learning curves have clearly not converged" in " ".join(page.text.split())
    assert page.text.count(trials.RISING) >= len(up)
    lines = [line.split(",") for line in (index.parent / "tables/runs.csv").read_text().splitlines()]
    trial, mark = (lines[0].index(name) for name in ("trial", "rising"))
    assert {int(line[trial]) for line in lines[1:] if line[mark] == trials.RISING} == up
    assert r"$\uparrow$" in (index.parent / "tables/runs.tex").read_text()


def test_a_corpus_whose_folder_is_no_utf_8_is_reported(tmp_path):
    url = f"sqlite:///{tmp_path / 'study.db'}"
    fill(url, *fakes.study(3, seed=2), settings=replace(fakes.SETTINGS, corpus="folder:\udce9t\udce9"))
    assert r"folder:\udce9t\udce9" in write.write_report(url, None, tmp_path / "out").read_text(encoding="utf-8")
