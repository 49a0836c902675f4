"""The search: which variant comes next, one run from its cost to its scores, follow-up studies.

`scheduler` hands out work and tells Optuna; `run_executor` stores what a training sends; `runner`
is one process that does both and trains; `evaluate` knows neither Optuna nor the database.
"""
