"""Keep the memory that one pass frees for the next one."""

from functools import cache

import numpy as np

LARGEST = 2**25 - 2**16  # bytes; glibc's threshold does not grow beyond 32 MiB


@cache
def keep_freed_memory():
    """Stop glibc from giving arrays back to the system when they are freed.

    It does so above a threshold, and the next pass then pays a page fault for every 4 KiB: a third
    of the time of a small network's step (docs/benchmarks.md). The threshold rises to the size of
    the largest block that was ever freed, so freeing one is enough; elsewhere, this does nothing.
    """
    np.empty(LARGEST, np.uint8)
