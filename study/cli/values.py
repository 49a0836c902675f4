"""The values that options may have, read from text; what cannot be read is told to argparse."""

import argparse
import math
from collections.abc import Callable
from functools import partial

from study.analysis.wording import scaled
from study.records import DEVICE_AXES
from tasnet_core.arguments import number_above_0
from tasnet_core.records import METRICS

MOST = 2**31 - 1001     # the integers of every database, and room for further seeds
MOST_EPOCHS, MOST_SEEDS, MOST_WORKERS, MOST_THREADS = 1_000_000, 1000, 1000, 1024
MOST_AT_ONCE = 1_000_000        # segments in one step
MOST_S = 3.6e8          # of a --timeout


def whole(text: str, most: int = 10**15) -> int:
    """A whole number from 1, also as 300k or 1.5M."""
    number = scaled(text) or 0.0
    if not 1 <= number <= most or number != int(number):
        limit = f", at most {most:,}" if number > most else ""
        raise argparse.ArgumentTypeError(
            f"{_short(text)} is not a whole number of at least 1{limit}")
    return int(number)


def upto(most: int) -> Callable[[str], int]:
    """A whole number from 1 to `most`."""
    return partial(whole, most=most)


def number_upto(most: float) -> Callable[[str], float]:
    """A number above 0, at most `most`."""
    def number(text: str) -> float:
        if (found := number_above_0(text)) > most:
            raise argparse.ArgumentTypeError(
                f"{_short(text)} is more than {most:,.0f}, the most there may be")
        return found
    return number


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"{_short(text)} is no number from 0 to below 1")
    return found


def decibels(text: str) -> float:
    """A number above 0, with or without its unit, such as 0.3dB."""
    return number_upto(100)(text.lower().removesuffix("db").strip())


def whole_or_auto(text: str) -> int | str:
    return text if text == "auto" else whole(text, MOST_AT_ONCE)


def natural(text: str) -> int:
    """A whole number from 0, as every database can hold it."""
    if not text.isdecimal() or len(text) > 10 or int(text) > MOST:
        limit = f", at most {MOST:,}" if text.isdecimal() else ""
        raise argparse.ArgumentTypeError(
            f"{_short(text)} is not a whole number of at least 0{limit}")
    return int(text)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")


def margin(text: str) -> float | str:
    """A number of dB, or off."""
    if text == "off":
        return text
    try:
        return number_above_0(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of dB above 0 nor off") from None


def words(text: str) -> tuple[str, ...]:
    """The words of a list such as 'si_snri,macs'; the name of a device stays as it is."""
    found = []
    for one in text.replace(" ", "").split(","):
        word, at, device = one.partition("@")
        found.append(word.lower().replace("-", "_") + at + device)
    return tuple(filter(None, found))


def metric_names(text: str) -> tuple[str, ...]:
    """Metrics of a list such as 'sdr,stoi', SI-SNR always among them."""
    asked = ("si_snr", *words(text))
    if unknown := [name for name in asked if name not in METRICS]:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is unknown; choose from {','.join(METRICS)}")
    return tuple(name for name in METRICS if name in asked)


def limit(text: str) -> tuple[str, float]:
    """An axis of a device, and the most that it may be: realtime_factor@phone=0.5."""
    axis, _, amount = text.partition("=")
    word, _, device = axis.partition("@")
    value = scaled(amount) or 0.0
    if word not in DEVICE_AXES or not device or value <= 0:
        raise argparse.ArgumentTypeError(
            f"{_short(text)} is no limit such as realtime_factor@phone=0.5; before the @ may stand "
            f"{', '.join(DEVICE_AXES)}")
    return axis, value


def duration(text: str) -> float:
    """Seconds of 600, 600s, 90m or 11h."""
    seconds = scaled(text, {"": 1, "s": 1, "m": 60, "h": 3600}) or 0.0
    if not 0 < seconds <= MOST_S:
        limit = ", at most 100000h" if seconds > MOST_S else ""
        raise argparse.ArgumentTypeError(
            f"{_short(text)} is no duration such as 600, 90m or 11h{limit}")
    return seconds
