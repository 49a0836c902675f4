"""A process that answers pickled questions on its standard input on its standard output.

It is `python -m MODULE`, with one thread for each of its libraries, and not one of multiprocessing:
it imports no main module of the user's, so that a script needs no guard; it ends when its input
does, so that no death of the parent leaves it behind; and C code that takes it down costs one
answer.
"""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

DIED = (OSError, EOFError, pickle.UnpicklingError)      # how it shows that the process is gone


class WorkerProcess:
    """One such process, from its start to its `end`."""

    def __init__(self, module: str, *arguments: str):
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, **one, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments], env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdin
        assert self.process.stdout
        self._questions, self._answers = self.process.stdin, self.process.stdout

    def ask(self, question: object) -> Any:
        """Its answer, waited for.

        Raises:
            one of DIED: it is gone, and has to be ended.
        """
        self._send(question)
        return self._receive()

    def answers(self, questions: Iterable[object]) -> Iterator[Any]:
        """The answer to each question; the next one is worked on while the caller uses the last.

        Questions are small: one that fills a pipe would wait for the answer that fills the other.

        Raises:
            one of DIED: as `ask`, instead of the first answer that is not there.
        """
        waiting = 0
        for question in questions:
            self._send(question)
            if waiting:
                yield self._receive()
            waiting = 1
        if waiting:
            yield self._receive()

    def _send(self, question: object) -> None:
        pickle.dump(question, self._questions)
        self._questions.flush()

    def _receive(self) -> Any:
        return pickle.load(self._answers)

    def kill(self) -> None:
        """Let it die at once: it keeps nothing. Whoever waits for an answer is told."""
        self.process.kill()

    def end(self) -> None:
        """Kill it and give back what the system keeps of it."""
        self.kill()
        self.process.wait()
        for pipe in (self._questions, self._answers):
            with contextlib.suppress(OSError):      # what was still to be written to the dead
                pipe.close()


def serve(answer: Callable[[Any], object]) -> None:
    """In the process: answer what is asked, until nothing is any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)       # Ctrl-C is the parent's to answer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)       # whatever a library prints must not come between two answers
    questions: Any = sys.stdin.buffer
    while True:
        try:
            question = pickle.load(questions)
        except EOFError:
            return
        pickle.dump(answer(question), answers)
        answers.flush()
