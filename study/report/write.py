"""The report of a study: one page, its figures and its tables, from rows alone. No model is ever loaded.

Everything is made in memory first; then each file appears whole or not at all, and nothing else is touched.
"""

import re
import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from study.analysis import reduction_path, trials, wording
from study.analysis.analyse import Analysis, analyse
from study.analysis.mixture_scores import Mixtures
from study.analysis.recommendations import Pick
from study.analysis.replicates import EXPECTED, SCORE, Row, number, per_trial
from study.database import store
from study.records import Settings
from study.report import again, page, published, tables
from study.report import summary as answer
from study.report.figures import all as figures
from study.report.figures import captions, style
from study.report.figures.front import Published
from study.report.page import Clip, Failure, Figure, Output, Page, Sound
from study.space.searched import configuration, value_of, varied
from tasnet_core.errors import UserError, counted
from tasnet_core.files import write_atomically
from tasnet_core.inference import example_files
from tasnet_core.records import Variant

WAY_OUT = "python -m study run --trials 6"
HEARD_AT_MOST = 5       # variants beside the reference that can be listened to
FORECAST = (
    f"{trials.RISING} and 'twice the sound' come from a power law fitted to each run's validation curve before the decay. They "
    "assume that test scores gain as much and that the decay lifts a longer training alike; their intervals hold neither the "
    "chance of seeds nor of test mixtures. The longer trainings known to us gained a little more than forecast.")
# Section and title of each figure, in their order on the page.
FIGURES = {
    "front_parameters": ("What nothing beats", "Against parameters"), "front_macs": ("What nothing beats", "Against MACs"),
    "front_realtime": ("What nothing beats", "Against speed"), "front_memory": ("What nothing beats", "Against memory"),
    "effects": ("Letter by letter", "What each letter does"), "letters": ("Letter by letter", "Scores by letter"),
    "interaction": ("Letter by letter", "X and R together"), "importance": ("Letter by letter", "Which letters matter"),
    "parallel": ("Letter by letter", "All variants at once"),
    "mixtures": ("Mixture by mixture", "Every test mixture"), "sexes": ("Mixture by mixture", "By the sexes of the speakers"),
    "conditions": ("Mixture by mixture", "What makes a mixture hard"),
    "curves": ("How they learned", "Learning curves"), "hypervolume": ("How they learned", "How the front grew")}


class Study(NamedTuple):
    """Everything the database knows of one study."""

    name: str
    settings: Settings | None  # None: made by something else than `run`
    notes: list[str]
    runs: list[dict[str, Any]]  # of the view `results`, and beside its columns the kind of a failure, the segments of an epoch
    epochs: list[dict[str, Any]]
    heard: Mixtures  # owners are (trial, seed)
    unscored: list[dict[str, Any]]  # test mixtures that lack a score, with the cause
    environments: list[dict[str, Any]]
    reference: Variant | None
    point: dict[str, float] | None  # where hypervolumes are measured from
    checkpoints: Path  # the folder they lie in
    put_in: Collection[int] = ()  # trials that were enqueued

    @property
    def variants(self) -> list[dict[str, Any]]:
        """One row per variant: the mean over its seeds."""
        return per_trial(self.runs)


def write_report(url: str, study: str | None, out: Path, limits: Sequence[Mapping[str, float]] = ()) -> Path:
    """Write index.html, figures/ and tables/ under `out`; the newest study where none is named. `limits` are those
    of `picks.picks`.

    Raises:
        UserError: when the database cannot be read, the study is unknown or has no finished run,
            or `out` cannot be written; nothing has been written then, unless the disk filled up meanwhile.
    """
    found, out = _read(url, study), Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error
    worked_out = analyse(found.runs, found.heard, found.reference, found.point, limits)
    drawn = figures.draw_all(_material(found, worked_out))
    files: dict[str, bytes] = {}
    for name, figure in drawn.items():
        files[f"figures/{name}.svg"] = figure.svg.encode()
        files[f"figures/{name}.png"] = figure.png
    for name, table, read, titles in _tables(found, worked_out):
        files[f"tables/{name}.csv"] = _utf8(tables.as_csv(table))
        files[f"tables/{name}.md"] = _utf8(tables.as_markdown(tables.readable(table, read), titles))
        files[f"tables/{name}.tex"] = _utf8(tables.as_tex(tables.readable(table, read), titles))
    files["index.html"] = _utf8(page.render(_page(found, worked_out, drawn)))  # last: it is there when all it speaks of is
    for name, content in files.items():
        _write(out / name, content)
    return out / "index.html"


