"""The parent of several workers, with processes that are made up: each says what its script says and ends as it says."""

import gc
import importlib.util
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing import Pipe, forkserver
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import sqlalchemy as sa

from study.database.store import open_database
from study.engines import base, local
from study.engines.forkserver import PRELOADED, _deaf, context
from study.records import Settings
from study.search.events import Message
from study.space.plan import StudyPlan
from study.space.presets import QUICK
from tasnet_core.cost import count as cost
from tasnet_core.errors import UserError
from tasnet_core.training.trainer import Paused
from tests.support.made_up_search import Messages
from tests.support.tiny import RECIPE, TINY

PLAN = StudyPlan("s", Settings(), QUICK, lambda: None)
OBEYS, STUBBORN = "obeys", "stubborn"       # ends of a script: waits until it is asked to pause; hears nothing but kill
SAID = Message("here I am")


class Process:
    """What `multiprocessing` gives, without a process."""

    def __init__(self, script, pipe, name, started):
        self.script, self.pipe, self.name, self.started = script, Connection(os.dup(pipe.fileno())), name, started
        self.exitcode, self.pid, self.asked = None, os.getpid(), 0

    def start(self):
        self.started.append(self)
        *said, end = self.script
        for line in said:
            self.pipe.send(line)
        if end not in (OBEYS, STUBBORN):
            self.end(end)

    def end(self, status):
        if self.exitcode is None:
            self.exitcode = status
            self.pipe.close()

    def terminate(self):
        self.asked += 1
        if self.script[-1] == OBEYS:
            self.end(local.PAUSED)

    def kill(self):
        self.end(-signal.SIGKILL)

    def join(self):
        assert self.exitcode is not None, "nobody has ended it"


def parent(*scripts, count=1, database=None):
    """Workers whose processes follow the scripts in the order in which they are started; the last one's again and again."""
    one = local.Workers(base.Job("", replace(PLAN, workers=count), 1), database, Messages())
    one.started = []
    left = itertools.chain(scripts, itertools.repeat(scripts[-1]))

    class Context:
        def Pipe(self, duplex):
            return Pipe(duplex)

        def Process(self, target, args, name):
            return Process(next(left), args[2], name, one.started)
    one.context = Context()
    return one


def test_workers_that_find_nothing_more_to_do_end_it():
    one = parent((SAID, 0), (0,), count=2)
    assert one.run() == base.Outcome(True)
    assert [process.name for process in one.started] == ["worker 1", "worker 2"]


def test_a_worker_that_dies_is_replaced_and_that_is_said():
    one = parent((SAID, -signal.SIGSEGV), (SAID, 1), (SAID, 0))
    assert one.run().finished
    assert [process.name for process in one.started] == ["worker 1"] * 3
    assert [line for line in one.on_event if line != SAID.text] == [
        "worker 1 died (signal 11); another takes its place and goes on from what is saved",
        "worker 1 died (status 1); another takes its place and goes on from what is saved"]


def test_a_worker_that_somebody_else_paused_is_started_again_without_a_word():
    one = parent((SAID, local.PAUSED), (0,))
    assert one.run().finished
    assert one.on_event == [SAID.text]
    assert len(one.started) == 2


def test_workers_that_die_before_they_say_anything_are_given_up_after_six_in_a_row():
    one = parent((1,), (1,), (SAID, 1), (1,))       # the third has said something: the count begins anew
    with pytest.raises(UserError, match=r"^6 workers in a row died at their start \(status 1\); nothing .* is lost$"):
        one.run()
    assert len(one.started) == 9


def test_a_worker_starts_though_the_server_that_forks_it_is_killed_meanwhile(monkeypatch):
    monkeypatch.setattr(local, "work", slice)     # takes what `work` takes, and does nothing
    one = local.Workers(base.Job("", replace(PLAN, open_corpus=list), 1), None, Messages())
    forkserver.ensure_running()
    server = forkserver._forkserver._forkserver_pid
    os.kill(server, signal.SIGSTOP)                 # it has been asked for a process and has not answered yet
    killer = threading.Timer(0.5, os.kill, (server, signal.SIGKILL))
    killer.start()
    assert one.run().finished
    killer.join()
    assert forkserver._forkserver._forkserver_pid != server


def test_a_server_that_forks_nobody_is_given_up_after_six_tries(monkeypatch):
    tries = []

    def start(process):
        tries.append(process)
        raise ConnectionRefusedError
    monkeypatch.setattr(Process, "start", start)
    with pytest.raises(UserError, match=r"^6 workers in a row died at their start \(killed before they began\); nothing"):
        parent((0,)).run()
    assert len(tries) == 6


def test_what_a_worker_refuses_ends_all_and_is_told_once():
    refuses = (base.Refused("a.wav: gone"), local.REFUSED)
    one = parent((SAID, OBEYS), refuses, refuses, count=3)
    with pytest.raises(UserError, match=r"^a.wav: gone$"):
        one.run()
    assert [process.exitcode for process in one.started] == [local.PAUSED, local.REFUSED, local.REFUSED]
    assert one.on_event == [SAID.text]


def test_time_that_is_up_asks_all_to_pause():
    one = parent((SAID, OBEYS), count=2)
    assert one.run(timeout_s=0.05) == base.Outcome(False, "time")
    assert [(process.exitcode, process.asked) for process in one.started] == [(local.PAUSED, 1)] * 2


