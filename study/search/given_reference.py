"""A trained network as a study's reference: kept beside its checkpoints, known by what it holds."""

from functools import partial
from pathlib import Path
from typing import BinaryIO

from study.database.store import Database
from study.database.study_names import ADAPTED, GIVEN, checkpoint_name
from study.records import Settings
from study.search.inherit_recipe import teacher_of
from tasnet_core.checkpoints import checkpoint
from tasnet_core.errors import UserError
from tasnet_core.files import write_atomically
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Recipe


def keep(database: Database, study: str, settings: Settings, network: ConvTasNet | None) -> None:
    """Copy a given reference to the study's checkpoints; without one, see that it is there.

    Raises:
        UserError: it was not given, and is not there any more.
    """
    if not settings.reference:
        return
    path = database.settle(study) / GIVEN
    if path.is_file():
        return
    if network is None:
        raise UserError(f"{path}: the reference of study {study!r} is gone; put it back with: "
                        f"python -m study run --study {study} --reference {settings.reference} "
                        "--trials N")
    _write(path, network, checkpoint.Origin(database.fingerprint(study), database.identity(study)))


def copy(database: Database, study: str, source: str) -> None:
    """Copy the given reference and the adapted one to a study that confirms another one.

    Raises:
        UserError: they are not in that one's checkpoints.
    """
    for name, original in ((GIVEN, GIVEN), (ADAPTED, checkpoint_name(1))):
        path, wanted = database.settle(study) / name, database.checkpoints(source) / original
        if path.is_file():
            continue
        try:
            content = wanted.read_bytes()
        except OSError as error:
            raise UserError(f"{wanted}: {error.strerror}; the variants of study {study!r} begin "
                            "from it, so put it back") from None
        write_atomically(path, partial(_put, content))


def lent(settings: Settings, folder: Path, recipe: Recipe) -> tuple[Path | None, Path | None]:
    """The checkpoints whose weights a training begins with, and whose estimates it imitates."""
    guide = folder / GIVEN if recipe.distill else None
    if recipe.init in ("given", "adapted"):
        return folder / GIVEN, guide
    if recipe.init != "inherit":
        return None, guide
    teacher = teacher_of(settings)
    return folder / (ADAPTED if teacher is None else checkpoint_name(teacher)), guide


def _put(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _write(path: Path, network: ConvTasNet, origin: checkpoint.Origin) -> None:
    weights = network.state_dict()
    as_it_is = Recipe(init="given", epochs=0)
    checkpoint.save(path, network.variant, as_it_is, [],
                    {"model": weights, "best": weights, **origin.stamp()})
