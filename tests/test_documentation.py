"""The manual as a test: commands parse, links lead somewhere, pages made from the code are what the code says."""

import csv
import os
import re
import shlex
import subprocess
import sys
import zlib
from configparser import ConfigParser
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import pytest
import yaml

from study.cli.options import COMMANDS as STUDY_COMMANDS
from study.cli.options import parser as study_parser
from study.space.presets import SPACES
from tasnet_core.__main__ import parser as core_parser
from tasnet_core.corpora.registry import CORPORA
from tasnet_core.records import Variant

ROOT = Path(__file__).parents[1]
MANUAL = sorted((ROOT / "docs").rglob("*.md"))
BESIDE = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/README.md")
PAGES = [ROOT / name for name in BESIDE] + MANUAL
PARSERS = {"study": study_parser(), "tasnet_core": core_parser()}
COMMAND = re.compile(r"(?:python -m (study|tasnet_core)|(tasnet-study)) (?=[a-z])(.*)")


def name(path):
    return path.relative_to(ROOT).as_posix()


def fenced(text):
    """The lines of fenced blocks in no language, without comments behind a command."""
    for block in re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from (re.sub(r"\s{2,}#.*", "", line) for line in block.splitlines())


def refusal(package, words, capsys):
    """What the parser says of a command; empty where it takes it. An upper-case word stands for a value."""
    try:
        PARSERS[package].parse_args(
            ["1" if re.fullmatch("[A-Z]+", word) else word for word in words]
        )
    except SystemExit as stop:
        return capsys.readouterr().err if stop.code else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_can_be_typed(page, capsys):
    text = page.read_text(encoding="utf-8")
    whole = [found for line in fenced(text) if (found := COMMAND.fullmatch(line.strip()))]
    spans = re.findall(
        r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    parts = [found for span in spans if (found := COMMAND.fullmatch(span.strip()))]
    for found in whole + parts:
        words = [
            word
            for word in shlex.split(found[3].partition(" > ")[0])
            if "…" not in word and word != "..."
        ]
        said = refusal(found[1] or "study", words, capsys)
        assert not said or (found in parts and "arguments are required" in said), (
            f"{found[0]}\n{said}"
        )


def test_a_command_that_cannot_be_typed_is_noticed(capsys):
    assert "invalid choice" in refusal("study", ["runs"], capsys)
    assert "unrecognized arguments: --trial-s" in refusal(
        "study", ["run", "--trials", "6", "--trial-s"], capsys
    )
    assert not refusal("study", ["run", "--trials", "N"], capsys)


def anchors(text):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"https?:", link):
            continue
        target, _, anchor = link.partition("#")
        there = (page.parent / target).resolve() if target else page
        assert there.exists(), link
        assert there.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("page", MANUAL, ids=name)
