"""Measure the networks beside this file on this device: speed, latency and memory.

Needs Python 3.10 or later, numpy and onnxruntime, and nothing else:

    python measure.py                  # one thread; writes measured.json beside this file
    python measure.py --threads 4

Each network runs in a process of its own, so that no peak of memory hides another, and several
times over, so that a busy moment of the device is in no network alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Facts = dict[str, Any]      # as JSON has them
HERE = Path(__file__).resolve().parent
FORMAT = 1
WARM_UP, RUNS, LEAST_S = 2, 5, 0.5     # of one process: runs, and the seconds they take at least
CHUNKS_MS = (10, 20, 40)
STREAMED_S = 2.0    # of audio, in chunks of each length


# ---- one network, in a process of its own


def session_of(path: Path, threads: int) -> Any:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def noise(samples: int) -> Any:
    import numpy
    return (0.1 * numpy.random.default_rng(0).standard_normal((1, samples))).astype(numpy.float32)


def whole_recording(path: Path, rate_hz: int, threads: int, seconds: float) -> Facts:
    """Seconds of each run over a whole recording, and the process' peaks of memory in bytes."""
    import onnxruntime  # noqa: F401  # before the base is read, which it is part of
    mixture = noise(round(seconds * rate_hz))
    base = peak_bytes()
    session = session_of(path, threads)
    name = session.get_inputs()[0].name
    times: list[float] = []
    while len(times) < WARM_UP + RUNS or sum(times[WARM_UP:]) < LEAST_S:
        start = time.perf_counter()
        session.run(None, {name: mixture})
        times.append(time.perf_counter() - start)
    return {"times_s": times[WARM_UP:], "peak_bytes": peak_bytes(), "base_bytes": base}


def zeros_of(state: Any) -> Any:
    """The state of a model's input before the first chunk, for a batch of one."""
    import numpy
    kind = {"tensor(double)": numpy.float64}.get(state.type, numpy.float32)
    return numpy.zeros([size if isinstance(size, int) else 1 for size in state.shape], kind)


def in_chunks(path: Path, rate_hz: int, hop: int, threads: int) -> Facts:
    """Seconds of each chunk for each length of chunks, as audio arrives, and the peak of memory.

    The model's first input and output are audio, the others the state, in the same order.
    """
    session = session_of(path, threads)
    audio, *states = session.get_inputs()
    times: Facts = {}
    for chunk_ms in CHUNKS_MS:
        samples = max(hop, round(chunk_ms * rate_hz / 1000 / hop) * hop)
        kept = [zeros_of(one) for one in states]
        chunk, took = noise(samples), []
        for _ in range(WARM_UP + round(STREAMED_S * rate_hz / samples)):
            fed = dict(zip((one.name for one in states), kept, strict=True))
            start = time.perf_counter()
            _, *kept = session.run(None, {audio.name: chunk, **fed})
            took.append(time.perf_counter() - start)
        times[str(chunk_ms)] = {"samples": samples, "times_s": took[WARM_UP:]}
    return {"chunks": times, "peak_bytes": peak_bytes()}


def peak_bytes() -> int | None:
    """The most memory this process has held; None where the system does not say."""
    try:    # not by getrusage first: on Linux a process begins with the peak of the one it is from
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return None
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024


# ---- all of them


