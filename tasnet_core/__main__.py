"""`python -m tasnet_core`: describe a variant, check a corpus, train and separate."""

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasnet_core.arguments import (
    Parser,
    int_from,
    listed_hyperparameters,
    number_above_0,
    path,
    variant_of,
)
from tasnet_core.errors import UserError
from tasnet_core.records import DEFAULT_CORPUS, DEVICES, Recipe, Variant, as_word
from tasnet_core.terminal import complain, guarded, say

if TYPE_CHECKING:
    from tasnet_core.cost.count import Layer
    from tasnet_core.network.model import ConvTasNet

NETWORK_HELP = ("hyperparameters of the variant such as N128 X6 H=128 norm=global; those left "
                "out are the paper's best")
NETWORKS = (".pt", ".pth", ".ckpt", ".safetensors")     # suffixes of what `describe` reads
RECIPE_HELP = {
    "batch_size": "; auto: in as few parts as memory allows",
    "precision": "; float32, bf16; auto: bf16 where the hardware has units for it",
    "optimizer": "; muon: Muon for the 1x1 convolutions, Adam for the rest",
    "distill": "; weight of the teacher's estimates as second targets"}


def batch_size(text: str) -> int | str:
    return text if text == "auto" else int(text)


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m tasnet_core",
                 description="Conv-TasNet: describe, check, train, separate.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                  parser_class=Parser)
    describe = commands.add_parser(
        "describe", help="layer by layer: shapes, parameters, MACs, receptive field")
    describe.add_argument("variant", nargs="*", metavar="HYPERPARAMETER",
                          help=NETWORK_HELP + "; or a checkpoint (below, FILE)")
    add_hyperparameters(describe)
    describe.add_argument("--seconds", type=float, default=1.0,
                          help="of audio, for the shapes and MACs (1)")
    add_corpora(commands)
    add_train(commands)
    add_separate(commands)
    add_export(commands)
    return top


def add_hyperparameters(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--hyperparameters", metavar="R=3,mask=relu", default="",
        help="what FILE, of another toolkit, does not say: it is asked for")


def add_corpora(commands: Any) -> None:
    check = commands.add_parser(
        "check", help="read a whole corpus and list every file that cannot be used")
    check.add_argument("--headers", action="store_true",
                       help="only what headers tell: a minute for 20,000 mixtures")
    mix = commands.add_parser("mix", help="write a corpus as WAV files in the folders of "
                              "WSJ0-2mix, for other toolkits")
    mix.add_argument("--out", type=path, required=True, metavar="DIR",
                     help="made; refused where it holds anything")
    mix.add_argument("--train", type=int_from(1), default=1000, metavar="N",
                     help="training mixtures drawn (1000)")
    mix.add_argument("--seconds", type=number_above_0, default=4.0, metavar="S",
                     help="of each of them (4)")
    mix.add_argument("--seed", type=int_from(0), default=0, metavar="S", help="of drawing them (0)")
    for command in (check, mix):
        command.add_argument("corpus", metavar="CORPUS", help=(
            "voices2 | folder:PATH | wsj0mix:PATH | librimix:PATH, with options such as "
            "?speaker=REGEX&split=recording"))
        command.add_argument("-C", type=int_from(1), default=2, metavar="C",
                             help="speakers in a mixture (2)")
        command.add_argument("--sample-rate-hz", type=int_from(1), default=8000, metavar="HZ",
                             help="(8000)")


def add_train(commands: Any) -> None:
    train = commands.add_parser("train", help="train one variant; running it again continues")
    train.add_argument("variant", nargs="*", metavar="HYPERPARAMETER", help=NETWORK_HELP)
    train.add_argument("--corpus", default=DEFAULT_CORPUS, metavar="CORPUS")
    train.add_argument("--checkpoint", type=path, required=True, metavar="FILE",
                       help="made, or continued")
    train.add_argument("--device", default="auto", choices=DEVICES)
    for field in fields(Recipe):
        kind: Any = batch_size if field.name == "batch_size" else type(field.default)
        default = "auto" if field.name == "precision" else field.default
        train.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=default,
                           help=f"({default})" + RECIPE_HELP.get(field.name, ""))
    train.add_argument("--teacher", type=path, metavar="FILE",
                       help="whose sub-network --init inherit begins with, and whose estimates "
                       "--distill has as second targets")


