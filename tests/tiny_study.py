"""A study that takes seconds: the tiny corpus and a space of tiny networks, as `python tests/tiny_study.py run …`.

Whoever imports this file knows both by their names, worker processes too: these open the corpus with the function here.
"""

import sys
from collections.abc import Callable

from tiny import RECIPE, TINY, Tiny

from study.__main__ import main
from study.presets import SPACES
from study.space import Space
from tasnet_core.corpora import CORPORA

SPACE = Space("tiny", TINY, {"N": range(2, 9, 2), "H": range(2, 9, 2), "X": range(1, 3)}, RECIPE, metrics=("si_snr",))
ARGUMENTS = ("--corpus", "tiny", "--space", "tiny", "--device", "cpu")


def open_tiny(spec: str, C: int, sample_rate_hz: int, say: Callable[[str], None]) -> Tiny:
    return Tiny()


SPACES["tiny"], CORPORA["tiny"] = SPACE, open_tiny

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
