"""A folder of trained networks as ONNX, with the program that measures them on a device."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple

from study.analysis import trials
from study.analysis.replicates import Row, number, per_trial
from study.database.store import Database
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.checkpoints.onnx_file import ALLOWED, parity, to_onnx
from tasnet_core.checkpoints.safetensors_file import optional
from tasnet_core.corpora.registry import Corpus
from tasnet_core.errors import UserError, counted
from tasnet_core.files import write_atomically
from tasnet_core.inference import int8_export
from tasnet_core.network.model import ConvTasNet

FORMAT = 1
MANIFEST, PROGRAM, README = "bundle.json", "measure.py", "README.md"

Say = Callable[[str], None]


class Chosen(NamedTuple):
    """A trial's training with the best validation score, and where it is kept."""

    run: Mapping[str, Any]      # a row of `runs`
    checkpoint: Path


def check_free(out: Path) -> None:
    """See that nothing of a user's lies in a folder.

    Raises:
        UserError: something does, or it is no folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        found = "holds files already" if out.is_dir() else "is a file"
        raise UserError(f"{out}: {found}; choose a new folder with --out")


def complete(database: Database, study: str) -> list[Row]:
    """The finished variants of a study, a row each.

    Raises:
        UserError: there is none.
    """
    rows = trials.finished(per_trial(database.results(study)))
    if not rows:
        raise UserError(f"study {study!r}: no trial is complete, so there is no network to take; "
                        "run more of it first")
    return rows


def of_front(rows: Sequence[Row]) -> list[int]:
    """The reference and the Pareto-optimal trials."""
    return sorted({row["trial"] for row in trials.front(rows)} | {
        row["trial"] for row in rows if row["trial"] == 0})


def chosen(database: Database, study: str, trial: int) -> Chosen:
    """The complete training of a trial with the best score on the validation mixtures.

    The first one, where none was validated at its end.

    Raises:
        UserError: no such trial, none that is complete, or its checkpoint is gone.
    """
    runs = [run for run in database.runs(study) if run["trial"] == trial]
    done = [run for run in runs if run["state"] == "complete"]
    if not done:
        found = f"is {runs[0]['state']}, but only a complete one is" if runs else "not"
        raise UserError(f"trial {trial}: {found} in study {study!r}; "
                        f"see: python -m study status --study {study}")
    best = max(done, key=lambda run: (number(run["valid_si_snri_db"]) or -1e9, -run["seed"]))
    named = Path(best["checkpoint"])
    path = named if named.is_file() else database.checkpoints(study) / named.name
    if not path.is_file():
        raise UserError(f"trial {trial}: its checkpoint {path} is gone; put it back, or train it "
                        f"anew in another study")
    return Chosen(best, path)


def write_bundle(database: Database, study: str, wanted: Sequence[int], out: Path,
                 say: Say, corpus: Corpus | None = None) -> list[Path]:
    """Write the networks of these trials, all complete ones if none is named; the files.

    With a corpus in int8, too, where that pays there.

    Raises:
        UserError: onnx is not installed, a trial cannot be taken, `out` holds files or cannot be
            written; nothing has been written then, unless the disk is full.
    """
    check_free(out)
    for package in ("onnx", "onnxruntime"):
        optional(package)
    rows = complete(database, study)
    names = trials.names(rows)
    taken = [chosen(database, study, trial)
             for trial in wanted or [row["trial"] for row in rows]]
    files: dict[str, bytes] = {}
    networks = []
    for one in taken:
        trial = one.run["trial"]
        entry, models = _exported(one, names.get(trial, f"trial {trial}"))
        say(f"trial {trial}: {entry['file']}, {entry['bytes']:,} bytes")
        if corpus:
            made = int8_export.paying(load(one.checkpoint).eval(), corpus)
            say(f"  in int8: {int8_export.in_words(made) if made else 'does not pay'}")
            if made:
                entry["int8"], its_file = _in_int8(made, entry["file"])
                models |= its_file
        files |= models
        networks.append(entry)
    variant = database.variant(taken[0].run["variant"])
    manifest = {
        "format": FORMAT, "study": study, "identity": database.identity(study),
        "sample_rate_hz": variant.sample_rate_hz, "networks": networks}
    files[MANIFEST] = (json.dumps(manifest, indent=1) + "\n").encode()
    files[PROGRAM] = program("measure.py")
    files[README] = readme(study, len(networks)).encode()
    return written(out, files)


def _exported(one: Chosen, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A network's entry in the manifest, and its files."""
    network = load(one.checkpoint)
    file = f"trial-{one.run['trial']:04d}.onnx"
    files = {file: model_of(network)}
    entry = {"trial": one.run["trial"], "variant": one.run["variant"], "name": name,
             "seed": one.run["seed"], "file": file, "bytes": len(files[file])}
    if network.variant.causal:
        entry |= {"streaming": f"stream-{file}", "hop": network.variant.hop}
        files[f"stream-{file}"] = stream_of(network)
    return entry, files


