"""A corpus written in the layouts that others use, for tests of their readers."""

import csv

import numpy as np

from tasnet_core import audio
from tasnet_core.corpora.commands import write

ELSEWHERE = "/storage/of/someone/Libri2Mix"  # a table holds the paths of the machine that made it


def mixtures(corpus, train, samples, seed=0):
    """Each split's mixtures, as `tasnet_core mix` chooses them."""
    return {"train": [corpus.segment(seed, 1, index, samples) for index in range(train)],
            **{split: [corpus.mixture(split, index) for index in range(corpus.count(split))] for split in ("valid", "test")}}


def wsj0(corpus, folder, train=20, seconds=0.7):
    write(corpus, folder, train, seconds, 0)
    return folder


def librimix(corpus, folder, task="mix_clean", train=20, seconds=0.7, place="wav8k/min", part="train-360"):
    """Folders, float files and tables as LibriMix' scripts make them; returns the original IDs by the new ones."""
    codes, ids = {}, {}
    inner = folder / place
    (inner / "metadata").mkdir(parents=True)
    made = mixtures(corpus, train, round(seconds * corpus.sample_rate_hz))
    for split, name in (("train", part), ("valid", "dev"), ("test", "test")):
        rows = []
        for number, mixture in enumerate(made[split]):
            people = [codes.setdefault(speaker, str(100 + len(codes))) for speaker in mixture.speakers]
            key = "_".join(f"{code}-{number}-0000" for code in people)
            ids[f"{split}/{key}"] = mixture.id
            sounds = {task: mixture.mixture, **{f"s{i + 1}": source for i, source in enumerate(mixture.sources)}}
            for kind, sound in sounds.items():
                (inner / name / kind).mkdir(parents=True, exist_ok=True)
                audio.write_exactly(inner / name / kind / f"{key}.wav", sound[:mixture.length], corpus.sample_rate_hz)
            rows.append([key, *(f"{ELSEWHERE}/{place}/{name}/{kind}/{key}.wav" for kind in sounds), mixture.length])
        header = ["mixture_ID", "mixture_path", *(f"source_{i + 1}_path" for i in range(corpus.C)), "length"]
        table(inner / "metadata" / f"mixture_{name}_{task}.csv", [header, *rows])
    sexes = {name: sex for each in made.values() for mixture in each
             for name, sex in zip(mixture.speakers, mixture.sexes, strict=True)}
    table(folder / "speakers.csv", [["speaker", "sex", "name"], *([code, sexes[name], name] for name, code in codes.items())])
    return ids


def wham(folder, count=4, noise_level=0.3):
    """small_wsj0 with the folders of WHAM!: mix_both, mix_clean, mix_single and noise instead of mix."""
    small_wsj0(folder, count=count)
    for number, split in enumerate(("tr", "cv", "tt")):
        for index, path in enumerate(sorted((folder / split / "mix").iterdir())):
            s1, s2 = (audio.soundfile.read(folder / split / source / path.name, dtype="int16")[0] for source in ("s1", "s2"))
            rng = np.random.default_rng((9, number, index))
            noise = (rng.uniform(-2000, 2000, len(s1)) * noise_level).astype(np.int16)
            made = {"mix_both": s1 + s2 + noise, "mix_clean": s1 + s2, "mix_single": s1 + noise, "noise": noise}
            for kind, sound in made.items():
                (folder / split / kind).mkdir(exist_ok=True)
                audio.soundfile.write(folder / split / kind / path.name, sound, 8000)
            path.unlink()
        (folder / split / "mix").rmdir()
    return folder


def table(path, rows):
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows(rows)


def small_wsj0(folder, C=2, rate=8000, seconds=0.5, count=3):
    """Three mixtures of noise in each split, as 16-bit files, whose mixture is the sum to the last bit."""
    people = ["011", "012", "22g", "050"]
    for number, split in enumerate(("tr", "cv", "tt")):
        for index in range(count):
            rng = np.random.default_rng((number, index))
            sources = rng.integers(-2000, 2000, (C, round(seconds * rate)))
            name = "_".join(f"{people[i]}a{index:04}_0.{i}" for i in range(C)) + ".wav"
            for kind, sound in {"mix": sources.sum(0), **{f"s{i + 1}": each for i, each in enumerate(sources)}}.items():
                (folder / split / kind).mkdir(parents=True, exist_ok=True)
                audio.soundfile.write(folder / split / kind / name, sound.astype(np.int16), rate)
    return folder
