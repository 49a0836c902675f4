import pwd
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasnet_core import files
from tasnet_core.backend import build
from tasnet_core.corpora import audio_cache
from tasnet_core.errors import UserError
from tasnet_core.files import home


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def maker(*sounds, facts=None):
    def make(mine):
        mine.update(facts or {})
        for number, sound in enumerate(sounds):
            yield f"r{number}", np.asarray(sound, np.float32)

    return make


def never(facts):
    raise AssertionError("made again")
    yield


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-1000, 1000), max_size=20), st.floats(1e-9, 1e6))
def test_the_cache_keeps_16_bits_of_any_level(tmp_path_factory, values, level):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        sound = (np.array(values) * level).astype(np.float32)
        made = audio_cache.cached("x", 1, maker([0.5, -1.0], sound))
    again = made.read(made.entries[1])
    assert again.dtype == np.float32
    assert len(again) == len(sound)
    assert np.abs(again - sound).max(initial=0) <= 0.501 / 32767 * np.abs(sound).max(initial=0)


def test_a_part_of_a_recording_is_the_same_as_that_part_of_the_whole():
    made = audio_cache.cached("x", 1, maker([0.1], np.linspace(-1, 1, 50)))
    whole = made.read(made.entries[1])
    assert np.array_equal(made.read(made.entries[1], 7, 20), whole[7:27])


def test_a_cache_is_made_once_for_each_thing_it_depends_on():
    first = audio_cache.cached("x", ["a", 1], maker([1.0], facts={"seen": 3}))
    again = audio_cache.cached("x", ["a", 1], never)
    assert (again.entries, again.facts) == (first.entries, {"seen": 3})
    with pytest.raises(AssertionError, match="made again"):
        audio_cache.cached("x", ["a", 2], never)


def test_a_maker_that_fails_leaves_nothing_behind(cache):
    def fails(facts):
        yield "r0", np.ones(9, np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audio_cache.cached("x", 1, fails)
    assert list(cache.glob("[!.]*")) == []


def test_of_two_at_once_one_makes_the_cache(cache):
    made = []

    def slow(facts):
        made.append(1)
        time.sleep(0.2)
        yield "r0", np.ones(9, np.float32)
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: audio_cache.cached("x", 1, slow), range(2)))
    assert len(made) == 1
    assert both[0].entries == both[1].entries


def test_who_comes_second_takes_the_cache_of_who_came_first(cache, monkeypatch):
    monkeypatch.setattr(audio_cache, "FileLock", lambda path: nullcontext())     # machines that share a folder, but not its locks

    def slow(facts):
        audio_cache.cached("x", 1, maker([0.25, 0.5]))  # another process, meanwhile
        yield "mine", np.ones(9, np.float32)

    assert [entry.id for entry in audio_cache.cached("x", 1, slow).entries] == ["r0"]
    assert len(list(cache.glob("[!.]*"))) == 1


def cut(path):
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize("name", ["sound.i16", "index.json"])
@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_damaged_cache_is_made_again(cache, name, damage):
    audio_cache.cached("x", 1, maker([0.25, 0.5]))
    damage(next(cache.glob("[!.]*")) / name)
    made = audio_cache.cached("x", 1, maker([0.25, 0.5]))
    assert made.read(made.entries[0]).tolist() == pytest.approx([0.25, 0.5], rel=1e-4)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 64
    path.write_bytes(content)


@pytest.mark.parametrize("opened", ["before", "after"])
def test_a_byte_that_was_changed_is_noticed_when_its_recording_is_read_and_the_cache_made_again(cache, opened):
    sounds, made = ([0.25, 0.5], [0.5, -1.0, 0.25]), []

    def make(facts):
        made.append(1)
        yield from maker(*sounds)(facts)
    first = audio_cache.cached("x", 1, make)
    flip(next(cache.glob("[!.]*")) / "sound.i16", 7)
    again = audio_cache.cached("x", 1, make) if opened == "after" else first
    assert again.read(again.entries[0]).tolist() == pytest.approx(sounds[0], rel=1e-4)
    assert len(made) == 1   # the other recording is whole
    numbers = again.numbers(audio_cache.Slice(again.entries[1], 1, 2))
    assert (numbers * again.entries[1].scale).tolist() == pytest.approx(sounds[1][1:], rel=1e-4)
    assert len(made) == 2
    assert not audio_cache.cached("x", 1, never).damaged()


