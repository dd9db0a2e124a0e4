"""Keep the memory that one pass frees for the next one."""

import ctypes
from functools import cache

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST = 2**25  # bytes of a block that the heap may hold; glibc takes no larger threshold
KEPT = 2**30  # bytes that may stay free at the heap's end


@cache
def keep_freed_memory():
    """Stop glibc from giving arrays back to the system when they are freed.

    It does so above thresholds, and the next pass then pays a page fault for every 4 KiB: a third
    of the time of a small network's step (docs/benchmarks.md). Elsewhere, this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; Windows
        return
    mallopt(M_MMAP_THRESHOLD, LARGEST)
    mallopt(M_TRIM_THRESHOLD, KEPT)
