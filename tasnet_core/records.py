"""The nouns of the network: what is built, how it is trained, what it costs, what it achieves.

Standard library only, so that a report can speak of variants without loading torch.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self

# The words each field of a Variant may take. The model's tables have one entry per word.
ENCODERS = ("linear", "relu")
MASKS = ("sigmoid", "relu", "softmax")  # softmax: over the speakers
NORMS = ("global", "cumulative", "frame", "batch")
PADDING_MODES = ("zeros", "reflect")     # reflect: the frames mirrored
SCHEDULES = ("plateau", "decay")
OPTIMIZERS = ("adam", "muon")    # muon: of the 1×1 convolutions, Adam of the rest
TAUGHT = 2              # slices that are trained with a teacher at each step
# What a training starts from, see Recipe.
INITS = ("scratch", "inherit", "teacher", "given", "adapted")
# bf16: the factors of matrix products alone; norms, loss and weights stay float32.
PRECISIONS = ("float32", "bf16")
DEVICES = ("auto", "cpu", "cuda", "mps")

# What epochs are compared by: the mean SI-SNRi over whole validation mixtures. It was one over
# segments of them, which says nothing where one of the speakers pauses; what was trained so is
# read, and not gone on with.
VALIDATION, VALIDATION_BEFORE = "whole mixtures", "segments"
DEFAULT_CORPUS = "voices2"      # where none is named; studies begun before it have "voices"
# Of what is counted in a network: then products, and sums of them, are numbers torch can count
# with.
MOST = 2**31 - 1
# So that whatever goes through them one by one ends; the paper's largest network has 32.
MOST_BLOCKS = 10_000

LETTERS = ("N", "L", "B", "H", "Sc", "P", "X", "R", "C")
SWITCHES = ("causal", "last_residual", "encoder_padding")
SLICED = ("N", "B", "H", "Sc", "X", "R")    # those in which a network's slice may be smaller


def as_word(name: str, value: Any) -> str:
    """A field and its value as the commands read them, such as N128, norm=batch or causal=true."""
    if name in LETTERS:
        return f"{name}{value}"
    return f"{name}={str(value).lower() if isinstance(value, bool) else value}"


def _check_count(record: str, name: str, value: Any, least: int = 1,
                 most: int | None = MOST) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{record}: {name}={value!r} must be a whole number")
    if value < least:
        raise ValueError(f"{record}: {name}={value} must be at least {least}")
    if most is not None and value > most:
        found = value if value < 10**30 else "that many digits"
        raise ValueError(f"{record}: {name} must be at most {most}, not {found}")


def _check_word(record: str, name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{record}: {name}={value!r} is unknown; choose from {', '.join(known)}")


def _check_share(record: str, name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < 1:  # false for NaN
        raise ValueError(f"{record}: {name}={value!r} must be a number from 0 to below 1")


def _check_positive(record: str, name: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{record}: {name}={value!r} must be a number above 0")


@dataclass(frozen=True)
class Variant:
    """One configuration of Conv-TasNet, in the letters of arXiv 1809.07454, Table I.

    The defaults are the best non-causal network of the paper's third version (its Table II).

    Raises:
        ValueError: for a letter, or a combination of them, that describes no network.
    """

    N: int = 512  # encoder filters
    L: int = 16  # length of a filter in samples; the hop is L/2
    B: int = 128  # bottleneck channels
    H: int = 512  # channels inside a block
    Sc: int = 128  # skip channels; 0: no skip path
    P: int = 3  # kernel size of the depthwise convolution
    X: int = 8  # blocks per repeat, dilations 1, 2, 4 … 2^(X-1)
    R: int = 3  # repeats
    C: int = 2  # speakers
    encoder: str = "linear"
    mask: str = "sigmoid"
    norm: str = "global"
    causal: bool = False  # no frame depends on a later one; refuses the global norm
    last_residual: bool = False  # the last block's residual convolution, which feeds nothing
    sample_rate_hz: int = 8000
    input_norm: str = ""  # before the bottleneck; "": the blocks' norm
    dropout: float = 0.0  # share of a block's values left out in training, behind its second norm
    # A second depthwise convolution in each block, this many times further apart; 0: none.
    extra_dilation: int = 0
    padding_mode: str = "zeros"  # what depthwise convolutions find before and after the recording
    encoder_padding: bool = False  # a hop of zeros on both sides, not only what fills a frame

    def __post_init__(self) -> None:
        for name in ("N", "L", "B", "H", "P", "X", "R", "C", "sample_rate_hz"):
            _check_count("Variant", name, getattr(self, name))
        _check_count("Variant", "Sc", self.Sc, least=0)
        for name, known in (
            ("encoder", ENCODERS), ("mask", MASKS), ("norm", NORMS),
            ("padding_mode", PADDING_MODES)):
            _check_word("Variant", name, getattr(self, name), known)
        _check_count("Variant", "extra_dilation", self.extra_dilation, least=0)
        _check_word("Variant", "input_norm", self.input_norm or self.norm, NORMS)
        _check_share("Variant", "dropout", self.dropout)
        for name in SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"Variant: {name}={getattr(self, name)!r} must be true or false")
        if self.X * self.R > MOST_BLOCKS:
            raise ValueError(
                f"Variant: X={self.X} R={self.R}: {self.X * self.R} blocks, "
                f"but at most {MOST_BLOCKS} can be built")
        if self.X > 63 or self.receptive_field_samples >= 2**63:
            raise ValueError(
                f"Variant: X={self.X}: with dilations up to 2^{self.X - 1} a frame of the masks "
                "hears 2^63 samples or more, which no convolution reaches")
        if self.L % 2:
            raise ValueError(f"Variant: L={self.L} must be even, the hop is L/2")
        if self.P % 2 == 0:
            raise ValueError(
                f"Variant: P={self.P} must be odd, a frame is the middle of its kernel")
        for name in ("norm", "input_norm"):
            if self.causal and getattr(self, name) == "global":
                raise ValueError(
                    f"Variant: causal=True with {name}='global': that norm hears the future; "
                    f"use {name}='cumulative'")
        if self.causal and (self.padding_mode == "reflect" or self.encoder_padding):
            raise ValueError(
                "Variant: causal=True with padding_mode='reflect' or encoder_padding=True: "
                "a stream has zeros in front alone; leave both out")

    @classmethod
    def v1(cls, **changes: Any) -> Self:
        """The best network of the paper's first version, arXiv 1809.07454v1 (September 2018).

        A ReLU encoder, a softmax over the speakers, no skip path, and a norm of each frame before
        the bottleneck. Read from what re-implemented it: K. Xu's Conv-TasNet of December 2018 for
        the structure, Asteroid's note that the first version has no skip path, and the 8.75 million
        parameters that J. Wu's conv-tasnet counts for these letters, as does this network.
        """
        return cls(**{**_FIRST, **changes})

    @classmethod
    def v2(cls, **changes: Any) -> Self:
        """The best network of the second version, arXiv 1809.07454v2: the letters of the first.

        Its text could not be read when this was written. What others wrote while it was the newest:
        the paper's masks are a softmax (funcwj/conv-tasnet issue 2, January 2019; the tables of
        wangkenpu/Conv-TasNet-PyTorch), it does not add up skip paths (JusperLee/Conv-TasNet issue
        1; the third version brought them, kaituoxu/Conv-TasNet issue 10), and its "cLN" is
        channel-wise, a norm of each frame (DTLN takes its own from it); "cumulative" came with the
        third. So nothing known sets its network apart from the first version's, and its causal one
        (10.8 dB) is `Variant.v2(causal=True, norm="frame")`.
        """
        return cls(**{**_FIRST, **changes})

    @classmethod
    def v3(cls, **changes: Any) -> Self:
        """The best network of arXiv 1809.07454v3, Table II: 15.3 dB SI-SNRi on WSJ0-2mix."""
        return cls(**changes)

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Variant":
        """From a mapping that has its fields among others, such as a row of `results`.

        SQL knows true and false as 1 and 0.
        """
        values: dict[str, Any] = {field.name: row[field.name] for field in fields(cls)}
        return cls(**{**values, **{name: bool(values[name]) for name in SWITCHES}})

    @property
    def said(self) -> dict[str, Any]:
        """The letters, and each other field that is not at its default."""
        return {field.name: value for field in fields(self)
                if (value := getattr(self, field.name)) != field.default or field.name in LETTERS}

    @property
    def hop(self) -> int:
        """Samples from one encoder frame to the next."""
        return self.L // 2

    @property
    def has_last_residual(self) -> bool:
        """Whether the last block has a residual: without a skip path it is the output."""
        return self.last_residual or not self.Sc

    @property
    def receptive_field_samples(self) -> int:
        """Samples of mixture that reach one frame of the masks through the convolutions."""
        frames: int = 1 + self.R * (self.P - 1) * (2**self.X - 1) * (1 + self.extra_dilation)
        return (frames - 1) * self.hop + self.L

    @property
    def key(self) -> str:
        """Eight hex digits that stand for the fields.

        Fields at their default are left out, so that a letter added later leaves older keys alone.
        """
        changed = {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if getattr(self, f.name) != f.default}
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:8]

    def no_slice_of(self, whole: "Variant") -> str:
        """Why this is no slice of another network, in words, such as "L=32, but 16 there".

        Empty where it is one.
        """
        for name in (field.name for field in fields(Variant)):
            mine, theirs = getattr(self, name), getattr(whole, name)
            if name != "last_residual" and (mine > theirs if name in SLICED else mine != theirs):
                return f"{name}={mine}, but {theirs} there"
        if bool(self.Sc) != bool(whole.Sc):
            return (f"Sc={self.Sc}, but {whole.Sc} there: "
                    "without a skip path the masks are made of another signal")
        return ""

    def __str__(self) -> str:
        return " ".join(as_word(name, value) for name, value in self.said.items())


_FIRST: dict[str, Any] = {
    "N": 256, "L": 20, "B": 256, "H": 512, "Sc": 0, "X": 8, "R": 4, "encoder": "relu",
    "mask": "softmax", "input_norm": "frame"}


@dataclass(frozen=True)
class Recipe:
    """How a variant is trained. Every variant of a study sees the same seconds of audio.

    Raises:
        ValueError: for a value no training can use.
    """

    epochs: int = 100
    epoch_segments: int = 5000  # segments drawn for one epoch
    segment_s: float = 4.0
    batch_size: int = 4
    learning_rate: float = 1e-3
    schedule: str = "plateau"  # the paper's: halved after `patience` epochs without a new best
    patience: int = 3
    clip_norm: float = 5.0
    precision: str = "float32"
    seed: int = 0
    # scratch: weights by chance; inherit: a slice of a larger network's; teacher: by chance, and
    # trained together with slices; given: a network's as it is; adapted: a network's, its most
    # important channels first, and trained together with slices
    init: str = "scratch"
    # Knowledge distillation: the weight of SI-SNR against another network's estimates in the loss,
    # beside that against the sources
    distill: float = 0.0
    optimizer: str = "adam"

    def __post_init__(self) -> None:
        as_it_is = self.init in ("inherit", "given")    # possibly
        _check_count("Recipe", "epochs", self.epochs, least=0 if as_it_is else 1)
        for name in ("epoch_segments", "batch_size", "patience"):
            _check_count("Recipe", name, getattr(self, name))
        _check_count("Recipe", "seed", self.seed, least=0, most=None)
        for name in ("segment_s", "learning_rate", "clip_norm"):
            _check_positive("Recipe", name, getattr(self, name))
        _check_word("Recipe", "schedule", self.schedule, SCHEDULES)
        _check_word("Recipe", "optimizer", self.optimizer, OPTIMIZERS)
        _check_word("Recipe", "precision", self.precision, PRECISIONS)
        _check_word("Recipe", "init", self.init, INITS)
        if not (isinstance(self.distill, float) and 0 <= self.distill < 1):
            raise ValueError(f"Recipe: distill={self.distill!r} must be a number from 0 to below 1")

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Recipe":
        """From a mapping that has its fields among others, such as a row of `runs`."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})

    def audio_s_of(self, epochs: int) -> float:
        """Seconds of audio of so many epochs, for every network: sub-networks count, too."""
        networks = 1 + TAUGHT if self.teaches else 1
        return epochs * self.epoch_segments * self.segment_s * networks

    @property
    def teaches(self) -> bool:
        """Whether slices are trained together with the network."""
        return self.init in ("teacher", "adapted")

    @property
    def audio_s(self) -> float:
        """Seconds of audio of the whole training, counted likewise."""
        return self.audio_s_of(self.epochs)