def test_whatever_byte_of_what_is_kept_as_json_was_changed_it_is_noticed_and_made_again(cache):
    made, facts = audio_cache.cached("x", 1, maker([0.25, 0.5], facts={"contents": {"r0": "0a1b"}})), {"contents": {"r0": "0a1b"}}
    index = next(cache.glob("x-*/index.json"))
    whole = index.read_bytes()
    for place in range(len(whole)):
        flip(index, place)
        again = audio_cache.cached("x", 1, maker([0.25, 0.5], facts=facts))
        assert (again.entries, again.facts, index.read_bytes()) == (made.entries, facts, whole)
    audio_cache.remember("y", 1, ["0a1b"])
    kept = next(cache.glob("y-*.json"))
    for place in range(kept.stat().st_size):
        flip(kept, place)
        assert audio_cache.recall("y", 1) is None
        flip(kept, place)
    assert audio_cache.recall("y", 1) == ["0a1b"]


def test_a_damaged_cache_whose_recordings_are_others_by_now_is_one_line(cache):
    made = audio_cache.cached("x", 1, maker([0.25, 0.5]))
    flip(next(cache.glob("[!.]*")) / "sound.i16", 1)
    made.remake = lambda: audio_cache.cached("x", 2, maker([0.25, 0.5, 0.75]))
    with pytest.raises(UserError, match=r"sound of r0 is damaged.*start again"):
        made.read(made.entries[0])


def test_a_cache_that_cannot_be_written_is_one_line_with_the_way_out(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="TASNET_CACHE") as caught:
        audio_cache.cached("x", 1, maker([1.0]))
    assert str(cache) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_full_disk_is_one_line_with_the_way_out(cache):
    def full(facts):
        yield "r0", np.ones(9, np.float32)
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        audio_cache.cached("x", 1, full)
    assert list(cache.glob("[!.]*")) == []


@pytest.mark.parametrize(("settings", "place"), [
    ({"TASNET_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
    ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/tasnet-study"),
    ({"HOME": "/c"}, "/c/.cache/tasnet-study"),
    ({"TASNET_CACHE": "~/mine", "HOME": "/c"}, "/c/mine"),
    ({"XDG_CACHE_HOME": "beside", "HOME": "/c"}, "/c/.cache/tasnet-study"),     # to be ignored, by the XDG specification
])
def test_the_cache_is_where_the_environment_says(monkeypatch, settings, place):
    for name in ("TASNET_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert str(files.cache_folder()) == place


@pytest.mark.parametrize(("place", "words"), [
    ("~nobody-at-all/x", "nobody knows the folder of ~nobody-at-all"), (None, "HOME is not set")])
def test_a_cache_that_is_nowhere_is_one_line_with_the_way_out(monkeypatch, place, words):
    for name in ("TASNET_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if place:
        monkeypatch.setenv("TASNET_CACHE", place)
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])     # a container runs as a number that is nobody's
    with pytest.raises(UserError, match=words) as caught:
        audio_cache.cached("x", 1, maker([1.0]))
    assert "\n" not in str(caught.value)
    assert "TASNET_CACHE" in str(caught.value) or place


def test_without_a_place_for_it_the_compiled_library_is_left_out_and_says_so(monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", "~nobody-at-all/x")
    monkeypatch.delenv("TASNET_PLAIN", raising=False)
    assert "nobody knows the folder of ~nobody-at-all" in build.compiled.__wrapped__()[1]


def test_a_file_whose_name_begins_with_a_tilde_is_meant_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/c")
    (tmp_path / "~old.wav").touch()
    assert [str(home(path)) for path in ("~old.wav", "./~new.wav", "~/a", "~")] == ["~old.wav", "~new.wav", "/c/a", "/c"]


def test_what_is_remembered_is_recalled_for_the_same_dependence_alone(cache):
    assert audio_cache.recall("x", [1]) is None
    audio_cache.remember("x", [1], {"found": [1, "a", None]})
    assert audio_cache.recall("x", [1]) == {"found": [1, "a", None]}
    assert audio_cache.recall("x", [2]) is audio_cache.recall("y", [1]) is None
    next(cache.glob("[!.]*")).write_text("{damaged")
    assert audio_cache.recall("x", [1]) is None


def test_what_cannot_be_remembered_is_one_line_with_the_way_out(cache):
    cache.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="TASNET_CACHE"):
        audio_cache.remember("x", 1, 2)