def summary(url: str, study: str | None) -> list[str]:
    """What a report says first, in sentences.

    Raises:
        UserError: as `write_report`.
    """
    found = _read(url, study)
    worked_out = analyse(found.runs, found.heard, found.reference, found.point)
    return [*filter(None, _told(worked_out)), *(pick.sentence for pick in worked_out.picks), *worked_out.notes]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────


def _read(url: str, name: str | None) -> Study:
    with store.open_database(url) as db, db.snapshot():
        known = db.studies()
        if not known:
            raise UserError(f"{url}: holds no study yet; make one with: {WAY_OUT}")
        if name is not None and name not in known:
            raise UserError(f"study {name!r}: not in this database, which holds {', '.join(known)}; "
                            f"name one of them, or make it with: {WAY_OUT} --study {shlex.quote(name)}")
        chosen = known[-1] if name is None else name
        kept = {(run["trial"], run["seed"]): run for run in db.runs(chosen)}
        runs = [{**row, **{name: kept[row["trial"], row["seed"]][name] for name in ("kind", "epoch_segments", "checkpoint")}}
                for row in db.results(chosen)]
        if not trials.finished(runs):
            raise UserError(f"study {chosen!r}: no finished run among {len(runs)}, nothing to report yet; "
                            f"go on with: {WAY_OUT} --study {shlex.quote(chosen)}")
        notes = list(db.notes(chosen))
        if name is None and len(known) > 1:
            notes.append(f"The database holds {len(known)} studies and none was named: this is the newest, "
                         f"{chosen}. Others, by --study: {', '.join(known[:-1])}.")
        base = trials.reference(runs)
        return Study(chosen, db.settings(chosen), notes, runs, db.epochs(chosen), db.heard(chosen), db.unscored(chosen),
                     db.environments(chosen), db.variant(base["variant"]) if base else None, db.hypervolume_point(chosen),
                     db.checkpoints(chosen), db.put_in(chosen))


# ── figures and tables ───────────────────────────────────────────────────────────────────────────


def _material(found: Study, worked_out: Analysis) -> figures.Material:
    return figures.Material(
        worked_out.runs, found.epochs, worked_out.tested, worked_out.effects, worked_out.interaction, worked_out.importance,
        worked_out.scores, worked_out.chance, worked_out.progress, _published(found))


def _published(found: Study) -> list[Published]:
    """The paper's networks, for studies of its corpus or of its sizes."""
    settings = found.settings
    if not settings or not (settings.corpus.startswith("wsj0mix") or settings.space in ("full", "causal", *published.FORMS)):
        return []
    return [Published(" ".join(f"{letter}{row[letter]}" for letter in ("N", "L", "B", "H", "Sc", "X", "R"))
                      + (" causal" if row["causal"] else ""), row["parameters"], row["si_snri_db"], row["macs_per_s"])
            for row in published.published("published.csv") if number(row["parameters"]) and number(row["si_snri_db"])]


def _tables(found: Study, worked_out: Analysis) -> list[tuple[str, wording.Table, Sequence[str], wording.Titles]]:
    """Each table with the name of its files, the columns people see of it, and titles of its own."""
    front = tables.front_table(with_certainty(worked_out))
    made: list[tuple[str, wording.Table, Sequence[str], wording.Titles]] = [
        ("front", front, tables.FRONT_READ, {}), ("runs", tables.runs_table(found.runs), tables.RUNS_READ, {})]
    sexes = tables.sexes_table(worked_out.rows, worked_out.heard)
    if sexes.rows:
        made.append(("sexes", sexes, sexes.columns, {}))
    if worked_out.path.rows:
        made.append(("path", worked_out.path, worked_out.path.columns, reduction_path.TITLES))
    if form := _form(found):
        beside = published.table_of(form, worked_out.rows)
        made.append(("published", beside, beside.columns, published.titles(form)))
    return made


