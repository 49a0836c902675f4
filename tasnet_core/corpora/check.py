"""The command `check`: a whole corpus read once, and every file named that cannot be used."""

import time

from tasnet_core.corpora.registry import open_corpus
from tasnet_core.terminal import say


def check(spec: str, C: int, sample_rate_hz: int, headers: bool) -> int:
    """Open the corpus, read all of it (only its headers where that is asked for), and print what it has."""
    start = time.perf_counter()
    corpus = open_corpus(spec, C, sample_rate_hz, say=say)
    if not headers:
        corpus.read_all()
        corpus = open_corpus(spec, C, sample_rate_hz)
    for part in corpus.describe():
        sexes = ", ".join(f"{count} {sex}" for sex, count in part.sexes.items())
        mixtures = "drawn anew each epoch" if part.mixtures is None else f"{part.mixtures} fixed mixtures"
        say(f"{part.split:6} {part.speakers:4} speakers ({sexes}), {part.recordings} recordings, "
              f"{part.seconds / 60:.1f} min; {mixtures}")
    for note in corpus.notes:
        say(f"note: {note}")
    for item in corpus.unusable:
        say(f"unusable: {item.path}: {item.reason}")
    say(f"{len(corpus.unusable)} unusable files" if corpus.unusable else "every file can be used")
    say(f"{'headers' if headers else 'everything'} read in {time.perf_counter() - start:.1f} s")
    return 0
