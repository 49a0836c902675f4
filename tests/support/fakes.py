"""Rows as the database gives them, made up: plausible networks, curves and scores, the same every time."""

import math

import numpy as np

from study.records import Budget, Settings
from tasnet_core.records import LETTERS, Recipe, Variant

CHOICES = {"N": (32, 48, 64, 96, 128), "B": (16, 24, 32, 48, 64), "H": (32, 48, 64, 96, 128),
           "Sc": (16, 24, 32, 48, 64), "X": (2, 3, 4, 5, 6), "R": (1, 2)}
REFERENCE = Variant(N=128, L=16, B=64, H=128, Sc=64, P=3, X=6, R=2)
SETTINGS = Settings(
    recipe=Recipe(epochs=8, epoch_segments=200, segment_s=2.0, batch_size=8, learning_rate=2e-3,
                  schedule="decay"),
    budget=Budget(max_parameters=400_000))


def row(trial, **changes):
    """A finished run of the reference, but for the changes."""
    return {"study": "fake", "trial": trial, "state": "complete", "reason": "", "variant": f"{trial:08x}",
            **{letter: getattr(REFERENCE, letter) for letter in LETTERS}, "norm": "global", "causal": False,
            "parameters": 340_000, "macs_per_s": 330_000_000, "receptive_field_s": 0.254,
            "peak_memory_bytes": None, "realtime_factor": None, "si_snr_db": 7.0, "si_snri_db": 7.0,
            "sdri_db": 7.4, "stoi": None, "pesq": None, "epochs": 8, "learning_rate": 2e-3, "segment_s": 2.0,
            "seed": 0, "audio_s": 3200.0, "seconds": 120.0, "epoch_segments": 200, **changes}


def outlook(slope, expected, low, high):
    """The columns on what twice the sound would bring."""
    return {"slope_db_per_doubling": slope, "si_snri_extrapolated_db": expected, "si_snri_extrapolated_low_db": low,
            "si_snri_extrapolated_high_db": high}


def failed(trial, **changes):
    """A run that has no scores."""
    return row(trial, **{"state": "failed", "reason": "diverged: loss not finite in epoch 3",
                         "si_snr_db": None, "si_snri_db": None, "sdri_db": None, **changes})


def epoch(trial, number, train_loss_db, valid_si_snri_db, seed=0):
    return {"trial": trial, "seed": seed, "number": number, "train_loss_db": train_loss_db,
            "valid_si_snri_db": valid_si_snri_db, "learning_rate": 2e-3, "audio_s": 400.0 * number,
            "seconds": 14.0}


def mixture(trial, index, si_snri_db, seed=0):
    return {"trial": trial, "seed": seed, "mixture": f"test-{index:03d}", "speakers": "a+b", "sexes": "F+M",
            "duration_s": 4.0, "input_si_snr_db": 0.0, "si_snr_db": si_snri_db, "si_snri_db": si_snri_db,
            "reason": ""}


