"""SDR, STOI and PESQ of separated speech, computed in processes of their own that never load torch.

They are the slow metrics, and PESQ is C code that may take its process with it: see
`worker_process`.
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
# BSS Eval v3: a filter of so many taps between source and estimate is no distortion.
SDR_TAPS = 512
# What is left of a perfect estimate is rounding alone: mir_eval calls it 150 to 300 dB, by chance.
# Up to here, the SDR is the definition's to 0.01 dB in float64.
SDR_LIMIT_DB = 120.0


class NotComputable(Exception):
    """A metric that has no value for these signals, and why."""


class Job(NamedTuple):
    """Metrics to compute of one mixture; the estimates are in the order of the sources."""

    metrics: tuple[str, ...]
    sources: Sound          # [C, T]
    estimates: Sound        # [C, T]
    mixture: Sound          # [T]
    sample_rate_hz: int


class Computed(NamedTuple):
    """The fields of a MixtureScore, means over the speakers, or None with a reason per metric."""

    scores: dict[str, float | None]
    reasons: tuple[str, ...] = ()


def installed(metric: str) -> bool:
    """Whether the library of a metric is there. SI-SNR is ours."""
    return metric not in LIBRARIES or importlib.util.find_spec(LIBRARIES[metric]) is not None


def sdr(source: Sound, estimate: Sound) -> float:
    """Signal-to-distortion ratio of BSS Eval v3 in dB, of [T] and [T]; higher is better.

    The estimate e is projected on the source and its 511 delays; what is left is distortion
    (Vincent et al. 2006). With R the Toeplitz matrix of the source's autocorrelation and b its
    correlation with e, all zero outside, the projection has the energy b' R⁻¹ b. A perfect estimate
    has SDR_LIMIT_DB, and one that is orthogonal minus that.

    Raises:
        NotComputable: a signal is silent, or not finite.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq, toeplitz
    s, e = _unit(source), _unit(estimate)
    longest = 1 << (len(s) + SDR_TAPS - 1).bit_length()        # so that the ends do not meet
    spectrum = np.fft.rfft(s, longest)
    own = np.fft.irfft(np.square(np.abs(spectrum)), longest)[:SDR_TAPS]
    cross = np.fft.irfft(spectrum.conj() * np.fft.rfft(e, longest), longest)[:SDR_TAPS]
    try:
        filtered = cho_solve(cho_factor(toeplitz(own)), cross)
    # Delays that depend on each other, such as a tone's: any of the filters will do.
    except LinAlgError:
        filtered = lstsq(toeplitz(own), cross)[0]
    explained = float(cross @ filtered)
    if not math.isfinite(explained):
        raise NotComputable("not finite")
    rounding = np.finfo(np.float64).eps
    found = 10 * math.log10(max(explained, rounding) / max(1 - explained, rounding))
    return min(max(found, -SDR_LIMIT_DB), SDR_LIMIT_DB)


def _unit(signal: Sound) -> NDArray[np.float64]:
    wide = signal.astype(np.float64)
    return wide / np.linalg.norm(wide)


