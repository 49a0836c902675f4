"""The report of a study: one page, its figures and its tables, from rows alone; no model is loaded.

Everything is made in memory first; then each file appears whole or not at all.
"""

import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from study.analysis import cost_axes, reduction_path, trials, wording
from study.analysis.analyse import Analysis, analyse
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import Row, number
from study.database import store
from study.records import Budget, Settings
from study.report import again, devices, page, predicted, published, summary, tables
from study.report.clips import clips_of
from study.report.figures import all as figures
from study.report.figures import captions, style
from study.report.figures.front import Published
from study.report.page import Failure, Figure, Page
from study.space.searched import configuration, varied
from study.space.space import Space
from study.space.toml import space_of
from tasnet_core.errors import UserError
from tasnet_core.files import write_atomically
from tasnet_core.records import Variant

WAY_OUT = "python -m study run --trials 6"
# Section and title of each figure, in their order on the page.
FIGURES = {
    "front_parameters": ("Pareto front", "Against parameters"),
    "front_macs": ("Pareto front", "Against MACs"),
    "front_realtime": ("Pareto front", "Against speed"),
    "front_memory": ("Pareto front", "Against memory"),
    "predicted": ("Predicted front", "Best within each size"),
    "effects": ("Hyperparameters", "Effect of each hyperparameter"),
    "letters": ("Hyperparameters", "Scores by hyperparameter value"),
    "interaction": ("Hyperparameters", "X and R together"),
    "importance": ("Hyperparameters", "Importance of the hyperparameters"),
    "parallel": ("Hyperparameters", "All variants at once"),
    "mixtures": ("Test mixtures", "Every test mixture"),
    "sexes": ("Test mixtures", "By the sexes of the speakers"),
    "conditions": ("Test mixtures", "What makes a mixture hard"),
    "curves": ("Learning curves", "Validation score over the audio trained on"),
    "hypervolume": ("Learning curves", "Hypervolume of the front"),
}


class Study(NamedTuple):
    """Everything the database has of one study."""

    name: str
    settings: Settings | None  # None: made by something else than `run`
    notes: list[str]
    runs: list[dict[str, Any]]  # of the view `results`, and columns of RUN_COLUMNS
    epochs: list[dict[str, Any]]
    scores: Mixtures  # owners are (trial, seed)
    unscored: list[dict[str, Any]]  # test mixtures that lack a score, with the cause
    environments: list[dict[str, Any]]
    reference: Variant | None
    point: dict[str, float] | None  # where hypervolumes are measured from
    checkpoints: Path  # the folder they are in
    put_in: Collection[int] = ()  # trials that were enqueued
    measured: devices.Measured = devices.NOTHING

    @property
    def corpus(self) -> str:
        return self.settings.corpus if self.settings else "unknown"

    @property
    def form(self) -> published.Form | None:
        """The published table that the study repeats."""
        return published.form_of(self.settings.space) if self.settings else None

    def analyse(self, limits: Sequence[Mapping[str, float]] = ()) -> Analysis:
        return analyse(self.runs, self.scores, self.reference, self.point, limits, self.searched)

    @property
    def searched(self) -> tuple[Space, Budget] | None:
        """The space and the budget; None where the space is no preset any more."""
        if self.settings is None:
            return None
        with suppress(UserError):
            return space_of(self.settings), self.measured.budget
        return None


RUN_COLUMNS = ("kind", "epoch_segments", "checkpoint")


