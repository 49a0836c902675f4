"""Noise in the background of mixtures, from recordings of it, at a level that is drawn."""

import numpy as np

from tasnet_core.corpora.audio_cache import SPLITS, AudioCache, AudioEntry, Recording
from tasnet_core.corpora.mixture import Sound

QUIET = 0.01  # of the recording's peak: a piece that stays below is silence, and another place is taken


class Background:
    """Noise for each split from recordings of its own."""

    def __init__(self, cache: AudioCache, recordings: list[Recording], levels_db: tuple[float, float]) -> None:
        self._cache, self.levels_db = cache, levels_db
        self._entries = {split: [each.entry for each in recordings if each.split == split] for split in SPLITS}
        self.made_of = [levels_db, [(each.entry.id, each.entry.length, each.split, *cache.content(each.entry))
                                    for each in recordings]]

    def draw(self, rng: np.random.Generator, split: str, speech: Sound) -> Sound:
        """As much noise as there is speech [T], with the power of the speech so many dB above its own."""
        entries = self._entries[split]
        entry = entries[int(rng.integers(len(entries)))]
        noise = self._piece(rng, entry, len(speech))
        level_db = rng.uniform(*self.levels_db)
        power = [float(np.square(sound, dtype=np.float64).sum()) for sound in (speech, noise)]
        return noise * np.float32(np.sqrt(power[0] / max(power[1], 1e-30)) * 10 ** (-level_db / 20))

    def _piece(self, rng: np.random.Generator, entry: AudioEntry, samples: int) -> Sound:
        """From a random place; a recording shorter than that is repeated."""
        if entry.length < samples:
            whole = self._cache.read(entry)
            return np.resize(np.roll(whole, -int(rng.integers(entry.length))), samples)
        latest = entry.length - samples
        piece = self._cache.read(entry, int(rng.integers(latest + 1)), samples)
        if np.abs(piece).max() < QUIET * entry.peak:
            loudest = int(np.abs(self._cache.read(entry)).argmax())
            piece = self._cache.read(entry, min(latest, max(0, loudest - int(rng.integers(samples)))), samples)
        return piece
