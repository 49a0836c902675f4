"""How long a study will take, before it begins: `run --dry-run`.

Short trainings are timed (`timing`, `measure`), their growth fitted (`cost_model`), and a study's trials foretold (`forecast`).
Stores nothing.
"""
