"""The page of a report: what stands on it (`Page`), and how it becomes one file of HTML (`render`).

Everything is in the file: style, scripts, figures, sounds, and the rows as JSON, from which the scripts make the chart and
the tables. Its Content-Security-Policy allows nothing to be asked for and no other script to run. Without scripts, and on
paper, there are the figures and a table of the most important variants.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from study.analysis import wording
from study.analysis.recommendations import Pick
from study.analysis.replicates import SCORE, Row, number
from study.analysis.wording import Table, Titles
from tasnet_core.errors import counted

HERE = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "page_table.js", "page_front.js", "page_finder.js")  # one after the other, as one module
# Runs before anything is drawn: else a reader who chose dark sees a white flash.
EARLY = 'try { const theme = localStorage.getItem("theme"); if (theme) document.documentElement.dataset.theme = theme } catch {}'
STATIC_ROWS = 200  # of the table that needs no script
FAILURES_NAMED = 12  # runs under one reason
REASONS = 50
TITLES: Titles = {
    **wording.TITLES, "letters": ("letters", ""), "seeds": ("seeds", ""),
    "si_snri_extrapolated_db": ("twice the sound", "dB [95 %]"), "audio_s": ("trained", "s of sound"), "seconds": ("took", "s")}
# A column that no row has anything in is left out.
VARIANTS = ("trial", "name", "state", SCORE, "rising", "si_snri_extrapolated_db", "loss_db", "p", "chance", "parameters",
            "macs_per_s", "receptive_field_s", "realtime_factor", "peak_memory_bytes", "sdri_db", "stoi", "pesq",
            "seeds", "letters", "reason")
RUNS = ("trial", "seed", "name", "state", SCORE, "rising", "slope_db_per_doubling", "loss_db", "parameters", "macs_per_s",
        "sdri_db", "stoi", "pesq", "audio_s", "seconds", "reason")
INTERVALS = {SCORE: ("low_db", "high_db"), "loss_db": ("loss_low_db", "loss_high_db"),
             "si_snri_extrapolated_db": ("si_snri_extrapolated_low_db", "si_snri_extrapolated_high_db")}
UNSHOWN = (*(end for ends in INTERVALS.values() for end in ends), "on_front")  # needed all the same
TEXT = frozenset({"name", "state", "letters", "lowered", "sexes", "norm", "reason", "rising"})


class Sound(NamedTuple):
    """A sound as a browser takes it."""

    mime: str
    data: bytes

    @property
    def uri(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


class Output(NamedTuple):
    """What one variant made of a mixture, a sound per speaker."""

    label: str
    trial: int
    si_snr_db: float | None
    sounds: Sequence[Sound]


class Clip(NamedTuple):
    """A mixture that can be listened to."""

    title: str
    mixture: Sound
    truths: Sequence[Sound]
    outputs: Sequence[Output]


class Figure(NamedTuple):
    """A figure with its words; those of one section stand together."""

    name: str
    section: str
    title: str
    svg: Markup  # ids begin with the name, and `aria-labelledby` is NAME-alt (report.inline)
    caption: str
    alt: str


class Failure(NamedTuple):
    """A run that was not completed, and why."""

    trial: int
    seed: int
    reason: str


class Page(NamedTuple):
    """All that stands on the page, in plain text; `rows` are variants and `runs` their single trainings."""

    study: str
    corpus: str
    answer: Sequence[str]
    sure: str
    picks: Sequence[Pick]
    rows: Sequence[Row]
    runs: Sequence[Row]
    figures: Sequence[Figure]
    front: Table
    sexes: Table
    beside: Table  # the published table
    titles: Titles
    commands: Sequence[str]
    settings: Sequence[tuple[str, str]]
    environments: Sequence[Mapping[str, Any]]
    audio_s: float
    hours: float
    notes: Sequence[str] = ()
    advice: Sequence[str] = ()
    path: Table = Table((), [])
    path_titles: Titles = {}  # noqa: RUF012  # never changed
    small: Sequence[str] = ()
    published_note: str = ""
    unscored: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    clips: Sequence[Clip] = ()
    finding: str = ""  # why nothing can be recommended: then there are no picks, and nothing to look for one with
    mark: str = ""  # what every figure of such a study says of it


class Section(NamedTuple):
    """Figures under one heading."""

    title: str
    figures: list[Figure]


class Cell(NamedTuple):
    column: str
    text: str
    interval: str

    @property
    def is_text(self) -> bool:
        return self.column in TEXT


def render(page: Page) -> str:
    """The page as HTML. Whatever came from the database is escaped."""
    page = _with_reasons(page)
    shown = static_rows(page)
    script = "\n".join([*((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS), "start()\n"])
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)
    environment.filters |= {"db": wording.decibels, "counted": counted, "tied": tied, "cell": wording.cell,
                            "cells": cells}
    fronts, sections = _sections(page.figures)
    return environment.get_template("page.html").render(
        page=page, fronts=fronts, sections=sections, shown=shown, trials={row["trial"] for row in shown},
        columns=_columns(VARIANTS, shown), titles={**wording.TITLES, **page.titles}, own_titles=_titles(page),
        path_titles={**wording.TITLES, **page.path_titles},
        tested_in=next((figure.section for figure in page.figures if figure.name == "mixtures"), None),
        text=TEXT, link=_link, sentence=_sentence, failures=_by_reason(page.failures), named=FAILURES_NAMED, reasons=REASONS,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")), data=Markup(as_json(page)),
        early=Markup(EARLY), script=Markup(script), hashes=[_hash(EARLY), _hash(script)])


def _with_reasons(page: Page) -> Page:
    """The kind of a failure becomes part of its reason, and a variant has those of its runs."""
    runs = [{**run, "reason": ": ".join(word for word in (run.get("kind"), run.get("reason")) if word)} for run in page.runs]
    reasons: dict[int, dict[str, None]] = {}
    for run in runs:
        if run["reason"]:
            reasons.setdefault(run["trial"], {})[run["reason"]] = None
    return page._replace(runs=runs, rows=[{**row, "reason": "; ".join(reasons.get(row["trial"], ()))} for row in page.rows])


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _sections(figures: Sequence[Figure]) -> tuple[list[Figure], list[Section]]:
    """The figures of the front, which the chart stands for; and the others by section, both in the order given."""
    fronts = [figure for figure in figures if figure.name.startswith("front_")]
    others = [figure for figure in figures if figure not in fronts]
    return fronts, [Section(title, [figure for figure in others if figure.section == title])
                    for title in dict.fromkeys(figure.section for figure in others)]


def static_rows(page: Page, most: int = STATIC_ROWS) -> list[Row]:
    """The variants that are on the page without a script: the reference, those the text speaks of, the front, the best."""
    spoken = {pick.trial for pick in page.picks} | {output.trial for clip in page.clips for output in clip.outputs}

    def rank(row: Row) -> tuple[Any, ...]:
        score = number(row[SCORE])
        return (row["trial"] != 0, row["trial"] not in spoken, not row["on_front"], score is None, -(score or 0), row["trial"])
    return sorted(sorted(page.rows, key=rank)[:most], key=lambda row: (row["trial"] != 0, not row["on_front"], *rank(row)))


def _columns(names: Iterable[str], rows: Sequence[Row]) -> list[str]:
    return [name for name in names if any(row.get(name) not in (None, "") for row in rows)]


def _titles(page: Page) -> dict[str, tuple[str, str]]:
    """What stands above the columns of variants and runs."""
    barred = any(number(row.get("low_db")) is not None for row in page.rows)
    return {**TITLES, **({SCORE: ("SI-SNRi", "dB [95 %]"), "loss_db": ("loss", "dB [95 %]")} if barred else {})}


def as_json(page: Page) -> str:
    """The rows by column, for the scripts; a run says only what its variant does not. Safe inside of a script element."""
    known = {row["trial"] for row in page.rows}
    # What follows from the trial is written once, with the variant.
    own = [name for name in (*RUNS, *UNSHOWN) if name not in ("name", "parameters", "macs_per_s")
           or not known.issuperset(run["trial"] for run in page.runs)]
    titles = {name: title for name, title in _titles(page).items() if name in (*VARIANTS, *RUNS)}
    text = json.dumps(
        {"variants": _packed((*VARIANTS, *UNSHOWN), page.rows), "runs": _packed(own, page.runs), "titles": titles,
         "columns": {"variants": VARIANTS, "runs": RUNS}, "text": sorted(TEXT),
         "picks": [pick.trial for pick in page.picks if pick.trial is not None]},
        separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")  # neither </script> nor <!-- may end or hide the element


def _packed(columns: Iterable[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Columns with something in them; few words that come often as places in a list of them."""
    found: dict[str, Any] = {}
    for name in columns:
        values = [_plain(row.get(name)) for row in rows]
        words = list(dict.fromkeys(values))
        if any(value not in (None, "") for value in values):
            found[name] = values
            if isinstance(words[0], str) and 2 * len(words) < len(values):
                at = {word: place for place, word in enumerate(words)}
                found[name] = {"words": words, "at": [at[value] for value in values]}
    return found


