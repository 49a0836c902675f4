"""What is wrong with a study, and what was done about it: `doctor`, and the changes to rows that only it makes.

Leaves alone what a living process holds.
"""
