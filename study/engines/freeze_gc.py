"""The last import before forking: it keeps garbage collection from all that was loaded so far.

A collection writes to the header of each object that it looks at, and memory that was written to is
shared no longer: a worker took 200 MB for itself without this.
"""

import gc

gc.collect()
gc.freeze()
