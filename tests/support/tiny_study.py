"""A study that takes seconds: the tiny corpus and a space of tiny networks, as `python -m tests.support.tiny_study run …`.

Whoever imports this file knows both by their names, worker processes too: these open the corpus with the function here.
"""

import multiprocessing
import sys
from collections.abc import Callable

from study.__main__ import main
from study.space.presets import SPACES
from study.space.space import Grid
from tasnet_core.corpora.registry import CORPORA
from tests.support.tiny import RECIPE, TINY, Tiny

SPACE = Grid("tiny", TINY, {"N": range(2, 9, 2), "H": range(2, 9, 2), "X": range(1, 3)}, RECIPE, metrics=("si_snr",))
ARGUMENTS = ("--corpus", "tiny", "--space", "tiny", "--device", "cpu")


def open_tiny(spec: str, C: int, sample_rate_hz: int, say: Callable[[str], None]) -> Tiny:
    if multiprocessing.parent_process() is not None:
        hurry()
    return Tiny()


def command(arguments: list[str]) -> int:
    """`python -m study`, in a process that has imported this file."""
    return main(arguments)


def hurry() -> None:
    """Let this process, a worker, measure no speed, for which it would load torch once more, and a dry run no second round.

    tests/scenarios/test_example_scripts.py has studies that measure.
    """
    from study.planning import measure
    from study.search import evaluate
    from tasnet_core.cost import count
    evaluate.measure_apart = count.exact
    measure.ROUNDS_S = 0.0


SPACES["tiny"], CORPORA["tiny"] = SPACE, open_tiny

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
