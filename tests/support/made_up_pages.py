"""Made-up pages: the rows of `fakes` with everything a page may hold."""

import io
import wave

import numpy as np
from markupsafe import Markup

from study.analysis import trials, wording
from study.analysis.recommendations import Recommendation
from study.analysis.replicates import number, per_trial
from study.report.page import Clip, Failure, Figure, Output, Page, Sound
from study.space.searched import configuration
from tasnet_core.records import LETTERS
from tests.support import fakes

EVIL = "</script><script>alert(1)</script>'\"&\u2028<!--"
SVG = '<svg role="img" aria-labelledby="{0}-alt" viewBox="0 0 10 4"><path d="M0 4L10 0" style="stroke: var(--blue)"/></svg>'


def tone(hz, seconds=1.0, rate=8000):
    """A sine as a WAV."""
    samples = 8000 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(samples.astype("<i2").tobytes())
    return Sound("audio/wav", file.getvalue())


def variants(runs):
    """Rows as a report makes them, with intervals and chances that follow from nothing."""
    means, kept = per_trial(runs), {row["trial"] for row in trials.front(per_trial(runs))}
    rows = []
    for row in trials.compared(means, trials.reference(means)):
        score, loss, on_front = number(row["si_snri_db"]), row["loss_db"], row["trial"] in kept
        rows.append({**row, "letters": configuration(row), "on_front": on_front,
                     "low_db": score and score - 0.3, "high_db": score and score + 0.3,
                     "loss_low_db": loss and loss - 0.2, "loss_high_db": loss and loss + 0.2,
                     "chance": None if score is None else 0.62 if on_front else 0.003,
                     "p": 10.0 ** -row["trial"] if on_front else None})
    return rows


def page(count=40, seed=3, replicated=True, **changes):
    """A page of a study of so many trials."""
    runs, _, _ = (fakes.confirmed if replicated else fakes.study)(count, seed)
    return page_of(runs, **changes)


def page_of(runs, **changes):
    rows = variants(runs)
    told = trials.compared(runs, next((row for row in rows if row["trial"] == 0), None))
    best = [row for row in rows if row["on_front"]][:3]
    return Page(**{
        "study": "fake", "corpus": "voices", "sure": "Each variant was trained once.", "rows": rows, "runs": told,
        "answer": ["Of 30 variants measured, 9 are Pareto-optimal.", "The smallest within 0.5 dB of the reference is H64."],
        "picks": [Recommendation(f"Within {i} dB", f"The smallest: trial {row['trial']} ({row['name']}), −0.20 dB.",
                                 row["trial"], 0.87)
                  for i, row in enumerate(best)],
        "sexes": wording.Table(("trial", "name", "FM_db"), [[0, "reference", 7.0]]), "beside": wording.Table((), []),
        "titles": {},
        "figures": [Figure(name, section, name.title(), Markup(SVG.format(name)), f"What {name} shows.", f"The {name}.")
                    for name, section in (("front_parameters", "Front"), ("mixtures", "Test mixtures"), ("curves", "Learning"))],
        "failures": [Failure(run["trial"], run["seed"], run["reason"]) for run in runs if run["state"] == "failed"],
        "notes": ["test speakers also occur in training"], "advice": ["Lower H first: 128 → 64 takes 1.6× fewer MACs."],
        "small": ["MACs are multiply-accumulates."], "commands": ["python -m study run", "python -m study report"],
        "settings": [("corpus", "voices")], "environments": [{"machine": "x86_64, 2 cores", "commit": None}],
        "audio_s": 3200.0, "hours": 1.5,
        "clips": [Clip("test/004: a + b (FM)", tone(300), [tone(400), tone(500)],
                       [Output("reference", 0, 6.81, [tone(410), tone(510)])])],
        **changes})


def many(count=10_000, seed=0):
    """The runs of a large study, without epochs or mixtures."""
    rng = np.random.default_rng(seed)
    runs = []
    for trial in range(count):
        letters = {letter: int(rng.choice(values)) for letter, values in fakes.CHOICES.items()} if trial else {}
        one = fakes.row(trial, **letters)
        one |= fakes.costs(one)
        score = 7.3 - 1.5 * np.log10(340_000 / one["parameters"]) - 0.2 / one["receptive_field_s"] ** 0.5 + rng.normal(0, 0.25)
        measured = {name: float(score + more) for name, more in (("si_snri_db", 0), ("si_snr_db", 0.02), ("sdri_db", 0.4))}
        if trial and rng.random() < 0.1:
            measured = {"state": "failed", "kind": "diverged", "reason": f"loss not finite in epoch {rng.integers(1, 9)}",
                        "si_snri_db": None, "si_snr_db": None, "sdri_db": None}
        runs.append({**one, **measured, "stoi": 0.8 + 0.01 * float(score), "pesq": 2.0 + 0.1 * float(score),
                     "realtime_factor": 0.01 + one["macs_per_s"] / 3e10 * float(rng.uniform(0.9, 1.1)),
                     "peak_memory_bytes": 4 * one["parameters"] + 10_000_000, "seconds": float(rng.uniform(60, 260)),
                     **{letter: one[letter] for letter in LETTERS}})
    return runs
