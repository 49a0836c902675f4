"""Audio of any length in chunks that overlap: cutting it, and joining the separated chunks.

Every chunk is separated by itself, so each may give the speakers out in another order, and the norm
of a network that looks at all frames differs a little from chunk to chunk. Where two chunks
overlap, the later one gets the order in which it is closest to the earlier, and in the middle of
the overlap one fades into the other. Near the ends of a chunk the network sees the zeros around it
instead of the signal, so the fade keeps away from them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.records import Variant

Sound = NDArray[np.float32]

# Of a chunk's mean power, 40 dB below: an overlap without speech tells no speaker from another.
SILENCE = 1e-4
LITTLE = 0.05       # of the energy that an overlap has on average: look further back for more
UNSURE = 0.01       # of the overlap's energy: two orders that differ by less are both as good


class Chunk(NamedTuple):
    """A piece of a mixture."""

    start: int          # its first sample
    sound: Sound        # [T]


class Seam(NamedTuple):
    """How one chunk was joined to those before it."""

    start: int                  # first sample of the chunk
    order: tuple[int, ...]      # output c is the chunk's output order[c]
    # By how much this order was better than the next: share of the overlap's energy.
    margin: float
    # False: the overlap showed no difference, so the order of the chunk before was kept.
    decided: bool


@dataclass(frozen=True)
class Plan:
    """Where chunks are cut and faded, in samples; starts are multiples of `hop`, as frames are.

    `warm` samples after its start and `cool` before its end, a chunk's output is not yet, or no
    longer, that of the whole.
    """

    chunk: int
    overlap: int
    hop: int
    warm: int
    cool: int

    @classmethod
    def of(cls, variant: Variant, chunk_s: float, overlap_s: float) -> "Plan":
        """The plan for a network: whole encoder hops, and margins of its receptive field."""
        v = variant
        size, overlap = (
            max(2, round(seconds * v.sample_rate_hz / v.hop)) * v.hop
            for seconds in (chunk_s, overlap_s))
        reach = v.receptive_field_samples + v.L
        return cls(size, overlap, v.hop, *((reach, v.L) if v.causal else (reach // 2 + v.L,) * 2))

    def fade(self) -> Sound:
        """The later chunk's share of the overlap: 0, then a raised cosine, then 1.

        An overlap too short for both margins and a fade of a third keeps a third, and the margins
        shrink.
        """
        scale = min(1.0, self.overlap * 2 / 3 / (self.warm + self.cool))
        warm, cool = int(self.warm * scale), int(self.cool * scale)
        ramp = (np.arange(self.overlap - warm - cool) + 0.5) / max(1, self.overlap - warm - cool)
        return np.concatenate(
            [np.zeros(warm), 0.5 - 0.5 * np.cos(np.pi * ramp), np.ones(cool)]).astype(np.float32)


def cut_up(blocks: Iterable[Sound], plan: Plan) -> Iterator[Chunk]:
    """Chunks of plan.chunk samples, from blocks of any size; about two chunks are in memory.

    A chunk begins plan.overlap before the end of the last, or further back where that overlap would
    be silent. The last one ends with the recording: it begins earlier, and is up to a hop shorter.
    Sound shorter than a chunk is one chunk.
    """
    held, first, start = np.zeros(0, np.float32), 0, 0          # held[0] is sample `first`
    for block in blocks:
        held = np.concatenate([held, block])
        # More follows, so this chunk is not the last.
        while first + len(held) > start + plan.chunk:
            chunk = Chunk(start, held[start - first:start - first + plan.chunk])
            yield chunk
            held, first = held[start - first:], start
            start += plan.chunk - loud_overlap(chunk.sound, plan)
    if start:
        start = -(-(first + len(held) - plan.chunk) // plan.hop) * plan.hop
    if len(held):
        yield Chunk(start, held[start - first:])


def loud_overlap(sound: Sound, plan: Plan) -> int:
    """How many of a chunk's last samples [T] the next one repeats, to have speech; at most half."""
    power = np.square(sound, dtype=np.float64)
    enough = LITTLE * power.mean() * plan.overlap
    for overlap in range(plan.overlap, len(sound) // 2 + 1, plan.overlap):
        if power[-overlap:].sum() >= enough:
            return overlap
    return plan.overlap


class Joiner:
    """Puts separated chunks together, speakers in the order of the first.

    What it returns is final.
    """

    def __init__(self, plan: Plan):
        self.fade = plan.fade()
        self.seams: list[Seam] = []
        self.last: Piece | None = None

    def add(self, chunk: Chunk, estimates: Sound) -> "Piece | None":
        """Take the next chunk with its speakers [C, T].

        Returns what lies before it and was not returned yet.
        """
        before, self.last = self.last, Piece(chunk.start, chunk.sound, estimates)
        if before is None:
            self.seams.append(Seam(chunk.start, tuple(range(len(estimates))), 1.0, True))
            return None
        lap = before.signals[:, chunk.start - before.start:]
        seam = self.seam(chunk.start, lap, estimates)
        self.seams.append(seam)
        signals = estimates[list(seam.order)]
        signals[:, :lap.shape[1]] = blend(lap, signals[:, :lap.shape[1]], self.fade)
        self.last = Piece(chunk.start, chunk.sound, signals)
        new = chunk.start - before.start
        return Piece(before.start, before.mixture[:new], before.signals[:, :new])

    def finish(self) -> "Piece | None":
        """The rest, once there is no further chunk."""
        return self.last

    def seam(self, start: int, lap: Sound, estimates: Sound) -> Seam:
        order, margin = best_order(lap, estimates[:, :lap.shape[1]])
        audible = (
            np.square(lap, dtype=np.float64).mean()
            > SILENCE * np.square(estimates, dtype=np.float64).mean())
        decided = bool(audible and margin > UNSURE)
        return Seam(start, order if decided else self.seams[-1].order, margin, decided)


class Piece(NamedTuple):
    """Speakers beside the mixture they were separated from."""

    start: int
    mixture: Sound      # [T]
    signals: Sound      # [C, T]


def best_order(before: Sound, after: Sound) -> tuple[tuple[int, ...], float]:
    """The order of `after` with the least squared difference from `before`, and its margin.

    [C, T] each. Not the one of the highest SI-SNR: scale-free, the trace of the other voice in a
    silent speaker's channel would count as much as the voice itself. The second value is the
    advantage over the next best order: 0 no difference, 1 or more for signals that are alike in one
    order and unlike in all others.
    """
    first, second = before.astype(np.float64), after.astype(np.float64)
    products = first @ second.T                             # [C, C]
    energy = (np.square(first).sum() + np.square(second).sum()) / 2
    scores = {
        order: sum(products[i, j] for i, j in enumerate(order))
        for order in permutations(range(len(products)))}
    order = max(scores, key=lambda one: scores[one])
    best = scores.pop(order)
    margin = (best - max(scores.values())) / energy if scores and energy else float(not scores)
    return order, float(margin)


def blend(before: Sound, after: Sound, fade: Sound) -> Sound:
    """From one signal to the other over the last len(fade) samples: [C, T], [C, T] -> [C, T]."""
    joined = before.copy()
    joined[:, -len(fade):] += fade * (after[:, -len(fade):] - before[:, -len(fade):])
    return joined
