"""What is wrong with a study, and what was done about it: `doctor`, and its own changes to rows.

Leaves alone what a living process holds.
"""
