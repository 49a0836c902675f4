"""The spaces there are by name."""

from dataclasses import replace

from study.space.space import Grid, VariantList
from tasnet_core.records import Recipe, Variant

# The default without a GPU: a third of a million parameters, a minute or two per variant on two
# cores.
QUICK = Grid(
    "quick",
    Variant(N=128, L=16, B=64, H=128, Sc=64, P=3, X=6, R=2),
    {"N": range(32, 129, 32), "B": range(16, 65, 16), "H": range(32, 129, 32),
     "Sc": range(16, 65, 16), "X": range(2, 7), "R": range(1, 3)},
    # chosen by measurement: benchmarks/RESULTS.md
    Recipe(epochs=8, epoch_segments=1000, segment_s=1.0, batch_size=4, learning_rate=3e-3,
           schedule="decay", optimizer="muon"),
    # The others, on 120 mixtures, would be more than a tenth of a small variant's trial.
    metrics=("si_snr",))

# Everything below the paper's best network, trained as the paper trained it.
FULL = Grid(
    "full",
    Variant.v3(),
    {"N": range(64, 513, 64), "L": range(16, 33, 16), "B": range(32, 129, 32),
     "H": range(64, 513, 64), "Sc": range(0, 129, 32), "X": range(3, 9), "R": range(1, 4)},
    Recipe(epochs=100, epoch_segments=5000, segment_s=4.0, batch_size=4, learning_rate=1e-3,
           schedule="plateau"))

# Everything below the paper's best causal network (10.6 dB in its Table II, study/published.csv),
# for audio as it arrives.
CAUSAL = replace(FULL, name="causal", reference=Variant.v3(norm="cumulative", causal=True))

# The networks of a bachelor thesis (github.com/valgrut/TasNet), its figures in
# study/published_thesis.csv. Its seventh row is its first network on segments of 2 s. A study has
# one recipe, so that row is a study of its own:
# --space thesis --study thesis-2s --segment-s 2 --epoch-segments 40000 --trials 1.
# The hyperparameters are those of its scripts (TasNet.py, ResBlock.py): Conv1d(1, 256, 20) and a
# ReLU, 256 bottleneck channels, blocks of 512 with kernel 3 and BatchNorm1d, no skip path, a
# softmax. Its norm before the bottleneck is commented out in some of its versions; here it is the
# first version's. An epoch of its scripts is 20,000 recordings.
THESIS = VariantList.of(
    "thesis",
    tuple(Variant.v1(norm="batch", X=X, R=R)
          for X, R in ((8, 4), (8, 2), (6, 4), (6, 3), (6, 2), (4, 4))),
    Recipe(epochs=60, epoch_segments=20_000, segment_s=4.0, batch_size=50, learning_rate=1e-3,
           schedule="plateau"))

# Table II of arXiv 1809.07454v3 (study/published.csv), its best network first. The last block's
# residual convolution, which feeds nothing, is there because the printed sizes count it.
_TABLE2 = (     # N, L, B, H, Sc, X, R
    (512, 16, 128, 512, 128, 8, 3), (128, 40, 128, 256, 128, 7, 2), (256, 40, 128, 256, 128, 7, 2),
    (512, 40, 128, 256, 128, 7, 2), (512, 40, 128, 256, 256, 7, 2), (512, 40, 128, 512, 128, 7, 2),
    (512, 40, 128, 512, 512, 7, 2), (512, 40, 256, 256, 256, 7, 2), (512, 40, 256, 512, 256, 7, 2),
    (512, 40, 256, 512, 512, 7, 2), (512, 40, 128, 512, 128, 6, 4), (512, 40, 128, 512, 128, 4, 6),
    (512, 40, 128, 512, 128, 8, 3), (512, 32, 128, 512, 128, 8, 3))
TABLE2 = VariantList.of(
    "table2",
    (*(Variant.v3(N=N, L=L, B=B, H=H, Sc=Sc, X=X, R=R, last_residual=True)
       for N, L, B, H, Sc, X, R in _TABLE2),
     Variant.v3(norm="cumulative", causal=True, last_residual=True)),
    FULL.recipe)

SPACES = {space.name: space for space in (QUICK, FULL, THESIS, TABLE2, CAUSAL)}
