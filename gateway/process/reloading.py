"""Live reload: reads the configuration anew on SIGHUP, or when a file of it has changed, and hands it on."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from gateway.config import (
    Config,
    ConfigError,
    Loaded,
    Source,
    Stamps,
    changes_between,
    keep_fixed,
    stamps_of,
)
from gateway.process.serving import CannotListenError, check_exposure
from gateway.telemetry.logs import LOGGER_NAME, log_event

_LOOK_SECONDS: Final = 2.0
# Who writes a file in several steps shall have come to the end.
_SETTLE_SECONDS: Final = 0.25
_pause: Final = asyncio.sleep


class Reloader:
    """Keeps a configuration up to date; `read` gives it as it is now (or raises `ConfigError`), `apply` uses it."""

    def __init__(
        self,
        loaded: Loaded,
        read: Callable[[], Loaded],
        apply: Callable[[Config, Mapping[str, Source]], None],
    ) -> None:
        self._config = loaded.config
        self._files = loaded.files
        self._read = read
        self._apply = apply
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Read it again now, whether or not a file has changed."""
        self._asked.set()

    async def run(self) -> None:
        """Look at the files now and then, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS if self._files else None):
                    await self._asked.wait()
            if self._asked.is_set() or await self._have_changed():
                self._asked.clear()
                # As they are before they are read: what is written meanwhile is the next change.
                stamps = await self._stamps()
                try:
                    await self._reload()
                except Exception:
                    # Whatever it is, the next change may be a good one.
                    self._files = stamps
                    logging.getLogger(LOGGER_NAME).exception("The configuration could not be read again")

    async def _have_changed(self) -> bool:
        """Whether the files are others by now, and at rest."""
        seen = await self._stamps()
        if seen == self._files:
            return False
        while True:
            await _pause(_SETTLE_SECONDS)
            before, seen = seen, await self._stamps()
            if seen == before or self._asked.is_set():
                return True

    async def _stamps(self) -> Stamps:
        return await asyncio.to_thread(stamps_of, self._files)

    async def _reload(self) -> None:
        try:
            loaded = await asyncio.to_thread(self._read)
            self._files = loaded.files
            config, fixed = keep_fixed(self._config, loaded.config)
            check_exposure(config)
        except ConfigError as error:
            self._files = error.files
            _refuse(error)
            return
        except CannotListenError as error:
            _refuse(error)
            return
        self._apply(config, loaded.key_sources)
        changes, self._config = changes_between(self._config, config), config
        if fixed:
            log_event(logging.WARNING, "These settings change only with a restart", settings=",".join(fixed))
        message = "The configuration has changed" if changes else "The configuration has not changed"
        log_event(logging.INFO, message, **changes.as_fields())


def _refuse(error: Exception) -> None:
    log_event(logging.ERROR, "The configuration stays what it was, the new one has to be corrected", why=str(error))


@asynccontextmanager
async def reloading(reloader: Reloader) -> AsyncIterator[None]:
    """A block in which the configuration is kept up to date, and SIGHUP asks for it."""
    loop = asyncio.get_running_loop()
    had_terminal = _has_terminal()

    def on_hangup() -> None:
        if had_terminal and not _has_terminal():
            # What the signal was made for: the window was closed, and nobody is there to stop us later.
            signal.raise_signal(signal.SIGTERM)
        else:
            reloader.ask()

    if sys.platform != "win32":
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    task = asyncio.create_task(reloader.run())
    try:
        yield
    finally:
        if sys.platform != "win32":
            loop.remove_signal_handler(signal.SIGHUP)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True
