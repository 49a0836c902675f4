"""What int8 costs a network in dB and gains it in speed, and whether it is written."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.checkpoints import onnx_file, onnx_graph, onnx_int8
from tasnet_core.corpora.registry import Corpus
from tasnet_core.evaluation import metrics
from tasnet_core.network.model import ConvTasNet

INT8 = "model.int8.onnx"
MOST_LOSS_DB, MOST_BYTES = 0.1, 0.75
FASTER = 1.1            # what activations in int8 must gain, for they cost more than weights
CALIBRATION, CALIBRATION_S = 24, 4.0    # training mixtures, and the seconds of each
RUNS, RUN_S = 21, 1.0
FLOAT, WEIGHTS, ALL = "float", "int8 weights", "int8"

Sound = NDArray[np.float32]


class Measured(NamedTuple):
    """One way to store a network; its scores and time are of the same mixtures and moments."""

    kind: str
    bytes: int
    si_snri_db: float
    loss_db: float
    interval_db: float          # half of the loss' 95 % interval
    realtime_factor: float      # on one thread

    def __str__(self) -> str:
        loss = "" if self.kind == FLOAT else f"{self.loss_db:.3f} ± {self.interval_db:.3f}"
        return (f"{self.kind:14}{self.bytes:>12,}{self.si_snri_db:>9.2f} dB{loss:>16}"
                f"{self.realtime_factor:>12.4f}")


HEADER = f"{'':14}{'bytes':>12}{'SI-SNRi':>12}{'loss in dB':>16}{'RTF':>12}"


def models_of(network: ConvTasNet, corpus: Corpus, samples: int | None) -> dict[str, list[Any]]:
    """Of each kind the model for any length, and the one for so many samples."""
    length = round(CALIBRATION_S * corpus.sample_rate_hz)
    mixtures = (corpus.segment(0, 0, index, length).mixture for index in range(CALIBRATION))
    graphs = [onnx_graph.model_of(network), onnx_graph.model_of(network, samples)]
    grids = onnx_int8.calibrated(graphs[0], mixtures)
    return {FLOAT: graphs, WEIGHTS: [onnx_int8.in_int8(graph, {}) for graph in graphs],
            ALL: [onnx_int8.in_int8(graph, grids) for graph in graphs]}


def measured(models: dict[str, bytes], corpus: Corpus) -> list[Measured]:
    """Each model on all test mixtures, and on one second of noise, in turns."""
    runs = {kind: onnx_file.load_onnx(model, threads=1) for kind, model in models.items()}
    scores = np.array(list(test_scores(list(runs.values()), corpus)))
    times = times_of(list(runs.values()), corpus.sample_rate_hz)
    found = []
    for place, (kind, model) in enumerate(models.items()):
        losses = scores[:, 0] - scores[:, place]
        error = losses.std(ddof=1) / len(losses) ** 0.5 if len(losses) > 1 else np.nan
        found.append(Measured(kind, len(model), float(scores[:, place].mean()),
                              float(losses.mean()), float(1.96 * error), times[place] / RUN_S))
    return found


def test_scores(runs: list[Callable[[Sound], Sound]], corpus: Corpus) -> Iterator[list[float]]:
    """The SI-SNRi of each test mixture by each model, where all have one."""
    for index in range(corpus.count("test")):
        mixture = corpus.mixture("test", index)
        scores = [metrics.score(mixture, run(mixture.mixture[None])[0], corpus.sample_rate_hz)
                  .si_snri_db for run in runs]
        if None not in scores:
            yield [score for score in scores if score is not None]


def times_of(runs: list[Callable[[Sound], Sound]], sample_rate_hz: int) -> list[float]:
    """The median CPU seconds of each, of runs in turns: another program's load is not in them."""
    noise = np.random.default_rng(0).standard_normal((1, round(RUN_S * sample_rate_hz)))
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(RUNS):
        for run, took in zip(runs, times, strict=True):
            start = time.thread_time()
            run((0.1 * noise).astype(np.float32))
            took.append(time.thread_time() - start)
    return [statistics.median(took) for took in times]


def chosen(found: list[Measured]) -> Measured | None:
    """What is written: weights alone, or all where that is faster; None where neither pays."""
    whole = found[0]
    paying = [one for one in found[1:]
              if one.loss_db <= MOST_LOSS_DB and one.bytes <= MOST_BYTES * whole.bytes]
    fast = [one for one in paying
            if one.kind == ALL and FASTER * one.realtime_factor <= whole.realtime_factor]
    return next(iter(fast or paying), None)


class Paying(NamedTuple):
    """A network in int8 where that pays, with what was measured of it and of float."""

    model: bytes
    found: Measured
    whole: Measured


def paying(network: ConvTasNet, corpus: Corpus, samples: int | None = None,
           say: Callable[[str], None] = lambda line: None) -> Paying | None:
    """The network in int8, measured on a corpus; None where it does not pay. `say` gets the table.

    Raises:
        UserError: when a package is not installed.
    """
    models = models_of(network, corpus, samples)
    found = measured({kind: onnx_graph.as_bytes(each[0]) for kind, each in models.items()}, corpus)
    for line in (HEADER, *found):
        say(str(line))
    best = chosen(found)
    return best and Paying(onnx_graph.as_bytes(models[best.kind][1]), best, found[0])


def export_int8(network: ConvTasNet, corpus: Corpus, out: Path, samples: int | None,
                say: Callable[[str], None]) -> None:
    """Measure a network in int8 on a corpus, print it, and write it where it pays.

    Raises:
        UserError: when a package is not installed, or the folder cannot be written.
    """
    say(f"int8: calibrating on {CALIBRATION} training mixtures of {corpus.spec}, measuring on "
        f"{corpus.count('test')} test mixtures")
    made = paying(network, corpus, samples, say)
    if made is None:
        say(f"not written in int8: wanted at most {MOST_LOSS_DB:g} dB lost and "
            f"{MOST_BYTES:.0%} of the bytes")
        return
    onnx_file.put(made.model, out / INT8)
    say(f"{out / INT8}: {in_words(made)}")


def in_words(made: Paying) -> str:
    found, whole = made.found, made.whole
    return (f"{found.kind}, {found.bytes / whole.bytes:.0%} of the bytes, {found.loss_db:.2f} dB "
            f"lost, {whole.realtime_factor / found.realtime_factor:.2f} times as fast as float")
