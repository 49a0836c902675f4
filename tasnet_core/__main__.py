"""`python -m tasnet_core`: describe a variant, check a corpus, train one network, separate recordings."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

if TYPE_CHECKING:
    from tasnet_core.corpora import Unusable
    from tasnet_core.cost import Layer

LETTERS_HELP = "letters of the variant such as N128 X6 H=128 norm=global; those left out are the paper's best"


class Parser(argparse.ArgumentParser):
    """One line and exit status 2 for what cannot be read; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="python -m tasnet_core", description="Conv-TasNet: describe, check, train, separate.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    describe = commands.add_parser("describe", help="layer by layer: shapes, parameters, MACs, receptive field")
    describe.add_argument("variant", nargs="*", metavar="LETTERS", help=LETTERS_HELP + "; or a checkpoint file")
    describe.add_argument("--seconds", type=float, default=1.0, help="of sound, for the shapes and MACs (1)")
    check = commands.add_parser("check", help="read a whole corpus and list every file that cannot be used")
    check.add_argument("corpus", metavar="CORPUS", help="voices | folder:PATH[?speaker=REGEX&split=recording]")
    train = commands.add_parser("train", help="train one variant; running it again continues")
    train.add_argument("variant", nargs="*", metavar="LETTERS", help=LETTERS_HELP)
    train.add_argument("--corpus", default="voices", metavar="CORPUS")
    train.add_argument("--checkpoint", type=Path, required=True, metavar="FILE", help="made, or continued")
    train.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    for field in fields(Recipe):
        train.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default,
                           help=f"({field.default})")
    separate = commands.add_parser("separate", help="write one WAV per speaker of each recording")
    separate.add_argument("files", nargs="*", type=Path, metavar="FILE")
    separate.add_argument("--checkpoint", type=Path, required=True, metavar="FILE")
    separate.add_argument("--corpus", metavar="CORPUS", help="separate a test mixture of this corpus instead of files")
    separate.add_argument("--mixture", metavar="ID", help="its name, such as test/007")
    separate.add_argument("--out", type=Path, default=Path("separated"), metavar="DIR")
    return top


def variant_of(words: Sequence[str]) -> Variant:
    """The variant that words such as N128, X=6 or norm=global stand for.

    Raises:
        UserError: for a word that is no letter, and for letters that make no network.
    """
    kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(Variant)}
    values: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"([A-Za-z_]+)=?(-?\d+)", word) or re.fullmatch(r"(\w+)=(\w+)", word)
        if not match or match[1] not in kinds:
            raise UserError(f"{word!r}: no letter of a variant; wanted such as N128 or norm=global, of {', '.join(kinds)}")
        name, value = match[1], match[2]
        if kinds[name] is bool:
            if value not in ("true", "false"):
                raise UserError(f"{word!r}: write {name}=true or {name}=false")
            values[name] = value == "true"
        elif kinds[name] is int:
            if not re.fullmatch(r"-?\d+", value):
                raise UserError(f"{word!r}: {name} is a whole number")
            values[name] = int(value)
        else:
            values[name] = value
    try:
        return Variant(**values)
    except ValueError as error:
        raise UserError(str(error)) from None


def describe(given: argparse.Namespace) -> int:
    from tasnet_core import cost
    from tasnet_core.model import frames_of
    if len(given.variant) == 1 and (Path(given.variant[0]).is_file() or given.variant[0].endswith(".pt")):
        from tasnet_core.checkpoint import read
        variant = read(Path(given.variant[0]))["variant"]
    else:
        variant = variant_of(given.variant)
    samples = round(given.seconds * variant.sample_rate_hz)
    if samples < 1:
        raise UserError(f"--seconds {given.seconds:g}: at least one sample of sound is wanted")
    frames = frames_of(variant, samples)
    print(f"{variant}  encoder={variant.encoder} mask={variant.mask} norm={variant.norm} causal={variant.causal} "
          f"at {variant.sample_rate_hz} Hz; {given.seconds:g} s: T = {samples} samples, K = {frames} frames")
    print(f"{'layer':42}{'output':>18}{'parameters':>12}{'MACs':>16}{'hears ms':>10}")
    for layer in cost.layers(variant):
        print(line_of(layer, variant, samples, frames))
    exact = cost.exact(variant)
    print(f"{'total':42}{'':>18}{exact.parameters:>12,}{cost.macs(variant, samples):>16,}"
          f"{1000 * exact.receptive_field_s:>10.1f}")
    print(f"{exact.macs_per_s:,} MACs per second of sound at {variant.sample_rate_hz} Hz; "
          f"receptive field {variant.receptive_field_samples} samples")
    return 0


def line_of(layer: "Layer", variant: Variant, samples: int, frames: int) -> str:
    """One layer of `describe`; channels × frames, or speakers × samples behind the decoder."""
    length = samples if layer.name == "decoder" else frames
    shape = " × ".join(str(size) for size in (*layer.channels, length))
    return (f"{layer.name:42}{shape:>18}{layer.parameters:>12,}{layer.macs_per_frame * frames:>16,}"
            f"{1000 * layer.receptive_field_samples / variant.sample_rate_hz:>10.1f}")