@dataclass(frozen=True)
class Cost:
    """What a variant needs to run, known before it is trained; for one second of audio."""

    parameters: int
    macs_per_s: int
    receptive_field_s: float
    peak_memory_bytes: int | None = None  # weights and the most tensors alive at once, 1 s of audio
    realtime_factor: float | None = None  # processing time over duration, one CPU thread, median
    # From the first to the third quarter of the runs it is the median of.
    realtime_factor_spread: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch of one training, as it ended."""

    number: int  # from 1
    train_loss_db: float
    valid_si_snri_db: float
    learning_rate: float
    audio_s: float  # seconds of audio trained on so far, this epoch included
    seconds: float  # wall time of this epoch, validation included


# What is measured on the test set, and the fields that hold it. SI-SNR always is: it fixes the
# order of speakers.
METRICS: dict[str, tuple[str, ...]] = {
    "si_snr": ("si_snr_db", "si_snri_db"), "sdr": ("sdr_db", "sdri_db"), "stoi": ("stoi",),
    "pesq": ("pesq",)}


@dataclass(frozen=True)
class MixtureScore:
    """How one test mixture was separated, means over its speakers.

    A score that was asked for and is None has its cause in `reason`.
    """

    mixture: str
    speakers: str  # of the sources in order, joined by '+'
    sexes: str  # likewise: F, M or ? each
    duration_s: float
    input_si_snr_db: float | None
    si_snr_db: float | None
    si_snri_db: float | None
    sdr_db: float | None = None  # BSS Eval v3, 512 taps
    sdri_db: float | None = None
    stoi: float | None = None  # 0 to 1
    pesq: float | None = None  # MOS-LQO, narrow band at 8 kHz, wide band at 16 kHz
    reason: str = ""
    level_difference_db: float | None = None  # of the loudest source above the quietest


@dataclass(frozen=True)
class Scores:
    """Means over the test mixtures that have the score.

    None where a metric was not computed, or could not be.
    """

    si_snr_db: float | None = None
    si_snri_db: float | None = None
    sdri_db: float | None = None
    stoi: float | None = None
    pesq: float | None = None
    mixtures: int = 0  # mixtures listed
    unscored: int = 0  # of them, those no score could be given
    sdr_db: float | None = None
    sdr_unscored: int | None = None  # mixtures without this metric, the unscored ones included;
    stoi_unscored: int | None = None  # None: it was not asked for
    pesq_unscored: int | None = None


def differences(record: Any, other: Any) -> list[str]:
    """The fields in which two records differ, each as 'name: mine, not theirs'.

    Records and tables within them too.
    """
    found = []
    mine, theirs = (
        {field.name: getattr(one, field.name) for field in fields(one)}
        if is_dataclass(one)
        else one
        for one in (record, other))
    for name in dict.fromkeys((*mine, *theirs)):
        here, there = mine.get(name), theirs.get(name)
        if is_dataclass(here) and is_dataclass(there):
            found += differences(here, there)
        elif isinstance(here, dict) and isinstance(there, dict):
            # Names in tables may be anybody's, such as 'to'.
            found += [f"{name} {line}" for line in differences(here, there)]
        elif here != there:
            found.append(f"{name}: {here}, not {there}")
    return found
