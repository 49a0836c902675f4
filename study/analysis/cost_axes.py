"""The costs that variants are compared by: those of every study, and those that devices measured.

Each is written one way in columns, figures, sentences and limits.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from study.analysis.replicates import number
from study.records import DEVICE_AXES, FRONT


class CostAxis(NamedTuple):
    """How a cost is written."""

    title: str      # above a column, and of the page's chart
    unit: str       # below the title of a column
    label: str      # below the axis of a figure
    short: str      # the same in the page's chart
    words: str      # in a sentence
    limit: str      # behind an amount of it, as in "at most 100k parameters"
    example: str    # of such an amount
    tick: float = 1.0   # what one of a figure's tick is
    figure: str = ""    # the name of the front's file; devices' are made of the column


KNOWN = {
    "parameters": CostAxis(
        "parameters", "count", "parameters", "parameters", "parameters", "parameters", "100k",
        figure="front_parameters"),
    "macs_per_s": CostAxis(
        "MACs", "per s of audio", "multiply-accumulates for one second of audio (MACs per s)",
        "multiply-accumulates for one second of audio", "MACs per second of audio",
        "MACs per second", "50M", figure="front_macs"),
    "realtime_factor": CostAxis(
        "real-time factor", "one thread",
        "real-time factor on one thread (s of computing per s of audio)",
        "real-time factor on one thread", "the real-time factor on one thread",
        "real-time factor", "0.5", figure="front_realtime"),
    "peak_memory_bytes": CostAxis(
        "memory", "bytes", "peak memory while one second of audio is separated (MB)",
        "peak memory (MB)", "peak memory", "bytes of memory", "100M", 1e6, "front_memory"),
}
OTHERS = tuple(name for name in KNOWN if name not in dict(FRONT))  # in no front but their own
LIMITED = ("parameters", "macs_per_s", "realtime_factor")   # of these, those that limits are for


def _on_device(word: str, device: str) -> CostAxis:
    on = f"on {device}"
    return {
        "realtime_factor": CostAxis(
            "real-time factor", on, f"real-time factor {on} (s of computing per s of audio)",
            f"real-time factor {on}", f"the real-time factor {on}", f"real-time factor {on}",
            "0.5"),
        "latency_ms": CostAxis(
            "latency", f"ms {on}", f"latency {on} (ms)", f"latency {on} (ms)",
            f"the latency {on}", f"ms of latency {on}", "40"),
        "memory": CostAxis(
            "memory", f"bytes {on}", f"peak memory of the process {on} (MB)",
            f"peak memory of the process {on} (MB)", f"peak memory {on}",
            f"bytes of memory {on}", "100M", 1e6),
        "bytes": CostAxis(
            "file", f"bytes {on}", f"size of the ONNX file {on} (kB)",
            f"size of the ONNX file {on} (kB)", f"the size of the file {on}",
            f"bytes of the file {on}", "200k", 1e3),
    }[word]


def axis_of(column: str) -> CostAxis:
    """How the cost in a column is written; memory@phone is of a device."""
    word, _, device = column.partition("@")
    return _on_device(word, device) if device else KNOWN[column]


def for_page(columns: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The axes of the page's chart, in order; those that limits are for have words for one."""
    found = {}
    for name in columns:
        axis, device = axis_of(name), device_of(name)
        title = f"{axis.title} on {device}" if device else axis.title
        found[name] = {"title": title[0].upper() + title[1:], "label": axis.short,
                       "unit": axis.tick}
        if device or name in LIMITED:
            found[name] |= {"limit": axis.limit, "example": axis.example}
    return found


def device_of(column: str) -> str:
    """The device whose cost is in a column; empty for the others."""
    return column.partition("@")[2]


def is_latency(axis: str) -> bool:
    """Whether it is a device's cost of networks that can stream, and of no others."""
    return axis.startswith("latency_ms@")


def of_devices(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The columns of devices in which a row has a number, device by device."""
    there = {name: None for row in rows for name, value in row.items()
             if "@" in name and number(value) is not None}
    devices = sorted({device_of(name) for name in there})
    return [name for device in devices for word in DEVICE_AXES
            if (name := f"{word}@{device}") in there]


def titles(columns: Iterable[str]) -> dict[str, tuple[str, str]]:
    """What stands above these columns of devices, and the unit."""
    return {name: (axis.title, axis.unit) for name in columns for axis in [axis_of(name)]}


def is_predicted(row: Mapping[str, Any], column: str) -> bool:
    """Whether the cost of a variant on a device is predicted and not measured."""
    device = device_of(column)
    return bool(device) and device in (row.get("predicted") or "").split(", ")
