from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasnet_core.mixing import Mixture
from tasnet_core.segments import cut, cuts


@given(st.integers(1, 500), st.integers(1, 200))
def test_every_sample_is_in_a_segment_and_only_the_last_ones_overlap(samples, segment):
    starts = cuts(samples, segment)
    heard = {sample for start in starts for sample in range(start, min(start + segment, samples))}
    assert heard == set(range(samples))
    assert all(later - earlier == segment for earlier, later in pairwise(starts[:-1]))
    assert samples <= segment or starts[-1] + segment == samples        # the last one ends where the recording does


@given(st.integers(1, 50), st.integers(1, 30))
def test_segments_hold_the_recording_and_zeros_behind_a_short_one(samples, segment):
    sources = np.arange(1, 2 * samples + 1, dtype=np.float32).reshape(2, samples)
    pieces = cut(Mixture("m", sources, samples, ("a", "b"), ("F", "M")), segment)
    for piece, start in zip(pieces, cuts(samples, segment), strict=True):
        assert piece.sources.shape == (2, segment)
        np.testing.assert_array_equal(piece.sources[:, :piece.length], sources[:, start:start + segment])
        assert not piece.sources[:, piece.length:].any()
    assert len({piece.id for piece in pieces}) == len(pieces)
