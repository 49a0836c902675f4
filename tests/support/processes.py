"""Commands in processes of their own, which may be killed. They are forked by the server that workers come from too: a Python
that is started anew loads torch and Optuna first, which takes longer than most tests."""

import multiprocessing
import os
import signal
import sys
import time

from study.engines.forkserver import context


class Started:
    """`main(arguments)` in a folder, with a session of its own; what it prints goes to a file."""

    def __init__(self, main, arguments, folder, said, environment=None):
        self.said = said
        self.process = context().Process(target=_begin, daemon=True, args=(
            main, list(map(str, arguments)), str(folder), str(said), {**os.environ, **(environment or {})}))
        said.touch()
        self.process.start()
        self.pid = self.process.pid

    def poll(self):
        """Its exit status, as that of subprocess; None while it is at work."""
        return self.process.exitcode

    def wait(self, seconds=None):
        self.process.join(seconds)
        if self.poll() is None:
            raise TimeoutError(self.said.read_text())
        return self.poll()

    def send_signal(self, number):
        os.kill(self.pid, number)

    def until_it_says(self, words, seconds=120):
        until = time.monotonic() + seconds
        while words not in self.said.read_text():
            assert self.poll() is None, self.said.read_text()
            assert time.monotonic() < until, self.said.read_text()
            time.sleep(0.05)


def _begin(main, arguments, folder, said, environment):
    multiprocessing.current_process().daemon = False        # it ends with the tests, and may have workers
    os.setsid()                                             # Ctrl-C here is not Ctrl-C there
    signal.signal(signal.SIGINT, signal.default_int_handler)        # which a shell ignores for what it starts in the background
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(arguments))
