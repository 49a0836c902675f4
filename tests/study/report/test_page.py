"""The page as text: what stands on it, that data stays data, that it needs nothing else."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from study.analysis.recommendations import Recommendation
from study.analysis.wording import Table
from study.report import page
from tests.support import fakes
from tests.support import made_up_pages as pages


class Read(HTMLParser):
    """Every element with its attributes, the text outside of scripts, and the scripts."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.text, self.scripts, self.inside = [], "", [], ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else ""
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif not self.inside:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def words(self):
        return " ".join(self.text.replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.fixture(scope="module")
def made():
    return pages.page()


@pytest.fixture(scope="module")
def read(made):
    return Read(page.render(made))


@pytest.fixture(scope="module")
def large():
    return pages.page_of(pages.many(10_000))


def unpacked(columns):
    """What the script makes of packed columns: a row each."""
    lists = {name: [column["words"][i] for i in column["at"]] if isinstance(column, dict) else column
             for name, column in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def test_nothing_on_the_page_asks_for_anything(read):
    for tag, attrs in read.elements:
        assert tag not in ("iframe", "object", "embed", "base")
        for name in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
            assert attrs.get(name, "#").startswith(("#", "data:")), attrs
        assert not any(name.startswith("on") for name in attrs)
    style = (page.HERE / "page.css").read_text()
    assert "@import" not in style
    assert "url(" not in style


def test_the_policy_names_the_scripts_of_the_page_and_no_others(read):
    policy = next(attrs["content"] for attrs in read.all("meta") if attrs.get("http-equiv"))
    kinds = [attrs.get("type") for attrs in read.all("script")]
    assert kinds == ["application/json", "module"]
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.search(r"script-src ([^;]*);", policy)[1] == f"'sha256-{digest}'"


def test_every_link_leads_somewhere_and_no_id_is_there_twice(read):
    ids = [attrs["id"] for _, attrs in read.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"][1:] for attrs in read.all("a") if "href" in attrs} <= set(ids)
    for _, attrs in read.elements:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set(attrs.get(name, "").split()) <= set(ids)


def test_everything_is_there_in_this_order(made, read):
    heads = ["Of 30 variants measured", "Within 1 dB", "87 % sure", "test speakers also occur", "Pareto front",
             "Lower H first", "What mixtures shows.", "Listen", "All variants and runs", "Not completed, and why",
             "python -m study run", "3,200 s of audio", "x86_64, 2 cores"]
    places = [read.words.rindex(words) for words in heads]     # before them, links of the same name
    assert places == sorted(places)
    assert "commitunknown" in read.words
    assert len(read.all("audio")) == 5


def test_names_from_the_database_are_text_and_never_markup():
    evil = pages.EVIL
    runs = [fakes.row(0), fakes.failed(1, X=4, kind="data", reason=evil), fakes.row(2, X=5, state=evil)]
    told = Read(page.render(pages.page_of(
        runs, study=evil, corpus=evil, notes=[evil], answer=[evil], sure=evil, advice=[evil], small=[evil], unscored=[evil],
        picks=[Recommendation(evil, f"{evil} trial 0 {evil}", 0, 0.5), Recommendation(evil, evil, None, None)],
        settings=[(evil, evil)],
        environments=[{evil: evil}], commands=[evil], published_note=evil,
        beside=Table(("trial", evil), [[None, evil]]),
        path=Table(("step", "lowered"), [[0, evil]]),
        clips=[page.Clip(evil, pages.tone(300), [], [page.Output(evil, 0, None, [])])],
        figures=[page.Figure("x", evil, evil, page.Markup(pages.SVG.format("x")), evil, evil)])))
    assert len(told.all("script")) == 2
    assert told.text.count(evil) >= 25
    assert unpacked(json.loads(told.scripts[0])["runs"])[1]["reason"] == f"data: {evil}"
    assert not {"<", "\u2028"} & set(told.scripts[0])


def test_the_data_are_the_rows(made):
    data = json.loads(page.as_json(page.with_reasons(made)))
    variants, runs = unpacked(data["variants"]), unpacked(data["runs"])
    assert len(variants) == len(made.rows)
    assert len(runs) == len(made.runs)
    for row, told in [*zip(made.rows, variants, strict=True), *zip(made.runs, runs, strict=True)]:
        for name, value in told.items():
            if name != "reason":
                assert value == (pytest.approx(row[name], rel=1e-5) if isinstance(value, float) else row[name]), name
    assert {row["trial"] for row in variants if row["on_front"]} == {row["trial"] for row in made.rows if row["on_front"]}
    assert {"parameters", "name"} <= set(variants[0])
    assert not {"parameters", "name"} & set(runs[0])          # those of its variant
    assert data["picks"] == [pick.trial for pick in made.picks]


def test_a_variant_has_the_reasons_of_its_runs_once_each():
    runs = [fakes.row(0), *(fakes.failed(0, seed=seed, kind="diverged", reason="loss") for seed in (1, 2)),
            fakes.failed(0, seed=3, kind="killed", reason="")]
    told = page.with_reasons(pages.page_of(runs))
    assert told.rows[0]["reason"] == "diverged: loss; killed"
    assert [run["reason"] for run in told.runs] == ["", "diverged: loss", "diverged: loss", "killed"]


def test_runs_without_a_row_of_their_variant_keep_what_they_say(made):
    assert "parameters" in json.loads(page.as_json(made._replace(rows=made.rows[:3])))["runs"]


def test_what_is_no_number_is_empty_and_never_breaks_the_json():
    told = pages.page_of([fakes.row(0), fakes.row(1, X=4, realtime_factor=float("nan"), stoi=float("inf"), parameters=1_234_567)])
    columns = json.loads(page.as_json(told))["variants"]
    assert "stoi" not in columns
    assert "realtime_factor" not in columns
    assert columns["parameters"] == [340_000, 1_234_567]


@pytest.mark.parametrize("most", [3, 10, 200])
def test_the_static_table_has_the_reference_what_the_text_speaks_of_the_front_and_then_the_best(made, most):
    made = made._replace(picks=[Recommendation("", "", made.rows[-1]["trial"], None)])
    shown = [row["trial"] for row in page.static_rows(made, most)]
    assert len(shown) == min(most, len(made.rows))
    assert shown[0] == 0
    assert made.rows[-1]["trial"] in shown
    if most == 10:
        kept = {row["trial"] for row in made.rows if row["on_front"]}
        best = sorted((row for row in made.rows if row["si_snri_db"] is not None), key=lambda row: -row["si_snri_db"])
        assert kept <= set(shown)
        others = [row["trial"] for row in best if row["trial"] not in kept and row["trial"] != 0]
        assert others[0] in shown


def test_ten_thousand_runs_leave_room_for_figures_below_five_megabytes(large):
    told = page.render(large)
    assert len(told.encode()) < 3_000_000
    read = Read(told)
    assert len([1 for attrs in read.all("tr") if attrs.get("id", "").startswith("trial-")]) == page.STATIC_ROWS
    assert len(read.elements) < 12_000
    assert {attrs["href"][1:] for attrs in read.all("a") if "href" in attrs} <= {attrs.get("id") for _, attrs in read.elements}
    assert any("data-trial" in attrs for attrs in read.all("a"))    # for the script, which shows every row


def test_only_the_trial_itself_becomes_a_link():
    pick = Recommendation("Knee", "Unlike trial 12 and trial 123, trial 1 loses 0.10 dB.", 1, None)
    assert page.linked_sentence(pick, {1}) == ('Unlike trial 12 and trial 123, <a href="#trial-1">trial 1</a> loses '
                                         "0.10\N{NO-BREAK SPACE}dB.")
    assert page.linked_sentence(pick._replace(sentence="Nothing named."), {2}) == 'Nothing named. <a data-trial="1">trial 1</a>'
    assert page.linked_sentence(Recommendation("", "No <b>.", None, None), ()) == "No &lt;b&gt;."


def test_what_is_not_there_has_no_heading():
    empty = Table((), [])
    told = Read(page.render(pages.page_of([fakes.row(0)], picks=[], clips=[], failures=[], advice=[], notes=[], small=[], sure="",
                                          figures=[], sexes=empty, beside=empty))).words
    for words in ("Listen", "Not completed", "Reduction path", "What the numbers mean", "Published", "On the test mixtures"):
        assert words not in told
    assert "1 variant." in told


def test_failures_stand_under_their_reason_the_most_frequent_first():
    failures = [page.Failure(0, 0, "a"), *(page.Failure(trial, 1, "b: c") for trial in range(30))]
    told = Read(page.render(pages.page(failures=failures))).words
    assert told.index("b: c30 runs: trial 0, seed 1; trial 1, seed 1") < told.index("a1 run: trial 0, seed 0")
    assert "and 18 more" in told


def test_the_sexes_and_what_has_no_score_stand_with_the_test_mixtures_or_by_themselves(made):
    told = Read(page.render(made._replace(unscored=["STOI: too short"]))).words
    assert told.index("What mixtures shows.") < told.index("STOI: too short") < told.index("What curves shows.")
    assert "On the test mixtures" in Read(page.render(made._replace(figures=()))).words


@pytest.mark.parametrize("name", [*page.SCRIPTS, "page.css"])
def test_no_part_ends_its_own_element(name):
    text = (page.HERE / name).read_text()
    assert not re.search(r"</(script|style)|<!--|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    assert len(text.splitlines()) < 400
    assert max(map(len, text.splitlines())) <= (100 if name.endswith(".js") else 130)


def test_wide_tables_show_eight_columns_and_the_others_on_demand(read):
    for name in ("front-table", "static"):
        start = [attrs.get("aria-labelledby") for _, attrs in read.elements].index(f"{name}-caption")
        heads = []
        for tag, attrs in read.elements[start:]:
            if tag == "tbody":
                break
            if tag == "th":
                heads.append("more" in attrs.get("class", "").split())
        assert len(heads) > page.FIRST
        assert heads == [place >= page.FIRST for place in range(len(heads))]
        assert f"All {len(heads)} columns" in read.words