def add_separate(commands: Any) -> None:
    separate = commands.add_parser(
        "separate", help="write one WAV per speaker of each recording, of any length")
    separate.add_argument("files", nargs="*", type=path, metavar="FILE",
                          help="or folder, searched with all folders in it")
    separate.add_argument("--checkpoint", type=path, required=True, metavar="FILE",
                          help="or an exported folder; or what Asteroid, torchaudio, SpeechBrain "
                          "(a folder) or ESPnet trained")
    add_hyperparameters(separate)
    separate.add_argument("--corpus", metavar="CORPUS",
                          help="separate a test mixture of this corpus instead of files")
    separate.add_argument("--mixture", metavar="ID", help="its name, such as test/007")
    separate.add_argument("--out", type=path, default=Path("separated"), metavar="DIR")
    separate.add_argument("--channel", type=int_from(1), metavar="K",
                          help="of recordings that have several")
    separate.add_argument("--chunk-s", type=number_above_0, default=30.0, metavar="S",
                          help="separated at once (30)")
    separate.add_argument("--overlap-s", type=number_above_0, default=5.0, metavar="S",
                          help="of neighbouring chunks (5)")
    separate.add_argument("--batch", type=int_from(1), default=1, metavar="N",
                          help="chunks in one pass of the network (1)")
    separate.add_argument("--device", default="auto", choices=DEVICES)
    separate.add_argument("--overwrite", action="store_true",
                          help="write over results that are there already")


def add_export(commands: Any) -> None:
    export = commands.add_parser(
        "export", help="write a network as ONNX and as safetensors, compared with the original")
    export.add_argument("--checkpoint", type=path, required=True, metavar="FILE",
                        help="as for separate")
    add_hyperparameters(export)
    export.add_argument("--out", type=path, required=True, metavar="DIR")
    export.add_argument("--format", action="append", choices=("onnx", "safetensors"),
                        help="one of them alone (both)")
    export.add_argument("--samples", type=int_from(1), metavar="T",
                        help="fix the length of the ONNX, and a batch of 1 (open)")
    export.add_argument("--streaming", action="store_true",
                        help="also stream.onnx, for a causal network: a chunk and states in, a "
                        "chunk and states out; --samples is then the length of a chunk")
    export.add_argument("--int8", metavar="CORPUS",
                        help="also model.int8.onnx, where it loses at most 0.1 dB on the test "
                        "mixtures of this corpus; calibrated on its training mixtures")
    export.add_argument("--overwrite", action="store_true",
                        help="write over an export that is there already")


def describe(given: argparse.Namespace) -> int:
    from tasnet_core.cost import count
    from tasnet_core.network.model import frames_of
    first = Path(*given.variant[:1])
    if len(given.variant) == 1 and (first.exists() or first.suffix in NETWORKS):
        variant = network_of(first, given).variant
    elif given.hyperparameters:
        raise UserError("--hyperparameters: name the checkpoint that they belong to, or give them "
                        "without that option")
    else:
        variant = variant_of(given.variant)
    rate, exact = variant.sample_rate_hz, count.exact(variant)
    samples = round(given.seconds * rate)
    if samples < 1:
        raise UserError(f"--seconds {given.seconds:g}: at least one sample of audio is wanted")
    frames = frames_of(variant, samples)
    say(f"{' '.join(words_of(variant))} at {rate} Hz; "
        f"{given.seconds:g} s: T = {samples} samples, K = {frames} frames")
    say(f"{'layer':42}{'output':>18}{'parameters':>12}{'MACs':>16}{'field ms':>10}")
    for layer in count.layers(variant):
        say(line_of(layer, variant, samples, frames))
    say(f"{'total':42}{'':>18}{exact.parameters:>12,}{count.macs(variant, samples):>16,}"
        f"{1000 * exact.receptive_field_s:>10.1f}")
    say(f"{exact.macs_per_s:,} MACs per second of audio at {rate} Hz; "
        f"receptive field {variant.receptive_field_samples} samples")
    return 0


def network_of(path: Path, given: argparse.Namespace) -> "ConvTasNet":
    from tasnet_core.checkpoints.checkpoint import load
    return load(path, **listed_hyperparameters(given.hyperparameters))


def words_of(variant: Variant) -> list[str]:
    """What differs from the defaults, and the usual words always; each as `describe` reads it."""
    always = {name: getattr(variant, name) for name in ("encoder", "mask", "norm", "causal")}
    return [as_word(name, value) for name, value in {**variant.said, **always}.items()]


def line_of(layer: "Layer", variant: Variant, samples: int, frames: int) -> str:
    """One layer of `describe`; channels × frames, or speakers × samples behind the decoder."""
    length = samples if layer.name == "decoder" else frames
    shape = " × ".join(str(size) for size in (*layer.channels, length))
    field_ms = 1000 * layer.receptive_field_samples / variant.sample_rate_hz
    return (f"{layer.name:42}{shape:>18}{layer.parameters:>12,}"
            f"{layer.macs_per_frame * frames:>16,}{field_ms:>10.1f}")


def check(given: argparse.Namespace) -> int:
    from tasnet_core.corpora.commands import check
    return check(given.corpus, given.C, given.sample_rate_hz, given.headers)


def mix(given: argparse.Namespace) -> int:
    from tasnet_core.corpora.commands import write
    from tasnet_core.corpora.registry import open_corpus, tell_unusable
    corpus = open_corpus(given.corpus, given.C, given.sample_rate_hz, say=say)
    tell_unusable(corpus.unusable, given.corpus)
    say(*write(corpus, given.out, given.train, given.seconds, given.seed))
    return 0


