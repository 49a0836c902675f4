import hashlib
import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.corpora import mixed, registry
from tasnet_core.corpora.audio_cache import SPLITS
from tasnet_core.corpora.mixed import PEAK
from tasnet_core.corpora.registry import CORPORA, open_corpus, open_voices
from tasnet_core.corpora.voices import VoicesSettings
from tasnet_core.errors import CorpusError
from tests.support import ROOT
from tests.support.corpus_layouts import librimix, wsj0
from tests.support.recordings import FSDD, levels_db, people, voice

TINY = VoicesSettings(train_speakers=4, valid_speakers=2, test_speakers=4,
                      train_sentences=2, valid_sentences=2, test_sentences=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A cache and a folder of corpora that all tests of this file share."""
    cache, here = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("sound")
    people(here / "people")
    (here / "noise").mkdir()
    for number in range(4):
        audio.write(here / "noise" / f"{number}.wav", voice(99, number, 0.4 + number), 8000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASNET_CACHE", str(cache))
        patch.setattr(mixed, "MIXTURES", {"valid": 5, "test": 9})
        wsj0(open_corpus(f"folder:{here / 'people'}?split=recording"), here / "wsj0")
        wsj0(open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}"), here / "wham")
        wsj0(open_corpus(f"folder:{here / 'people'}?split=recording", 3), here / "3speakers/wav8k/min")
        librimix(open_corpus(f"folder:{here / 'people'}"), here / "libri")
        librimix(open_corpus(f"folder:{here / 'people'}?noise={here / 'noise'}"), here / "libri-noisy", "mix_both")
    return cache, here


@pytest.fixture(autouse=True)
def cache(prepared, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(prepared[0]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


# One line for every corpus: how a test opens it, {here} being the folder above.
OPENINGS = {
    "voices": "open_voices('voices', settings=TINY)",
    "voices2": "open_voices('voices2', settings=TINY)",
    "folder by speaker": "open_corpus('folder:{here}/people')",
    "folder by recording": "open_corpus('folder:{here}/people?split=recording&seed=3')",
    "folder for three at 16 kHz": "open_corpus('folder:{here}/people?split=recording', 3, 16000)",
    "folder with noise at many speeds": "open_corpus('folder:{here}/people?noise={here}/noise&noise_db=0..10&speed=0.9..1.1')",
    "wsj0mix": "open_corpus('wsj0mix:{here}/wsj0')",
    "wsj0mix with noise, resampled": "open_corpus('wsj0mix:{here}/wham', 2, 16000)",
    "wsj0mix for three": "open_corpus('wsj0mix:{here}', 3)",
    "librimix": "open_corpus('librimix:{here}/libri')",
    "librimix with noise": "open_corpus('librimix:{here}/libri-noisy?task=mix_both')",
    "real recordings": f"open_corpus('folder:{FSDD}?speaker=_([a-z]+)_&split=recording')",
}


def opening(name, prepared):
    if name == "real recordings" and not FSDD.is_dir():
        pytest.skip("the real recordings are not on this machine")
    return OPENINGS[name].format(here=prepared[1])


def open_anew(expression):
    return eval(expression, {"open_corpus": open_corpus, "open_voices": open_voices, "TINY": TINY})


@pytest.fixture(params=OPENINGS)
def corpus(request, prepared):
    return open_anew(opening(request.param, prepared))


def some(corpus):
    """Mixtures of every kind: segments and fixed ones."""
    segments = [corpus.segment(1, 2, index, 12_000) for index in range(6)]
    return segments + [corpus.mixture(split, i) for split in ("valid", "test")
                       for i in range(min(3, corpus.count(split)))]


def fingerprint(corpus):
    digest = hashlib.sha256()
    for mixture in some(corpus):
        digest.update(mixture.sources.tobytes() + json.dumps([mixture.id, *mixture[2:5]]).encode())
        digest.update(b"" if mixture.noise is None else mixture.noise.tobytes())
    return digest.hexdigest()


def drawn(corpus):
    """Whether training mixtures are drawn without end, and not taken from a list."""
    return corpus.describe()[0].mixtures is None


def test_a_mixture_is_the_exact_sum_of_its_sources_and_its_noise(corpus):
    for mixture in some(corpus):
        assert mixture.sources.dtype == mixture.mixture.dtype == np.float32
        assert len(mixture.sources) == len(mixture.speakers) == len(mixture.sexes) == corpus.C
        wanted = mixture.sources[0]
        for source in mixture.sources[1:]:
            wanted = wanted + source
        if mixture.noise is not None:
            assert mixture.noise.dtype == np.float32
            wanted = wanted + mixture.noise
        assert np.array_equal(mixture.mixture, wanted)


def test_the_people_of_a_mixture_are_different_and_of_its_split(corpus):
    for mixture in some(corpus):
        split = mixture.id.split("/")[0]
        assert len(set(mixture.speakers)) == corpus.C
        assert set(mixture.speakers) <= {r.speaker for r in corpus.recordings if r.split == split}
        assert set(mixture.sexes) <= {"F", "M", "?"}


def test_a_segment_is_a_function_of_seed_epoch_and_index(corpus):
    calls = list(itertools.product((0, 5), (1, 2), (0, 1, 7)))
    first = {call: corpus.segment(*call, 9000) for call in calls}
    for call in reversed(calls):
        again = corpus.segment(*call, 9000)
        assert np.array_equal(again.sources, first[call].sources)
        assert np.array_equal(again.mixture, first[call].mixture)
        assert again[2:5] == first[call][2:5]
    # A list of mixtures comes in another order each epoch, so that what differs is what one epoch has.
    for alike in [calls] if drawn(corpus) else [calls[i:i + 3] for i in range(0, len(calls), 3)]:
        assert len({first[call].sources.tobytes() for call in alike}) == len(alike)
        assert len({first[call].id for call in alike}) == len(alike)


@pytest.mark.parametrize("samples", [1, 40, 9000, 300_000])
def test_a_segment_has_the_length_asked_for_and_zeros_only_after_its_sound(corpus, samples):
    mixture = corpus.segment(0, 1, 0, samples)
    assert mixture.sources.shape == (corpus.C, samples)
    assert 1 <= mixture.length <= samples
    assert not mixture.sources[:, mixture.length:].any()
    assert not mixture.mixture[mixture.length:].any()


def test_a_fixed_mixture_has_no_padding_and_a_sound_of_its_own(corpus):
    for split in ("valid", "test"):
        mixtures = [corpus.mixture(split, index) for index in range(corpus.count(split))]
        assert mixtures
        assert all(mixture.sources.shape == (corpus.C, mixture.length) for mixture in mixtures)
        assert len({mixture.id for mixture in mixtures}) == len(mixtures)
        assert len({mixture.sources.tobytes() for mixture in mixtures}) == len(mixtures)


def test_levels_differ_by_no_more_than_drawn_and_no_mixture_clips(corpus):
    if not drawn(corpus):
        pytest.skip("the levels of a list of mixtures are whoever's who made it")
    widest = 2.5 if corpus.C == 2 else 5.0  # three people are each within ±2.5 dB of the same level
    for mixture in some(corpus):
        levels = levels_db(mixture)
        assert max(levels) - min(levels) <= widest + 1e-3
        assert np.abs(mixture.mixture).max() <= PEAK
        assert 0.02 < mixture.mixture[:mixture.length].std() < 0.2


def test_splits_share_no_recording_and_no_speaker_unless_said(corpus):
    recordings = {split: {r.entry.id for r in corpus.recordings if r.split == split} for split in SPLITS}
    speakers = {split: {r.speaker for r in corpus.recordings if r.split == split} for split in SPLITS}
    assert all(recordings.values())
    for one, other in itertools.combinations(SPLITS, 2):
        assert not recordings[one] & recordings[other]
        assert bool(speakers[one] & speakers[other]) == corpus.speakers_known
    assert any("also occur in training" in note for note in corpus.notes) == corpus.speakers_known


@pytest.fixture(scope="module")
def cold(prepared, tmp_path_factory):
    """What a fresh process draws of each corpus, each with a cold cache."""
    caches = tmp_path_factory.mktemp("cold")
    there = [name for name in OPENINGS if name != "real recordings" or FSDD.is_dir()]
    jobs = [(name, opening(name, prepared), str(caches / str(number))) for number, name in enumerate(there)]
    code = f"from tests.tasnet_core.corpora.test_registry import say; say({jobs!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    fresh = subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert len(list(caches.iterdir())) == len(jobs)
    return json.loads(fresh.stdout)


def say(jobs):
    """Print the fingerprint of each corpus as JSON."""
    found = {}
    for name, expression, cache in jobs:
        os.environ["TASNET_CACHE"] = cache
        found[name] = fingerprint(open_anew(expression))
    print(json.dumps(found))


@pytest.mark.parametrize("name", OPENINGS)
def test_a_fresh_process_with_a_cold_cache_draws_the_same(name, prepared, cold):
    here = fingerprint(open_anew(opening(name, prepared)))
    assert cold[name] == here


def test_what_describe_says_adds_up(corpus):
    parts = {part.split: part for part in corpus.describe()}
    assert tuple(parts) == SPLITS
    assert sum(part.recordings for part in parts.values()) == len(corpus.recordings)
    for split, part in parts.items():
        mine = [r for r in corpus.recordings if r.split == split]
        assert part.speakers == len({r.speaker for r in mine}) == sum(part.sexes.values())
        assert part.seconds == pytest.approx(sum(r.entry.length for r in mine) / corpus.sample_rate_hz)
        assert part.mixtures == (None if split == "train" and drawn(corpus) else corpus.count(split))


def test_another_seed_mixes_other_people_and_another_split(prepared):
    one, other = (open_corpus(f"folder:{prepared[1]}/people?split=recording&seed={seed}") for seed in (0, 1))
    assert fingerprint(one) != fingerprint(other)
    assert one.fingerprint != other.fingerprint
    assert {r.entry.id: r.split for r in one.recordings} != {r.entry.id: r.split for r in other.recordings}


def test_another_seed_of_voices_mixes_the_same_recordings_anew():
    one, other = (open_voices(spec, settings=TINY) for spec in ("voices", "voices?seed=1"))
    assert one.recordings == other.recordings
    assert fingerprint(one) != fingerprint(other)


def test_voices_say_once_that_they_speak(tmp_path, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path))
    said = []
    for _ in range(2):
        open_voices("voices", say=said.append, settings=TINY)
    assert said == ["corpus voices: speaking 20 sentences, once"]


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=30), st.sampled_from(["speaker", "recording"]), st.integers(0, 999))
def test_a_pattern_may_hold_any_sign(pattern, split, seed):
    names = ("speaker", "split", "seed")
    if any(f"&{name}=" in pattern for name in names):
        return
    wanted = {"speaker": pattern, "split": split, "seed": str(seed)}
    for order in itertools.permutations(names):
        spec = "folder:a?" + "&".join(f"{name}={wanted[name]}" for name in order)
        assert registry.Spec(spec, names).options == wanted


@pytest.mark.parametrize(("spec", "says"), [
    ("speech", r"'speech' is unknown; choose from .*voices.*folder"),
    ("", "'' is unknown"),
    ("voices?speed=3", "'speed=3' is no option; choose from seed"),
    ("voices:here", "voices takes no path"),
    ("folder:", "folder:PATH"),
    ("folder:x?sped=3", "'sped=3' is no option; choose from speaker, split, seed"),
    ("folder:x?speed=1.1..0.9", r"speed=1.1..0.9 is no span; write speed=LOW..HIGH, two numbers from 0.5 to 2, the lower"),
    ("folder:x?speed=0.9", "speed=0.9 is no span"),
    ("folder:x?noise=y&noise_db=loud..quiet", "noise_db=loud..quiet is no span"),
    ("folder:x?noise_db=0..5", "noise_db is given, but no noise"),
    ("folder:x?stereo=both", "stereo=both is unknown; choose from first, refuse"),
    ("wsj0mix", "no folder is named; write wsj0mix:PATH"),
    ("wsj0mix:x?mode=mean", "mode=mean is unknown; choose from min, max"),
    ("wsj0mix:x?seed=1", "'seed=1' is no option; choose from task, mode, speakers, stereo"),
    ("wsj0mix:/no/such/place", "/no/such/place: does not exist, but a folder with tr, cv and tt is wanted"),
    ("librimix:x?task=mix", "task=mix is unknown; choose from mix_clean, mix_both, mix_single"),
    ("librimix:x?train=train-500", "train=train-500 is unknown; choose from train-360, train-100"),
    ("librimix:/no/such/place", "/no/such/place: does not exist"),
    ("folder:x?split", "'split' is no option"),
    ("folder:x?split=half", "split=half is unknown; choose from speaker, recording"),
    ("folder:x?seed=-1", "seed=-1 must be a whole number"),
    ("folder:x?seed=1&seed=2", "seed is given twice"),
    ("folder:x?speaker=(", "no regular expression"),
    ("folder:/no/such/place", "/no/such/place: does not exist, but recordings are wanted"),
])
def test_a_spec_that_cannot_be_used_is_one_line_that_says_why(spec, says):
    with pytest.raises(CorpusError, match=says) as caught:
        open_corpus(spec)
    assert "\n" not in str(caught.value)


def test_more_people_in_a_mixture_than_a_split_has_is_one_line(prepared):
    with pytest.raises(CorpusError, match="2 speakers in valid, but a mixture of C=3 needs 3; lower C"):
        open_voices("voices", C=3, settings=TINY)


def test_the_table_of_corpora_has_all():
    assert {"voices2", "voices", "folder", "wsj0mix", "librimix"} <= set(CORPORA)
