"""What `measure.py` wrote on a device, read back: every number is checked before any is stored."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from study.database.device_costs import add_device_costs
from study.database.store import Database
from study.devices.standalone.measure import CHUNKS_MS, FORMAT
from study.records import DeviceCost
from tasnet_core.errors import UserError
from tasnet_core.records import Variant

LARGEST = 2**24     # bytes of a file; one of a thousand networks has half a million
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
# The least and the most that a number may be, so that no slip of a digit or a unit goes by.
FACTOR, BYTES, MS, COUNT = (1e-7, 1e5), (2**16, 2**45), (1e-5, 1e7), (1, 10**9)
FILE_BYTES = (100, 2**40)

Facts = Mapping[str, Any]


class Brought(NamedTuple):
    """What a file brought in."""

    study: str
    costs: list[DeviceCost]
    new: int            # of them; the others were there already
    failed: list[str]   # networks that the device could not run, a line each


class _Wrong(Exception):
    """What is wrong with a file, in words."""


def check_name(device: str) -> str:
    """The name of a device, as it stands behind the @ of its axes.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(NAME, device):
        raise UserError(f"--device {device!r}: wanted a name of at most 32 letters, digits, "
                        "dots, dashes and underscores, such as phone or pi-5")
    return device


def bring_in(database: Database, file: Path, device: str, study: str | None) -> Brought:
    """Store what a device measured; earlier measurements stay, and the newest counts.

    Raises:
        UserError: in one line: no such file, none of `measure.py`, one of another study, or one
            with missing or impossible numbers; nothing has been stored then.
    """
    check_name(device)
    found = _read(file)
    name = _study(database, file, found, study)
    variants = {run["variant"] for run in database.runs(name)}
    try:
        lines = list(_failed(found))
        costs = [_cost(one, found, device, database.variant(_known(one, variants, name)))
                 for one in _networks(found) if "failed" not in one]
    except _Wrong as wrong:
        raise UserError(f"{file}: {wrong}; nothing of it was stored: "
                        "measure again with the bundle's measure.py") from None
    if not costs:
        raise UserError(f"{file}: no network could be measured there: {'; '.join(lines[:2])}")
    return Brought(name, costs, add_device_costs(database, name, costs), lines)


def _read(file: Path) -> Facts:
    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file}: {file.stat().st_size:,} bytes, more than any file of "
                            "measure.py has")
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror}); "
                        "wanted the file that a bundle's measure.py wrote") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: no JSON ({str(error)[:100]}); "
                        "wanted the file that a bundle's measure.py wrote") from None
    version = found.get("format") if isinstance(found, dict) else None
    if version != FORMAT or not isinstance(found.get("networks"), list):
        raise UserError(f"{file}: not a file of a bundle's measure.py that this version reads")
    return dict(found)


def _study(database: Database, file: Path, found: Facts, wanted: str | None) -> str:
    """The study of the file, which must be the one that is asked for, if one is."""
    identity, its_name = found.get("identity"), found.get("study")
    own = database.study_of(identity) if isinstance(identity, str) else None
    if own is None and identity == "" and its_name in database.studies():
        own = its_name      # from before studies had identities
    if own is None:
        raise UserError(f"{file}: measured for study {str(its_name)[:60]!r} of another database; "
                        f"this one holds {', '.join(database.studies()) or 'none'}")
    if wanted is not None and database.choose(wanted) != own:
        raise UserError(f"{file}: measured for study {own!r}, not {wanted!r}; leave --study out")
    return own


def _networks(found: Facts) -> list[Facts]:
    networks = found["networks"]
    parts = [*networks, *(one.get("int8", {}) for one in networks if isinstance(one, dict))]
    if not all(isinstance(one, dict) for one in parts):
        raise _Wrong("its networks are no objects")
    return list(networks)


def _failed(found: Facts) -> Iterator[str]:
    for one in _networks(found):
        if "failed" in one.get("int8", {}):
            yield f"trial {one.get('trial')} in int8: {str(one['int8']['failed'])[:200]}"
        if "failed" in one:
            yield f"trial {one.get('trial')}: not measured, {str(one['failed'])[:200]}"


def _known(one: Facts, variants: set[str], study: str) -> str:
    variant = one.get("variant")
    if variant not in variants:
        raise _Wrong(f"variant {str(variant)[:20]!r} (trial {str(one.get('trial'))[:20]}) is not "
                     f"in study {study!r}")
    return str(variant)