def _in_int8(made: int8_export.Paying, file: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    named = file.replace(".onnx", ".int8.onnx")
    entry = {"file": named, "bytes": made.found.bytes, "kind": made.found.kind,
             "loss_db": made.found.loss_db}
    return entry, {named: made.model}


def model_of(network: ConvTasNet) -> bytes:
    """A network as ONNX that was run and compared with torch.

    Raises:
        UserError: it is not the same.
    """
    return _compared(network.eval(), to_onnx(network.eval()))


def stream_of(network: ConvTasNet) -> bytes:
    """The same of a causal network, for chunks and states."""
    return _compared(network.eval(), to_onnx(network.eval(), streaming=True))


def _compared(network: ConvTasNet, model: bytes) -> bytes:
    if (difference := parity(network, model)) > ALLOWED:
        raise UserError(f"ONNX: differs from torch by {difference:.1e} of the largest sample, "
                        f"more than {ALLOWED:g}: not written")
    return model


def program(name: str) -> bytes:
    """The text of a program that runs without this project."""
    return resources.files("study.devices.standalone").joinpath(name).read_bytes()


def written(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder, each whole or not at all; where they are.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        for name, content in files.items():
            write_atomically(out / name, methodcaller("write", content))
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror or error}); "
                        "choose another folder with --out") from error
    return [out / name for name in files]


def readme(study: str, count: int) -> str:
    """How to run the program on a phone, a board or a server."""
    return f"""\
# What do these networks cost on your device?

{counted(count, 'network')} of study `{study}` as ONNX, and `measure.py`, one file that needs
Python 3.10 or later, numpy and onnxruntime. Copy this folder to the device, and there:

    python measure.py                 # one thread, a few seconds a network
    python measure.py --threads 4

It prints a table and writes `measured.json`. Bring that file back to where the study is:

    python -m study measured measured.json --device phone

From then on `realtime_factor@phone`, `latency_ms@phone` and `memory@phone` are in the report, its
tables and the export.

## A phone (Android)

In [Termux](https://termux.dev), from F-Droid:

    pkg install python python-numpy python-onnxruntime
    python measure.py

## A board (Raspberry Pi and others) or a server

    python3 -m venv venv
    venv/bin/pip install numpy onnxruntime
    venv/bin/python measure.py

Let the device do nothing else meanwhile, keep it plugged in, and give it the cooling that it will
have. `±` in the table is half of the middle half of the runs: where it is large, measure again.

## What is measured

Real-time factor: the time to separate a recording of 4 s (`--seconds`), over its length; the median
of all runs. Memory: the most that the process held, Python and onnxruntime included; what these
took before the network was loaded is in the file, too. Each network has a process of its own.
Causal networks also run in chunks of 10, 20 and 40 ms, as audio arrives.

A file `.int8.onnx` is the same network in int8. It has lost at most
{int8_export.MOST_LOSS_DB:g} dB on the test mixtures of the study, and has at most
{int8_export.MOST_BYTES:.0%} of the bytes. Its speed and memory are measured, too.
"""