def write_report(
    url: str, study: str | None, out: Path, limits: Sequence[Mapping[str, float]] = ()
) -> Path:
    """Write index.html, figures/ and tables/ under `out`; the newest study where none is named.

    `limits` are those of `recommendations.recommend`.

    Raises:
        UserError: when the database cannot be read, the study is unknown or has no finished run,
            a limit is on a device that has measured none of it, or `out` cannot be written; nothing
            has been written then, unless the disk is full.
    """
    found, out = _read(url, study), Path(out)
    _check_measured(found.runs, limits)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    analysis = found.analyse(limits)
    rows = with_uncertainty(analysis)
    drawn = figures.draw_all(_material(found, analysis))
    files: dict[str, bytes] = {}
    for name, figure in drawn.items():
        files[f"figures/{name}.svg"] = figure.svg.encode()
        files[f"figures/{name}.png"] = figure.png
    for name, table, columns, titles in _tables(found, analysis, rows):
        readable = tables.readable(table, columns)
        files[f"tables/{name}.csv"] = _utf8(tables.as_csv(table))
        files[f"tables/{name}.md"] = _utf8(tables.as_markdown(readable, titles))
        files[f"tables/{name}.tex"] = _utf8(tables.as_tex(readable, titles))
    # Last: the page is there when everything it names is.
    files["index.html"] = _utf8(page.render(_page(found, analysis, rows, drawn)))
    for name, content in files.items():
        write_file(out / name, content)
    return out / "index.html"


def _check_measured(rows: Sequence[Row], limits: Sequence[Mapping[str, float]]) -> None:
    known = cost_axes.of_devices(rows)
    for axis in (axis for limit in limits for axis in limit if cost_axes.device_of(axis)):
        if axis not in known:
            raise UserError(f"{axis}: not measured for this study, which has "
                            f"{', '.join(known) or 'no device'}; "
                            "bring it in with: python -m study measured")


def answer(
    url: str, study: str | None, limits: Sequence[Mapping[str, float]] = ()
) -> list[str]:
    """The first sentences of a report; `limits` as of `write_report`.

    Raises:
        UserError: as `write_report`.
    """
    found = _read(url, study)
    _check_measured(found.runs, limits)
    analysis = found.analyse(limits)
    recommended = [pick.sentence for pick in analysis.picks]
    told = [*_answer(analysis).sentences, *recommended, *analysis.notes]
    return list(dict.fromkeys(told))  # the smallest within the tolerance is recommended, too


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _read(url: str, name: str | None) -> Study:
    with store.open_database(url) as db, db.snapshot():
        known = db.studies()
        if not known:
            raise UserError(f"{url}: holds no study yet; make one with: {WAY_OUT}")
        if name is not None and name not in known:
            raise UserError(
                f"study {name!r}: not in this database, which holds {', '.join(known)}; name one "
                f"of them, or make it with: {WAY_OUT} --study {shlex.quote(name)}")
        chosen = known[-1] if name is None else name
        stored = {(run["trial"], run["seed"]): {column: run[column] for column in RUN_COLUMNS}
                  for run in db.runs(chosen)}
        runs = [{**row, **stored[row["trial"], row["seed"]]} for row in db.results(chosen)]
        settings = db.settings(chosen)
        measured = devices.Measured.of(db, settings, runs)
        runs = measured.completed(runs)
        if not trials.finished(runs):
            raise UserError(
                f"study {chosen!r}: no finished run among {len(runs)}, nothing to report yet; go "
                f"on with: {WAY_OUT} --study {shlex.quote(chosen)}")
        notes = list(db.notes(chosen))
        if name is None and len(known) > 1:
            notes.append(
                f"The database holds {len(known)} studies and none was named: this is the newest, "
                f"{chosen}. Others, by --study: {', '.join(known[:-1])}.")
        base = trials.reference(runs)
        return Study(
            chosen, settings, notes, runs, db.epochs(chosen), db.test_scores(chosen),
            db.unscored(chosen), db.environments(chosen),
            db.variant(base["variant"]) if base else None, db.hypervolume_point(chosen),
            db.checkpoints(chosen), db.enqueued(chosen), measured)


# ── figures and tables ───────────────────────────────────────────────────────────────────────────


def _material(found: Study, analysis: Analysis) -> figures.Material:
    return figures.Material(
        analysis.runs, found.epochs, analysis.tested, analysis.effects, analysis.interaction,
        analysis.importance, analysis.scores, analysis.chance, analysis.progress,
        _published(found), analysis.predicted, found.measured.in_int8(analysis.rows))


