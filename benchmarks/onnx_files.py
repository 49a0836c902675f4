"""What ONNX files of trained networks weigh, how they score and how fast they are, in float and in int8; and streams of them.

Five checkpoints of a study, and the corpus it was trained on. Times are CPU seconds of one thread per second of audio,
medians of runs in turns. The streams are of fresh causal networks of the same sizes: `whole` is the largest difference from
torch's pass over the whole recording, as a share of the largest sample.

    python benchmarks/onnx_files.py FOLDER_OF_CHECKPOINTS [CORPUS]
"""

import statistics
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import onnxruntime

from tasnet_core.checkpoints import onnx_file, onnx_graph
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import open_corpus
from tasnet_core.inference.int8_export import measured, models_of
from tasnet_core.network.model import ConvTasNet, seeded
from tasnet_core.records import Variant

CHUNK_S = 0.01


def processor() -> str:
    """Its name, and what of int8 it has units for."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    units = sorted({"avx512_vnni", "avx_vnni", "amx_int8"} & set(facts["flags"].split()))
    return f"{facts['model name']} ({', '.join(units)}), onnxruntime {onnxruntime.__version__}"


def nodes_as_run(model: bytes) -> int:
    """After onnxruntime has inlined functions and joined what it can."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/as_run.onnx"
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return len(onnx.load(options.optimized_model_filepath).graph.node)


def files(networks: list[ConvTasNet], spec: str) -> None:
    print("| parameters | kind | bytes | / (4 × parameters) | nodes | as run | SI-SNRi, dB | loss, dB | real-time factor |\n"
          "|---:|---|---:|---:|---:|---:|---:|---:|---:|")
    for network in networks:
        corpus = open_corpus(spec, network.variant.C, network.variant.sample_rate_hz)
        parameters = sum(weight.numel() for weight in network.parameters())
        graphs = {kind: each[0] for kind, each in models_of(network, corpus, None).items()}
        models = {kind: onnx_graph.as_bytes(graph) for kind, graph in graphs.items()}
        for one in measured(models, corpus):
            loss = f"{one.loss_db:.3f} ± {one.interval_db:.3f}" if one.kind != "float" else ""
            nodes = len(graphs[one.kind].graph.node)
            print(f"| {parameters:,} | {one.kind} | {one.bytes:,} | {one.bytes / 4 / parameters:.2f} | {nodes} "
                  f"| {nodes_as_run(models[one.kind])} | {one.si_snri_db:.2f} | {loss} | {one.realtime_factor:.4f} |", flush=True)


def streams(variants: list[Variant]) -> None:
    print("\n| parameters | norm | bytes | states | state, kB | whole | 10 ms chunk, ms | real-time factor |\n"
          "|---:|---|---:|---:|---:|---:|---:|---:|")
    for variant in variants:
        network = seeded(variant, 0).eval()
        chunk = round(CHUNK_S * variant.sample_rate_hz / variant.hop) * variant.hop
        model = onnx_file.to_onnx(network, chunk, streaming=True)
        difference = onnx_file.parity(network, model, chunk)
        stream = onnx_file.load_onnx(model, threads=1)
        stream(np.zeros((1, chunk + variant.hop), np.float32))
        sizes = [state.nbytes for state in stream.states.values()]
        noise, times = np.random.default_rng(0).standard_normal((400, 1, chunk)).astype(np.float32), []
        for one in noise:
            start = time.thread_time()
            stream(one)
            times.append(time.thread_time() - start)
        took, parameters = statistics.median(times), sum(weight.numel() for weight in network.parameters())
        print(f"| {parameters:,} | {variant.norm} | {len(model):,} | {len(sizes)} | {sum(sizes) / 1e3:.0f} | {difference:.1e} "
              f"| {1000 * took:.2f} | {took / CHUNK_S:.3f} |", flush=True)


def main(folder: str, spec: str = "voices2") -> None:
    print(f"{processor()}, one thread\n")
    networks = [load(path) for path in sorted(Path(folder).glob("trial-????.pt"))[:5]]
    files(networks, spec)
    streams([replace(network.variant, causal=True, norm=norm)
             for network in networks for norm in ("cumulative", "frame", "batch")])


if __name__ == "__main__":
    main(*sys.argv[1:])
