import os
from pathlib import Path

import pytest

from tasnet_core.corpora.sound_files import contents, find_sound


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TASNET_CACHE", str(tmp_path_factory.mktemp("cache")))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def below(root):
    return [path.relative_to(root).as_posix() for path in find_sound(root).files]


def test_links_to_folders_are_followed_and_a_folder_goes_by_its_own_name(tmp_path):
    touch(tmp_path, "elsewhere/s1/a.wav", "here/s2/b.wav")
    (tmp_path / "here/s1").symlink_to("../elsewhere/s1")
    (tmp_path / "here/again").symlink_to("s2")
    assert below(tmp_path / "here") == ["s1/a.wav", "s2/b.wav"]
    assert find_sound(tmp_path / "here").notes == ["1 repeated link left out (the first, again)"]


def test_a_root_that_is_a_link_is_followed(tmp_path):
    touch(tmp_path, "truly/s1/a.wav")
    (tmp_path / "link").symlink_to("truly")
    assert below(tmp_path / "link") == ["s1/a.wav"]


def test_links_in_a_circle_end(tmp_path):
    touch(tmp_path, "here/s1/a.wav", "other/b.wav")
    (tmp_path / "here/s1/up").symlink_to("..")
    (tmp_path / "here/out").symlink_to(tmp_path)        # above the folder given
    (tmp_path / "here/self").symlink_to("self")
    (tmp_path / "here/there").symlink_to("../other")
    (tmp_path / "other/back").symlink_to("../here")
    found = find_sound(tmp_path / "here")
    assert below(tmp_path / "here") == ["s1/a.wav", "there/b.wav"]
    assert found.notes == ["2 circular links left out (the first, out)", "1 repeated link left out (the first, there/back)"]
    assert [item.path for item in found.unusable] == ["self"]


def test_a_link_to_what_is_not_there_is_named(tmp_path):
    touch(tmp_path, "s1/a.wav")
    (tmp_path / "s2").symlink_to("gone")
    assert [tuple(item) for item in find_sound(tmp_path).unusable] == [("s2", "a link to what is not there")]


@pytest.mark.parametrize("place", [".Trash-0/files", "__MACOSX/s1", "s1/@eaDir", "$RECYCLE.BIN", "lost+found", ".git",
                                   "System Volume Information", "#recycle"])
def test_folders_of_the_system_are_left_out_and_said(tmp_path, place):
    touch(tmp_path, "s1/a.wav", f"{place}/b.wav")
    top = place.removesuffix("/files").removesuffix("/s1")
    assert below(tmp_path) == ["s1/a.wav"]
    assert find_sound(tmp_path).notes == [f"1 hidden or system folder left out (the first, {top})"]


def test_hidden_files_are_left_out_and_said_and_those_without_sound_are_not(tmp_path):
    touch(tmp_path, "s1/a.wav", "s1/._a.wav", "s2/._b.wav", ".DS_Store", ".cache/x.json")
    assert below(tmp_path) == ["s1/a.wav"]
    assert find_sound(tmp_path).notes == ["2 hidden sound files left out (the first, s1/._a.wav)"]


def test_a_folder_below_a_hidden_one_can_be_given(tmp_path):
    touch(tmp_path, ".data/s1/a.wav")
    assert below(tmp_path / ".data") == ["s1/a.wav"]


def test_sound_files_of_other_kinds_are_counted_and_named(tmp_path):
    touch(tmp_path, "s1/a.wav", "s1/a.wv1", "s1/a.wv2", "s1/b.WV1", "s2/x.m4a", "s2/x.txt", "s2/x.mp3", "s2/y.opus")
    found = find_sound(tmp_path)
    assert [path.name for path in found.files] == ["a.wav"]
    assert found.notes == [
        "6 sound files of a kind that is not read left out (1 .m4a, 1 .mp3, 1 .opus, 2 .wv1, 1 .wv2; the first, a.wv1): "
        "convert to .wav, .flac, .ogg"]



def test_a_pipe_has_no_content(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    assert contents(["a.wav", "gone.wav"], [tmp_path / "a.wav", Path(tmp_path / "gone.wav")]) == ["", ""]