def _published(found: Study) -> list[Published]:
    """The paper's networks, for studies of its corpus or of its sizes."""
    settings = found.settings
    spaces = ("full", "causal", *published.FORMS)
    if not settings or not (settings.corpus.startswith("wsj0mix") or settings.space in spaces):
        return []
    networks = []
    for row in published.published("published.csv"):
        if number(row["parameters"]) and number(row["si_snri_db"]):
            name = " ".join(f"{symbol}{row[symbol]}" for symbol in "N L B H Sc X R".split())
            name += " causal" if row["causal"] else ""
            networks.append(
                Published(name, row["parameters"], row["si_snri_db"], row["macs_per_s"]))
    return networks


NamedTable = tuple[str, wording.Table, Sequence[str], wording.Titles]


def _tables(found: Study, analysis: Analysis, rows: Sequence[Row]) -> list[NamedTable]:
    """Each table with the name of its files, the columns for people, and titles of its own."""
    sexes = tables.sexes_table(analysis.rows, analysis.per_variant)
    of_devices = tables.device_columns(rows)
    titles = cost_axes.titles(filter(cost_axes.device_of, of_devices))
    made: list[NamedTable] = [
        ("front", tables.front_table(rows), (*tables.FRONT_READ, *of_devices), titles),
        ("runs", tables.runs_table(found.runs), (*tables.RUNS_READ, *of_devices), titles),
        ("sexes", sexes, sexes.columns, {}),
        ("path", analysis.path, analysis.path.columns, reduction_path.TITLES)]
    if analysis.predicted:
        foretold = predicted.table(analysis.predicted, found.reference)
        made.append(("predicted", foretold, foretold.columns, predicted.TITLES))
    of_int8 = found.measured.table(analysis.rows)
    made.append(("devices", of_int8, of_int8.columns, devices.TITLES))
    if found.form:
        beside = published.table_of(found.form, analysis.rows)
        made.append(("published", beside, beside.columns, published.titles(found.form)))
    always = ("front", "runs", "published")
    return [table for table in made if table[0] in always or table[1].rows]


def with_uncertainty(analysis: Analysis) -> list[dict[str, Any]]:
    """One row per variant, with intervals, probability of being Pareto-optimal, and p-value."""
    front = {row["trial"] for row in trials.front(analysis.rows)}
    rows = []
    for row in trials.compared(analysis.rows, trials.reference(analysis.rows)):
        trial = row["trial"]
        row |= {"on_front": trial in front, "chance": analysis.chance.get(trial)}
        difference = analysis.differences.get(trial)
        row["p"] = difference.p if difference else None
        score, loss = analysis.scores.get(trial), analysis.losses.get(trial)
        row["low_db"], row["high_db"] = score[1:] if score else (None, None)
        row["loss_low_db"], row["loss_high_db"] = loss[1:] if loss else (None, None)
        if loss:
            row["loss_db"] = loss.value
        rows.append(row)
    return rows


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def _page(
    found: Study, analysis: Analysis, rows: Sequence[Row], drawn: Mapping[str, style.Drawn]
) -> Page:
    told, form, runs = _answer(analysis), found.form, found.runs
    recommended = [pick.trial for pick in analysis.picks if pick.trial is not None]
    curves = summary.not_converged(analysis.rows, recommended)
    inherited = summary.inherited(analysis.rows, shlex.quote(found.name))
    sexes, pairs = tables.pairs_beside_each_other(analysis.rows, analysis.per_variant)
    beside = published.table_of(form, analysis.rows) if form else wording.Table((), [])
    return Page(
        study=found.name, corpus=found.corpus,
        answer=[*inherited, *filter(None, (told.smallest, told.front))],
        sure=" ".join(filter(None, (told.reference, told.uncertainty, curves, *_known(analysis)))),
        finding=analysis.finding, picks=analysis.picks,
        rows=[{**row, "letters": configuration(row, also=varied(rows))} for row in rows],
        runs=trials.compared(runs, trials.reference(analysis.rows)),
        figures=_figures(drawn, rows), sexes=sexes, beside=_readable(beside),
        titles={**pairs, **(published.titles(form) if form else {})},
        published_note=_published_note(form, found) if form else "",
        commands=again.commands(found.name, found.settings, runs, found.put_in),
        settings=_flat(found.settings.as_dict()) if found.settings else [],
        environments=found.environments,
        audio_s=sum(number(run["audio_s"]) or 0 for run in runs),
        hours=sum(number(run["seconds"]) or 0 for run in runs) / 3600,
        notes=[*found.notes, *analysis.notes], advice=analysis.advice,
        path=_readable(analysis.path), path_titles=reduction_path.TITLES,
        **_predicted(found, analysis),
        small=[*summary.small_print(runs, analysis), *devices.notes(found.measured, runs),
               *devices.to_take_home(found.name, found.runs, recommended)],
        unscored=trials.unscored(found.unscored),
        failures=[Failure(run["trial"], run["seed"], page.reason_of(run)) for run in runs
                  if run["state"] in ("failed", "stopped", "rejected")],
        clips=clips_of(found.runs, found.scores, found.checkpoints, recommended),
        devices=_readable(found.measured.table(analysis.rows)), devices_titles=devices.TITLES,
        device_columns=tables.device_columns(rows),
        axes=cost_axes.for_page([*cost_axes.KNOWN, *cost_axes.of_devices(rows)]),
        mark=captions.INHERITED if any(map(trials.inherited, rows)) else "")