def test_a_worker_that_does_not_pause_is_killed(monkeypatch):
    monkeypatch.setattr(base, "GRACE_S", 0.05)
    one = parent((SAID, STUBBORN), (SAID, OBEYS), count=2)
    assert one.run(timeout_s=0.05) == base.Outcome(False, "time")
    assert [process.exitcode for process in one.started] == [-signal.SIGKILL, local.PAUSED]
    assert len(one.started) == 2


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_asks_for_a_pause_and_a_second_one_does_not_wait_for_it(name):
    one, number, before = parent((SAID, STUBBORN), count=2), getattr(signal, name), signal.getsignal(getattr(signal, name))
    asked = []

    def twice():
        os.kill(os.getpid(), number)
        while not all(process.asked for process in one.started):
            time.sleep(0.01)
        asked.extend(process.exitcode for process in one.started)
        os.kill(os.getpid(), number)
    finger = threading.Timer(0.1, twice)
    start = time.monotonic()
    finger.start()
    assert one.run() == base.Outcome(False, "signal")
    finger.join()
    assert asked == [None, None]        # the first one killed nobody
    assert time.monotonic() - start < base.GRACE_S / 2
    assert signal.getsignal(number) is before


def test_a_worker_started_while_a_signal_comes_is_asked_too():
    one = parent((SAID, OBEYS), count=2)
    begin = one.context.Process

    def interrupted(*arguments, **named):
        if one.started:
            os.kill(os.getpid(), signal.SIGINT)
        return begin(*arguments, **named)
    one.context.Process = interrupted
    start = time.monotonic()
    assert one.run() == base.Outcome(False, "signal")
    assert [process.exitcode for process in one.started] == [local.PAUSED] * 2
    assert time.monotonic() - start < base.GRACE_S / 2


@pytest.mark.parametrize(("status", "after", "kind", "said"), [
    (-signal.SIGKILL, 8, "out-of-memory", "killed by the kernel: out of memory"),
    (-signal.SIGKILL, 7, None, "signal 9"),         # somebody's kill -9
    (-signal.SIGSEGV, 8, None, "signal 11")])       # the kernel killed somebody else
def test_what_the_kernel_kills_for_lack_of_memory_is_noted_with_its_run(tmp_path, monkeypatch, status, after, kind, said):
    counts = iter([7])
    monkeypatch.setattr(local, "oom_kills", lambda: next(counts, after))
    with open_database(str(tmp_path / "study.db"), read_only=False) as database:
        database.register("s", Settings())
        run = database.begin_run("s", 0, TINY, RECIPE, cost.exact(TINY), "", {})      # this process is its owner
        one = parent((SAID, status), (0,), database=database)
        assert one.run().finished
        row = database.run_of("s", 0, RECIPE.seed)
    assert (row["id"], row["state"], row["kind"] or None) == (run, "running", kind)
    assert one.on_event[1] == f"worker 1 died ({said}); another takes its place and goes on from what is saved"


def refused_by(text):
    """What `open_database` raises where the server says this."""
    def refuse(*_, **__):
        try:
            raise sa.exc.OperationalError("connect", {}, OSError(text))
        except sa.exc.SQLAlchemyError:
            raise UserError(f"cannot be opened ({text})") from None
    return refuse


def test_a_worker_that_begins_while_the_server_is_restarted_waits_for_it(monkeypatch, tmp_path):
    answers = iter([refused_by("Connection refused"), refused_by("the database system is starting up"), open_database])
    monkeypatch.setattr(local, "open_database", lambda *given, **named: next(answers)(*given, **named))
    with local.open_again(str(tmp_path / "study.db"), threading.Event()) as database:
        assert database.studies() == []


def test_a_worker_does_not_wait_for_what_never_passes_nor_when_it_is_asked_to_pause(monkeypatch):
    monkeypatch.setattr(local, "open_database", refused_by("password authentication failed"))
    with pytest.raises(UserError, match="password"):
        local.open_again("", threading.Event())
    monkeypatch.setattr(local, "open_database", refused_by("Connection refused"))
    asked = threading.Event()
    asked.set()
    with pytest.raises(Paused):
        local.open_again("", asked)


def dirty_after_collecting(pipe):
    gc.collect()
    lines = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    pipe.send([int(lines[name].split()[0]) for name in ("Private_Dirty", "Shared_Dirty")])


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="asks Linux which memory is shared")
def test_a_worker_shares_what_it_was_forked_with_though_it_collects_garbage():
    here, there = Pipe()
    process = context().Process(target=dirty_after_collecting, args=(there,))
    process.start()
    private, shared = here.recv()
    process.join()
    assert private < shared / 2


def test_what_is_loaded_before_workers_are_forked_is_there_to_load():
    for name in PRELOADED[1:]:      # else it is passed over without a word
        assert importlib.util.find_spec(name), name


BEGUN = """
import sys
from study.engines import forkserver
forkserver.begin()
from multiprocessing.forkserver import _forkserver
print(_forkserver._forkserver_pid is not None, *sorted({"torch", "numpy", "sqlalchemy"} & sys.modules.keys()))
"""


def test_the_server_that_forks_begins_before_anything_of_weight_is_loaded():
    done = subprocess.run([sys.executable, "-c", BEGUN], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux which signals are ignored")
def test_ctrl_c_does_not_reach_the_server_while_it_loads():
    """It would end with a traceback: Ctrl-C is for every process of a terminal."""
    def ignored(pid):
        line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
        return bool(int(line.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    here = signal.getsignal(signal.SIGINT)
    with _deaf():
        child = subprocess.Popen(["sleep", "60"])
    assert ignored(child.pid)
    child.kill()
    child.wait()
    assert signal.getsignal(signal.SIGINT) == here
