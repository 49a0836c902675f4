"""One network of a study with everything that whoever runs it needs: weights, ONNX, card, examples.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import SCORE
from study.analysis.uncertainty import Uncertainty
from study.analysis.wording import decibels
from study.devices.bundle import model_of, program, stream_of, written
from study.records import Estimate
from tasnet_core import audio
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.checkpoints.onnx_file import ONNX, STREAM
from tasnet_core.checkpoints.safetensors_file import save_hub
from tasnet_core.corpora.registry import Corpus
from tasnet_core.errors import UserError
from tasnet_core.evaluation.metrics import estimates_of
from tasnet_core.inference import int8_export
from tasnet_core.inference.separate import levelled
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import LETTERS, Recipe, Variant

EXAMPLES = 5
BEGUN = {   # by `Recipe.init`, how its training began
    "scratch": "",
    "teacher": "It was trained together with its sub-networks.\n\n",
    "inherit": "It began as a part of a larger network.\n\n",
    "given": "It was given as the reference of a study, and is taken as it was.\n\n",
    "adapted": "It was given as the reference of a study, and trained on with its parts.\n\n"}

Row = Mapping[str, Any]


class Taken(NamedTuple):
    """A training that is handed on, and what is known of it."""

    study: str
    corpus: str
    trial: int
    seed: int
    variant: Variant
    recipe: Recipe
    checkpoint: Path
    audio_s: float                  # trained on
    scores: Mapping[str, float | None]      # means over the test mixtures
    mixtures: Sequence[Row]         # scores of each
    costs: Mapping[str, Any]        # by column
    devices: Sequence[Row]          # the newest measurement of each


def interval(taken: Taken) -> Estimate | None:
    """The 95 % interval of this very network's SI-SNRi, for new speakers; None where they are too
    few."""
    run = {"trial": taken.trial, "seed": taken.seed, "state": "complete",
           SCORE: taken.scores[SCORE]}
    rows = [{**one, "trial": taken.trial, "seed": taken.seed} for one in taken.mixtures]
    if not rows:
        return None
    tested = from_rows(rows).per_trial([run])
    return Uncertainty(tested, {taken.trial: 1}, None).scores([taken.trial]).get(taken.trial)


def write_taken(taken: Taken, corpus: Corpus, out: Path,
                say: Callable[[str], None] = print) -> list[Path]:
    """Write everything into a folder that holds nothing yet; the files. `say` gets what int8 costs.

    Raises:
        UserError: a package is not installed, or the folder cannot be written.
    """
    network = load(taken.checkpoint).eval()
    files = {ONNX: model_of(network)}
    in_int8 = int8_export.paying(network, corpus)
    say(f"in int8: {int8_export.in_words(in_int8) if in_int8 else 'does not pay, not written'}")
    if in_int8:
        files[int8_export.INT8] = in_int8.model
    if network.variant.causal:
        files[STREAM] = stream_of(network)
    files |= {"run.py": program("run.py"),
              "README.md": card(taken, interval(taken), in_int8).encode()}
    paths = [*save_hub(network, out), *written(out, files)]
    for number, index in enumerate(spread(corpus.count("test")), 1):
        paths += _example(network, corpus, index, out / "examples" / f"{number}")
    return paths


def spread(count: int) -> list[int]:
    """The middles of five equal parts of so many test mixtures."""
    return sorted({(2 * part + 1) * count // (2 * EXAMPLES) for part in range(EXAMPLES)
                   if count})


def _example(network: ConvTasNet, corpus: Corpus, index: int, folder: Path) -> list[Path]:
    mixture = corpus.mixture("test", index)
    signal = mixture.mixture[:mixture.length]
    estimates = estimates_of(network, mixture)[:, :mixture.length]
    peak = max(1.0, float(abs(signal).max()))
    sounds = {"mixture": signal / peak, **{
        f"speaker-{place}": one
        for place, one in enumerate(levelled(signal / peak, estimates), 1)}}
    try:
        for name, samples in sounds.items():
            audio.write(folder / f"{name}.wav", samples, network.variant.sample_rate_hz)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror or error}); "
                        "choose another folder with --out") from error
    return [folder / f"{name}.wav" for name in sounds]


# ── the card ──────────────────────────────────────────────────────────────────────────────────────


def card(taken: Taken, sure: Estimate | None, in_int8: int8_export.Paying | None = None) -> str:
    """README.md as model hubs show it."""
    letters = " ".join(f"{name}{getattr(taken.variant, name)}" for name in LETTERS)
    others = [f"`{name}={value}`" for name, value in asdict(taken.variant).items()
              if name not in LETTERS and value != ""]
    score = taken.scores[SCORE]
    known = f" [{decibels(sure.low)}, {decibels(sure.high)}]" if sure else ""
    corpus = corpus_name(taken.corpus)
    return f"""\
