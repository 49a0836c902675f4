"""A folder in which the commands as anybody has them find a study of seconds: recordings and a space of tiny networks."""

from tests.support.recordings import people

SPACE = """\
reference = {N = 8, L = 4, B = 4, H = 8, Sc = 4, X = 2, R = 1}
metrics = ["si_snr"]
[choices]
N = [2, 4, 6, 8]
H = [4, 8]
X = [1, 2]
[recipe]
epochs = 1
epoch_segments = 4
segment_s = 0.5
batch_size = 2
"""
ARGUMENTS = ("--corpus", "folder:speech", "--space", "tiny.toml", "--device", "cpu", "--workers", "1")


def make(folder):
    """The folder, made; `ARGUMENTS` hold within it."""
    people(folder / "speech", recordings=3)
    (folder / "tiny.toml").write_text(SPACE)
    return folder
