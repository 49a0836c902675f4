"""Libri2Mix of other recordings, in the steps, folders and columns of its published scripts (github.com/JorisCos/LibriMix).

First a table of what is mixed with which gains (`create_librimix_metadata.py`), then files and tables from that
(`create_librimix_from_metadata.py`). Their loudness is in LUFS; here it is RMS, which asks for no further package.
"""

import csv
from pathlib import Path

import numpy as np

from tasnet_core import audio

PARTS = {"train-100": (6, 24), "dev": (3, 6), "test": (4, 8)}      # by folder: speakers, mixtures
LOUDNESS_DB = (-33, -25)        # drawn for each source; the noise is 5 dB below that
MOST = 0.9                      # of the largest sample of a mixture
TYPES = {"mix_clean": (0, 1), "mix_both": (0, 1, 2), "mix_single": (0, 2)}      # sources, the noise last
GENERATION = ("mixture_ID", "source_1_path", "source_1_gain", "source_2_path", "source_2_gain", "noise_path", "noise_gain")
INFO = ("mixture_ID", "speaker_1_ID", "speaker_1_sex", "speaker_2_ID", "speaker_2_sex")


def write_all(people: Path, sexes: dict[str, str], out: Path, rate_hz: int = 8000) -> Path:
    """LibriSpeech, WHAM!'s noise, metadata and Libri2Mix under `out`, from a folder of recordings for each person."""
    speech = librispeech(people, sexes, out / "LibriSpeech")
    metadata = out / "LibriMix/metadata/Libri2Mix"
    for number, (part, (_, mixtures)) in enumerate(PARTS.items()):
        rng = np.random.default_rng(number)
        noise = out / f"wham_noise/{part}/noise.wav"
        audio.write(noise, 0.05 * rng.standard_normal(30 * rate_hz).astype(np.float32), rate_hz)
        generated, info = generation(speech[part], noise, mixtures, rng, out, sexes)
        named = metadata / f"libri2mix_{part.replace('train', 'train-clean')}{'' if 'train' in part else '-clean'}.csv"
        _table(named, GENERATION, generated)
        _table(named.with_name(f"{named.stem}_info.csv"), INFO, info)
        mixed(generated, out, out / f"Libri2Mix/wav{rate_hz // 1000}k/min", part, rate_hz)
    return out / "Libri2Mix"


def librispeech(people: Path, sexes: dict[str, str], out: Path) -> dict[str, list[Path]]:
    """By part, the recordings named SPEAKER-CHAPTER-UTTERANCE; SPEAKERS.TXT says who is female and who male."""
    found: dict[str, list[Path]] = {}
    folders = iter(sorted(path for path in people.iterdir() if path.is_dir()))
    lines = [";ID  |SEX| SUBSET           |MINUTES| NAME"]
    for part, (count, _) in PARTS.items():
        for _ in range(count):
            folder = next(folders)
            code = str(1000 + len(lines))
            lines.append(f"{code:<5}| {sexes.get(folder.name) or '?'} | {part:17}| 2.00  | {folder.name}")
            sexes[code] = sexes.get(folder.name) or "?"
            for number, path in enumerate(sorted(folder.iterdir())[:8]):
                copy = out / part / code / "7" / f"{code}-7-{number:04}.flac"
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
                found.setdefault(part, []).append(copy)
    (out / "SPEAKERS.TXT").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return found


def generation(speech, noise, mixtures, rng, out, sexes):
    """Rows of the tables: pairs of different speakers, each with the gains for its loudness."""
    rows, info = [], []
    while len(rows) < mixtures:
        pair = [speech[place] for place in rng.choice(len(speech), 2, replace=False)]
        people = [path.stem.partition("-")[0] for path in pair]
        name = "_".join(path.stem for path in pair)
        if people[0] == people[1] or name in [row[0] for row in rows]:
            continue
        sounds = [audio.soundfile.read(path, dtype="float32")[0] for path in (*pair, noise)]
        wanted = rng.uniform(*LOUDNESS_DB, 3) - np.array([0, 0, 5])
        gains = [10 ** (db / 20) / np.sqrt(np.square(sound).mean()) for db, sound in zip(wanted, sounds, strict=True)]
        length = min(map(len, sounds))
        peak = np.abs(sum(gain * sound[:length] for gain, sound in zip(gains, sounds, strict=True))).max()
        gains = [gain * min(1.0, MOST / peak) for gain in gains]
        places = [path.relative_to(out).as_posix() for path in (*pair, noise)]
        rows.append([name, *(cell for both in zip(places, gains, strict=True) for cell in both)])
        info.append([name, *(cell for code in people for cell in (code, sexes[code]))])
    return rows, info


def mixed(generated, out, inner, part, rate_hz):
    """16-bit files of sources, noise and all three types of mixtures, and the tables of each."""
    tables = {kind: [] for kind in TYPES}
    metrics = {kind: [] for kind in TYPES}
    for name, *cells in generated:
        sounds = [gain * audio.soundfile.read(out / path, dtype="float32")[0]
                  for path, gain in zip(cells[::2], cells[1::2], strict=True)]
        length = min(map(len, sounds))
        sounds = [sound[:length] for sound in sounds]
        paths = [_sound(inner / part / kind / f"{name}.wav", sound, rate_hz)
                 for kind, sound in zip(("s1", "s2", "noise"), sounds, strict=True)]
        for kind, which in TYPES.items():
            mixture = sum(sounds[place] for place in which)
            path = _sound(inner / part / kind / f"{name}.wav", mixture, rate_hz)
            tables[kind].append([name, path, *(paths[place] for place in which), length])
            metrics[kind].append([name, *(_snr_db(sounds[place], mixture - sounds[place]) for place in which)])
    for kind, which in TYPES.items():
        sources = ["noise" if place == 2 else f"source_{place + 1}" for place in which]
        _table(inner / f"metadata/mixture_{part}_{kind}.csv",
               ("mixture_ID", "mixture_path", *(f"{one}_path" for one in sources), "length"), tables[kind])
        _table(inner / f"metadata/metrics_{part}_{kind}.csv", ("mixture_ID", *(f"{one}_SNR" for one in sources)), metrics[kind])


def _sound(path, samples, rate_hz):
    path.parent.mkdir(parents=True, exist_ok=True)
    audio.soundfile.write(path, samples, rate_hz)       # 16 bits, as theirs
    return str(path.absolute())


def _snr_db(one, other):
    return 10 * np.log10(np.square(one).mean() / (np.square(other).mean() + 1e-10))


def _table(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