def costs(v):
    """Near enough to the true ones: the weights of every convolution."""
    block = v["B"] * v["H"] + v["H"] * v["P"] + v["H"] * (v["B"] + v["Sc"]) + 4 * v["H"]
    weights = 2 * v["N"] * v["L"] + v["N"] * v["B"] + v["X"] * v["R"] * block + v["Sc"] * v["C"] * v["N"]
    frames = 1 + v["R"] * (v["P"] - 1) * (2 ** v["X"] - 1)
    return {"parameters": weights, "receptive_field_s": ((frames - 1) * v["L"] // 2 + v["L"]) / 8000,
            "macs_per_s": (weights + 12 * v["B"] * v["X"] * v["R"] - 20 * v["N"]) * 16000 // v["L"]}


def study(count, seed=0):
    """The rows, epochs and mixtures of `count` runs; from the third on, one in six failed or was rejected."""
    rng = np.random.default_rng(seed)
    rows, epochs, mixtures = [], [], []
    for trial in range(count):
        letters = {letter: int(rng.choice(values)) for letter, values in CHOICES.items()} if trial else {}
        one = row(trial, **letters)
        one |= costs(one)
        fate = rng.random() if trial > 2 else 1.0
        if fate < 1 / 6:
            one = failed(trial, **{**letters, **costs(one), "audio_s": 800.0} | (
                {"state": "rejected", "reason": "401,000 parameters, budget 400,000", "seconds": 0.1}
                if fate < 1 / 12 else {}))
            rows.append(one)
            continue
        top = 7.3 - 1.5 * np.log10(340_000 / one["parameters"]) - 0.2 / one["receptive_field_s"] ** 0.5
        top += rng.normal(0, 0.25)
        scores = np.concatenate([rng.normal(top + 1.2, 1.1, 24), rng.normal(top - 1.2, 2.0, 24)])
        mixtures += [mixture(trial, i, float(score)) for i, score in enumerate(scores)]
        epochs += [epoch(trial, e, float(-(top + 0.8) * (1 - 0.75**e) - rng.normal(0, 0.1)),
                         float(top * (1 - 0.72**e) + rng.normal(0, 0.15))) for e in range(1, 9)]
        mean = float(scores.mean())
        rows.append({**one, "si_snri_db": mean, "si_snr_db": mean + 0.02, "sdri_db": mean + 0.4,
                     "seconds": 60 + 200 * one["parameters"] / 340_000})
    return rows, epochs, mixtures


def stopped(trial, after=4, **changes):
    """A run that the stop rule ended."""
    return failed(trial, **{"state": "stopped", "reason": f"after epoch {after}: trial 0 was ahead by more than 1.2 dB for "
                            "2 epochs running", "audio_s": 400.0 * after, "seconds": 14.0 * after, **changes})


def confirmed(count, seed=0):
    """A study whose weak third was stopped, and whose reference and best five have two seeds more; one of those failed."""
    rows, epochs, mixtures = study(count, seed)
    done = sorted((one for one in rows[1:] if one["state"] == "complete"), key=lambda one: one["si_snri_db"])
    weak, strong = done[: count // 3], [rows[0], *done[-5:]]
    for one in weak:
        one |= stopped(one["trial"], 4, **{name: one[name] for name in (*LETTERS, *costs(one))})
    cut = {one["trial"] for one in weak}
    mixtures = [one for one in mixtures if one["trial"] not in cut]
    epochs = [one for one in epochs if one["trial"] not in cut or one["number"] <= 4]
    rng = np.random.default_rng(seed)
    for one in strong:
        for other in (1, 2):
            shift = float(rng.normal(0, 0.2))
            if one is strong[-1] and other == 2:
                rows.append({**one, **failed(one["trial"]), "seed": 2, "seconds": 40.0, "audio_s": 1200.0,
                             **{name: one[name] for name in (*LETTERS, *costs(one))}})
                continue
            rows.append({**one, "seed": other, **{name: one[name] + shift for name in ("si_snr_db", "si_snri_db", "sdri_db")}})
            mixtures += [{**mix, "seed": other, "si_snri_db": mix["si_snri_db"] + shift} for mix in mixtures
                         if (mix["trial"], mix["seed"]) == (one["trial"], 0)]
            epochs += [{**old, "seed": other, "valid_si_snri_db": old["valid_si_snri_db"] + shift * old["number"] / 8}
                       for old in epochs if (old["trial"], old["seed"]) == (one["trial"], 0)]
    return sorted(rows, key=lambda one: (one["trial"], one["seed"])), epochs, mixtures


# Trial 1 is best at its parameters only through its MACs, trial 2 is on both fronts, 3 is beaten by 2.
FRONT_ROWS = [row(0, si_snri_db=7.0, parameters=1000, macs_per_s=9000),
              row(1, si_snri_db=5.0, parameters=500, macs_per_s=1000, X=4),
              row(2, si_snri_db=6.0, parameters=400, macs_per_s=2000, H=64, R=1),
              row(3, si_snri_db=5.5, parameters=400, macs_per_s=2000, N=64),
              failed(4, parameters=10, macs_per_s=10),
              row(5, si_snri_db=math.nan, parameters=10, macs_per_s=10)]
