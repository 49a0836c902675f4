"""Memory and speed measured in a process of its own: the same numbers, and no trouble from its death."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import filelock
import pytest
import torch

from tasnet_core import worker_process
from tasnet_core.cost import count, measure
from tasnet_core.cost.measure import measure_apart
from tasnet_core.records import Variant
from tests.support.tiny import TINY

OTHER = Variant(N=16, B=8, H=16, Sc=8, X=2, R=2)


def worker() -> subprocess.Popen[bytes]:
    return measure.of_process[os.getpid()].process.process


def test_memory_is_that_measured_here_bit_for_bit_and_the_threads_here_stay():
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for variant in (TINY, OTHER):
            apart, here = measure_apart(variant, runs=3, seconds=0), count.measure(variant, runs=3)
            assert apart.peak_memory_bytes == here.peak_memory_bytes
            assert (apart.parameters, apart.macs_per_s) == (here.parameters, here.macs_per_s)
            assert apart.realtime_factor > 0
            assert apart.realtime_factor_spread >= 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_the_same_process_measures_one_variant_after_another():
    measure_apart(TINY, runs=1, seconds=0)
    first = worker().pid
    assert measure_apart(OTHER, runs=1, seconds=0).peak_memory_bytes != measure_apart(TINY, 1, 0).peak_memory_bytes
    assert worker().pid == first


def test_a_killed_process_leaves_none_and_the_next_question_starts_another():
    before = measure_apart(TINY, runs=1, seconds=0)
    worker().kill()
    worker().wait()
    assert measure_apart(TINY, runs=1, seconds=0) == count.exact(TINY)
    assert measure_apart(TINY, runs=1, seconds=0).peak_memory_bytes == before.peak_memory_bytes


def test_what_is_too_large_or_cannot_be_started_is_none(monkeypatch):
    gigantic = Variant(N=10_000_000, B=10_000_000, X=1, R=1)
    assert measure_apart(gigantic, runs=1, seconds=0) == count.exact(gigantic)      # 400 TB of weights, more than addresses
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        assert measure_apart(TINY, runs=1, seconds=0) == count.exact(TINY)
    assert measure_apart(TINY, runs=1, seconds=0).peak_memory_bytes


def test_a_process_that_was_begun_early_is_the_one_that_measures():
    measure.begin_apart()
    begun = measure.of_process[os.getpid()].process
    assert measure_apart(TINY, runs=1, seconds=0).peak_memory_bytes
    measure.begin_apart()
    assert measure.of_process[os.getpid()].process is begun


def test_a_question_that_was_interrupted_gets_no_later_answer(monkeypatch):
    expected = measure_apart(OTHER, runs=1, seconds=0).peak_memory_bytes

    def interrupted(_):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch:
        patch.setattr(worker_process.pickle, "load", interrupted)
        with pytest.raises(KeyboardInterrupt):
            measure_apart(TINY, runs=1, seconds=0)
    assert measure_apart(OTHER, runs=1, seconds=0).peak_memory_bytes == expected


def test_the_median_and_the_middle_half_of_the_runs(monkeypatch):
    times = iter([5.0, 1.0, 2.0, 4.0, 3.0])
    monkeypatch.setattr(count, "thread_seconds", lambda *_: next(times))
    found = count.measure(TINY, runs=3, seconds=14.5)        # three take 8 s, four 12 s, five 15 s
    assert (found.realtime_factor, found.realtime_factor_spread) == (3.0, 2.0)     # 1 2 [3] 4 5: from 2 to 4


def test_one_measures_at_a_time_and_another_waits_only_so_long(tmp_path):
    with measure.alone(tmp_path / "a.lock") as first:
        assert first
        start = time.monotonic()
        with measure.alone(tmp_path / "a.lock", wait_s=0.1) as second:
            assert not second
        assert time.monotonic() - start >= 0.1      # and not for ever: else nobody would read this
    with measure.alone(tmp_path / "a.lock", wait_s=0.3) as again:
        assert again
    with measure.alone(tmp_path / "nowhere" / "a.lock", wait_s=0.3):      # no folder: measured all the same
        pass


@pytest.mark.long
def test_the_process_waits_while_another_one_measures(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    apart, found = measure.Apart(), []
    asking = threading.Thread(target=lambda: found.append(apart.ask(TINY, 1, 0.0)))
    try:
        with filelock.FileLock(tmp_path / measure.LOCK):
            asking.start()
            asking.join(6)      # torch is imported long since
            assert asking.is_alive()
        asking.join()
        assert found[0].peak_memory_bytes == count.measure(TINY, 1).peak_memory_bytes
    finally:
        apart.end()


# As a user writes it: without a guard. The forked child holds the parent's end of the pipe.
SCRIPT = """
import multiprocessing, os, time, warnings
warnings.simplefilter("ignore")     # Python 3.12 warns of forks beside threads
from tasnet_core.cost import measure
from tasnet_core.records import Variant

def measured():
    cost = measure.measure_apart(Variant(N=8, L=4, B=4, H=8, Sc=4, X=2, R=1), 1, 0)
    print(cost.peak_memory_bytes, measure.of_process[os.getpid()].process.process.pid, flush=True)

measured()
child = multiprocessing.get_context("fork").Process(target=lambda: (measured(), time.sleep({sleep})), daemon=False)
child.start()
print(0, child.pid, flush=True)
child.join()
"""


def start(sleep: float) -> tuple[subprocess.Popen[str], list[tuple[int, int]]]:
    script = subprocess.Popen([sys.executable, "-c", SCRIPT.format(sleep=sleep)], stdout=subprocess.PIPE, text=True)
    lines = [tuple(map(int, script.stdout.readline().split())) for _ in range(3)]
    return script, lines


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not alive(pid)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_nothing_outlives_a_caller_that_was_killed_nor_one_that_ended():
    script, lines = start(sleep=60)
    own, of_child = (pid for peak, pid in lines if peak)
    child, = (pid for peak, pid in lines if not peak)
    try:
        assert own != of_child      # the forked child started its own
        assert len({peak for peak, _ in lines if peak}) == 1
        assert alive(own)
        assert alive(of_child)
        script.kill()               # the child lives on, and so does its process
        script.wait()
        assert gone(own, 20)
        assert alive(of_child)
    finally:
        os.kill(child, signal.SIGKILL)
        script.stdout.close()
    assert gone(of_child, 20)

    script, lines = start(sleep=0)
    assert script.wait(60) == 0
    script.stdout.close()
    assert all(gone(pid, 20) for _, pid in lines)
