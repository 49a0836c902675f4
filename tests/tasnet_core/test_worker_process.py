"""The order of questions and answers; what asks is tested with each module that answers."""

import sys

from tasnet_core.worker_process import WorkerProcess

ECHO = """
from tasnet_core.worker_process import serve
if __name__ == "__main__":
    serve(lambda number: (number, bytes(1_000_000)))
"""


def test_the_next_answer_is_worked_on_while_the_last_is_used(tmp_path, monkeypatch):
    (tmp_path / "echoes.py").write_text(ECHO)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    process, sent = WorkerProcess("echoes"), []
    send = process._send
    monkeypatch.setattr(process, "_send", lambda question: (sent.append(question), send(question)))
    try:
        found = [(number, len(sent)) for number, _ in process.answers(range(4))]
    finally:
        process.end()
    assert found == [(0, 2), (1, 3), (2, 4), (3, 4)]      # in order; one more than was answered had been asked for
