import itertools
import os
import shutil

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import audio
from tasnet_core.corpora.commands import check
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.corpora.stored import difference_db
from tasnet_core.errors import CorpusError
from tests.support.corpus_layouts import small_wsj0


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


def cuts(samples, segment):
    """The paper's rule: segments without overlap, the last one from the end, so that every sample lies in one."""
    starts = range(0, max(1, samples - segment + 1), segment)
    return sorted({*starts, max(0, samples - segment)})


def test_training_hears_every_cut_of_every_mixture_once_before_any_twice(tmp_path):
    corpus = open_corpus(f"wsj0mix:{small_wsj0(tmp_path, seconds=0.5)}")
    wanted = {f"{corpus.mixture('train', i).id}/{start}" for i in range(3) for start in cuts(4000, 1500)}
    assert len(wanted) == 9  # 0, 1500 and 2500 of each
    orders = [[corpus.segment(1, epoch, index, 1500).id for index in range(18)] for epoch in (1, 2)]
    for order in orders:
        assert set(order[:9]) == set(order[9:]) == wanted
    assert len({tuple(half) for order in orders for half in (order[:9], order[9:])}) == 4


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(1, 9000), st.integers(0, 50))
def test_a_segment_is_that_part_of_its_whole_mixture(prepared, samples, index):
    corpus = open_corpus(f"wsj0mix:{prepared}")
    segment = corpus.segment(0, 1, index, samples)
    *name, start = segment.id.split("/")
    whole = next(mixture for mixture in (corpus.mixture("train", i) for i in range(3)) if mixture.id == "/".join(name))
    assert int(start) in cuts(whole.length, samples)
    assert segment.length == min(samples, whole.length)
    assert np.array_equal(segment.sources[:, :segment.length], whole.sources[:, int(start):int(start) + segment.length])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return small_wsj0(tmp_path_factory.mktemp("sound"), seconds=0.5)


def test_a_resampled_segment_is_that_part_of_the_resampled_mixture(tmp_path):
    corpus = open_corpus(f"wsj0mix:{small_wsj0(tmp_path, rate=11_025)}")
    for index in range(6):
        segment = corpus.segment(0, 1, index, 1000)
        *name, start = segment.id.split("/")
        path = corpus.root / f"tr/s1/{name[1]}.wav"
        whole = audio.resample(audio.read(path)[0][0], 11_025, 8000)
        assert np.array_equal(segment.sources[0], whole[int(start):int(start) + 1000])
    assert "27 files resampled from 11025 Hz" in corpus.notes


def test_what_is_written_is_read(prepared):
    corpus = open_corpus(f"wsj0mix:{prepared}")
    mixture = corpus.mixture("test", 1)
    rng = np.random.default_rng((2, 1))
    assert np.array_equal(mixture.sources * 32768, rng.integers(-2000, 2000, (2, 4000)))
    assert mixture.id == "test/011a0001_0.0_012a0001_0.1"
    assert mixture.speakers == ("011", "012")
    assert mixture.noise is None
    assert corpus.speakers_known
    assert corpus.notes == ("test speakers also occur in training",)


@pytest.mark.parametrize("db", [0, 20, 60])
def test_the_difference_to_the_sum_is_measured_in_db(db):
    sound, other = np.random.default_rng(0).standard_normal((2, 80_000)).astype(np.float32) * 0.1
    other -= sound * (sound @ other) / (sound @ sound)
    other *= np.float32(10 ** (-db / 20) * np.linalg.norm(sound) / np.linalg.norm(other))
    assert difference_db(sound, sound - other, 2) == pytest.approx(db, abs=0.01)


def test_rounding_to_16_bits_is_no_difference():
    sources = np.random.default_rng(0).uniform(-0.4, 0.4, (3, 10_000)).astype(np.float32)

    def rounded(sound):
        return np.rint(sound * 32768).astype(np.float32) / 32768

    assert difference_db(rounded(sources.sum(0)), rounded(sources).sum(0), 3) is None
    assert difference_db(rounded(sources.sum(0)) * 0.999, rounded(sources).sum(0), 3) == pytest.approx(60, abs=1)