def _cost(one: Facts, found: Facts, device: str, variant: Variant) -> DeviceCost:
    where = f"trial {str(one.get('trial'))[:20]}: "
    factor = _number(one, "realtime_factor", FACTOR, where)
    chunks = _chunks(one, where)
    return DeviceCost(
        device, variant.key,
        measured_at_s=_number(found, "measured_at_s", (1e9, 1e11)),
        threads=_count(found, "threads", (1, 4096)),
        recording_s=_number(found, "recording_s", (0.01, 1e4)),
        realtime_factor=factor,
        realtime_factor_spread=_number(one, "realtime_factor_spread", (0, 1e5), where),
        measured_runs=_count(one, "runs", COUNT, where),
        memory_bytes=_bytes(one, "peak_memory_bytes", where),
        base_memory_bytes=_bytes(one, "base_memory_bytes", where),
        stream_memory_bytes=_bytes(one, "stream_memory_bytes", where),
        chunk_10_ms=chunks.get(10, {}).get("median_ms"),
        chunk_20_ms=chunks.get(20, {}).get("median_ms"),
        chunk_40_ms=chunks.get(40, {}).get("median_ms"),
        latency_ms=latency_ms(list(chunks.values()), variant),
        description=_described(found), file_bytes=_file_bytes(one, where), **_int8(one, where))


def _file_bytes(one: Facts, where: str) -> int | None:
    """None in a file of a version that did not count them."""
    return None if one.get("bytes") is None else _count(one, "bytes", FILE_BYTES, where)


def _int8(one: Facts, where: str) -> dict[str, Any]:
    """The columns of the same network in int8; none where the bundle or the device had none."""
    given = one.get("int8")
    if given is None or "failed" in given:
        return {}
    where = f"{where}int8 "
    return {
        "int8_file_bytes": _file_bytes(given, where),
        "int8_loss_db": _number(given, "loss_db", (-100, 100), where),
        "int8_realtime_factor": _number(given, "realtime_factor", FACTOR, where),
        "int8_realtime_factor_spread": _number(given, "realtime_factor_spread", (0, 1e5), where),
        "int8_memory_bytes": _bytes(given, "peak_memory_bytes", where)}


def latency_ms(chunks: Sequence[Facts], variant: Variant) -> float | None:
    """From a sample's arrival to its separation, by the shortest chunk that the device keeps up
    with: the chunk and the hop behind it, and the time to compute it, the 95th percentile.

    None where it keeps up with none, or the network cannot stream.
    """
    for chunk in sorted(chunks, key=lambda chunk: float(chunk["samples"])):
        length_ms = 1000 * chunk["samples"] / variant.sample_rate_hz
        if chunk["p95_ms"] <= length_ms:
            return float(length_ms + 1000 * variant.hop / variant.sample_rate_hz + chunk["p95_ms"])
    return None


def _chunks(one: Facts, where: str) -> dict[int, dict[str, float]]:
    """By length in ms, the numbers of the chunks."""
    given = one.get("chunks")
    if not isinstance(given, list) or not all(isinstance(chunk, dict) for chunk in given):
        raise _Wrong(f"{where}chunks is missing or no list")
    found = {}
    for chunk in given:
        length_ms = _count(chunk, "chunk_ms", (1, 10_000), where)
        median, p95 = (_number(chunk, name, MS, where) for name in ("median_ms", "p95_ms"))
        if p95 < median:
            raise _Wrong(f"{where}p95_ms={p95:g} is below median_ms={median:g}")
        if length_ms in CHUNKS_MS:
            found[length_ms] = {"median_ms": median, "p95_ms": p95,
                                "samples": _count(chunk, "samples", COUNT, where)}
    return found


def _number(facts: Facts, name: str, limits: tuple[float, float], where: str = "") -> float:
    value = facts.get(name)
    if value is None:
        raise _Wrong(f"{where}{name} is missing")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value):
        raise _Wrong(f"{where}{name}={str(value)[:40]} is no number")
    least, most = limits
    if not least <= value <= most:
        raise _Wrong(f"{where}{name}={value:g} is impossible, wanted {least:g} to {most:g}")
    return value if isinstance(value, int) else float(value)


def _count(facts: Facts, name: str, limits: tuple[float, float], where: str = "") -> int:
    value = _number(facts, name, limits, where)
    if value != int(value):
        raise _Wrong(f"{where}{name}={value:g} is no whole number")
    return int(value)


def _bytes(facts: Facts, name: str, where: str) -> int | None:
    """None where the device does not say; the entry itself must be there."""
    if name in facts and facts[name] is None:
        return None
    return _count(facts, name, BYTES, where)


def _described(found: Facts) -> str:
    """Machine and versions, as far as they are short texts and numbers."""
    told = {}
    for part in ("machine", "versions"):
        facts = found.get(part)
        for name, value in facts.items() if isinstance(facts, dict) else ():
            if isinstance(value, str | int | float) and len(str(value)) <= 100:
                told[str(name)[:40]] = value
    return json.dumps({**told, "threads": found.get("threads")}, sort_keys=True)
