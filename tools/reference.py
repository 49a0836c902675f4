"""Pages of the manual that are made from the code: `make docs-reference` writes them.

docs/reference/cli.md comes from the parsers, docs/reference/database.md from the schema. With --check
nothing is written, and a page that is stale is an error; a test does the same.
"""

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from study.analysis.wording import SCORE_WORDS  # noqa: E402
from study.cli.options import parser as study_parser  # noqa: E402
from study.database.schema import TIDY, VIEWS, tables  # noqa: E402
from tasnet_core.__main__ import parser as core_parser  # noqa: E402
from tasnet_core.records import METRICS  # noqa: E402

PAGES = ROOT / "docs/reference"

# What each column holds, in whichever table it is.
COLUMNS = {
    "study": "the study's name",
    "settings": "everything that decides the study's numbers, as JSON",
    "notes": "what every report must say about the corpus, as JSON",
    "fingerprint": "of what the corpus holds",
    "created_s": "when the study began, seconds since 1970",
    "hypervolume_point": "the point that hypervolumes are measured from, as JSON",
    "identity": "a random number that its checkpoints hold, too",
    "folder": "of its checkpoints",
    "key": "eight hex digits that stand for the variant, or for the environment",
    "description": "processor or GPU, threads, versions, commit, as JSON",
    "id": "of the run",
    "trial": "number of the trial within its study; 0 is the reference",
    "variant": "key of the variant",
    "state": "running, complete, stopped, rejected or failed",
    "kind": "of a failure: diverged, out-of-memory, data, killed or error",
    "reason": "why a run was stopped, rejected or failed; of a mixture, why a score is missing",
    "run": "id of the run",
    "number": "of the epoch, from 1",
    "mixture": "name of the test mixture",
    "audio_s": "seconds of audio trained on",
    "seconds": "wall time: of a run's epochs and scoring without interruptions; of an epoch",
    "checkpoint": "path of the checkpoint file",
    "environment": "key of the environment it was trained in",
    "owner": "the worker that trains it",
    "lease_until_s": "until when the worker holds it",
    "stoppable": "whether the stop rule may end it",
    "deaths": "of its process, since its last epoch",
    "last_epoch": "the last epoch that was recorded",
    "N": "encoder filters",
    "L": "length of a filter in samples; the hop is L/2",
    "B": "bottleneck channels",
    "H": "channels inside a block",
    "Sc": "skip channels; 0: no skip path",
    "P": "kernel size of the depthwise convolution",
    "X": "blocks per repeat",
    "R": "repeats",
    "C": "speakers",
    "encoder": "linear or relu",
    "mask": "sigmoid, relu or softmax",
    "norm": "global, cumulative, frame or batch",
    "causal": "whether no frame depends on a later one",
    "last_residual": "whether the last block has a residual convolution, which feeds nothing",
    "input_norm": "before the bottleneck; empty: the blocks' norm",
    "dropout": "share of a block's values left out in training",
    "extra_dilation": "a second depthwise convolution in each block, this many times further apart; 0: none",
    "padding_mode": "what the depthwise convolutions find before and after the recording: zeros, or reflect, its frames mirrored",
    "encoder_padding": "whether the encoder has a hop of zeros on both sides",
    "sample_rate_hz": "of the audio",
    "parameters": "number of parameters, exact",
    "macs_per_s": "multiply-accumulates of the convolutions for one second of audio, exact",
    "receptive_field_s": "seconds of mixture that reach one frame of the masks, exact",
    "peak_memory_bytes": "weights and the most tensors alive at once, for one second of audio",
    "realtime_factor": "processing time over duration, median; of a run on one thread of the machine that trained it",
    "realtime_factor_spread": "the distance of the quartiles of the measurements of `realtime_factor`",
    "device": "the name that its measurements were brought in under",
    "measured_at_s": "when, seconds since 1970",
    "threads": "of the processor",
    "recording_s": "length of the recordings that were separated, seconds",
    "measured_runs": "how many runs `realtime_factor` is the median of",
    "memory_bytes": "the most that the process held while it separated whole recordings",
    "base_memory_bytes": "of `memory_bytes`, what Python and onnxruntime held before the network was loaded",
    "stream_memory_bytes": "the most that the process held while it separated chunks",
    "chunk_10_ms": "median time for a chunk of 10 ms, in ms; empty: the network cannot stream",
    "chunk_20_ms": "the same of 20 ms",
    "chunk_40_ms": "the same of 40 ms",
    "latency_ms": "from a sample's arrival to its separation, by the shortest chunk that the device keeps up with (95 of 100)",
    "file_bytes": "of the network as ONNX",
    "int8_file_bytes": "of the same network in int8; empty, with the columns behind it: it does not pay, or was not tried",
    "int8_loss_db": "of SI-SNRi on the test mixtures that int8 loses against float",
    "int8_realtime_factor": "as `realtime_factor`, of the network in int8",
    "int8_realtime_factor_spread": "the distance of the quartiles of its runs",
    "int8_memory_bytes": "as `memory_bytes`, of the network in int8",
    "epochs": "of the recipe",
    "epoch_segments": "segments drawn for one epoch",
    "segment_s": "seconds of a training segment",
    "batch_size": "segments in one step",
    "learning_rate": "of the recipe; of an epoch, at its end",
    "schedule": "plateau or decay",
    "patience": "epochs without a new best before `plateau` halves the rate",
    "clip_norm": "gradient norm at which gradients are clipped",
    "precision": "of the factors of matrix products: float32 or bf16",
    "seed": "of weights and mixtures",
    "init": "scratch, inherit (a sub-network of the teacher), teacher; given and adapted: a reference that was given",
    "optimizer": "adam, or muon: Muon for the 1×1 convolutions, Adam for the rest",
    "distill": "weight of a given reference's estimates as second targets",
    "train_loss_db": "mean training loss (minus SI-SNR)",
    "valid_si_snri_db": "mean SI-SNRi over the validation mixtures",
    "valid_sdri_db": "mean SDRi over the validation mixtures, where a study pursues SDRi",
    **{column: score.meaning for column, score in SCORE_WORDS.items()},
    "input_si_snr_db": "SI-SNR of the mixture",
    "mixtures": "test mixtures",
    "unscored": "of them, those without SI-SNRi",
    **{f"{metric}_unscored": f"test mixtures without {metric.upper()}; empty: not asked for"
       for metric in METRICS if metric != "si_snr"},
    "speakers": "of the sources in order, joined by +",
    "sexes": "of the speakers in order: F, M or ?",
    "duration_s": "of the mixture",
    "level_difference_db": "of the loudest source above the quietest",
    "slope_db_per_doubling": "dB per doubling of audio, at the end of the run",
    "si_snri_extrapolated_db": "SI-SNRi expected at twice the audio",
    "si_snri_extrapolated_low_db": "lower end of its 95 % interval",
    "si_snri_extrapolated_high_db": "upper end of its 95 % interval",
}
TABLES = {
    "study_settings": "a study: its settings, its corpus, its folder of checkpoints",
    "variants": "a configuration: its hyperparameters and its exact costs",
    "runs": "a training of one variant with one seed",
    "epochs": "a run and epoch",
    "mixtures": "a run and test mixture",
    "environments": "a machine with its software",
    "device_costs": "a measurement of a variant on a device; all are kept",
    "results": "a run, with its variant: the view for people",
    "front": "a run that is Pareto-optimal in its study, on SI-SNRi, parameters and MACs (the columns of `results`)",
    "failures": "a failed run, and why",
    "device_results": "a run and device, with the newest measurement of its variant there",
}


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def option_line(action: argparse.Action) -> str:
    """One row of a command's table: how it is written, and its help."""
    value = action.metavar or (
        "{" + ",".join(map(str, action.choices)) + "}" if action.choices else action.dest.upper()
    )
    if not action.option_strings:
        name = f"`{value}`" + (" …" if action.nargs in ("*", "+") else "")
    elif action.nargs == 0:
        name = f"`{', '.join(action.option_strings)}`"
    else:
        name = f"`{', '.join(action.option_strings)} {value}`"
    words = [action.help or ""]
    if action.choices and action.metavar:
        words.append("one of " + ", ".join(map(str, action.choices)))
    default = action.default
    if default not in (None, False, argparse.SUPPRESS) and action.nargs != 0:
        shown = " ".join(map(str, default)) if isinstance(default, list) else str(default)
        if not words[0].endswith(")"):  # else its help names the default
            words.append(f"({shown})")
    if action.required and action.option_strings:
        words.append("(required)")
    return f"| {cell(name)} | {cell(' '.join(word for word in words if word))} |"


