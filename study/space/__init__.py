"""What may be searched: ranges of hyperparameters, lists of variants, presets, and the same as a TOML file.

`searched` is the one place that knows in which fields two runs of a study may differ.
"""
