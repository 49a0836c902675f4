"""SDR, STOI and PESQ of separated speech, computed in processes of their own that never load torch.

They are the slow metrics, and PESQ is C code that may take its process with it: see `worker_process`.
"""

import importlib.util
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from tasnet_core.records import METRICS
from tasnet_core.worker_process import DIED, WorkerProcess, serve

MODULE = "tasnet_core.evaluation.metric_workers"

Sound = NDArray[np.float32]

LIBRARIES = {"sdr": "scipy", "stoi": "pystoi", "pesq": "pesq"}
PESQ_MODES = {8000: "nb", 16000: "wb"}      # ITU-T P.862.1 and P.862.2
SDR_TAPS = 512          # BSS Eval v3: a filter of so many taps between source and estimate is no distortion
# What is left of a perfect estimate is rounding alone: mir_eval calls it 150 to 300 dB, by chance. Up to here, the SDR is the
# definition's to 0.01 dB in float64.
SDR_LIMIT_DB = 120.0


class Unscored(Exception):
    """A metric that has no value for these signals, and why."""


class Job(NamedTuple):
    """One mixture: which metrics, its sources and its estimates in their order, what was heard, and their rate."""

    metrics: tuple[str, ...]
    sources: Sound          # [C, T]
    estimates: Sound        # [C, T]
    mixture: Sound          # [T]
    sample_rate_hz: int


class Verdict(NamedTuple):
    """The fields of a MixtureScore, means over the speakers, or None; and why, for each metric that has none."""

    scores: dict[str, float | None]
    reasons: tuple[str, ...] = ()


def installed(metric: str) -> bool:
    """Whether the library of a metric is there. SI-SNR is ours."""
    return metric not in LIBRARIES or importlib.util.find_spec(LIBRARIES[metric]) is not None


def sdr(source: Sound, estimate: Sound) -> float:
    """Signal-to-distortion ratio of BSS Eval v3 in dB, of [T] and [T]; higher is better.

    The estimate e is projected on the source and its 511 delays; what is left is distortion (Vincent et al. 2006). With
    R the Toeplitz matrix of the source's autocorrelation and b its correlation with e, all zero outside, the
    projection has the energy b' R⁻¹ b. A perfect estimate has SDR_LIMIT_DB, and one that is orthogonal minus that.

    Raises:
        Unscored: a signal is silent, or not finite.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq, toeplitz
    s, e = (signal.astype(np.float64) / np.linalg.norm(signal.astype(np.float64)) for signal in (source, estimate))
    longest = 1 << (len(s) + SDR_TAPS - 1).bit_length()        # so that the ends do not meet
    spectrum = np.fft.rfft(s, longest)
    own = np.fft.irfft(np.square(np.abs(spectrum)), longest)[:SDR_TAPS]
    cross = np.fft.irfft(spectrum.conj() * np.fft.rfft(e, longest), longest)[:SDR_TAPS]
    try:
        filtered = cho_solve(cho_factor(toeplitz(own)), cross)
    except LinAlgError:         # delays that depend on each other, such as a tone's: any of the filters will do
        filtered = lstsq(toeplitz(own), cross)[0]
    explained = float(cross @ filtered)
    if not math.isfinite(explained):
        raise Unscored("not finite")
    rounding = np.finfo(np.float64).eps
    found = 10 * math.log10(max(explained, rounding) / max(1 - explained, rounding))
    return min(max(found, -SDR_LIMIT_DB), SDR_LIMIT_DB)


def stoi(source: Sound, estimate: Sound, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility, 0 to 1 (Taal et al. 2011), of [T] and [T].

    Raises:
        Unscored: too little sound; the library itself would return 1e-5 then, and warn.
    """
    from pystoi import stoi as library
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            value = float(library(source.astype(np.float64), estimate.astype(np.float64), sample_rate_hz))
        except ValueError:      # not even one frame
            raise Unscored("too short") from None
    if any("Not enough STFT frames" in str(warning.message) for warning in said):
        raise Unscored("less than 0.4 s of it is louder than 40 dB below its peak")
    return value


