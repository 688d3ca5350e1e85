"""What only the garbage collector could take away."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OURS = ("gateway.", "translators.", "uvicorn.")


@contextmanager
def garbage() -> Iterator[list[Any]]:
    """What is unreachable at the end of the block and refers to itself, of our own types and the server's."""
    gc.collect()
    gc.disable()
    found: list[Any] = []
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [thing for thing in gc.garbage if type(thing).__module__.startswith(OURS)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