def check(given: argparse.Namespace) -> int:
    from tasnet_core.corpora import open_corpus
    corpus = open_corpus(given.corpus, say=print)
    for part in corpus.describe():
        sexes = ", ".join(f"{count} {sex}" for sex, count in part.sexes.items())
        mixtures = "drawn anew each epoch" if part.mixtures is None else f"{part.mixtures} fixed mixtures"
        print(f"{part.split:6} {part.speakers:4} speakers ({sexes}), {part.recordings} recordings, "
              f"{part.seconds / 60:.1f} min; {mixtures}")
    for note in corpus.notes:
        print(f"note: {note}")
    for item in corpus.unusable:
        print(f"unusable: {item.path}: {item.reason}")
    print(f"{len(corpus.unusable)} unusable files" if corpus.unusable else "every file can be used")
    return 0


def tell_unusable(unusable: "Sequence[Unusable]", spec: str) -> None:
    """Say which recordings a corpus goes without, so that none is dropped in silence."""
    for item in unusable[:10]:
        print(f"left out: {item.path}: {item.reason}")
    if len(unusable) > 10:
        print(f"left out: {len(unusable) - 10} more; see: python -m tasnet_core check '{spec}'")


def train(given: argparse.Namespace) -> int:
    variant = variant_of(given.variant)
    try:
        recipe = Recipe(**{field.name: getattr(given, field.name) for field in fields(Recipe)})
    except ValueError as error:
        raise UserError(str(error)) from None
    from tasnet_core import metrics, training
    from tasnet_core.checkpoint import load
    from tasnet_core.corpora import open_corpus
    corpus = open_corpus(given.corpus, variant.C, variant.sample_rate_hz, say=print)
    tell_unusable(corpus.unusable, given.corpus)
    try:
        for epoch in training.train(variant, recipe, corpus, given.checkpoint, given.device):
            print(f"epoch {epoch.number}/{recipe.epochs}: train {-epoch.train_loss_db:6.2f} dB, valid "
                  f"{epoch.valid_si_snri_db:6.2f} dB SI-SNRi, rate {epoch.learning_rate:.2g}, {epoch.seconds:.1f} s", flush=True)
    except training.Diverged as error:
        raise UserError(f"training diverged: {error}; try a lower --learning-rate, from a new --checkpoint") from None
    network = load(given.checkpoint).to(training.device_of(given.device))
    scores = metrics.summary(metrics.score_test(network, corpus))
    print(f"test: {scores.si_snri_db:.2f} dB SI-SNRi over {scores.mixtures - scores.unscored} of {scores.mixtures} mixtures"
          if scores.si_snri_db is not None else "test: no mixture could be scored")
    return 0


def separate(given: argparse.Namespace) -> int:
    if bool(given.files) == bool(given.corpus) or bool(given.corpus) != bool(given.mixture):
        raise UserError("wanted either FILES, or --corpus CORPUS with --mixture ID")
    from tasnet_core.checkpoint import load
    from tasnet_core.separate import separate_file
    network = load(given.checkpoint)
    if given.corpus:
        return separate_mixture(given, network)
    for path in given.files:
        for made in separate_file(network, path, given.out):
            print(made)
    return 0


def separate_mixture(given: argparse.Namespace, network: Any) -> int:
    """Separate one test mixture of a corpus and say how well; writes mixture, sources and estimates."""
    from tasnet_core import separate as separating
    from tasnet_core.corpora import open_corpus
    from tasnet_core.metrics import in_order
    variant = network.variant
    corpus = open_corpus(given.corpus, variant.C, variant.sample_rate_hz, say=print)
    names = {corpus.mixture("test", index).id: index for index in range(corpus.count("test"))}
    if given.mixture not in names:
        raise UserError(f"--mixture {given.mixture!r}: not in the test part, which has {', '.join(list(names)[:3])} … "
                        f"{list(names)[-1]}")
    mixture = corpus.mixture("test", names[given.mixture])
    estimates, scores, inputs = in_order(mixture, separating.separate(network, mixture.mixture))
    stem = mixture.id.replace("/", "-")
    separating.write_all(mixture.mixture[None], given.out, f"{stem}_mixture", variant.sample_rate_hz)
    separating.write_all(mixture.sources, given.out, f"{stem}_source", variant.sample_rate_hz)
    paths = separating.write_all(separating.levelled(mixture.mixture, estimates), given.out, stem, variant.sample_rate_hz)
    for path, speaker, score, before in zip(paths, mixture.speakers, scores, inputs, strict=True):
        print(f"{path}: {speaker}, {score:.2f} dB SI-SNR ({before:.2f} dB in the mixture)")
    return 0


COMMANDS = {"describe": describe, "check": check, "train": train, "separate": separate}


def main(argv: list[str] | None = None) -> int:
    given = parser().parse_args(argv)
    try:
        return COMMANDS[given.command](given)
    except UserError as error:
        print(f"python -m tasnet_core {given.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; every finished epoch is saved", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
