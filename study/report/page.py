"""The page of a report: its content (`Page`), and one file of HTML made of it (`render`).

Everything is in the file: style, scripts, figures, audio, and the rows as JSON, of which the
scripts make the chart and the tables. Its Content-Security-Policy forbids every request and every
other script. Without scripts, and on paper, it shows the figures and a table of the most important
variants. Why the scripts are our own and not Vega-Lite is measured in benchmarks/RESULTS.md.
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

from study.analysis import trials, wording
from study.analysis.cost_axes import KNOWN, OTHERS, device_of, for_page, titles
from study.analysis.recommendations import Recommendation
from study.analysis.replicates import BESIDE, SCORE, Row, number
from study.analysis.wording import Table, Titles
from study.report.tables import SAID_ANYWAY
from tasnet_core.errors import counted

HERE = Path(__file__).parent / "templates"
SCRIPTS = ("page.js", "page_table.js", "page_front.js", "page_finder.js")  # in order, one module
STATIC_ROWS = 200  # of the table that needs no script
FAILURES_NAMED = 12  # runs under one reason
REASONS = 50
FIRST = 8  # columns of a wide table that are shown at once; the others on demand
TITLES: Titles = {
    **wording.TITLES,
    "letters": ("hyperparameters", ""),
    "seeds": ("seeds", ""),
    "si_snri_extrapolated_db": ("forecast", "dB at twice the audio [95 %]"),
    "audio_s": ("trained", "s of audio"),
    "seconds": ("took", "s"),
}
# A column that no row has anything in is left out.
FRONT = (
    "trial", "name", SCORE, "loss_db", "parameters", "parameters_fraction", "macs_per_s",
    "macs_fraction", "chance", "p", "rising", "si_snri_extrapolated_db", *BESIDE,
    "receptive_field_s", *OTHERS, "seeds", "seeds_unlearned",
    "si_snri_sd_db", "chosen_db",
)
VARIANTS = (
    "trial", "name", "state", SCORE, "loss_db", "parameters", "macs_per_s", "reason", "chance", "p",
    "rising", "si_snri_extrapolated_db", *BESIDE, "receptive_field_s", *OTHERS, "seeds",
    "letters",
)
RUNS = (
    "trial", "seed", "name", "state", SCORE, "parameters", "macs_per_s", "reason", "loss_db",
    "rising", "slope_db_per_doubling", *BESIDE, "audio_s", "seconds",
)
INTERVALS = {
    SCORE: ("low_db", "high_db"),
    "loss_db": ("loss_low_db", "loss_high_db"),
    "si_snri_extrapolated_db": ("si_snri_extrapolated_low_db", "si_snri_extrapolated_high_db"),
}
UNSHOWN = (*(end for ends in INTERVALS.values() for end in ends), "on_front")  # for the scripts
TEXT = frozenset({
    "name", "state", "letters", "lowered", "sexes", "norm", "reason", "rising", "predicted"})


class Sound(NamedTuple):
    """Audio in a format that browsers play."""

    mime: str
    data: bytes

    @property
    def uri(self) -> str:
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


class Output(NamedTuple):
    """A mixture separated by one variant, one file per speaker."""

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
    """Everything on the page, as plain text; `rows` are variants, `runs` single trainings."""

    study: str
    corpus: str
    answer: Sequence[str]
    sure: str
    picks: Sequence[Recommendation]
    rows: Sequence[Row]
    runs: Sequence[Row]
    figures: Sequence[Figure]
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
    devices: Table = Table((), [])
    devices_titles: Titles = {}  # noqa: RUF012  # never changed
    predicted: Table = Table((), [])
    predicted_titles: Titles = {}  # noqa: RUF012  # never changed
    predicted_said: Sequence[str] = ()
    small: Sequence[str] = ()
    published_note: str = ""
    unscored: Sequence[str] = ()
    failures: Sequence[Failure] = ()
    clips: Sequence[Clip] = ()
    axes: Mapping[str, Mapping[str, Any]] = for_page(KNOWN)  # of the chart, and for limits
    device_columns: Sequence[str] = ()
    finding: str = ""  # why nothing can be recommended: then there are no picks and no finder
    mark: str = ""  # a note on every figure of such a study


class Section(NamedTuple):
    """Figures under one heading."""

    title: str
    figures: list[Figure]


class Cell(NamedTuple):
    """A value as people read it."""

    column: str
    text: str
    interval: str


def render(page: Page) -> str:
    """The page as HTML. Whatever came from the database is escaped."""
    page = with_reasons(page)
    shown = static_rows(page)
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS) + "start()\n"
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "db": wording.decibels, "counted": counted, "tied": tied, "cell": wording.cell,
        "cells": cells}
    front = front_rows(page)
    fronts, sections = _sections(page.figures)
    return environment.get_template("page.html").render(
        page=page, fronts=fronts, sections=sections, first=FIRST,
        front=front, front_columns=_columns((*FRONT, *page.device_columns), front),
        shown=shown, columns=_columns(_variants(page), page.rows),
        trials={row["trial"] for row in shown},
        titles={**wording.TITLES, **page.titles}, own_titles=_titles(page),
        path_titles={**wording.TITLES, **page.path_titles},
        predicted_titles={**wording.TITLES, **page.predicted_titles},
        devices_titles={**wording.TITLES, **page.devices_titles},
        tested_in=next((one.section for one in page.figures if one.name == "mixtures"), None),
        text=TEXT, link=_link, sentence=linked_sentence,
        failures=_by_reason(page.failures), named=FAILURES_NAMED, reasons=REASONS,
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        data=Markup(as_json(page)), script=Markup(script), script_hash=_hash(script))


def with_reasons(page: Page) -> Page:
    """The kind of a failure becomes part of its reason, and a variant has those of its runs."""
    runs = []
    reasons: dict[int, dict[str, None]] = {}
    for run in page.runs:
        reason = reason_of(run)
        runs.append({**run, "reason": reason})
        if reason:
            reasons.setdefault(run["trial"], {})[reason] = None
    rows = [{**row, "reason": "; ".join(reasons.get(row["trial"], ()))} for row in page.rows]
    return page._replace(runs=runs, rows=rows)


def reason_of(run: Row) -> str:
    """Why a run was not completed, with the kind of its failure."""
    return ": ".join(word for word in (run.get("kind"), run.get("reason")) if word)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _sections(figures: Sequence[Figure]) -> tuple[list[Figure], list[Section]]:
    """The figures of the front, which the chart repeats; and the others by section, in order."""
    fronts = [figure for figure in figures if figure.name.startswith("front_")]
    sections: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure not in fronts:
            sections.setdefault(figure.section, []).append(figure)
    return fronts, [Section(*section) for section in sections.items()]


def front_rows(page: Page) -> list[Row]:
    """The Pareto-optimal variants, cheapest first."""
    kept = [row for row in page.rows if row["on_front"]]
    return sorted(kept, key=lambda row: (*(row[name] for name in trials.COSTS), row["trial"]))


def static_rows(page: Page, most: int = STATIC_ROWS) -> list[Row]:
    """The variants shown without scripts: the reference, those named, the front, the best."""
    named = {pick.trial for pick in page.picks}
    named |= {output.trial for clip in page.clips for output in clip.outputs}

    def rank(row: Row) -> tuple[Any, ...]:
        trial, score = row["trial"], number(row[SCORE])
        best_first = (score is None, -(score or 0), trial)
        return (trial != 0, trial not in named, not row["on_front"], *best_first)

    chosen = sorted(page.rows, key=rank)[:most]
    return sorted(chosen, key=lambda row: (row["trial"] != 0, not row["on_front"], *rank(row)))


def _variants(page: Page) -> tuple[str, ...]:
    """The columns of variants, those of devices before the hyperparameters."""
    return (*VARIANTS[:-2], *page.device_columns, *VARIANTS[-2:])


def _columns(names: Iterable[str], rows: Sequence[Row]) -> list[str]:
    """Those with something in them that does not go without saying."""
    empty = (None, "")
    return [name for name in names
            if any(row.get(name) not in (*empty, SAID_ANYWAY.get(name)) for row in rows)]


def _titles(page: Page) -> dict[str, tuple[str, str]]:
    """What stands above the columns of variants and runs."""
    known = {**TITLES, **titles(name for name in page.device_columns if device_of(name))}
    if not any(number(row.get("low_db")) is not None for row in page.rows):
        return known
    return {**known, SCORE: ("SI-SNRi", "dB [95 %]"), "loss_db": ("loss", "dB [95 %]")}


def as_json(page: Page) -> str:
    """The rows by column, for the scripts; a run holds only what its variant does not.

    Safe inside of a script element.
    """
    known = {row["trial"] for row in page.rows}
    own = [*RUNS, *UNSHOWN]
    if known.issuperset(run["trial"] for run in page.runs):  # then once, with the variant
        own = [name for name in own if name not in ("name", "parameters", "macs_per_s")]
    data = {
        "variants": _packed((*_variants(page), *UNSHOWN), page.rows),
        "runs": _packed(own, page.runs),
        "titles": {name: title for name, title in _titles(page).items()
                   if name in (*_variants(page), *RUNS)},
        "axes": page.axes,
        "columns": {"variants": _columns(_variants(page), page.rows),
                    "runs": _columns(RUNS, page.runs)},
        "intervals": INTERVALS,
        "scores": [SCORE, *BESIDE],
        "first": FIRST,
        "text": sorted(TEXT),
        "picks": [pick.trial for pick in page.picks if pick.trial is not None],
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")  # neither </script> nor <!-- may end or hide the element


def _packed(columns: Iterable[str], rows: Sequence[Row]) -> dict[str, Any]:
    """Columns with something in them; few words that come often as places in a list of them."""
    packed: dict[str, Any] = {}
    for name in columns:
        values = [_plain(row.get(name)) for row in rows]
        if all(value in (None, "") for value in values):
            continue
        packed[name] = values
        words = list(dict.fromkeys(values))
        if isinstance(words[0], str) and 2 * len(words) < len(values):
            at = {word: place for place, word in enumerate(words)}
            packed[name] = {"words": words, "at": [at[value] for value in values]}
    return packed


def _plain(value: Any) -> Any:
    """Six significant digits, one more than is ever shown; whole numbers exact, for limits."""
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
        interval = ""
        if low is not None and high is not None and low != high:
            interval = f"[{wording.decibels(low)}, {wording.decibels(high)}]"
        found.append(Cell(name, wording.cell(name, row.get(name)), interval))
    return found


def tied(text: str) -> str:
    """Units stay on the line of their number."""
    return re.sub(r"(?<=[\d\]]) (?=(?:dB|%)(?!\w))", "\N{NO-BREAK SPACE}", text)


def _link(trial: int, text: str, trials: Iterable[int]) -> Markup:
    """To the row of a trial; the script gives an address to one that only it shows."""
    where = Markup('href="#trial-{}"') if trial in trials else Markup('data-trial="{}"')
    return Markup("<a {}>{}</a>").format(where.format(trial), text)


def linked_sentence(pick: Recommendation, trials: Iterable[int]) -> Markup:
    """A recommendation's sentence, its trial a link."""
    if pick.trial is None:
        return escape(tied(pick.sentence))
    words = f"trial {pick.trial}"
    found = re.search(rf"\b{words}\b", pick.sentence)
    before, after = f"{pick.sentence} ", ""
    if found:
        before, after = pick.sentence[:found.start()], pick.sentence[found.end():]
    return Markup("{}{}{}").format(tied(before), _link(pick.trial, words, trials), tied(after))


def _by_reason(failures: Sequence[Failure]) -> list[tuple[str, list[Failure]]]:
    """The runs under each reason, the most frequent first."""
    reasons: dict[str, list[Failure]] = {}
    for failure in failures:
        reasons.setdefault(failure.reason, []).append(failure)
    return sorted(reasons.items(), key=lambda item: -len(item[1]))
