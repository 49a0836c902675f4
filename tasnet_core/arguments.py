"""Values on command lines: how text is read, and how what cannot be read is refused in one line."""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NoReturn

from tasnet_core.errors import UserError
from tasnet_core.files import home
from tasnet_core.records import Variant
from tasnet_core.terminal import plain

TRUTH = {"true": True, "false": False}
READERS: dict[type, Callable[[str], Any]] = {
    bool: TRUTH.__getitem__, int: int, float: float, str: str}
WANTED = {bool: "true or false", int: "a whole number", float: "a number"}


class Parser(argparse.ArgumentParser):
    """One line and exit status 2 for what cannot be read; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, plain(f"{self.prog}: {message}; see {self.prog} --help") + "\n")


def int_from(least: int) -> Callable[[str], int]:
    def whole_number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and int(text) >= least):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)
    return whole_number


def number_above_0(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def path(text: str) -> Path:
    try:
        return home(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def variant_of(words: Sequence[str], base: Variant | None = None) -> Variant:
    """The variant of words such as N128, X=6 or norm=global; what they leave out is as in `base`.

    Raises:
        UserError: for a word that is no hyperparameter, and for those that make no network.
    """
    try:
        return replace(base or Variant(), **hyperparameters(words))
    except ValueError as error:
        raise UserError(str(error)) from None


def hyperparameters(words: Sequence[str]) -> dict[str, Any]:
    """The values of words such as N128, X=6 or norm=global, by name.

    Raises:
        UserError: for a word that is no hyperparameter.
    """
    kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(Variant)}
    values: dict[str, Any] = {}
    for word in words:
        match = (re.fullmatch(r"([A-Za-z_]+)=?(-?\d+)", word)
                 or re.fullmatch(r"(\w+)=([\w.-]*)", word))
        if not match or match[1] not in kinds:
            raise UserError(f"{word!r}: no letter of a variant; wanted such as N128 or "
                            f"norm=global, of {', '.join(kinds)}")
        name, value = match.groups()
        try:
            values[name] = READERS[kinds[name]](value)
        except (KeyError, ValueError):
            raise UserError(f"{word!r}: {name} is {WANTED[kinds[name]]}") from None
    return values


def listed_hyperparameters(text: str) -> dict[str, Any]:
    """The values of a text such as R=3,mask=relu.

    Raises:
        UserError: as `hyperparameters`.
    """
    return hyperparameters(text.replace(",", " ").split())
