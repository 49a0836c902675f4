"""The report of a study: one page, its figures and its tables, from rows alone. No model is ever loaded.

Everything is made in memory first; then each file appears whole or not at all, and nothing else is touched.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from study import answer, database, figures, ink, published, tables
from study.records import OBJECTIVE_WORDS, TRAINED, Settings
from study.replicates import Row, number, per_mixture, per_trial
from tasnet_core.errors import UserError, counted

WAY_OUT = "python -m study run --trials 6"


class Study(NamedTuple):
    """Everything the database knows of one study."""

    name: str
    settings: Settings | None  # None: made by something else than `run`
    notes: list[str]
    runs: list[dict[str, Any]]  # of the view `results`, and beside its columns the kind of a failure, the segments of an epoch
    epochs: list[dict[str, Any]]
    mixtures: list[dict[str, Any]]
    environments: list[dict[str, Any]]

    @property
    def variants(self) -> list[dict[str, Any]]:
        """One row per variant: the mean over its seeds."""
        return per_trial(self.runs)

    @property
    def heard(self) -> list[dict[str, Any]]:
        """One row per variant and test mixture, likewise."""
        return per_mixture(self.runs, self.mixtures)


def write_report(url: str, study: str | None, out: Path) -> Path:
    """Write index.html, figures/ and tables/ under `out`; the newest study where none is named.

    Raises:
        UserError: when the database cannot be read, the study is unknown or has no finished run,
            or `out` cannot be written; nothing has been written then, unless the disk filled up meanwhile.
    """
    found, out = _read(url, study), Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    drawn = figures.draw_all(found.runs, found.epochs, found.mixtures)
    files: dict[str, bytes] = {}
    for name, figure in drawn.items():
        files[f"figures/{name}.svg"] = figure.svg.encode()
        files[f"figures/{name}.png"] = figure.png
    for name, table, read, titles in _tables(found):
        files[f"tables/{name}.csv"] = tables.as_csv(table).encode()
        files[f"tables/{name}.md"] = tables.as_markdown(tables.readable(table, read), titles).encode()
        files[f"tables/{name}.tex"] = tables.as_tex(tables.readable(table, read), titles).encode()
    files["index.html"] = page(found, drawn).encode()  # last: it is there when all it speaks of is
    for name, content in files.items():
        _write(out / name, content)
    return out / "index.html"


def _tables(found: Study) -> list[tuple[str, tables.Table, Sequence[str], tables.Titles]]:
    """Each table with the name of its files, the columns people see of it, and titles of its own."""
    made: list[tuple[str, tables.Table, Sequence[str], tables.Titles]] = [
        ("front", tables.front_table(found.variants), tables.FRONT_READ, {}),
        ("runs", tables.runs_table(found.runs), tables.RUNS_READ, {})]
    sexes = tables.sexes_table(found.variants, found.heard)
    if sexes.rows:
        made.append(("sexes", sexes, sexes.columns, {}))
    if form := _form(found):
        beside = published.table_of(form, found.variants)
        made.append(("published", beside, beside.columns, published.titles(form)))
    return made


def _form(found: Study) -> published.Form | None:
    return published.form_of(found.settings.space) if found.settings else None


def _read(url: str, name: str | None) -> Study:
    with database.open_database(url) as db:
        known = db.studies()
        if not known:
            raise UserError(f"{url}: holds no study yet; make one with: {WAY_OUT}")
        if name is not None and name not in known:
            raise UserError(f"study {name!r}: not in this database, which holds {', '.join(known)}; "
                            f"name one of them, or make it with: {WAY_OUT} --study {shlex.quote(name)}")
        chosen = known[-1] if name is None else name
        kept = {(run["trial"], run["seed"]): run for run in db.runs(chosen)}
        runs = [{**row, **{name: kept[row["trial"], row["seed"]][name] for name in ("kind", "epoch_segments")}}
                for row in db.results(chosen)]
        if not tables.finished(runs):
            raise UserError(f"study {chosen!r}: no finished run among {len(runs)}, nothing to report yet; "
                            f"go on with: {WAY_OUT} --study {shlex.quote(chosen)}")
        notes = list(db.notes(chosen))
        if name is None and len(known) > 1:
            notes.append(f"The database holds {len(known)} studies and none was named: this is the newest, "
                         f"{chosen}. Others, by --study: {', '.join(known[:-1])}.")
        return Study(chosen, db.settings(chosen), notes, runs, db.epochs(chosen), db.mixtures(chosen),
                     db.environments(chosen))


def page(found: Study, drawn: Mapping[str, figures.Drawn]) -> str:
    """The whole report as one file of HTML that asks for nothing else."""
    rows, runs, heard = found.variants, found.runs, found.heard
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cell": tables.cell, "db": tables.decibels, "si": tables.engineering, "counted": counted}
    states = [run["state"] for run in runs]
    sexes, pairs = tables.pairs_beside_each_other(rows, heard)
    form = _form(found)
    return environment.get_template("template.html").render(
        study=found.name, notes=found.notes, answer=answer.answer(rows, _test_mixtures(found.mixtures)),
        rate_khz=f"{answer.sample_rate_hz(rows) / 1000:g}",
        titles={**tables.TITLES, **pairs, **(published.titles(form) if form else {})},
        front=tables.readable(tables.front_table(rows), tables.FRONT_READ),
        runs=tables.readable(tables.runs_table(runs), tables.RUNS_READ), stopped=answer.stopped(runs),
        corpus=found.settings.corpus if found.settings else "unknown",
        measured=any(number(row.get(name)) is not None for row in rows for name in ("sdri_db", "stoi", "pesq")),
        sexes=sexes, unscored=tables.unscored(found.mixtures), form=form,
        beside=_all_readable(published.table_of(form, rows)) if form else None,
        letters={row["trial"]: tables.letters(row) for row in rows},
        figures={name: Markup(inline(figure.svg, name)) for name, figure in drawn.items()},
        drawn=drawn, replicated=any(row["seeds"] > 1 for row in rows),
        ended=any(curve.ended for panel in drawn["curves"].data.panels for curve in panel.curves),
        states=", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)),
        command=command(found), quoted=shlex.quote(found.name), environments=found.environments,
        trained=sorted({row["audio_s"] for row in tables.finished(runs) if number(row["audio_s"])}),
        settings=_flat(found.settings.as_dict()) if found.settings else [],
        audio_s=sum(number(run["audio_s"]) or 0 for run in runs),
        hours=sum(number(run["seconds"]) or 0 for run in runs) / 3600)


def command(found: Study) -> str:
    """What to type to make this study again."""
    settings = found.settings or Settings()
    recipe, budget = settings.recipe, settings.budget
    words = {column: word for word, column in OBJECTIVE_WORDS.items()}
    stop = "off" if settings.stop is None else settings.stop.margin_db
    options: dict[str, Any] = {
        "trials": len({run["trial"] for run in found.runs if run["state"] in TRAINED}), "study": found.name,
        "corpus": settings.corpus, "space": settings.space,
        "sampler": None if settings.sampler == Settings().sampler else settings.sampler,
        "objectives": None if settings.objectives == Settings().objectives else
        ",".join(words[column] for column in settings.objectives),
        "tune": ",".join(settings.tune) or None, "stop-margin": stop,
        "threads": None if settings.threads == Settings().threads else settings.threads,
        "epochs": recipe.epochs, "epoch-segments": recipe.epoch_segments, "segment-s": recipe.segment_s,
        "batch-size": recipe.batch_size, "seed": recipe.seed,
        "max-parameters": budget.max_parameters, "max-macs": budget.max_macs_per_s,
        "metrics": None if settings.metrics == Settings().metrics else ",".join(settings.metrics)}
    given = [f"--{name} {shlex.quote(str(value))}" for name, value in options.items() if value is not None]
    return " ".join(["python -m study run", *given])


def inline(svg: str, name: str) -> str:
    """A figure's SVG as part of a page: as wide as the page allows, in the page's own colours.

    Ids get the figure's name in front, since two figures share a page. Colours become style variables,
    so that the ink follows light and dark.
    """
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    for side in ("width", "height"):
        svg = re.sub(rf'(<svg[^>]*?) {side}="[^"]*"', r"\1", svg, count=1)
    svg = svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-alt"', 1)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, code in ink.COLOURS.items():
        svg = re.sub(code, f"var(--{colour})", svg, flags=re.IGNORECASE)
    return svg


def _all_readable(table: tables.Table) -> tables.Table:
    return tables.readable(table, table.columns)


def _test_mixtures(mixtures: Sequence[Row]) -> int:
    return len({row["mixture"] for row in mixtures if number(row["si_snri_db"]) is not None})


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of name and value, so that a new setting needs no line here."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            lines.append((f"{prefix}{name}", "no limit" if value is None else text))
    return lines


def _write(path: Path, content: bytes) -> None:
    """Write aside and rename, so that a reader sees the old file or the new one, whole."""
    scratch = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(content)
            os.replace(scratch, path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be written ({error.strerror}); choose another folder with --out")