def test_a_mixture_that_is_not_the_sum_of_its_sources_is_said_with_its_snr(tmp_path):
    small_wsj0(tmp_path)
    path = sorted((tmp_path / "tt/mix").iterdir())[2]
    samples, rate = soundfile.read(path)
    soundfile.write(path, 0.9 * samples, rate)  # the difference is a ninth of the mixture: 19.1 dB below it
    corpus = open_corpus(f"wsj0mix:{tmp_path}")
    [note] = [note for note in corpus.notes if "sum of their sources" in note]
    assert note == ("not the sum of their sources: 1 of 9 mixtures looked at; in test/011a0002_0.0_012a0002_0.1 the "
                    "mixture is 19.1 dB above the difference; the sum is used")
    mixture = corpus.mixture("test", 2)
    assert np.array_equal(mixture.mixture, mixture.sources[0] + mixture.sources[1])


def spoil(folder):
    """Mixtures that cannot be used, in the training part, and what must be said of each."""
    names = sorted(path.name for path in (folder / "tr/mix").iterdir())
    wanted = {}

    def fault(number, reason):
        wanted["train/" + names[number].removesuffix(".wav")] = reason
        return folder / "tr/s2" / names[number]

    fault(0, "no file of this name in tr/s2").unlink()
    path = fault(1, "truncated: 1000 bytes fewer")
    path.write_bytes(path.read_bytes()[:-1000])
    fault(2, "not a sound file").write_text("no sound")
    path = fault(3, "shorter than one frame")
    soundfile.write(path, np.ones(20) * 0.1, 8000)
    soundfile.write(fault(10, "silent"), np.zeros(4000), 8000)
    soundfile.write(fault(11, "NaN"), np.full(4000, np.nan), 8000, subtype="FLOAT")
    return wanted


def test_unusable_mixtures_are_left_out_and_named_before_and_after_a_check(tmp_path, capsys):
    small_wsj0(tmp_path, count=12)
    wanted = spoil(tmp_path)
    first = open_corpus(f"wsj0mix:{tmp_path}")
    assert {path: reason for path, reason in first.unusable if reason not in wanted[path] and wanted[path] not in reason} == {}
    assert len(first.unusable) == 4  # what headers tell; the other two lie beyond the few that opening looks at
    for _ in range(2):
        assert check(f"wsj0mix:{tmp_path}", 2, 8000, False) == 0
        said = capsys.readouterr().out
        assert "6 unusable files" in said
        for path, reason in wanted.items():
            assert any(path in line and reason in line for line in said.splitlines())
    after = open_corpus(f"wsj0mix:{tmp_path}")
    assert after.count("train") == 6
    assert "6 mixtures left out as unusable" in after.notes
    assert {name.rpartition("/")[0] for name in (after.segment(0, 1, i, 4000).id for i in range(9))} == {
        after.mixture("train", i).id for i in range(6)}


def test_a_corpus_that_changed_is_read_again(tmp_path):
    said = []
    small_wsj0(tmp_path)
    for _ in range(2):
        open_corpus(f"wsj0mix:{tmp_path}", say=said.append)
    assert len(said) == 1
    assert "reading the headers of 27 files, once" in said[0]
    spoil_one = next((tmp_path / "tt/s1").iterdir())
    soundfile.write(spoil_one, np.sin(np.arange(3000)) * 0.1, 8000)
    corpus = open_corpus(f"wsj0mix:{tmp_path}", say=said.append)
    assert len(said) == 2
    assert "1 mixture whose files differ in length, by up to 1000 samples: cut to the shortest" in corpus.notes


@pytest.mark.parametrize(("mode", "length", "rule"), [("min", 3000, "cut to the shortest"), ("max", 4000, "zeros added")])
def test_files_of_unequal_length_are_cut_or_padded_as_the_mode_says(tmp_path, mode, length, rule):
    small_wsj0(tmp_path / mode)
    path = sorted((tmp_path / mode / "tt/s2").iterdir())[0]
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples[:3000], rate)
    corpus = open_corpus(f"wsj0mix:{tmp_path}?mode={mode}")
    mixture = corpus.mixture("test", 0)
    assert mixture.length == length
    assert np.array_equal(mixture.sources[1, :3000], samples[:3000].astype(np.float32))
    assert not mixture.sources[1, 3000:].any()
    assert any(rule in note for note in corpus.notes)


