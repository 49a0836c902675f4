"""How well the front of a study is known, by the scores on the validation mixtures."""

from study.analysis.predicted_front import predicted_front
from study.analysis.replicates import VALID, per_trial
from study.analysis.trials import finished
from study.database.store import Database
from study.records import Budget
from study.space.space import Space


def half_width_db(database: Database, study: str, space: Space, budget: Budget) -> float | None:
    """`PredictedFront.half_width_db`; None where too little is known, or where trainings of a
    former version have no validation scores."""
    known = finished(per_trial(database.results(study)))
    if any(row[VALID] is None for row in known):
        return None
    front = predicted_front(space, budget, known, VALID)
    return front.half_width_db if front else None