def ask(arguments: list[str]) -> Facts:
    """What one process measures; a message under `failed` where it ends without an answer."""
    command = [sys.executable, __file__, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found: Facts = json.loads(ended.stdout)
        return found
    except ValueError:
        last = (ended.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        return {"failed": f"its process ended with status {ended.returncode}: {last}"}


def measure(network: Facts, rate_hz: int, asked: argparse.Namespace) -> list[Facts]:
    """What the processes of one round say of one network."""
    common = ["--rate", str(rate_hz), "--threads", str(asked.threads)]
    whole = [*common, "--seconds", str(asked.seconds), "--whole", network["file"]]
    found = [ask(whole)]
    if network.get("streaming"):
        hop = ["--hop", str(network["hop"])]
        found.append(ask([*common, *hop, "--stream", network["streaming"]]))
    if network.get("int8"):
        whole[-1] = network["int8"]["file"]
        found.append({"int8": ask(whole)})
    return found


def summary(network: Facts, rounds: list[Facts], seconds: float) -> Facts:
    """The numbers of one network from all its processes, and those of it in int8."""
    in_int8 = [one["int8"] for one in rounds if "int8" in one]
    if in_int8:
        own = {**network["int8"], "trial": network["trial"], "variant": network["variant"]}
        found = summary({**own, "name": network["name"]}, in_int8, seconds)
        plain = {name: value for name, value in network.items() if name != "int8"}
        rest = [one for one in rounds if "int8" not in one]
        return {**summary(plain, rest, seconds), "int8": {**found, **network["int8"]}}
    known = {name: network.get(name) for name in ("trial", "variant", "name", "bytes")}
    failed = [one["failed"] for one in rounds if "failed" in one]
    if failed:
        return {**known, "failed": failed[0]}
    whole = [one for one in rounds if "times_s" in one]
    streamed = [one for one in rounds if "chunks" in one]
    times = [took for one in whole for took in one["times_s"]]
    chunks = []
    for chunk_ms in (streamed[0]["chunks"] if streamed else ()):
        parts = [one["chunks"][chunk_ms] for one in streamed]
        took = sorted(one for part in parts for one in part["times_s"])
        chunks.append({
            "chunk_ms": int(chunk_ms), "samples": parts[0]["samples"],
            "median_ms": 1000 * statistics.median(took),
            "p95_ms": 1000 * took[int(0.95 * (len(took) - 1))], "runs": len(took)})
    return {
        **known, "realtime_factor": statistics.median(times) / seconds,
        "realtime_factor_spread": spread(times) / seconds, "runs": len(times),
        "peak_memory_bytes": most(one["peak_bytes"] for one in whole),
        "base_memory_bytes": most(one["base_bytes"] for one in whole),
        "stream_memory_bytes": most(one["peak_bytes"] for one in streamed), "chunks": chunks}


def spread(times: list[float]) -> float:
    """From the first to the third quarter."""
    quarters = statistics.quantiles(times, n=4, method="inclusive")
    return quarters[2] - quarters[0]


def most(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)


def machine() -> Facts:
    """The processor, without anything that names this one machine."""
    model = ""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        named = ("model name", "Hardware", "Model", "CPU part")
        facts = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
        model = next((facts[name] for name in named if facts.get(name)), "")
    except OSError:
        pass
    return {
        "system": platform.system(), "architecture": platform.machine(),
        "processor": model or platform.processor(), "cores": os.cpu_count()}


def versions() -> Facts:
    import numpy
    import onnxruntime
    return {"python": platform.python_version(), "numpy": numpy.__version__,
            "onnxruntime": onnxruntime.__version__}


def all_networks(asked: argparse.Namespace) -> Facts:
    bundle = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
    networks = bundle["networks"]
    rounds: list[list[Facts]] = [[] for _ in networks]
    for number in range(asked.rounds):
        for network, found in zip(networks, rounds, strict=True):
            print(f"round {number + 1} of {asked.rounds}: {network['file']} ({network['name']})",
                  file=sys.stderr, flush=True)
            found += measure(network, bundle["sample_rate_hz"], asked)
    return {
        "format": FORMAT, "study": bundle["study"], "identity": bundle["identity"],
        "measured_at_s": round(time.time()), "threads": asked.threads,
        "recording_s": asked.seconds, "rounds": asked.rounds, "machine": machine(),
        "versions": versions(),
        "networks": [summary(network, found, asked.seconds)
                     for network, found in zip(networks, rounds, strict=True)]}


def table(found: Facts) -> list[str]:
    lines = [f"{'trial':>5}  {'real-time factor':>20}  {'memory':>9}  {'20-ms chunk':>11}  network"]
    for one in both_kinds(found["networks"]):
        if "failed" in one:
            lines.append(f"{one['trial']:>5}  {one['name']}: not measured, {one['failed']}")
            continue
        factor = f"{one['realtime_factor']:.4f} ± {one['realtime_factor_spread'] / 2:.4f}"
        memory = f"{one['peak_memory_bytes'] / 1e6:.1f} MB" if one["peak_memory_bytes"] else "-"
        chunk = next((f"{chunk['median_ms']:.2f} ms" for chunk in one["chunks"]
                      if chunk["chunk_ms"] == 20), "-")
        lines.append(f"{one['trial']:>5}  {factor:>20}  {memory:>9}  {chunk:>11}  {one['name']}")
    return lines


def both_kinds(networks: list[Facts]) -> Iterable[Facts]:
    """Each network, and behind it the same in int8."""
    for one in networks:
        yield one
        if "int8" in one:
            lost = f"in int8, {one['int8']['loss_db']:.2f} dB lost"
            yield {**one["int8"], "name": f"{one['name']} {lost}"}


def free_name(path: Path) -> Path:
    """The path, or the next one that is no file yet: earlier measurements stay."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the networks beside this file.")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (1)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each recording (4)")
    parser.add_argument("--rounds", type=int, default=3, help="over all networks (3)")
    parser.add_argument("--out", type=Path, help="the file to write (measured.json beside this)")
    for name, kind in (("whole", str), ("stream", str), ("rate", int), ("hop", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    return parser


def main() -> None:
    asked = options().parse_args()
    if asked.threads < 1 or asked.rounds < 1 or not 0.1 <= asked.seconds <= 600:
        options().error("at least one thread and one round, and 0.1 to 600 seconds")
    if asked.whole:
        found = whole_recording(HERE / asked.whole, asked.rate, asked.threads, asked.seconds)
        print(json.dumps(found))
    elif asked.stream:
        print(json.dumps(in_chunks(HERE / asked.stream, asked.rate, asked.hop, asked.threads)))
    elif missing := [name for name in ("numpy", "onnxruntime") if find_spec(name) is None]:
        options().error(f"{' and '.join(missing)}: not installed; pip install {' '.join(missing)}")
    else:
        found = all_networks(asked)
        out = free_name(asked.out or HERE / "measured.json")
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print("\n".join(table(found)))
        print(f"{out}: bring it back with: python -m study measured {out.name} --device NAME")


if __name__ == "__main__":
    main()