def commands_of(top: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The commands of a parser, each with what it is for."""
    action = next(
        action for action in top._actions if isinstance(action, argparse._SubParsersAction)
    )
    helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
    return {name: (helps[name], command) for name, command in action.choices.items()}


def cli_page() -> str:
    lines = [
        "# Command line",
        "",
        "This page lists every command and option. It is made from the parsers by `make docs-reference`; "
        "`--help` prints the same.",
    ]
    for top in (study_parser(), core_parser()):
        commands = commands_of(top)
        package = top.prog.removeprefix("python -m ")
        lines += ["", f"## `{top.prog}`", "", top.description or ""]
        lines += ["", "| command | what it does |", "|---|---|"]
        lines += [
            f"| [`{name}`](#{package}-{name}) | {cell(text)} |"
            for name, (text, _) in commands.items()
        ]
        for name, (text, command) in commands.items():
            lines += ["", f"### {package} {name}", "", f"`{command.prog}`: {text}."]
            lines += ["", "| argument | what it is (default) |", "|---|---|"]
            lines += [
                option_line(action)
                for action in command._actions
                if "--help" not in action.option_strings
            ]
    return "\n".join(lines) + "\n"


def columns_of() -> dict[str, list[str]]:
    """The columns of every table and view, in order; `front` has those of `results`."""
    select = VIEWS["results"].removeprefix("SELECT ").partition(" FROM ")[0]
    return {
        **{table.name: [column.name for column in table.columns] for table in tables.sorted_tables},
        "results": [name.rpartition(".")[2].replace('"', "") for name in select.split(", ")],
        "device_results": [
            "study",
            "trial",
            "seed",
            "state",
            "variant",
            "si_snri_db",
            "parameters",
            "macs_per_s",
            *(c.name for c in tables.tables["device_costs"].columns
              if c.name not in ("study", "variant", "description")),
        ],
        "failures": [
            "study",
            "trial",
            "kind",
            "reason",
            "variant",
            "seed",
            "last_epoch",
            "checkpoint",
        ],
    }


def meaning(column: str) -> str:
    if column not in COLUMNS:
        raise SystemExit(f"column {column}: say what it holds, in COLUMNS of tools/reference.py")
    return COLUMNS[column]


def database_page() -> str:
    kinds = {column.name: column.type for table in tables.sorted_tables for column in table.columns}
    columns = columns_of()
    lines = [
        "# Database",
        "",
        "This page lists the tables and views of a study's database, and every column. It is made from the "
        "schema by `make docs-reference`. Views are for people, and their columns stay; how to use them: "
        "[Read the database](../how-to/read-the-database.md).",
        "",
        "Optuna's tables lie in the same file. Times are in seconds, levels in dB; an empty value means that "
        "nothing was measured.",
        "",
        "| table or view | one row per |",
        "|---|---|",
    ]
    lines += [f"| [`{name}`](#{name}) | {text} |" for name, text in TABLES.items()]
    for name in TABLES:
        lines += ["", f"## {name}", ""]
        if name == "front":
            lines.append("The columns of `results`.")
            continue
        lines += ["| column | type | what it holds |", "|---|---|---|"]
        for column in columns[name]:
            lines.append(
                f"| `{column}` | {kinds.get(column, 'INTEGER')} | {cell(meaning(column))} |"
            )
    lines += [
        "",
        "## Exported tables",
        "",
        "`python -m study export` and `study.load` give three tables, each row with the `trial` and `seed` it "
        "belongs to, and where devices measured its variants `export` a fourth, `devices`. Then `runs` also has the newest "
        "measurements, four columns a device: `realtime_factor@NAME`, `latency_ms@NAME`, `memory@NAME` and `bytes@NAME`.",
        "",
    ]
    for name, tidy in TIDY.items():
        lines.append(f"- `{name}`: " + ", ".join(f"`{column}`" for column in tidy.kinds))
    return "\n".join(lines) + "\n"


def main() -> int:
    pages = {PAGES / "cli.md": cli_page(), PAGES / "database.md": database_page()}
    stale = [
        path
        for path, text in pages.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(
                f"{path.relative_to(ROOT)} is not what the code says: make docs-reference\n"
            )
        return bool(stale)
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
