"""The search over variants of the network, from Python.

`study.run` and `study.Study` run and read a study, `study.load` returns its tables. See
`study.api` for examples. Names are fetched when first used: `import study` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.api import Study, describe_space, run
    from study.database.export import load

__all__ = ["Study", "describe_space", "load", "run"]
_HOMES = {"Study": "api", "run": "api", "load": "database.export", "describe_space": "api"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'study' has no attribute {name!r}")
    return getattr(import_module(f"study.{_HOMES[name]}"), name)