def pesq(source: Sound, estimate: Sound, sample_rate_hz: int) -> float:
    """PESQ as MOS-LQO, about 1 to 4.6, of [T] and [T]: narrow band at 8 kHz, wide band at 16 kHz.

    Raises:
        Unscored: another rate, or too little speech.
    """
    if sample_rate_hz not in PESQ_MODES:
        raise Unscored(f"defined at 8000 and 16000 Hz, not at {sample_rate_hz}")
    import pesq as library
    try:
        return float(library.pesq(sample_rate_hz, source, estimate, PESQ_MODES[sample_rate_hz]))
    except library.BufferTooShortError:
        raise Unscored("shorter than a quarter of a second") from None
    except library.NoUtterancesError:
        raise Unscored("no utterance found") from None


def _mean(metric: Callable[..., float], sources: Sound, estimates: Iterable[Sound], *more: int) -> float:
    """The mean over the speakers; what has none says of which source, whatever a library throws."""
    values = []
    for number, (source, estimate) in enumerate(zip(sources, estimates, strict=True), 1):
        try:
            value = metric(source, estimate, *more)
        except Unscored as error:
            raise Unscored(f"source {number}: {error}") from None
        except Exception as error:
            raise Unscored(f"source {number}: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise Unscored(f"source {number}: not finite")
        values.append(value)
    return math.fsum(values) / len(values)


def _sdr(job: Job) -> dict[str, float]:
    after = _mean(sdr, job.sources, job.estimates)
    return {"sdr_db": after, "sdri_db": after - _mean(sdr, job.sources, [job.mixture] * len(job.sources))}


# By metric its fields of a MixtureScore.
SLOW: dict[str, Callable[[Job], dict[str, float]]] = {
    "sdr": _sdr,
    "stoi": lambda job: {"stoi": _mean(stoi, job.sources, job.estimates, job.sample_rate_hz)},
    "pesq": lambda job: {"pesq": _mean(pesq, job.sources, job.estimates, job.sample_rate_hz)}}


def judge(job: Job) -> Verdict:
    """Every metric of the job. What fails is a reason, never an exception: the mixture is counted and named."""
    scores: dict[str, float | None] = {}
    reasons = []
    for metric in job.metrics:
        try:
            scores |= SLOW[metric](job)
        except Unscored as error:
            scores |= dict.fromkeys(METRICS[metric])
            reasons.append(f"{metric.upper()}: {error}")
    return Verdict(scores, tuple(reasons))


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Listeners:
    """As many processes as asked for, started when first needed; with none, the caller's own does the work.

    A context manager: leaving it ends the processes.
    """

    def __init__(self, processes: int):
        self._threads = ThreadPoolExecutor(processes) if processes else None     # one waits for each process
        self._of_thread = threading.local()
        self._started: list[WorkerProcess] = []
        self._lock, self._over = threading.Lock(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
        for process in self._started:
            process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.end()

    def ask(self, job: Job) -> "Future[Verdict]":
        """Begin a job."""
        if self._threads:
            return self._threads.submit(self._through_a_process, job)
        done: Future[Verdict] = Future()
        done.set_result(judge(job))
        return done

    def _through_a_process(self, job: Job) -> Verdict:
        process = self._process()
        try:
            return Verdict(*process.ask(tuple(job)))
        except DIED:
            self._of_thread.process = None
            process.kill()
            names = " and ".join(metric.upper() for metric in job.metrics)
            none = {name: None for metric in job.metrics for name in METRICS[metric]}
            return Verdict(dict(none), (f"{names}: the process that computes it died",))

    def _process(self) -> WorkerProcess:
        if getattr(self._of_thread, "process", None) is None:
            with self._lock:
                if self._over:
                    raise EOFError
                self._of_thread.process = WorkerProcess(MODULE)
                self._started.append(self._of_thread.process)
        process: WorkerProcess = self._of_thread.process
        return process


def main() -> None:
    """Judge jobs until there are no more."""
    serve(lambda job: tuple(judge(Job(*job))))


if __name__ == "__main__":
    main()
