"""Networks of any hyperparameters, small enough to run: strategies of hypothesis."""

from hypothesis import strategies as st

from tasnet_core.records import ENCODERS, MASKS, NORMS, Variant

NORM_WORDS = st.sampled_from([(norm, first, causal) for norm in NORMS for first in ("", *NORMS) for causal in (False, True)
                              if not (causal and "global" in (norm, first))])
sizes = {"N": st.integers(1, 12), "L": st.integers(1, 6).map(lambda half: 2 * half), "B": st.integers(1, 8),
         "H": st.integers(1, 10), "Sc": st.integers(0, 6), "P": st.sampled_from([1, 3, 5]), "X": st.integers(1, 3),
         "R": st.integers(1, 3), "C": st.integers(2, 5), "last_residual": st.booleans(),
         "sample_rate_hz": st.sampled_from([8000, 11025, 16000]), "extra_dilation": st.sampled_from([0, 0, 1, 3])}
PADDINGS = st.sampled_from([{}, {}, {"encoder_padding": True}, {"padding_mode": "reflect"}])
variants = st.builds(
    lambda words, padding, **letters: Variant(norm=words[0], input_norm=words[1], causal=words[2],
                                              **({} if words[2] else padding), **letters), NORM_WORDS, PADDINGS,
    encoder=st.sampled_from(ENCODERS), mask=st.sampled_from(MASKS), dropout=st.sampled_from([0.0, 0.25]), **sizes)
causal_variants = variants.filter(lambda variant: variant.causal)
