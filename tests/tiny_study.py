"""A study that takes seconds: the tiny corpus and a space of tiny networks, as `python tests/tiny_study.py run …`."""

import sys

from tiny import RECIPE, TINY, Tiny

from study.__main__ import main
from study.space import SPACES, Space
from tasnet_core.corpora import CORPORA

SPACE = Space("tiny", TINY, {"N": range(2, 9, 2), "H": range(2, 9, 2), "X": range(1, 3)}, RECIPE)
ARGUMENTS = ("--corpus", "tiny", "--space", "tiny", "--device", "cpu")


def install() -> None:
    """Make the corpus and the space known by their names."""
    SPACES["tiny"] = SPACE
    CORPORA["tiny"] = lambda spec, C, rate, say: Tiny()


if __name__ == "__main__":
    install()
    sys.exit(main(sys.argv[1:]))