def with_certainty(worked_out: Analysis) -> list[dict[str, Any]]:
    """One row per variant, with its intervals, its chance of being on the front, and the corrected p-value of its loss."""
    front = {row["trial"] for row in trials.front(worked_out.rows)}
    rows = []
    for row in trials.compared(worked_out.rows, trials.reference(worked_out.rows)):
        trial = row["trial"]
        score, loss = worked_out.scores.get(trial), worked_out.losses.get(trial)
        difference = worked_out.differences.get(trial)
        rows.append({**row, "on_front": trial in front, "chance": worked_out.chance.get(trial),
                     "low_db": score.low if score else None, "high_db": score.high if score else None,
                     "loss_db": loss.value if loss else row["loss_db"],
                     "loss_low_db": loss.low if loss else None, "loss_high_db": loss.high if loss else None,
                     "p": difference.p if difference else None})
    return rows


def _form(found: Study) -> published.Form | None:
    return published.form_of(found.settings.space) if found.settings else None


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def _page(found: Study, worked_out: Analysis, drawn: Mapping[str, style.Drawn]) -> Page:
    rows, runs, form = with_certainty(worked_out), found.runs, _form(found)
    told, why = _told(worked_out), worked_out.finding
    outlook = answer.still_rising(worked_out.rows, [pick.trial for pick in worked_out.picks if pick.trial is not None])
    sexes, pairs = tables.pairs_beside_each_other(worked_out.rows, worked_out.heard)
    return Page(
        study=found.name, corpus=found.settings.corpus if found.settings else "unknown",
        answer=[*answer.inherited(worked_out.rows, shlex.quote(found.name)), *told[bool(why):2]],
        sure=" ".join(filter(None, (told[2], outlook))),
        finding=worked_out.finding, picks=worked_out.picks,
        rows=[{**row, "letters": configuration(row, also=varied(rows))} for row in rows],
        runs=trials.compared(runs, trials.reference(worked_out.rows)),
        figures=[Figure(name, section, title, Markup(inline(drawn[name].svg, name)), drawn[name].caption, drawn[name].alt)
                 for name, (section, title) in FIGURES.items() if name in drawn],
        sexes=sexes,
        beside=_all_readable(published.table_of(form, worked_out.rows)) if form else wording.Table((), []),
        titles={**pairs, **(published.titles(form) if form else {})},
        published_note=_published_note(form, found) if form else "",
        commands=again.commands(found.name, found.settings, found.runs, found.put_in),
        settings=_flat(found.settings.as_dict()) if found.settings else [], environments=found.environments,
        audio_s=sum(number(run["audio_s"]) or 0 for run in runs),
        hours=sum(number(run["seconds"]) or 0 for run in runs) / 3600,
        notes=[*found.notes, *worked_out.notes], advice=worked_out.advice, path=_all_readable(worked_out.path),
        path_titles=reduction_path.TITLES, small=_small_print(found, worked_out), unscored=trials.unscored(found.unscored),
        failures=[Failure(run["trial"], run["seed"], ": ".join(filter(None, (run["kind"], run["reason"]))))
                  for run in runs if run["state"] in ("failed", "stopped", "rejected")],
        clips=_clips(found, worked_out.picks), mark=captions.INHERITED if any(map(trials.inherited, rows)) else "")


def _told(worked_out: Analysis) -> list[str]:
    return answer.answer(worked_out.rows, _test_mixtures(worked_out.heard), worked_out.finding)


def _published_note(form: published.Form, found: Study) -> str:
    corpus = found.settings.corpus if found.settings else "unknown"
    sound = "".join(f", {seconds:,.0f} s of sound each" for seconds in _trained_s(found.runs)[:1])
    return (f"Published: {form.source}. These trainings: corpus {corpus}{sound}. Corpus and training budget differ, so "
            "only the order and the size of differences can be compared, not the figures themselves.")


def _trained_s(runs: Sequence[Row]) -> list[float]:
    """The amounts of sound that finished runs were trained on."""
    return sorted({run["audio_s"] for run in trials.finished(runs) if number(run["audio_s"])})


