"""What every worker needs, loaded before workers are forked, and put where no garbage collection of theirs touches it.

A collection writes to the header of each object that it looks at, and memory that was written to is shared no longer: a
worker took 200 MB for itself without this (gc.freeze; the last of the modules that the server which forks workers loads).
"""

import gc

gc.collect()
gc.freeze()