def test_a_page_has_one_subject_and_begins_with_what_it_is_for(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    outside = re.sub(
        r"^```.*?^```", "", "\n".join(lines), flags=re.DOTALL | re.MULTILINE
    ).splitlines()
    assert [line for line in outside if line.startswith("# ")] == lines[:1]
    if "decisions/0" not in name(page):
        assert lines[2].startswith("This page "), lines[2]


def test_the_pages_made_from_the_code_are_what_the_code_says():
    """They hold every command, option, table, view and column."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools/reference.py", "--check"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    for command in STUDY_COMMANDS:
        assert f"### study {command.command}\n" in page


@pytest.mark.parametrize(
    ("page", "names"),
    [
        # Other tests register a space and a corpus of their own.
        ("space-files.md", SPACES.keys() - {"tiny", "wide"}),
        ("corpora.md", CORPORA.keys() - {"tiny"}),
        ("hyperparameters.md", [field.name for field in fields(Variant)]),
    ],
)
def test_the_reference_has_a_row_for_each(page, names):
    text = (ROOT / "docs/reference" / page).read_text(encoding="utf-8")
    assert not [one for one in names if not re.search(rf"^\| `?{one}(:PATH)?`? \|", text, re.MULTILINE)]


@pytest.mark.parametrize(("page", "most"), [("README.md", 150), ("ARCHITECTURE.md", 150)])
def test_the_first_pages_stay_short(page, most):
    assert len((ROOT / page).read_text(encoding="utf-8").splitlines()) <= most


def test_every_file_that_contributing_names_is_there():
    named = re.findall(
        r"`((?:study|tasnet_core|tests|docs|tools|benchmarks)/[^`]*)`",
        (ROOT / "CONTRIBUTING.md").read_text(),
    )
    assert len(named) > 20
    assert not [path for path in named if not (ROOT / path).exists()]
    constants = re.findall(
        r"`([A-Z]{5,})`(?:, `\w+` and `\w+`)? (?:of|in) `([^`]+\.py)`",
        (ROOT / "CONTRIBUTING.md").read_text(),
    )
    assert len(constants) > 5
    assert not [
        pair
        for pair in constants
        if not re.search(rf"^{pair[0]}\b", (ROOT / pair[1]).read_text(), re.MULTILINE)
    ]


def test_example_reports_are_small_in_git_and_one_of_them_has_sounds():
    pages = sorted((ROOT / "reports").rglob("*.html"))
    texts = [page.read_bytes() for page in pages]
    assert len(pages) > 1
    assert all(len(zlib.compress(text)) < 1_000_000 for text in texts)
    assert sum(b"data:audio" in text for text in texts) == 1


def test_the_results_in_the_readme_are_those_of_the_example_report():
    with (ROOT / "reports/example/voices/tables/front.csv").open(encoding="utf-8") as file:
        columns = ("si_snri_db", "low_db", "high_db", "loss_db", "loss_low_db", "loss_high_db")
        known = [
            [f"{float(row[column]):.2f}" for column in columns] for row in csv.DictReader(file)
        ]
    interval = r"(-?\d+\.\d\d) dB \[(\d\.\d\d), (\d\.\d\d)\]"
    _, on_voices = (ROOT / "README.md").read_text(encoding="utf-8").split("On **synthetic voices**")
    rows = re.findall(rf"\| {interval} \| (?:{interval})?", on_voices)
    assert len(rows) == 5
    for row in rows:
        assert any(
            all(not said or said == value for said, value in zip(row, one, strict=True))
            for one in known
        ), row


def test_the_front_of_people_is_that_of_the_example_report():
    with (ROOT / "reports/example/tables/front.csv").open(encoding="utf-8") as file:
        columns = ("si_snri_db", "low_db", "high_db", "loss_db", "loss_low_db", "loss_high_db")
        known = [[f"{float(row[column]):.2f}" for column in columns] for row in csv.DictReader(file)]
    number = r"(-?\d\.\d\d)"
    interval = rf"{number} \[{number}, {number}\]"
    page = (ROOT / "docs/findings.md").read_text(encoding="utf-8").replace("−", "-")
    rows = re.findall(rf"^\| .* \| [123] \| {interval} \| {interval} \|$", page, re.MULTILINE)
    assert sorted(map(list, rows)) == sorted(row for row in known if float(row[3]))
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("−", "-")
    said = re.findall(rf"{number} dB(?: SI-SNRi)? \((?:95 %: )?{number} to {number}\)", readme)
    assert len(said) == 3
    assert all(list(loss) in [row[3:] for row in known] for loss in said)


@pytest.mark.parametrize("page", ["README.md", "docs/findings.md", "docs/how-to/shrink-your-network.md"])
def test_the_losses_of_slices_are_those_of_the_published_table(page):
    with (ROOT / "results/slices_orders.csv").open(encoding="utf-8") as file:
        runs = list(csv.DictReader(file))

    def losses(study):
        """By trial but the reference, of the means over seeds, below the given network."""
        scores = {}
        for run in runs:
            if run["study"] == study:
                scores.setdefault(int(run["trial"]), []).append(float(run["si_snri_db"]))
        return [f"{mean(scores[0]) - mean(scores[trial]):.2f}" for trial in (1, 2, 3)]

    said = re.findall(r"^\| (?:50|25|10) % .*", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    columns = zip(*(re.findall(r"(\d\.\d\d)(?: dB)? \[", line) for line in said), strict=True)
    known = [losses(study) for study in ("distil-tuned", "small-tuned", "scratch")]
    found = [list(column) for column in columns]
    assert found == (known if len(found) == 3 else [known[0], known[2]])


def test_the_version_is_the_same_wherever_it_is_written():
    settings = ConfigParser()
    settings.read(ROOT / "setup.cfg")
    version = settings["metadata"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert citation["cff-version"] == "1.2.0"
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert work["authors"]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {version}, {citation['date-released']}\n" in changes


@pytest.mark.long
@pytest.mark.skipif(not find_spec("mkdocs"), reason="needs mkdocs: pip install '.[docs]'")
def test_the_manual_is_built_strictly_and_loads_nothing_from_other_hosts(tmp_path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--site-dir",
            tmp_path / "site",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    pages = [path for path in (tmp_path / "site").rglob("*.html") if "example" not in path.parts]
    assert len(pages) > len(MANUAL)
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]*\bsrc=\"([^\"]*)\"|<link[^>]*\bhref=\"([^\"]*)\"",
            page.read_text(),
        )
        assert not [link for pair in loaded for link in pair if re.match("(https?:)?//", link)], (
            page
        )