def _small_print(found: Study, worked_out: Analysis) -> list[str]:
    """What the figures are, and what they rest on."""
    rows, trained = worked_out.rows, _trained_s(found.runs)
    measured = any(number(row.get(name)) is not None for row in rows for name in ("sdri_db", "stoi", "pesq"))
    seeds = " and over the seeds a variant was trained with" if any(row["seeds"] > 1 for row in rows) else ""
    rate_hz = value_of(rows[0], "sample_rate_hz")
    said = [
        f"MACs are multiply-accumulates for one second of sound at {rate_hz / 1000:g} kHz. SI-SNRi is the "
        "improvement in scale-invariant signal-to-noise ratio over the mixture, in dB, averaged over the test set"
        f"{seeds}; higher is better.",
        FORECAST if any(number(row.get(EXPECTED)) is not None for row in rows) else "",
        "SDRi is the same with the signal-to-distortion ratio of BSS Eval v3 (512 taps), STOI the short-time objective "
        "intelligibility, PESQ the estimated listening quality; each is a mean over the test mixtures that have it."
        if measured else "",
        f"Every finished run was trained on the same {trained[0]:,.0f} s of sound." if len(trained) == 1 else
        f"The finished runs were trained on different amounts of sound, {trained[0]:,.0f} to {trained[-1]:,.0f} s: compare "
        "with care." if trained else "",
        _states(found.runs), answer.stopped(found.runs), answer.intervals(worked_out.repeated)]
    return [line for line in said if line]


def _states(runs: Sequence[Row]) -> str:
    states = Counter(run["state"] for run in runs)
    return f"{counted(len(runs), 'run')}: {', '.join(f'{number} {state}' for state, number in states.items())}."


def _clips(found: Study, picked: Sequence[Pick]) -> list[Clip]:
    """What can be listened to: the reference and the picks, of each the run with the lowest seed that has its sounds."""
    heard = list(dict.fromkeys([0, *(pick.trial for pick in picked if pick.trial is not None)]))[:HEARD_AT_MOST + 1]
    names = trials.names(found.variants)
    runs = {(run["trial"], run["seed"]): run["checkpoint"] for run in found.runs if run["trial"] in heard}
    made = []
    for kept in example_files.kept(found.checkpoints, runs):
        first = {trial: min((run for run in kept.outputs if run[0] == trial), default=None) for trial in heard}
        outputs = [Output(f"trial {trial}: {names[trial]}", trial, _score_of(found.heard, run, kept.id),
                          [_as_sound(clip) for clip in kept.outputs[run]]) for trial, run in first.items() if run]
        people = ", ".join(f"{name} ({sex})" if sex in ("F", "M") else name
                           for name, sex in zip(kept.speakers, kept.sexes, strict=True))
        if outputs:
            made.append(Clip(f"{kept.id}: {people}", _as_sound(kept.mixture), list(map(_as_sound, kept.truths)), outputs))
    return made


def _score_of(heard: Mixtures, run: tuple[int, int], mixture: str) -> float | None:
    return number(float(heard.of(run, SCORE)[heard.names.index(mixture)])) if mixture in heard.names else None


def _as_sound(clip: example_files.Clip) -> Sound:
    return Sound(clip.mime, clip.content)


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
    for colour, code in style.COLOURS.items():
        svg = re.sub(code, f"var(--{colour})", svg, flags=re.IGNORECASE)
    return svg


def _all_readable(table: wording.Table) -> wording.Table:
    return tables.readable(table, table.columns)


def _test_mixtures(heard: Mixtures) -> int:
    return len(heard.names) if heard.scores else 0


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of name and value, so that a new setting needs no line here."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            nothing = "no limit" if prefix == "budget." else "–"
            lines.append((f"{prefix}{name}", nothing if value is None else text))
    return lines


def _utf8(text: str) -> bytes:
    """As a file: what a name holds that is no text in UTF-8 becomes an escape."""
    return text.encode("utf-8", "backslashreplace")


def _write(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, lambda file: file.write(content), lasting=False)
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be written ({error.strerror}); choose another folder with --out")
