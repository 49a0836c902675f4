"""Spaces in files: TOML in, TOML and plain values out; and a space by its name.

A file is read once, at the start of a study, so that whatever is wrong with it is said then, in
one line, and not hours later.
"""

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from difflib import get_close_matches
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from study.records import Budget, Settings, objectives_of, word_of
from study.space.presets import SPACES
from study.space.searched import TUNED
from study.space.space import EXACT_LIMITS, SEARCHED, Grid, Space, VariantList, ordered
from tasnet_core.errors import UserError, counted
from tasnet_core.files import home
from tasnet_core.records import METRICS, Recipe, Variant

TABLES = ("reference", "choices", "recipe", "budget")
KEYS = ("name", "base", "objectives", "metrics", "listed", *TABLES)
MOST_VALUES = 10_000  # of one choice: more is a slip of the pen, such as a step left out
Record = TypeVar("Record", Variant, Recipe)


def space_named(name: str) -> Space:
    """The preset of that name, or the space in a file, whose name ends in .toml or has a folder.

    Raises:
        UserError: naming the presets there are, or what is wrong with the file.
    """
    if name in SPACES:
        return SPACES[name]
    if name.endswith(".toml") or "/" in name or os.sep in name:
        return read_space(home(name))
    raise UserError(f"--space {name!r}: unknown; choose from {', '.join(SPACES)}, "
                    "or name a file that ends in .toml")


def space_of(settings: Settings) -> Space:
    """The space a study searches, the tuned fields of its recipe among the choices.

    Raises:
        UserError: when it is no preset any more.
    """
    space = (parse_space(settings.definition, settings.space) if settings.definition
             else space_named(settings.space))
    space = space.tuned(settings.tune, settings.recipe) if settings.tune else space
    sliced = settings.recipe.init == "inherit" or settings.reference
    return space.slices() if sliced else space


