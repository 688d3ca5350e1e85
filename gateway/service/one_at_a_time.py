"""What is done for one owner at a time: questions to the storage, and reading what it has answered.

The storage answers one question after another, with much more than was asked. Who asks much waits, and others do not.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from gateway.service.ports import RecordsUnavailableError

# One waits no longer for those of the same owner.
TURN_SECONDS: Final = 30.0
_LOCKS: Final[WeakValueDictionary[bytes, asyncio.Lock]] = WeakValueDictionary()

T = TypeVar("T")


async def one_at_a_time(owner: bytes, asking: Coroutine[Any, Any, T]) -> T:
    """What comes of it, once the owner's earlier ones are done; `RecordsUnavailableError` if they take too long."""
    lock = _LOCKS.get(owner)
    if lock is None:
        lock = _LOCKS[owner] = asyncio.Lock()
    try:
        if lock.locked():
            await _wait(lock)
        else:
            await lock.acquire()
        try:
            return await asking
        finally:
            lock.release()
    finally:
        # One that has not begun.
        asking.close()


async def _wait(lock: asyncio.Lock) -> None:
    try:
        async with asyncio.timeout(TURN_SECONDS):
            await lock.acquire()
    except TimeoutError:
        raise RecordsUnavailableError("this client's other requests to the store take too long") from None
