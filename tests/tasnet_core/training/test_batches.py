"""Drawing ahead gives what drawing gives."""

import threading
from dataclasses import replace

import pytest

from tasnet_core.training.batches import Drawer
from tests.support.tiny import RECIPE, Tiny

FIVE = replace(RECIPE, batch_size=2, epoch_segments=5)      # the last batch of an epoch is smaller


class Watched(Tiny):
    """Notes who asked for what."""

    def __init__(self):
        self.asked = []

    def segment(self, seed, epoch, index, samples):
        self.asked.append((threading.current_thread() is threading.main_thread(), epoch, index))
        return super().segment(seed, epoch, index, samples)


def order(epochs):
    return [(epoch, range(first, min(first + 2, 5))) for epoch in range(1, epochs + 1) for first in range(0, 5, 2)]


JUMPS = [(1, range(2)), (1, range(4, 5)), (2, range(4, 5))]


@pytest.mark.parametrize("wanted", [order(2), order(1)[1:], JUMPS], ids=["all", "resumed", "jumps"])
def test_what_is_drawn_ahead_is_what_would_be_drawn(wanted):
    plain, ahead = (Drawer(Tiny().segment, FIVE, 800, ahead=on) for on in (False, True))
    for epoch, indices in wanted:
        one, other = plain.draw(epoch, indices), ahead.draw(epoch, indices)
        assert [mixture.id for mixture in one] == [mixture.id for mixture in other]
        assert all((a.sources == b.sources).all() for a, b in zip(one, other, strict=True))


def test_only_the_first_batch_is_waited_for():
    corpus = Watched()
    drawer = Drawer(corpus.segment, FIVE, 800, ahead=True)
    for epoch, indices in order(2):
        drawer.draw(epoch, indices)
    drawer.thread.shutdown()
    assert [place for here, *place in corpus.asked if here] == [[1, 0], [1, 1]]
    assert sorted(place for _, *place in corpus.asked) == sorted([e, i] for e in (1, 2, 3) for i in range(5 if e < 3 else 2))
