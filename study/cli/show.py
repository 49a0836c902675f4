"""What `status` and `show` print of a stored study."""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from study.analysis import trials
from study.analysis.extrapolation import crossings, forecast, rising
from study.analysis.learned import finding
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import OUTLOOK, SCORE, SCORES, Row, per_trial, with_seeds
from study.analysis.trials import COSTS, RISING, spared_s
from study.analysis.wording import SCORE_WORDS, TITLES
from study.cli.terminal import Printed, called, front_table
from study.database.leases import Owner
from study.records import STATES, Settings
from study.report.tables import sexes_table
from study.search.inherit_recipe import tuned_epochs
from study.space.searched import configuration
from tasnet_core.errors import counted
from tasnet_core.records import METRICS

PASSES_AT_MOST = 5  # variants with which one may change places

Rows = Sequence[Row]


def show_status(name: str, settings: Settings | None, results: Rows, front: Rows, epochs: Rows,
                runs: Rows = ()) -> None:
    """Print how far a study is: its runs by state, what its workers are at, its front.

    `runs` are the rows of that table, with the worker of a run and the kind of a failure.
    """
    console = Printed()
    for line in _status(name, settings, results, epochs, runs):
        console.print(line)
    if front:
        console.print(front_table(front))


def _status(name: str, settings: Settings | None, results: Rows, epochs: Rows,
            runs: Rows) -> Iterator[str]:
    hours = sum(row["seconds"] or 0 for row in results) / 3600
    yield (f"study {name}: {_states(results, runs) or 'no runs yet'}; "
           f"{hours:.2f} h of training and scoring")
    if any(run["state"] == "stopped" for run in runs):
        yield f"stopping early saved {spared_s(runs):,.0f} s of audio"
    if settings:
        yield (f"corpus {settings.corpus}, space {settings.space}, "
               f"{settings.recipe.audio_s:,.0f} s of audio a run{_inherited(settings)}")
    workers = {(run["trial"], run["seed"]): worker(run) for run in runs}
    base_seed = settings.recipe.seed if settings else 0
    for row in results:
        if row["state"] == "running":
            run = row["trial"], row["seed"]
            own = [epoch for epoch in epochs if (epoch["trial"], epoch["seed"]) == run]
            score = f"{own[-1]['valid_si_snri_db']:.2f} dB valid SI-SNRi" if own else "no epoch yet"
            at = [f"epoch {len(own)} of {row['epochs']}", score]
            yield f"{called(*run, base_seed)}: {', '.join(at + [workers[run]] * (run in workers))}"
    if why := finding(per_trial(results)):
        yield why


def _states(results: Rows, runs: Rows) -> str:
    """How many runs are in each state, and of what kinds the failures are."""
    counts = Counter(row["state"] for row in results)
    kinds = Counter(run["kind"] for run in runs if run["state"] == "failed" and run["kind"])
    words = {state: f"{counts[state]} {state}" for state in STATES if counts[state]}
    if kinds:
        words["failed"] += f" ({', '.join(f'{count} {kind}' for kind, count in kinds.items())})"
    return ", ".join(words.values())


def _inherited(settings: Settings) -> str:
    if settings.recipe.init != "inherit":
        return ""
    epochs = counted(tuned_epochs(settings), "epoch")
    if settings.reference:
        return f", slices of {settings.reference} {epochs}"
    return f", others than the reference {epochs} on inherited weights"


def worker(run: Row) -> str:
    """The host and process at work on a run; an owner that cannot be read is shown as it is."""
    owner, now = run.get("owner"), time.time()
    if not owner:
        return "no worker"
    known = Owner.parse(owner)
    name = f"{known.host}, process {known.process}" if known else owner
    late = (run.get("lease_until_s") or now) < now
    return f"{name}, not heard of for long" if late else f"worker {name}"


def show_trial(runs: Rows, results: Rows, epochs: Rows, mixtures: Rows) -> None:
    """Print everything about the runs of one trial, and their mean where there are several."""
    console = Printed()
    for run in runs:
        key = run["trial"], run["seed"]
        own = ([row for row in rows if (row["trial"], row["seed"]) == key]
               for rows in (results, epochs, mixtures))
        for line in _run(run, *own):
            console.print(line)
    chosen = {run["trial"] for run in runs}
    for mean in per_trial(results):
        several = with_seeds(mean) or mean["seeds"] + mean["seeds_unlearned"] > 1
        if mean["trial"] in chosen and several:
            console.print(_mean(mean))
    for line in may_change(results, chosen):
        console.print(line)


def _mean(mean: Row) -> str:
    line = (f"trial {mean['trial']}, mean: {mean['si_snri_db']:.2f} dB SI-SNRi "
            f"({with_seeds(mean) or '1 seed'})")
    if mean["seeds_without"]:
        line += f"; {counted(mean['seeds_without'], 'run')} without a score"
    if mean["seeds_unlearned"]:
        line += f"; {counted(mean['seeds_unlearned'], 'run')} learned nothing, in no mean"
    return line


