"""Trainings several at a time: processes of this machine (`local`), actors of Ray (`ray_engine`).

`base.Engine` is what they share: signals, deadlines, replacements. What a run is and which comes
next is up to `search`.
"""
