"""The sound files below a folder as people have it: with links, bins, and other files between."""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from tasnet_core import audio
from tasnet_core.corpora.audio_cache import Unusable, recall, remember
from tasnet_core.errors import counted
from tasnet_core.files import state
from tasnet_core.progress import in_order, shown

# Kept by systems beside people's files. Names that begin with a dot are hidden, too, as ._a.wav,
# which macOS writes beside a.wav.
SYSTEM = set("""
    __macosx @eadir $recycle.bin recycler recycled lost+found #recycle @recycle @recently-snapshot
    #snapshot""".split()) | {"system volume information", "network trash folder", "temporary items"}
OTHER_SOUND = set("""
    .wv1 .wv2 .wv .sph .nist .aif .aiff .aifc .mp3 .m4a .m4b .mp4 .aac .opus .oga .spx .wma .amr
    .awb .caf .au .snd .w64 .rf64 .ape .mpc .tta .ac3 .mka .webm .gsm .vox .raw .pcm .ulaw .alaw
    .adc .voc .dsf""".split()) - set(audio.SUFFIXES)


class Found(NamedTuple):
    """The files below a folder."""

    files: list[Path]  # the sound files, sorted by their path within the folder
    unusable: list[Unusable]  # folders that cannot be listed, links that lead nowhere
    notes: list[str]
    every: int  # files of any kind


def find_sound(root: Path) -> Found:
    """All sound files below a folder.

    Links to folders are followed, but none in a circle and no folder twice.
    """
    walk = _Walk(root)
    files = sorted((path for path in walk.files if _is_sound(path.name)),
                   key=lambda path: os.fsencode(path.relative_to(root).as_posix()))
    notes = [f"{counted(len(paths), what)} left out (the first, {min(paths)})"
             for what, paths in sorted(walk.left_out.items())]
    return Found(files, walk.unusable, notes + skipped(walk.files), len(walk.files))


def skipped(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    """The note on sound files whose kind is not read; none where there are none."""
    others = sorted((path for path in map(Path, paths) if path.suffix.lower() in OTHER_SOUND),
                    key=os.fsencode)
    if not others:
        return []
    counts = Counter(path.suffix.lower() for path in others)
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(counts.items()))
    return [f"{counted(len(others), 'sound file')} of a kind that is not read left out ({kinds}; "
            f"the first, {audio.readable(others[0].name)}): convert to {', '.join(audio.SUFFIXES)}"]


def contents(names: Sequence[str], files: Sequence[Path]) -> list[str]:
    """A digest of every byte of each file.

    They are read if one is not in the state in which it was read last: a folder that was copied
    or moved is read once more, and is the same.
    """
    depends_on = [(name, state(path)) for name, path in zip(names, files, strict=True)]
    found: list[str] | None = recall("contents", depends_on)
    if found is None:
        found = list(shown(in_order(_content, files), len(files), "comparing recordings"))
        remember("contents", depends_on, found)
    return found


def _content(path: Path) -> str:
    """"" for no file that can be read: decoding it will report that."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            return ""
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError:
        return ""


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a system's own and not its user's."""
    return name.startswith(".") or name.lower() in SYSTEM


class _Walk:
    """First the folders that are truly there, then those that links lead to.

    So a folder goes by its own name where it has one here.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[Path] = []
        self.unusable: list[Unusable] = []
        self.left_out: dict[str, list[str]] = {}
        self._seen: set[tuple[int, int]] = set()
        links = [os.fspath(root)]
        for link in links:  # grows meanwhile
            if link != links[0] and self._is_above(link):
                self._leave_out("circular link", link)
            elif self._is_seen(link):
                self._leave_out("repeated link", link)
            else:
                links += self._below(link)

    def _below(self, start: str) -> list[str]:
        """The links to folders below a folder, whose files are added."""
        found = []
        for folder, folders, names in os.walk(start, onerror=self._note):
            if self._is_seen(folder):  # by a link from elsewhere
                folders.clear()
                continue
            self._seen.add(_identity(folder))
            self._set_aside(folder, folders, "hidden or system folder", _holds_sound)
            self._set_aside(folder, names, "hidden sound file", _is_sound)
            links = {name for name in folders if os.path.islink(os.path.join(folder, name))}
            found += [os.path.join(folder, name) for name in sorted(links)]
            folders[:] = sorted(set(folders) - links)
            self.files += [Path(folder, name) for name in names]
            for name in names:
                path = os.path.join(folder, name)
                if "." not in name and not os.path.exists(path):
                    self.unusable.append(Unusable(self._show(path), "a link to what is not there"))
        return found

    def _set_aside(self, folder: str, names: list[str], what: str,
                   matters: Callable[[str], bool]) -> None:
        for name in filter(is_hidden, names[:]):
            names.remove(name)
            if matters(path := os.path.join(folder, name)):
                self._leave_out(what, path)

    def _leave_out(self, what: str, path: str) -> None:
        self.left_out.setdefault(what, []).append(self._show(path))

    def _is_seen(self, folder: str) -> bool:
        return _identity(folder) in self._seen

    def _is_above(self, link: str) -> bool:
        target = Path(os.path.realpath(link))
        return target in Path(os.path.realpath(os.path.dirname(link)), "x").parents

    def _show(self, path: str) -> str:
        return audio.readable(os.path.relpath(path, self.root))

    def _note(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        self.unusable.append(Unusable(self._show(error.filename), reason))


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _is_sound(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in audio.SUFFIXES


def _holds_sound(folder: str) -> bool:
    return any(_is_sound(name) for _, _, names in os.walk(folder) for name in names)
