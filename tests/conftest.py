"""Settings for the whole suite."""

import asyncio
import functools
import gc
import os
import signal
import sys
import tempfile
from typing import Any

# Compiled files are kept even where the environment says otherwise, as in many containers: without them, each run
# rewrites the asserts of all tests once a worker, and each gateway that a test starts compiles the whole program.
# pytest's own plugins are loaded by now; what comes below is not.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What a test does not place elsewhere lies here, never in the state of whoever runs the tests.
_STATE = tempfile.TemporaryDirectory(prefix="dragoman-tests-", ignore_cleanup_errors=True)
os.environ["XDG_STATE_HOME"] = _STATE.name

import httpcore2  # noqa: E402
import pytest  # noqa: E402
import uvicorn.server  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Shells start what runs in the background with Ctrl-C ignored, and processes that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the machine decides how long an example takes, and a timed assertion does not belong into a test.
# In CI the examples are the same in each run of a commit: what random ones find is found where somebody can mend it.
for _name, _examples, _is_fixed in (("default", 30, False), ("fixed", 30, True), ("thorough", 2_000, False)):
    settings.register_profile(
        _name,
        max_examples=_examples,
        deadline=None,
        derandomize=_is_fixed,
        suppress_health_check=[HealthCheck.too_slow],
        **({"database": None} if _is_fixed else {}),
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("fixed" if os.environ.get("CI") else "default"))


class _QuickAsyncio:
    """`asyncio` with shorter sleeps: uvicorn looks every 0.1 s whether to end, which took each test 0.2 s."""

    _TIMES_AS_QUICK = 20

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._TIMES_AS_QUICK)


# In this process only: servers of their own process are as they are.
vars(uvicorn.server)["asyncio"] = _QuickAsyncio()

# Each client of a test reads all the certificates of the system otherwise, five sixths of what an ordinary test costs.
# The gateway's own clients make contexts of their own.
vars(httpcore2)["default_ssl_context"] = functools.cache(httpcore2.default_ssl_context)

# Begun first, in this order: they take longest, much of it waiting, and none of them should run alone at the end.
LONGEST = ("tests/scenarios/test_hostile_client.py",)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: some tests wait for processes that start, or for a limit that is seconds."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_collection_finish() -> None:
    """Twelve thousand tests and what they import stay until the end: the collector need not look at them each time."""
    gc.collect()
    gc.freeze()
