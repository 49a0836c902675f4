"""The commands `python -m study …`: their options, what each does, and how it looks at a terminal.

`commands` is called by `study.api` too. Decides nothing about variants; `beforehand` looks at what a command
needs before it begins.
"""