---
license: unknown
library_name: onnx
pipeline_tag: audio-to-audio
tags: [speech-separation, conv-tasnet]
---

# Conv-TasNet {letters}

Separates {taken.variant.C} people who talk at once, at {taken.variant.sample_rate_hz:,} Hz. It is
trial {taken.trial}, seed {taken.seed}, of study `{taken.study}`.

`license` above is not filled in. Choose one before you publish this network; the recordings that
it was trained on have licences, too.

## How to run it

    pip install numpy onnxruntime
    python run.py recording.wav

`model.onnx` takes `mixture` [batch, samples] and returns `signals` [batch, speakers, samples], any
batch and length{_streaming(taken)}. `model.safetensors` with `config.json` is the same network for
`tasnet_core.load`. `examples/` has {EXAMPLES} test mixtures, each with its separated speakers.

## Scores

Means over the {len(taken.mixtures)} test mixtures of `{corpus}`, of this very network; the
95 % interval is for new speakers of the same kind.

| metric | value |
|---|---|
| SI-SNRi | {decibels(score) if score is not None else "-"} dB{known} |
{_lines(_other_scores(taken))}
## Costs

| cost | value |
|---|---|
{_lines(_costs(taken))}{_int8(in_int8)}
## Training

{BEGUN[taken.recipe.init]}{_trained(taken, corpus)}

## Hyperparameters

In the letters of arXiv 1809.07454, Table I: `{letters}`. Also {', '.join(others)}.
"""


def corpus_name(spec: str) -> str:
    """A corpus without a path of this machine, nor options that have some."""
    kind, _, path = spec.partition("?")[0].partition(":")
    return f"{kind}:{Path(path).name}" if path else kind


def _trained(taken: Taken, corpus: str) -> str:
    recipe = taken.recipe
    if not recipe.epochs:
        return f"It was not trained on `{corpus}`."
    return f"""\
{taken.audio_s:,.0f} s of audio of `{corpus}`: {recipe.epochs} epochs of {recipe.epoch_segments}
segments of {recipe.segment_s:g} s, batch {recipe.batch_size}, rate {recipe.learning_rate:g},
schedule {recipe.schedule}, {recipe.optimizer.capitalize()}, {recipe.precision}. The seed was chosen
on the validation mixtures; no choice was made on the test set."""


def _int8(made: int8_export.Paying | None) -> str:
    """What the network in int8 loses and gains; nothing where it is not there."""
    if made is None:
        return ""
    found, whole = made.found, made.whole
    what = {int8_export.WEIGHTS: "weights", int8_export.ALL: "weights and activations"}
    rows = [("bytes", f"{whole.bytes:,}", f"{found.bytes:,}"),
            ("SI-SNRi", f"{decibels(whole.si_snri_db)} dB", f"{decibels(found.si_snri_db)} dB"),
            ("real-time factor, one thread", *(f"{one.realtime_factor:.4f}"
                                               for one in (whole, found)))]
    lines = "".join(f"| {name} | {own} | {its} |\n" for name, own, its in rows)
    return f"""
## In int8

`{int8_export.INT8}` is the same network in int8 ({what[found.kind]}), with the
same inputs and outputs: `python run.py recording.wav --model {int8_export.INT8}`.
On the same test mixtures it loses
{found.loss_db:.3f} ± {found.interval_db:.3f} dB; speed was measured where this card was written.

| | float | int8 |
|---|---|---|
{lines}"""


def _streaming(taken: Taken) -> str:
    return f"; `{STREAM}` takes chunks and states, as its description says" \
        if taken.variant.causal else ""


def _lines(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(f"| {name} | {value} |\n" for name, value in rows)


def _other_scores(taken: Taken) -> list[tuple[str, str]]:
    titles = {"si_snr_db": "SI-SNR", "sdri_db": "SDRi", "stoi": "STOI", "pesq": "PESQ"}
    found = ((title, name, taken.scores.get(name)) for name, title in titles.items())
    return [(title, decibels(value) + " dB" * name.endswith("_db"))
            for title, name, value in found if value is not None]


def _costs(taken: Taken) -> list[tuple[str, str]]:
    costs = taken.costs
    rows = [("parameters", f"{costs['parameters']:,}"),
            ("MACs per second of audio", f"{costs['macs_per_s']:,}"),
            ("receptive field", f"{costs['receptive_field_s']:.3f} s")]
    for one in taken.devices:
        facts = json.loads(one["description"] or "{}")
        on = f"on {one['device']} ({facts.get('processor') or 'unknown processor'})"
        rows.append((f"real-time factor {on}", f"{one['realtime_factor']:.4f}"))
        if one["memory_bytes"]:
            rows.append((f"peak memory {on}", f"{one['memory_bytes'] / 1e6:.1f} MB"))
        if one["latency_ms"]:
            rows.append((f"latency {on}", f"{one['latency_ms']:.1f} ms"))
    return rows
