"""What a report says of the devices that measured a study's variants."""

import json
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from study.analysis.cost_axes import axis_of, device_of, is_predicted, of_devices
from study.analysis.device_fit import DeviceFit, fits_of, with_predictions
from study.analysis.on_devices import DeviceBudget
from study.analysis.pareto import front
from study.analysis.replicates import SCORE, Row, number
from study.analysis.trials import finished, names
from study.analysis.wording import Table, Titles, percent
from study.database.device_costs import budget_of
from study.database.store import Database
from study.records import DEVICE_AXES, Budget, Settings, device_axis
from tasnet_core.errors import UserError, counted

COLUMNS = ("trial", "name", "device", "stored", SCORE, "int8_loss_db", "file_bytes",
           "realtime_factor", "memory_bytes", "optimal")
TITLES: Titles = {
    "device": ("device", ""), "stored": ("stored", "as"), "int8_loss_db": ("lost", "dB, to float"),
    "file_bytes": ("file", "bytes"), "realtime_factor": ("real-time factor", "there"),
    "memory_bytes": ("memory", "bytes"), "optimal": ("Pareto-optimal", "on this device")}


class Measured(NamedTuple):
    """What devices say of a study."""

    costs: Sequence[Mapping[str, Any]]  # the newest measurement of each variant that counts
    fits: Mapping[str, DeviceFit]       # by axis
    budget: Budget                      # of the settings, with what it needs of the devices

    @classmethod
    def of(cls, database: Database, settings: Settings | None, rows: Sequence[Row]) -> "Measured":
        """Of the study's variants; of those devices that the settings name, of all variants."""
        budget, own = _named(database, settings)
        devices, variants = set(map(device_of, own)), {row["variant"] for row in rows}
        costs = [cost for cost in database.device_costs()
                 if cost["device"] in devices or cost["variant"] in variants]
        return cls(costs, {**fits_of(rows), **own}, budget)

    def in_int8(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        """The finished variants that a device ran in int8, a row each and device, with the score
        and the costs that they have so."""
        known = [(cost, row) for cost in self.costs for row in finished(rows)
                 if cost["variant"] == row["variant"] and number(cost["int8_loss_db"]) is not None]
        return [{**row, "device": cost["device"], SCORE: row[SCORE] - cost["int8_loss_db"],
                 "int8_loss_db": cost["int8_loss_db"],
                 **{device_axis(word, cost["device"]): cost.get(f"int8_{column}")
                    for word, column in DEVICE_AXES.items()}} for cost, row in known]

    def table(self, rows: Sequence[Row]) -> Table:
        """Each variant that a device has measured, as float and in int8: costs and score there, and
        whether it is Pareto-optimal in them."""
        lines: list[list[Any]] = []
        called = names(rows)
        for device in dict.fromkeys(cost["device"] for cost in self.costs):
            axes = [device_axis(word, device) for word in ("bytes", "realtime_factor", "memory")]
            whole = [{**row, "stored": "float"} for row in finished(rows)
                     if number(row.get(axes[1])) is not None and not is_predicted(row, axes[1])]
            small = [{**row, "stored": "int8"} for row in self.in_int8(rows)
                     if row["device"] == device]
            if small:
                both = (*whole, *small)     # compared in what is known of all of them
                known = [axis for axis in axes
                         if all(number(row.get(axis)) is not None for row in both)]
                points = np.array([[-row[SCORE], *(row[axis] for axis in known)] for row in both])
                lines += [[row["trial"], called[row["trial"]], device, row["stored"], row[SCORE],
                           row.get("int8_loss_db"), *(row.get(axis) for axis in axes),
                           "yes" if best else "no"]
                          for row, best in zip(both, front(points), strict=True)]
        return Table(COLUMNS, sorted(lines, key=lambda line: (line[2], line[6] or 0)))

    def completed(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return with_predictions(rows, self.fits)


NOTHING = Measured((), {}, Budget())


def _named(
    database: Database, settings: Settings | None
) -> tuple[Budget, Mapping[str, DeviceFit]]:
    """The budget, and the fits that the search has; none where what it measured by is gone."""
    if settings is None:
        return Budget(), {}
    try:
        budget = budget_of(database, settings)
    except UserError:
        return replace(settings.budget, on_devices={}), {}
    axes = budget.axes if isinstance(budget, DeviceBudget) else {}
    return budget, {axis: costs.fit for axis, costs in axes.items()}


def notes(measured: Measured, rows: Sequence[Row]) -> list[str]:
    """A few sentences for each device."""
    costs, fits = measured.costs, measured.fits
    return [" ".join(_device(device, [cost for cost in costs if cost["device"] == device], fits,
                             rows))
            for device in dict.fromkeys(map(device_of, of_devices(rows)))]


def _device(device: str, costs: Sequence[Mapping[str, Any]], fits: Mapping[str, DeviceFit],
            rows: Sequence[Row]) -> list[str]:
    newest = max(costs, key=lambda cost: cost["measured_at_s"])
    day = time.strftime("%Y-%m-%d", time.gmtime(newest["measured_at_s"]))
    facts = json.loads(newest["description"] or "{}")
    runtime = f"onnxruntime {facts['onnxruntime']}" if facts.get("onnxruntime") else ""
    how = ", ".join(filter(None, (
        str(facts.get("processor") or ""), counted(newest["threads"], "thread"), runtime, day)))
    told = [f"On {device} ({how}), {counted(len(costs), 'variant')} separated recordings of "
            f"{newest['recording_s']:g} s; memory is the peak of the whole process."]
    own = {axis: fit for axis, fit in fits.items() if device_of(axis) == device}
    predicted = {row["variant"] for row in rows if any(is_predicted(row, axis) for axis in own)}
    if own:
        errors = ", ".join(f"{axis_of(axis).title} within {percent(fit.error)}"
                           for axis, fit in own.items())
        what = f"What {counted(len(predicted), 'variant')} without a measurement" if predicted \
            else "What variants without a measurement"
        told.append(f"{what} would cost there is predicted from those that have one; left out one "
                    f"at a time, these are predicted typically so: {errors}.")
    return told


def to_take_home(study: str, runs: Sequence[Row], recommended: Sequence[int]) -> list[str]:
    """Where the networks of the recommended variants are, and the command that hands one on."""
    kept = {run["trial"]: run["checkpoint"] for run in reversed(runs)
            if run["state"] == "complete" and run["trial"] in recommended and run["checkpoint"]}
    if not kept:
        return []
    files = ", ".join(f"trial {trial} in {Path(kept[trial]).name}" for trial in sorted(kept))
    return [f"The networks are in the study's folder of checkpoints: {files}, further seeds beside "
            f"it. python -m study take {min(kept)} --study {shlex.quote(study)} --out DIR writes "
            "the best seed of one with its model card, ONNX, examples and a program that separates "
            "recordings without torch."]
