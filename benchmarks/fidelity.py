"""Which law foretells the rest of a learning curve: fitted to the first epochs of curves.csv, compared with later ones.

Only epochs at the constant rate are used: in eight epochs of the schedule `decay` the first four, and the fifth, at whose end the
rate is still 94 %. Nothing is trained. Also what each law says of twice the sound, how often a slope is sure, and what twice the
sound brought the variants of results/quick_*_budgets.csv, beside what their rows had forecast.

    python benchmarks/fidelity.py
"""

from pathlib import Path

import numpy as np
import pandas as pd
from curves import EPOCH_S, recorded

from study.fidelity import EXPONENT, law
from tasnet_core.records import LETTERS

TASKS = ((3, 4), (3, 5), (4, 5))    # fitted up to this epoch, foretold at that one
LAWS = {"as the last epoch": None, "line in log2(a)": 1e-9, "p = 1/4": 0.25, "p = 1/3": EXPONENT, "p = 1/2": 0.5, "p = 1": 1.0,
        "best of these p": (0.02, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)}
CONSTANT = 5
BUDGETS = sorted(Path(__file__).parents[1].glob("results/quick_*_budgets.csv"))


def foretold(curves, last, at, exponents):
    """The scores of an epoch, [runs], from those up to the epoch `last`, [runs, epochs]."""
    if exponents is None:
        return curves[:, last - 1]
    epochs, found, errors = np.arange(1.0, last + 1), [], []
    for p in np.atleast_1d(exponents):
        table = np.column_stack([np.ones(last), epochs**-p])
        fit, *_ = np.linalg.lstsq(table, curves[:, :last].T, rcond=None)
        found.append(np.array([1.0, at**-p]) @ fit)
        errors.append(((table @ fit - curves[:, :last].T) ** 2).sum(axis=0))
    return np.choose(np.argmin(errors, axis=0), found)


def doubled(file):
    """Rows of a table of budgets whose forecast can be checked, beside the score with twice the sound: `si_snri_db_longer`."""
    rows = pd.read_csv(file)
    longer = rows.assign(audio_s=rows.audio_s / 2)[[*LETTERS, "seed", "audio_s", "si_snri_db"]]
    return rows.merge(longer, on=[*LETTERS, "seed", "audio_s"], suffixes=("", "_longer")).dropna(subset="si_snri_extrapolated_db")


def check(file):
    print(f"\n{file.stem}\n\n| s of sound | variants | gain of twice as much, dB | forecast, dB | root mean square error, dB | "
          "in its interval |\n" + "|---" * 6 + "|")
    for audio_s, rows in doubled(file).groupby("audio_s"):
        gain, forecast = rows.si_snri_db_longer - rows.si_snri_db, rows.si_snri_extrapolated_db - rows.si_snri_db
        held = rows.si_snri_db_longer.between(rows.si_snri_extrapolated_low_db, rows.si_snri_extrapolated_high_db)
        cells = [f"{one.mean():+.2f} ({one.min():+.2f} to {one.max():+.2f})" for one in (gain, forecast)]
        print(f"| {audio_s:,.0f} | {len(rows)} | {' | '.join(cells)} | {((gain - forecast)**2).mean()**0.5:.2f} | {held.sum()} |")


def main():
    curves = np.array([run.curve.curve for run in recorded()])
    print("| law | " + " | ".join(f"epochs 1 to {last} → {at}" for last, at in TASKS) + " |")
    print("|---|" + "---:|" * len(TASKS))
    for name, exponents in LAWS.items():
        errors = [foretold(curves, last, at, exponents) - curves[:, at - 1] for last, at in TASKS]
        print(f"| {name} | " + " | ".join(f"{one.mean():+.2f} ± {np.sqrt((one**2).mean()):.2f}" for one in errors) + " |")
    audio_s = EPOCH_S * np.arange(1, CONSTANT + 1)
    laws = [law(audio_s, curve[:CONSTANT]) for curve in curves]
    whole = [law(EPOCH_S * np.arange(1, 9), curve) for curve in curves]
    width = np.mean([one.gain.high - one.gain.low for one in laws]) / 2
    print(f"slope at the end: {np.mean([one.slope.value for one in laws]):.2f} dB per doubling, "
          f"fitted through the decay as well {np.mean([one.slope.value for one in whole]):.2f}")
    print(f"gain from twice the sound: {np.mean([one.gain.value for one in laws]):.2f} ± {width:.2f} dB; "
          f"sure to rise: {sum(one.gain.low > 0 for one in laws)} of {len(laws)}")
    for file in BUDGETS:
        check(file)


if __name__ == "__main__":
    main()
