"""Noise in the background of mixtures, from recordings of it, at a level that is drawn."""

import numpy as np

from tasnet_core.corpora.audio_cache import SPLITS, Item, Recording, Shelf
from tasnet_core.corpora.mixture import Sound

QUIET = 0.01  # of the recording's peak: a piece that stays below is silence, and another place is taken


class Background:
    """Noise for each split from recordings of its own."""

    def __init__(self, shelf: Shelf, recordings: list[Recording], levels_db: tuple[float, float]) -> None:
        self._shelf, self.levels_db = shelf, levels_db
        self._items = {split: [each.item for each in recordings if each.split == split] for split in SPLITS}
        self.made_of = [levels_db, [(each.item.id, each.item.length, each.split, *shelf.content(each.item))
                                    for each in recordings]]

    def draw(self, rng: np.random.Generator, split: str, speech: Sound) -> Sound:
        """As much noise as there is speech [T], with the power of the speech so many dB above its own."""
        items = self._items[split]
        item = items[int(rng.integers(len(items)))]
        noise = self._piece(rng, item, len(speech))
        level_db = rng.uniform(*self.levels_db)
        power = [float(np.square(sound, dtype=np.float64).sum()) for sound in (speech, noise)]
        return noise * np.float32(np.sqrt(power[0] / max(power[1], 1e-30)) * 10 ** (-level_db / 20))

    def _piece(self, rng: np.random.Generator, item: Item, samples: int) -> Sound:
        """From a random place; a recording shorter than that is repeated."""
        if item.length < samples:
            whole = self._shelf.read(item)
            return np.resize(np.roll(whole, -int(rng.integers(item.length))), samples)
        latest = item.length - samples
        piece = self._shelf.read(item, int(rng.integers(latest + 1)), samples)
        if np.abs(piece).max() < QUIET * item.peak:
            loudest = int(np.abs(self._shelf.read(item)).argmax())
            piece = self._shelf.read(item, min(latest, max(0, loudest - int(rng.integers(samples)))), samples)
        return piece
