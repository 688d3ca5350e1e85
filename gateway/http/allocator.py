"""What glibc's allocator keeps of free memory: by itself it learns from large bodies to keep tens of megabytes."""

import contextlib
import ctypes
import os
import sys
from typing import Final

# For `mallopt` (malloc.h). What is larger than the mapping's threshold is unmapped when it is free; of what is free at
# the heap's end no more than the other is kept. Set by hand, neither grows with what is freed.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
# Below a megabyte to map and unmap costs up to a third of a request; from there on nothing that can be measured.
_MAPPED_BYTES: Final = 1024 * 1024
_KEPT_BYTES: Final = 4 * 1024 * 1024
# Whoever has set these knows better.
_VARIABLES: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def give_back_what_is_free() -> None:
    """Have this process give memory of large bodies back to the system; does nothing where the allocator is another."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _VARIABLES):
        return
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