def read_space(path: Path) -> Space:
    """The space that a TOML file describes.

    Raises:
        UserError: a file that cannot be read, or is no space.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))   # editors may begin it with a BOM
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; the spaces without a file are "
                        f"{', '.join(SPACES)}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; a TOML file is wanted") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not TOML: byte {error.start} is no UTF-8; "
                        "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}; "
                        "`python -m study space quick` prints an example") from None
    return parse_space(data, str(path))


def parse_space(data: Mapping[str, Any], where: str) -> Space:
    """The space of plain values, as TOML or JSON give them. Errors name `where` they are from.

    Raises:
        UserError: for anything that describes no space, in one line.
    """
    try:
        return _space(data, Path(where).stem)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _space(data: Mapping[str, Any], name: str) -> Space:
    _check_known("key", data, KEYS)
    for table in TABLES:
        if not isinstance(data.get(table, {}), Mapping):
            raise UserError(f"{table} = {data[table]!r}: a table is wanted; "
                            f"begin it with a line [{table}]")
    name = data.get("name", name)
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise UserError(f"name = {name!r}: a name in one line is wanted; "
                        "leave it out for the file's name")
    base = _base(data.get("base"))
    listed = _listed(data) if "listed" in data else ()
    reference = listed[0] if listed else _changed("[reference]", base.reference,
                                                  data.get("reference", {}))
    recipe = _changed("[recipe]", base.recipe, data.get("recipe", {}))
    written = data.get("choices", {} if listed else base.choices)
    choices = ordered({key: _choice(key, found, recipe if key in TUNED else reference)
                       for key, found in written.items()})
    if not choices and not listed:
        raise UserError("[choices]: none; a space wants values for at least one letter, "
                        "such as X = [2, 4, 6]")
    metrics, objectives = _metrics(data, base), base.objectives
    if "objectives" in data:
        objectives = objectives_of(_words("objectives", data["objectives"]))
    if "sdri_db" in objectives and "sdr" not in metrics:
        raise UserError(f"objectives: sdri wants the metric sdr, metrics are {list(metrics)}; "
                        "write metrics = [\"sdr\"]")
    budget = _budget(data.get("budget", {}), base)
    common = (name, reference, choices, recipe, metrics, objectives, budget)
    space: Space = VariantList(*common, listed) if listed else Grid(*common)
    if over := space.over_budget(budget):
        raise UserError(f"[budget]: no variant fits: {over}; "
                        "raise the budget or lower the choices")
    return space


def _base(name: Any) -> Space:
    if name is None:
        return Grid("", Variant(), {}, Recipe())
    grids = [space.name for space in SPACES.values() if isinstance(space, Grid)]
    if not isinstance(name, str) or name not in SPACES:
        raise UserError(f"base = {name!r}: unknown{_nearest(name, grids)}; "
                        f"choose from {', '.join(grids)}")
    if name not in grids:
        raise UserError(f"base = {name!r}: a list of networks has no choices to change; "
                        f"choose from {', '.join(grids)}")
    return SPACES[name]


def _listed(data: Mapping[str, Any]) -> tuple[Variant, ...]:
    """The networks of a list, the reference first."""
    for other in ("base", "reference"):
        if other in data:
            raise UserError(f"listed and {other}: a list is measured as it is, from its first "
                            "network; leave one of them out")
    if letters := [key for key in data.get("choices", {}) if key not in TUNED]:
        raise UserError(f"listed and [choices] {letters[0]}: a list has no other networks; "
                        "leave one of them out")
    entries = data["listed"]
    tables = isinstance(entries, list | tuple) and all(isinstance(one, Mapping) for one in entries)
    if not entries or not tables:
        raise UserError("listed: at least one network is wanted, each as letters and words, "
                        "such as listed = [{X = 8}, {X = 6}]")
    listed = tuple(_changed(f"listed network {place}", Variant(), entry)
                   for place, entry in enumerate(entries, 1))
    for place, variant in enumerate(listed, 1):
        first = listed.index(variant) + 1
        if first < place:
            raise UserError(f"listed network {place}: the same as network {first}; leave one out")
        for field in ("C", "sample_rate_hz"):
            own, other = getattr(variant, field), getattr(listed[0], field)
            if own != other:
                raise UserError(f"listed network {place}: {field}={own}, but {other} in the first; "
                                "a study has one corpus, so make a list for each")
    return listed


def _changed(title: str, record: Record, table: Mapping[str, Any]) -> Record:
    """A record with some of its fields replaced by those of a table."""
    _check_known(title, table, [field.name for field in fields(record)])
    values: dict[str, Any] = {}
    for name, value in table.items():
        own = getattr(record, name)
        if isinstance(own, str) and not isinstance(value, str):
            raise UserError(f"{title} {name} = {value!r}: a word in quotes is wanted, "
                            f"such as {own!r}")
        values[name] = _number(f"{title} {name}", value) if isinstance(own, float) else value
    return _replaced(title, record, values)


def _replaced(title: str, record: Record, values: Mapping[str, Any]) -> Record:
    try:
        return replace(record, **values)
    except ValueError as error:
        raise UserError(f"{title}: {error}") from None


def _choice(name: str, found: Any, record: Any) -> list[Any]:
    """The ascending values of a hyperparameter, or of a field of a recipe."""
    title, searched = f"[choices] {name}", (*SEARCHED, *TUNED)
    for other, table in ((Variant, "reference"), (Recipe, "recipe")):
        if name not in searched and name in [field.name for field in fields(other)]:
            raise UserError(f"{title}: not searched; set it in [{table}], "
                            "one space for each of its values")
    _check_known("[choices]", [name], searched)
    check = _number if isinstance(getattr(Recipe, name, None), float) else _whole
    values = sorted(check(title, value) for value in _values(title, found))
    for value in values:
        _replaced(title, record, {name: value})
    if doubles := [value for value, other in pairwise(values) if value == other]:
        raise UserError(f"{title}: {doubles[0]} is there twice; leave one out")
    if (own := getattr(record, name)) not in values:
        table = "recipe" if name in TUNED else "reference"
        raise UserError(f"{title}: {values[0]} to {values[-1]} without the {table}'s {own}, which "
                        f"is measured first; add it, or set {name} in [{table}]")
    return values


def _values(title: str, found: Any) -> Sequence[Any]:
    """The elements of a list or a range, not checked yet."""
    values: Any = _evenly_spaced(title, found) if isinstance(found, Mapping) else found
    if not isinstance(values, list | tuple | range):
        raise UserError(f"{title} = {found!r}: a list or a range is wanted, "
                        "such as [2, 4] or {from = 2, to = 6, step = 2}")
    if not 1 <= len(values) <= MOST_VALUES:
        raise UserError(f"{title}: {counted(len(values), 'value')}; "
                        f"from 1 to {MOST_VALUES} are wanted")
    return values


def _evenly_spaced(title: str, table: Mapping[str, Any]) -> range:
    """The values of {from, to, step}, both ends included."""
    _check_known(title, table, ("from", "to", "step"))
    for key in ("from", "to"):
        if key not in table:
            raise UserError(f"{title}: no {key!r}; a range is {{from = 2, to = 6, step = 2}}")
    low, high, step = (_whole(f"{title}, {key}", table.get(key, 1))
                       for key in ("from", "to", "step"))
    if low > high:
        raise UserError(f"{title}: from {low} to {high} is empty; exchange them")
    if step < 1:
        raise UserError(f"{title}: step {step}; at least 1 is wanted")
    steps, rest = divmod(high - low, step)
    if steps >= MOST_VALUES:
        raise UserError(f"{title}: {steps + 1:,} values; at most {MOST_VALUES:,} are wanted; "
                        "take a larger step")
    if rest:
        raise UserError(f"{title}: steps of {step} from {low} do not lead to {high}; "
                        f"take to = {high - rest} or {high - rest + step}")
    return range(low, high + 1, step)


def _metrics(data: Mapping[str, Any], base: Space) -> tuple[str, ...]:
    """The metrics, SI-SNR always among them: it fixes the order of the speakers."""
    asked = _words("metrics", data.get("metrics", base.metrics))
    _check_known("metrics", asked, tuple(METRICS))
    return tuple(name for name in METRICS if name == "si_snr" or name in asked)


def _words(key: str, found: Any) -> Sequence[str]:
    if not isinstance(found, list | tuple) or not all(isinstance(word, str) for word in found):
        raise UserError(f"{key} = {found!r}: a list of words in quotes is wanted")
    if doubles := [word for place, word in enumerate(found) if word in found[:place]]:
        raise UserError(f"{key}: {doubles[0]!r} is there twice; leave one out")
    return found


def _budget(table: Mapping[str, Any], base: Space) -> Budget:
    _check_known("[budget]", table, EXACT_LIMITS)
    for name, value in table.items():
        if _whole(f"[budget] {name}", value) < 1:
            raise UserError(f"[budget] {name} = {value}: at least 1 is wanted; "
                            "leave it out for no limit")
    return replace(base.budget, **table)


def _whole(title: str, value: Any) -> int:
    if type(value) is not int:
        raise UserError(f"{title}: {value!r} is no whole number")
    return value


def _number(title: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{title}: {value!r} is no number")
    try:
        return float(value)
    except OverflowError:       # TOML's whole numbers have no end
        raise UserError(f"{title}: a number of {len(str(value))} digits is too large") from None


def _check_known(title: str, found: Any, known: Sequence[str]) -> None:
    for name in found:
        if name not in known:
            raise UserError(f"{title} {name!r}: unknown{_nearest(name, known)}; "
                            f"choose from {', '.join(known)}")


def _nearest(name: Any, known: Sequence[str]) -> str:
    """The known word that may have been meant, as half a sentence."""
    lowered = {word.lower(): word for word in known}
    found = get_close_matches(str(name).lower(), lowered, 1)
    return f" (did you mean {lowered[found[0]]!r}?)" if found else ""


def as_dict(space: Space) -> dict[str, Any]:
    """The space in plain values, ready for JSON; `parse_space` is the inverse.

    Nothing of it is left to a preset or to a default that may change but the words of a variant.
    """
    plain: dict[str, Any] = {
        "name": space.name, "objectives": list(map(word_of, space.objectives)),
        "metrics": list(space.metrics)}
    if isinstance(space, VariantList):
        plain["listed"] = [variant.said for variant in space.listed]
    else:
        plain["reference"] = space.reference.said
    plain["choices"] = {name: _plain(values) for name, values in space.choices.items()}
    plain["recipe"] = vars(space.recipe).copy()
    plain["budget"] = {name: limit for name in EXACT_LIMITS
                       if (limit := getattr(space.budget, name)) is not None}
    return {key: value for key, value in plain.items() if value != {}}


def _plain(values: Sequence[Any]) -> Any:
    if isinstance(values, range) and len(values) > 2:
        return {"from": values[0], "to": values[-1], "step": values.step}
    return list(values)


def as_toml(space: Space) -> str:
    """The space as TOML, which `read_space` reads back."""
    plain = as_dict(space)
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()
             if key not in (*TABLES, "listed")]
    if "listed" in plain:
        lines += ["listed = [", *(f"  {_toml(entry)}," for entry in plain["listed"]), "]"]
    for table in TABLES:
        if table in plain:
            lines += ["", f"[{table}]"]
            lines += [f"{key} = {_toml(value)}" for key, value in plain[table].items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)    # words, numbers, true and false are alike


def describe_space(space: Space) -> str:
    """The space as TOML, which `read_space` reads back, under comments with its size and span."""
    from tasnet_core.cost import count
    variants = prod(len(axis.values) for axis in space.variant_axes.values())
    recipes = len(space) // variants
    times = f" times {recipes:,} recipes" if recipes > 1 else ""
    lines = [f"{space.name}: {variants:,} variant{'s' * (variants != 1)}{times}"]
    for axis, title, form in (("parameters", "parameters", "{:,}"),
                              ("macs_per_s", "MACs for a second of audio", "{:,}"),
                              ("receptive_field_s", "receptive field in seconds", "{:.6g}")):
        least, most = (form.format(getattr(count.exact(variant), axis))
                       for variant in space.extremes(axis))
        lines.append(f"{title}: {least} to {most}")
    if isinstance(space, VariantList):
        lines.append("its networks, measured in this order:")
        for variant in space.listed:
            exact = count.exact(variant)
            lines.append(f"  {variant}: {exact.parameters:,} parameters, {exact.macs_per_s:,} "
                         "MACs for a second of audio")
    return "".join(f"# {line}\n" for line in lines) + "\n" + as_toml(space)
