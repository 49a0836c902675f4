"""Search spaces: grids of hyperparameters, lists of variants, presets, and the same as TOML files.

`searched` alone knows in which fields two runs of a study may differ; `plan` has all that decides
how a study is trained.
"""
