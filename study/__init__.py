"""The search over variants of the network, and what came of it as tables: `study.load`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.frames import Frames


def load(url: str = "results/study.db", study: str | None = None) -> "Frames":
    """What a study measured, as three pandas frames of one moment: `runs`, `epochs`, `mixtures`.

    `url` is the database, a path or an SQLAlchemy URL; without a name it is the newest study of it. Columns are those of
    `python -m study export`; `trial` and `seed` say whose a row is. A value that is not there is pandas' missing value.

        >>> import study
        >>> found = study.load("results/study.db")
        >>> found.runs.query("state == 'complete'").sort_values("parameters")[["trial", "parameters", "si_snri_db"]]
        >>> found.mixtures.groupby("sexes").si_snri_db.mean()

    Raises:
        tasnet_core.errors.UserError: no such database or study, or one of another version, in one line.
    """
    from study import frames
    return frames.load(url, study)
