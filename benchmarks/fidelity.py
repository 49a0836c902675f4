"""Which law foretells the rest of a learning curve: fitted to the first epochs of curves.csv, compared with later ones.

Only epochs at the constant rate are used: in eight epochs of the schedule `decay` the first four, and the fifth, at whose end the
rate is still 94 %. Nothing is trained. Also what each law says of twice the sound, how often a slope is sure, and what twice the
sound brought the variants of results/quick_*_budgets.csv, beside what their rows had forecast; what each variant costs against
the reference at each budget, and a figure of it; what halving each letter costs there; and how well scores of inherited weights
agree with each budget's.

    python benchmarks/fidelity.py [FIGURE.png]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from curves import EPOCH_S, recorded

from study.analysis.effects import design, main_effects
from study.analysis.extrapolation import EXPONENT, law
from study.analysis.rank_agreement import tau
from study.report.figures import style
from tasnet_core.records import LETTERS

TASKS = ((3, 4), (3, 5), (4, 5))    # fitted up to this epoch, foretold at that one
LAWS = {"as the last epoch": None, "line in log2(a)": 1e-9, "p = 1/4": 0.25, "p = 1/3": EXPONENT, "p = 1/2": 0.5, "p = 1": 1.0,
        "best of these p": (0.02, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)}
CONSTANT = 5
RESULTS = Path(__file__).parents[1] / "results"
BUDGETS = {"synthetic voices, unseen speakers": RESULTS / "quick_voices_budgets.csv",
           "recorded digits, speakers heard in training": RESULTS / "quick_fsdd_budgets.csv"}
NEAR_DB = 0.5
KINDS = {"inherited": "inherited and tuned", "slices": "slices as they are"}     # by the end of their table's name


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


def prices(file):
    """Of variants that have had all budgets: parameters, [variants], and SI-SNRi in dB, [variants, budgets]; the largest last."""
    return pd.read_csv(file).pivot_table(index="parameters", columns="audio_s", values="si_snri_db").dropna()


def table_of(scores):
    heads = ["parameters", *(f"{audio_s:,.0f} s" for audio_s in scores.columns)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for parameters, row in scores.iterrows():
        losses = [f" ({loss:+.2f})" if loss else "" for loss in row - scores.iloc[-1]]
        cells = [style.minus(f"{score:.2f}{loss}") for score, loss in zip(row, losses, strict=True)]
        lines.append(f"| {parameters:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def letters(file):
    """Print what halving each letter costs at each budget, from a linear model in the letters' logarithms."""
    rows = pd.read_csv(file)
    found = {audio_s: main_effects(design(some.to_dict("records"), some.loc[some.parameters.idxmax()]))
             for audio_s, some in rows.groupby("audio_s")}
    first, *_ = found.values()
    if first.refused:
        return print(f"\n{file.stem}: no model of the letters: {first.refused}")
    names = [effect.letter for effect in first.letters]
    print(f"\n{file.stem}, what a halving costs, dB\n\n| s of sound | variants | {' | '.join(names)} | explained |")
    print("|---" * (3 + len(names)) + "|")
    for audio_s, model in found.items():
        cells = [style.minus(f"{one.value:.2f} ± {(one.high - one.low) / 2:.2f}")
                 for one in (effect.doubling_db for effect in model.letters)]
        print(f"| {audio_s:,.0f} | {model.variants} | {' | '.join(cells)} | {model.explained:.0%} |")


def compare(file, kind):
    """Print how scores of inherited weights agree with those of trainings from scratch: order, size, and what would be picked."""
    known = pd.read_csv(file.with_name(file.name.replace("budgets", kind))).query("seed == 0")
    both = pd.read_csv(file).query("seed == 0").merge(known, on=list(LETTERS), suffixes=("", "_inherited"))
    heads = ("s of sound from scratch", "variants", "Kendall's τ [95 %]", "mean absolute difference, dB",
             "the same, means made equal", "smallest within 0.5 dB by either, parameters", "loss of either, dB")
    print(f"\n{file.stem}, {KINDS[kind]} against scratch\n\n| {' | '.join(heads)} |\n" + "|---" * len(heads) + "|")
    for audio_s, rows in both.groupby("audio_s"):
        rank, apart = tau(rows.si_snri_db_inherited, rows.si_snri_db), rows.si_snri_db_inherited - rows.si_snri_db
        whole = rows.loc[rows.parameters.idxmax()]
        picks = [rows[rows[name] >= whole[name] - NEAR_DB].sort_values("parameters").iloc[0]
                 for name in ("si_snri_db_inherited", "si_snri_db")]
        losses = [f"{whole.si_snri_db - pick.si_snri_db:.2f}" for pick in picks]
        print(f"| {audio_s:,.0f} | {len(rows)} | {rank.value:.2f} [{rank.low:.2f}, {rank.high:.2f}] | {apart.abs().mean():.2f} | "
              f"{(apart - apart.mean()).abs().mean():.2f} | {picks[0].parameters:,} and {picks[1].parameters:,} | "
              f"{losses[0]} and {losses[1]} |")


def draw(tables, axes):
    for ax, (name, scores) in zip(axes, tables.items(), strict=True):
        longest = scores.iloc[:, -1]
        front = longest[longest == longest.cummax()]        # ordered by parameters: none smaller is better
        for parameters, row in scores.sort_index(key=lambda index: index.isin(front.index)).iterrows():
            colour = style.VERMILION if parameters == scores.index[-1] else style.BLUE if parameters in front else style.GREY
            ax.plot(row.index, row, color=colour, linewidth=1.1)
            style.scatter(ax, list(zip(row.index, row, strict=True)), (colour, "o", 14))
        for parameters, y in apart(front.sort_values(), 0.4).items():
            ax.annotate(style.tick(round(parameters, -3)), (scores.columns[-1], y), (6, 0),
                        textcoords="offset points", va="center")
        ax.set_xscale("log", base=2)
        ax.set_xticks(scores.columns, [f"{audio_s:,.0f}" for audio_s in scores.columns])
        ax.set_title(name, loc="left")
        ax.set_xlabel("sound each was trained on (s)")
        ax.grid(axis="y")
    axes[0].set_ylabel("SI-SNRi (dB)")


def apart(places, room):
    """The same places in their order, `room` apart at least."""
    for _ in range(100):
        for above, below in zip(places.index[1:], places.index, strict=False):
            push = max(0.0, room - (places[above] - places[below])) / 2
            places[above], places[below] = places[above] + push, places[below] - push
    return places


def main(figure=None):
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
    for file in BUDGETS.values():
        check(file)
        print("\n" + table_of(prices(file)))
        for kind in KINDS:
            if file.with_name(file.name.replace("budgets", kind)).is_file():
                compare(file, kind)
        letters(file)
    if figure:
        with style.figure_style():
            page = style.new_figure(2.9, layout="constrained")
            draw({name: prices(file) for name, file in BUDGETS.items()}, page.subplots(1, len(BUDGETS), sharey=True))
            Path(figure).write_bytes(style.files(page)[1])


if __name__ == "__main__":
    main(*sys.argv[1:2])
