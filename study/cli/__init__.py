"""The commands `python -m study …`: their options, what each does, and how it looks at a terminal.

`commands` and `training` are called by `study.api` too. Decides nothing about variants: `settings`
makes of a command's options the plan of a study, which everything below takes.
"""
