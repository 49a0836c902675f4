"""What every test runs with: one thread, since tiny tensors gain nothing from two and lose much to their waiting."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")      # for the processes that tests start as well
