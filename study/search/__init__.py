"""The search: which variant comes next, one run from its cost to its scores, and studies made of another one.

`runner.Runner` hands out work and tells Optuna; `evaluate.carry_out` knows neither Optuna nor the database.
"""