def train(given: argparse.Namespace) -> int:
    variant = variant_of(given.variant)
    recipe = recipe_of(given)
    from tasnet_core.backend.devices import device_of, say_if_plain
    from tasnet_core.checkpoints.checkpoint import load
    from tasnet_core.corpora.registry import open_corpus, tell_unusable
    from tasnet_core.evaluation import metrics
    from tasnet_core.training import trainer
    from tasnet_core.training.slimmable import Lineage
    say_if_plain(variant, given.device, say)
    corpus = open_corpus(given.corpus, variant.C, variant.sample_rate_hz, say=say)
    tell_unusable(corpus.unusable, given.corpus)
    try:
        for epoch in trainer.train(
                variant, recipe, corpus, given.checkpoint, given.device,
                micro_batches=int(given.batch_size != "auto"), log=say,
                lineage=Lineage(given.teacher, given.teacher)):
            say(f"epoch {epoch.number}/{recipe.epochs}: train {-epoch.train_loss_db:6.2f} dB, "
                f"valid {epoch.valid_si_snri_db:6.2f} dB SI-SNRi, "
                f"rate {epoch.learning_rate:.2g}, {epoch.seconds:.1f} s")
    except trainer.Diverged as error:
        raise UserError(f"training diverged: {error}; try a lower --learning-rate, "
                        "from a new --checkpoint") from None
    network = load(given.checkpoint).to(device_of(given.device))
    scores = metrics.summary(metrics.score_test(network, corpus))
    if scores.si_snri_db is None:
        say("test: no mixture could be scored")
    else:
        scored = scores.mixtures - scores.unscored
        say(f"test: {scores.si_snri_db:.2f} dB SI-SNRi over {scored} of {scores.mixtures} mixtures")
    return 0


def recipe_of(given: argparse.Namespace) -> Recipe:
    from tasnet_core.backend.devices import precision_of
    values = {field.name: getattr(given, field.name) for field in fields(Recipe)}
    values["precision"] = precision_of(given.precision, given.device)
    try:
        recipe = Recipe(**{name: value for name, value in values.items() if value != "auto"})
    except ValueError as error:
        raise UserError(str(error)) from None
    if recipe.init not in ("scratch", "inherit"):
        raise UserError(f"--init {recipe.init}: that is done by python -m study run; "
                        "choose scratch or inherit")
    if recipe.distill and not given.teacher:
        raise UserError(f"--distill {recipe.distill:g}: which network? name its checkpoint with "
                        "--teacher")
    if recipe.init == "inherit" and not given.teacher:
        raise UserError("--init inherit: from which network? name its checkpoint with --teacher")
    return recipe


def separate(given: argparse.Namespace) -> int:
    if bool(given.files) == bool(given.corpus) or bool(given.corpus) != bool(given.mixture):
        raise UserError("wanted either FILES, or --corpus CORPUS with --mixture ID")
    from tasnet_core.backend.devices import device_of, say_if_plain
    from tasnet_core.backend.fused import speed_up
    from tasnet_core.corpora.registry import open_corpus
    from tasnet_core.inference import separate_command
    from tasnet_core.inference.separate import How
    how = How(given.chunk_s, given.overlap_s, given.batch, given.channel, given.overwrite)
    network = speed_up(network_of(given.checkpoint, given).to(device_of(given.device)))
    say_if_plain(network.variant, given.device, say)
    if not given.corpus:
        return separate_command.separate_all(network, given.files, given.out, how, given.checkpoint)
    corpus = open_corpus(given.corpus, network.variant.C, network.variant.sample_rate_hz, say=say)
    return separate_command.separate_mixture(network, corpus, given.mixture, given.out,
                                             given.overwrite)


def export(given: argparse.Namespace) -> int:
    from tasnet_core.checkpoints.onnx_file import export
    formats = given.format or ["safetensors", "onnx"]
    network = network_of(given.checkpoint, given)
    if given.int8 is None:
        export(network, given.out, formats, say, given.overwrite, given.samples, given.streaming)
        return 0
    from tasnet_core.corpora.registry import open_corpus
    from tasnet_core.inference.int8_export import INT8, export_int8
    corpus = open_corpus(given.int8, network.variant.C, network.variant.sample_rate_hz, say=say)
    export(network, given.out, formats, say, given.overwrite, given.samples, given.streaming,
           also=[INT8])
    export_int8(network, corpus, given.out, None if given.streaming else given.samples, say)
    return 0


COMMANDS = {"describe": describe, "check": check, "mix": mix, "train": train,
            "separate": separate, "export": export}


@guarded
def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    try:
        return COMMANDS[given.command](given)
    except UserError as error:
        complain(f"python -m tasnet_core {given.command}: {error}")
        return 2
    except KeyboardInterrupt:
        complain("stopped; every finished epoch is saved")
        return 130


if __name__ == "__main__":
    sys.exit(main())
