"""YAML as other toolkits write it, with HyperPyYAML's tags: read, and nothing in it ever run.

The only door to yaml.
"""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tasnet_core.checkpoints.unpickle import opened
from tasnet_core.errors import CheckpointError

LARGEST = 2**16     # bytes; SpeechBrain's and ESPnet's have 10,000
MOST_LISTS = 1000


class Tagged(NamedTuple):
    """A value under a tag of its file's own, such as !new:package.Class or !ref <name>."""

    tag: str        # without its exclamation mark
    value: Any


class _Loader(yaml.SafeLoader):     # type: ignore[misc]
    """Plain values, and tagged ones as `Tagged`."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges nothing: a few merges of merges would be a table of any size."""


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> Tagged:
    if isinstance(node, yaml.MappingNode):
        return Tagged(tag, loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Tagged(tag, loader.construct_sequence(node, deep=True))
    return Tagged(tag, node.value)


_Loader.add_multi_constructor("!", _tagged)


def read_yaml(path: Path) -> dict[str, Any]:
    """The table that a file of YAML holds.

    Raises:
        CheckpointError: when it is missing, is no table, or asks for more than plain values.
    """
    with opened(path) as file:
        text = file.read(LARGEST + 1)
    # Nested ones take time that grows with their square.
    if len(text) > LARGEST or text.count(b"[") + text.count(b"{") > MOST_LISTS:
        raise CheckpointError(
            f"{path}: more than {LARGEST} bytes or {MOST_LISTS} lists in brackets, which no "
            "description of a network has")
    try:
        found = yaml.load(text, _Loader)
    except Exception as error:      # RecursionError and ValueError, too
        why = getattr(error, "problem", None) or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read as YAML: {str(why)[:200]}") from None
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: a {type(found).__name__}, but a table is wanted")
    return found