def _plain(value: Any) -> Any:
    """Six significant digits are one more than anybody sees; whole numbers stay exact, so that limits hold."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, float):
        return float(f"{value:.6g}") if number(value) is not None else None
    return value


def cells(row: Row, columns: Iterable[str]) -> list[Cell]:
    """A variant as people read it, column by column."""
    found = []
    for name in columns:
        low, high = (number(row.get(end)) for end in INTERVALS.get(name, ("", "")))
        interval = "" if low is None or high is None or low == high else f"[{wording.decibels(low)}, {wording.decibels(high)}]"
        found.append(Cell(name, wording.cell(name, row.get(name)), interval))
    return found


def tied(text: str) -> str:
    """Units stay on the line of their number."""
    return re.sub(r"(?<=[\d\]]) (?=(?:dB|%)(?!\w))", "\N{NO-BREAK SPACE}", text)


def _link(trial: int, text: str, trials: Iterable[int]) -> Markup:
    """To the row of a trial; one that only a script shows is given its address by the script."""
    where = Markup('href="#trial-{}"') if trial in trials else Markup('data-trial="{}"')
    return Markup("<a {}>{}</a>").format(where.format(trial), text)


def _sentence(pick: Pick, trials: Iterable[int]) -> Markup:
    """A pick's sentence, its trial a link."""
    if pick.trial is None:
        return escape(tied(pick.sentence))
    words = f"trial {pick.trial}"
    found = re.search(rf"\b{words}\b", pick.sentence)
    before, after = (pick.sentence[:found.start()], pick.sentence[found.end():]) if found else (f"{pick.sentence} ", "")
    return Markup("{}{}{}").format(tied(before), _link(pick.trial, words, trials), tied(after))


def _by_reason(failures: Sequence[Failure]) -> list[tuple[str, list[Failure]]]:
    """The runs under each reason, the most frequent first."""
    reasons: dict[str, list[Failure]] = {}
    for failure in failures:
        reasons.setdefault(failure.reason, []).append(failure)
    return sorted(reasons.items(), key=lambda item: -len(item[1]))