def stoi(source: Sound, estimate: Sound, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility, 0 to 1 (Taal et al. 2011), of [T] and [T].

    Raises:
        NotComputable: too little speech; the library itself would return 1e-5 then, and warn.
    """
    from pystoi import stoi as library
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            wide = source.astype(np.float64), estimate.astype(np.float64)
            value = float(library(*wide, sample_rate_hz))
        except ValueError:      # not even one frame
            raise NotComputable("too short") from None
    if any("Not enough STFT frames" in str(warning.message) for warning in caught):
        raise NotComputable("less than 0.4 s of it is louder than 40 dB below its peak")
    return value


def pesq(source: Sound, estimate: Sound, sample_rate_hz: int) -> float:
    """PESQ as MOS-LQO, about 1 to 4.6, of [T] and [T]: narrow band at 8 kHz, wide band at 16 kHz.

    Raises:
        NotComputable: another rate, or too little speech.
    """
    if sample_rate_hz not in PESQ_MODES:
        raise NotComputable(f"defined at 8000 and 16000 Hz, not at {sample_rate_hz}")
    import pesq as library
    try:
        return float(library.pesq(sample_rate_hz, source, estimate, PESQ_MODES[sample_rate_hz]))
    except library.BufferTooShortError:
        raise NotComputable("shorter than a quarter of a second") from None
    except library.NoUtterancesError:
        raise NotComputable("no utterance found") from None


def _mean(
    metric: Callable[..., float], sources: Sound, estimates: Iterable[Sound], *more: int
) -> float:
    """The mean over the speakers; what has none says of which source, whatever a library throws."""
    values = []
    for number, (source, estimate) in enumerate(zip(sources, estimates, strict=True), 1):
        try:
            value = metric(source, estimate, *more)
        except NotComputable as error:
            raise NotComputable(f"source {number}: {error}") from None
        except Exception as error:
            raise NotComputable(f"source {number}: {type(error).__name__}: {error}") from error
        if not math.isfinite(value):
            raise NotComputable(f"source {number}: not finite")
        values.append(value)
    return math.fsum(values) / len(values)


def _sdr(job: Job) -> dict[str, float]:
    after = _mean(sdr, job.sources, job.estimates)
    before = _mean(sdr, job.sources, [job.mixture] * len(job.sources))
    return {"sdr_db": after, "sdri_db": after - before}


# By metric its fields of a MixtureScore.
SLOW: dict[str, Callable[[Job], dict[str, float]]] = {
    "sdr": _sdr,
    "stoi": lambda job: {"stoi": _mean(stoi, job.sources, job.estimates, job.sample_rate_hz)},
    "pesq": lambda job: {"pesq": _mean(pesq, job.sources, job.estimates, job.sample_rate_hz)}}


def compute(job: Job) -> Computed:
    """Every metric of the job.

    What fails is a reason, never an exception: the mixture is counted and named.
    """
    scores: dict[str, float | None] = {}
    reasons = []
    for metric in job.metrics:
        try:
            scores |= SLOW[metric](job)
        except NotComputable as error:
            scores |= dict.fromkeys(METRICS[metric])
            reasons.append(f"{metric.upper()}: {error}")
    return Computed(scores, tuple(reasons))


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class MetricWorkers:
    """Processes that compute metrics, started when first needed; with none, the caller's own does.

    A context manager: leaving it ends the processes.
    """

    def __init__(self, processes: int):
        # One waits for each process.
        self._threads = ThreadPoolExecutor(processes) if processes else None
        self._of_thread = threading.local()
        self.started: list[WorkerProcess] = []
        self._lock, self._over = threading.Lock(), False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
        for process in self.started:
            process.kill()
        if self._threads:
            self._threads.shutdown(cancel_futures=True)
        for process in self.started:
            process.end()

    def submit(self, job: Job) -> "Future[Computed]":
        """Begin a job."""
        if self._threads:
            return self._threads.submit(self._through_a_process, job)
        done: Future[Computed] = Future()
        done.set_result(compute(job))
        return done

    def _through_a_process(self, job: Job) -> Computed:
        process = self._process()
        try:
            return Computed(*process.ask(tuple(job)))
        except DIED:
            self._of_thread.process = None
            process.kill()
            names = " and ".join(metric.upper() for metric in job.metrics)
            none = {name: None for metric in job.metrics for name in METRICS[metric]}
            return Computed(dict(none), (f"{names}: the process that computes it died",))

    def _process(self) -> WorkerProcess:
        if getattr(self._of_thread, "process", None) is None:
            with self._lock:
                if self._over:
                    raise EOFError
                self._of_thread.process = WorkerProcess(MODULE)
                self.started.append(self._of_thread.process)
        process: WorkerProcess = self._of_thread.process
        return process


def main() -> None:
    """Judge jobs until there are no more."""
    serve(lambda job: tuple(compute(Job(*job))))


if __name__ == "__main__":
    main()