def may_change(results: Rows, chosen: Collection[int]) -> list[str]:
    """The variants of the front, and the reference, that may change places with these trials at
    twice the audio."""
    rows = per_trial(results)
    shown = {0, *chosen, *(row["trial"] for row in trials.front(rows))}
    candidates = [row for row in trials.finished(rows) if row["trial"] in shown]
    pairs = [pair for pair in crossings(candidates, COSTS)
             if pair.below["trial"] in chosen or pair.above["trial"] in chosen]
    how = {True: "is expected to", False: "may (the intervals overlap)"}
    return [f"at twice the audio trial {pair.below['trial']} {how[pair.passes]} "
            f"pass trial {pair.above['trial']}" for pair in pairs[:PASSES_AT_MOST]]


def _run(run: Row, results: Rows, epochs: Rows, mixtures: Rows) -> Iterator[str]:
    """A run's variant, costs, recipe, curve, scores, its easiest and hardest mixtures."""
    row, = results
    yield (f"trial {row['trial']}, seed {row['seed']}: {configuration(row)} "
           f"(variant {row['variant']})")
    yield ": ".join(filter(None, (f"state {row['state']}", run["kind"], row["reason"])))
    for fact, value in _facts(row, run).items():
        yield f"  {fact:26}{value}"
    for epoch in epochs:
        yield (f"  epoch {epoch['number']:3}: train {-epoch['train_loss_db']:6.2f} dB, "
               f"valid {epoch['valid_si_snri_db']:6.2f} dB SI-SNRi, "
               f"rate {epoch['learning_rate']:.2g}")
    scored = sorted((one for one in mixtures if one["si_snri_db"] is not None),
                    key=lambda one: one["si_snri_db"])
    for title, some in (("hardest", scored[:3]), ("easiest", scored[3:][-3:])):
        for one in some:
            yield (f"  {title} {one['mixture']}: {one['si_snri_db']:.2f} dB "
                   f"({one['sexes']}, {one['speakers']})")
    by_sexes = sexes_table(results, from_rows(mixtures).per_trial(results))
    for _, _, sexes, count, *means in by_sexes.rows:
        known = [f"{TITLES[name][0]} {mean:.2f}"
                 for name, mean in zip(SCORES, means, strict=True) if mean is not None]
        yield f"  {sexes}, {counted(count, 'mixture')}: {', '.join(known)}"
    for one in mixtures:
        if one["reason"]:
            yield f"  unscored {one['mixture']}: {one['reason']}"


def _other_scores(row: Row, run: Row) -> dict[str, str]:
    """By title, those beside SI-SNR."""
    facts = {}
    for metric, names in METRICS.items():
        unscored = run.get(f"{metric}_unscored")
        for name in names:
            if name not in ("si_snr_db", SCORE) and row.get(name) is not None:
                score = SCORE_WORDS[name]
                missing = f", {unscored} unscored" if unscored else ""
                facts[score.title] = score.value(row[name]) + missing
    return facts


def _facts(row: Row, run: Row) -> dict[str, str]:
    def known(name: str, words: str, factor: float = 1) -> str:
        return "-" if row[name] is None else words.format(row[name] * factor)

    scored = f"over {counted(run['mixtures'] or 0, 'mixture')}, {run['unscored']} unscored"
    facts = {
        "parameters": f"{row['parameters']:,}",
        "MACs per second of audio": f"{row['macs_per_s']:,}",
        "receptive field": known("receptive_field_s", "{:.3f} s"),
        "peak memory": known("peak_memory_bytes", "{:.1f} MB for 1 s of audio", 1e-6),
        "real-time factor": known("realtime_factor", "{:.4f} on one thread"),
        "SI-SNR": known("si_snr_db", "{:.2f} dB"),
        "SI-SNRi": known("si_snri_db", f"{{:.2f}} dB {scored}")}
    facts |= _other_scores(row, run)
    slope, expected = row.get(OUTLOOK[0]), forecast(row)
    if slope is not None:
        still = f", still rising {RISING}" if rising(row) else ""
        facts["slope at the end"] = f"{slope:.2f} dB per doubling of audio{still}"
    if expected is not None:
        value, low, high = expected
        facts["SI-SNRi, twice the audio"] = f"{value:.2f} dB expected, [{low:.2f}, {high:.2f}]"
    stopped = f", {spared_s([run]):,.0f} s saved by stopping" if run["state"] == "stopped" else ""
    return {
        **facts,
        "trained on": known("audio_s", "{:,.0f} s of audio") + stopped,
        "recipe": f"{counted(run['epochs'], 'epoch')} of "
                  f"{counted(run['epoch_segments'], 'segment')} of {run['segment_s']:g} s, "
                  f"batch {run['batch_size']}, rate {run['learning_rate']:g}, {run['schedule']}, "
                  f"{run['optimizer'].capitalize()}",
        "wall time": known("seconds", "{:.0f} s"),
        "checkpoint": run["checkpoint"],
        **({"to take it home": f"python -m study take {run['trial']} --study {run['study']} "
                               "--out DIR"} if run["state"] == "complete" else {})}
