"""Separate the people of a recording with the network beside this file.

Needs Python 3.10 or later, numpy and onnxruntime, and nothing else:

    python run.py recording.wav                 # writes recording-1.wav, recording-2.wav, …
    python run.py recording.wav --out FOLDER

The recording is a WAV file of the network's sample rate; several channels are averaged. It is
separated in pieces of 10 s that overlap by 2 s, so that memory does not grow with its length.
"""

from __future__ import annotations

import argparse
import json
import sys
import wave
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PIECE_S, OVERLAP_S = 10.0, 2.0
FULL_SCALE = 0.99


def read(path: Path, rate_hz: int) -> Any:
    """The recording as float32 [T], -1 to 1."""
    import numpy
    try:
        with wave.open(str(path), "rb") as file:
            found, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            content = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        sys.exit(f"{path}: cannot be read as a WAV file ({error})")
    if found != rate_hz:
        sys.exit(f"{path}: {found} Hz, but this network runs at {rate_hz} Hz; convert it first, "
                 f"such as with: ffmpeg -i {path.name} -ar {rate_hz} converted.wav")
    if width == 3:      # to 32 bits, the lowest of them zero
        triples = numpy.frombuffer(content, numpy.uint8).reshape(-1, 3)
        content, width = numpy.pad(triples, ((0, 0), (1, 0))).tobytes(), 4
    kind, zero = {1: (numpy.uint8, 128), 2: (numpy.int16, 0), 4: (numpy.int32, 0)}[width]
    samples = (numpy.frombuffer(content, kind).astype(numpy.float32) - zero) / 2 ** (8 * width - 1)
    return samples.reshape(-1, channels).mean(axis=1)


def write(path: Path, samples: Any, rate_hz: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate_hz, 0, "NONE", "not compressed"))
        file.writeframes((32767 * samples).round().astype("<i2").tobytes())


def separate(run: Any, mixture: Any, rate_hz: int) -> Any:
    """[T] -> [C, T], piece by piece; in each overlap the speakers take the order that fits best."""
    from itertools import permutations

    import numpy
    piece, overlap = round(PIECE_S * rate_hz), round(OVERLAP_S * rate_hz)
    found = run(mixture[:piece])
    while found.shape[1] < len(mixture):
        start = found.shape[1] - overlap
        new = run(mixture[start:start + piece])
        before, after = found[:, start:], new[:, :overlap]
        order = max(permutations(range(len(new))),
                    key=lambda order: float((before * after[list(order)]).sum()))
        new = new[list(order)]
        rising = numpy.linspace(0, 1, overlap, dtype=numpy.float32)
        mixed = (1 - rising) * before + rising * new[:, :overlap]
        found = numpy.concatenate([found[:, :start], mixed, new[:, overlap:]], axis=1)
    return found


def levelled(mixture: Any, signals: Any) -> Any:
    """With the gains that bring the sum of the signals closest to the mixture; never clipped."""
    import numpy
    gains = numpy.linalg.lstsq(signals.T, mixture, rcond=None)[0]
    loud = signals * gains[:, None]
    return loud * min(1.0, FULL_SCALE / max(float(numpy.abs(loud).max()), 1e-9))


def main() -> None:
    parser = argparse.ArgumentParser(description="Separate the people of a recording.")
    parser.add_argument("recording", type=Path, help="a WAV file")
    parser.add_argument("--out", type=Path, help="folder of the files written (the recording's)")
    parser.add_argument("--threads", type=int, default=1, help="of the processor (1)")
    parser.add_argument("--model", default="model.onnx", help="beside this file (model.onnx)")
    asked = parser.parse_args()
    if not (HERE / asked.model).is_file():
        sys.exit(f"{HERE / asked.model}: no such file; choose another network with --model")
    try:
        import onnxruntime
    except ImportError:
        sys.exit("onnxruntime: not installed; pip install numpy onnxruntime")
    rate_hz = json.loads((HERE / "config.json").read_text(encoding="utf-8"))["sample_rate_hz"]
    mixture = read(asked.recording, rate_hz)
    if not len(mixture):
        sys.exit(f"{asked.recording}: holds no audio")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = asked.threads
    session = onnxruntime.InferenceSession(str(HERE / asked.model), options,
                                           providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    signals = separate(lambda part: session.run(None, {name: part[None]})[0][0], mixture, rate_hz)
    folder = asked.out or asked.recording.parent
    folder.mkdir(parents=True, exist_ok=True)
    for place, signal in enumerate(levelled(mixture, signals), 1):
        path = folder / f"{asked.recording.stem}-{place}.wav"
        if path.exists():
            sys.exit(f"{path}: is there already; choose another folder with --out")
        write(path, signal, rate_hz)
        print(path)


if __name__ == "__main__":
    main()