def _answer(analysis: Analysis) -> summary.Answer:
    mixtures = len(analysis.per_variant.names) if analysis.per_variant.scores else 0
    return summary.answer(analysis.compared, mixtures, analysis.finding, analysis.with_seeds)


def _known(analysis: Analysis) -> list[str]:
    """How well the front is known, in a sentence."""
    return predicted.sentences(analysis.predicted)[:1] if analysis.predicted else []


def _predicted(found: Study, analysis: Analysis) -> dict[str, Any]:
    """What is said of the predicted front; nothing where there is none."""
    front = analysis.predicted
    if front is None:
        return {}
    said = [*predicted.sentences(front),
            *predicted.next_trainings(analysis.suggested, found.reference, found.name)]
    return {"predicted": _readable(predicted.table(front, found.reference)),
            "predicted_titles": predicted.TITLES, "predicted_said": said}


def _figures(drawn: Mapping[str, style.Drawn], rows: Sequence[Row]) -> list[Figure]:
    made = []
    names = figures.fronts(rows)
    of_devices = {names[axis]: ("Pareto front", f"Against {cost_axes.axis_of(axis).words}")
                  for axis in cost_axes.of_devices(rows)}
    for name, (section, title) in {**FIGURES, **of_devices}.items():
        if one := drawn.get(name):
            svg = Markup(inline(one.svg, name))
            made.append(Figure(name, section, title, svg, one.caption, one.alt))
    return made


def _readable(table: wording.Table) -> wording.Table:
    return tables.readable(table, table.columns)


def _published_note(form: published.Form, found: Study) -> str:
    trained_s = summary.trained_s(found.runs)[:1]
    audio = "".join(f", {seconds:,.0f} s of audio each" for seconds in trained_s)
    return (f"Published: {form.source}. These trainings: corpus {found.corpus}{audio}. Corpus and "
            "training budget differ, so only the order and the size of differences can be "
            "compared, not the figures themselves.")


def inline(svg: str, name: str) -> str:
    """A figure's SVG as part of a page: as wide as the page allows, in the page's own colours.

    Ids get the figure's name in front, since two figures share a page. Colours become style
    variables, so that they follow light and dark.
    """
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-alt"', 1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, code in style.COLOURS.items():
        svg = re.sub(code, f"var(--{colour})", svg, flags=re.IGNORECASE)
    return svg


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of name and value, so that a new setting needs no line here."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        elif value is None:
            lines.append((f"{prefix}{name}", "no limit" if prefix == "budget." else "–"))
        else:
            several = isinstance(value, list | tuple)
            text = ", ".join(map(str, value)) if several else str(value)
            lines.append((f"{prefix}{name}", text or "–"))
    return lines


# ── files ────────────────────────────────────────────────────────────────────────────────────────


def _utf8(text: str) -> bytes:
    """As a file: characters that UTF-8 cannot encode become escapes."""
    return text.encode("utf-8", "backslashreplace")


def write_file(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, lambda file: file.write(content), lasting=False)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path}: cannot be written ({error.strerror}); choose another folder with --out")