def test_of_stereo_the_first_channel_is_taken_or_it_is_refused(tmp_path):
    small_wsj0(tmp_path)
    path = sorted((tmp_path / "cv/s1").iterdir())[0]
    samples, rate = soundfile.read(path)
    soundfile.write(path, np.stack([samples, 0 * samples + 0.5], 1), rate)
    first = open_corpus(f"wsj0mix:{tmp_path}")
    assert np.array_equal(first.mixture("valid", 0).sources[0], samples.astype(np.float32))
    assert "1 file with more than one channel: first channel taken" in first.notes
    refusing = open_corpus(f"wsj0mix:{tmp_path}?stereo=refuse")
    assert refusing.count("valid") == 2
    assert "2 channels, and stereo=refuse" in refusing.unusable[0].reason


def test_every_kind_of_file_is_read(tmp_path):
    small_wsj0(tmp_path, seconds=1)
    for split, kind in itertools.product(("tr", "cv", "tt"), ("s1", "mix")):
        for path in (tmp_path / split / kind).iterdir():
            samples, rate = soundfile.read(path)
            soundfile.write(path.with_suffix(".flac"), samples, rate)
            path.unlink()
    corpus = open_corpus(f"wsj0mix:{tmp_path}")
    assert corpus.unusable == ()
    rng = np.random.default_rng((2, 0))
    assert np.array_equal(corpus.mixture("test", 0).sources * 32768, rng.integers(-2000, 2000, (2, 8000)))


def test_a_split_of_which_nothing_can_be_used_is_an_error_that_names_the_first_reason(tmp_path):
    small_wsj0(tmp_path)
    shutil.rmtree(tmp_path / "cv/s2")
    (tmp_path / "cv/s2").mkdir()
    says = r"none of the 3 mixtures for valid can be used \(the first, valid/011a0000_.*: no file of this name in cv/s2\)"
    with pytest.raises(CorpusError, match=says):
        open_corpus(f"wsj0mix:{tmp_path}")


def test_the_fingerprint_is_that_of_the_mixtures_wherever_they_lie(tmp_path):
    here, there = (open_corpus(f"wsj0mix:{small_wsj0(tmp_path / name)}").fingerprint for name in ("here", "there"))
    assert here == there
    path = next((tmp_path / "there/tt/s1").iterdir())
    samples, stat = soundfile.read(path)[0], path.stat()
    soundfile.write(path, samples[::-1], 8000)       # of equal name, length, size and time
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_corpus(f"wsj0mix:{tmp_path / 'there'}").fingerprint != here
    soundfile.write(path, samples, 8000)
    assert open_corpus(f"wsj0mix:{tmp_path / 'there'}").fingerprint == here
    (tmp_path / "there/speakers.csv").write_text("speaker,sex,name\n011,F,Ann\n")   # a list beside it names people, no more
    assert open_corpus(f"wsj0mix:{tmp_path / 'there'}").fingerprint == here
    next((tmp_path / "there/tr/mix").iterdir()).unlink()
    assert open_corpus(f"wsj0mix:{tmp_path / 'there'}").fingerprint != here
    assert open_corpus(f"wsj0mix:{tmp_path / 'here'}", 2, 16_000).fingerprint != here


def test_a_folder_that_may_not_be_listed_is_one_line(tmp_path, monkeypatch):
    for part in ("mix", "s1", "s2"):
        for split in ("tr", "cv", "tt"):
            (tmp_path / split / part).mkdir(parents=True)

    listed = os.listdir

    def closed(path):
        if str(path).endswith("tr/mix"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "listdir", closed)
    with pytest.raises(CorpusError, match=r"tr/mix: cannot be read: Permission denied"):
        open_corpus(f"wsj0mix:{tmp_path}")
