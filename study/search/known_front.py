"""How well the front of a study is known, by the scores on the validation mixtures."""

from collections.abc import Sequence
from typing import Any

from study.analysis.predicted_front import predicted_front
from study.analysis.replicates import VALID, per_trial
from study.analysis.trials import finished
from study.database.store import Database
from study.records import Budget
from study.space.space import Space


def rows_with_validation(database: Database, study: str) -> list[dict[str, Any]]:
    """Rows of `per_trial`, which have the validation scores too."""
    stored = {(run["trial"], run["seed"]): run[VALID] for run in database.runs(study)}
    return per_trial([{**row, VALID: stored[row["trial"], row["seed"]]}
                      for row in database.results(study)])


def half_width_db(
    space: Space, budget: Budget, rows: Sequence[dict[str, Any]]
) -> float | None:
    """`PredictedFront.half_width_db`; None where too little is known, or studies of a former
    version have no validation scores."""
    known = finished(rows)
    if any(row[VALID] is None for row in known):
        return None
    front = predicted_front(space, budget, known, VALID)
    return front.half_width_db if front else None
