"""Spaces that are small enough to enumerate."""

from study.space.presets import SPACES
from study.space.space import Grid
from tasnet_core.records import Recipe, Variant

# Evenly spaced letters, uneven ones, no skip path among others, tuned fields, and lists.
SMALL = (
    Grid("even", Variant(N=8, L=16, B=8, H=8, Sc=8, X=3, R=2), {"H": range(4, 9, 4), "X": (1, 2, 3)}, Recipe()),
    Grid("uneven", Variant(N=16, L=16, B=64, H=4, Sc=4, X=3, R=2),
          {"N": (2, 4, 16), "L": (4, 8, 16, 40), "Sc": (0, 1, 4, 20), "R": (1, 2), "extra_dilation": (0, 2, 8)}, Recipe()),
    SPACES["quick"].tuned(["batch_size"], SPACES["quick"].recipe),
    Grid("one", Variant(), {"X": (8,)}, Recipe()),
    SPACES["table2"], SPACES["thesis"].tuned(["learning_rate", "segment_s"], SPACES["thesis"].recipe))
