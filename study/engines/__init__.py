"""Trainings several at a time: workers on this machine (`local`), actors of a Ray cluster (`ray_engine`).

`base.Engine` is what they share: signals, deadlines, replacements. What a run is and which comes next is `search`'s.
"""
