"""How long a study will take, before it begins: `run --dry-run`.

A few short trainings are timed; nothing is stored.
"""
