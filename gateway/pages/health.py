"""`GET /livez`, `/readyz` and `/health`: for whoever restarts this process, and for whoever sends it requests."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import orjson
from starlette.types import Receive, Scope, Send

from gateway.edge.notes import notes_of
from gateway.edge.responder import NEVER_KEPT, responder_of

_OPENING_SECONDS: Final = 5.0

Phase: TypeAlias = Literal["starting", "ready", "draining"]


class Readiness:
    """Whether new requests should come to this process; one object for its whole life.

    It depends on this process only: if upstream or a database is away, requests are not better off anywhere else. What
    is `outside` is only told, by its name: whether its last use succeeded.
    """

    def __init__(self, outside: Mapping[str, Callable[[], bool]] = MappingProxyType({})) -> None:
        self.outside = outside
        self._is_started = False
        self._is_draining = False

    @property
    def phase(self) -> Phase:
        if self._is_draining:
            return "draining"
        return "ready" if self._is_started else "starting"

    async def follow(self, opening: Coroutine[object, object, None]) -> None:
        """Be ready when what requests need has been opened, or has failed to, but after this time in any case."""
        task = asyncio.create_task(opening)
        try:
            await asyncio.wait({task}, timeout=_OPENING_SECONDS)
            self._is_started = True
            await task
        finally:
            task.cancel()

    def drain(self) -> None:
        """The process will stop: from now on, requests should go elsewhere. Safe in a signal handler."""
        self._is_draining = True


class Alive:
    """The process answers. Nothing else is checked: a restart helps against nothing else."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Monitors ask every few seconds.
        notes_of(scope).level = logging.DEBUG
        await responder_of(scope).send_value({"status": "ok"})


class Ready:
    """200 if requests should be sent here, else 503; what `look` returns is told and decides nothing."""

    def __init__(self, readiness: Readiness, look: Callable[[], Mapping[str, object]]) -> None:
        self._readiness = readiness
        self._look = look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        notes_of(scope).level = logging.DEBUG
        phase = self._readiness.phase
        outside = {name: "ok" if is_well() else "failing" for name, is_well in self._readiness.outside.items()}
        body = orjson.dumps({"status": phase, **self._look(), **outside})
        await responder_of(scope).send_json(200 if phase == "ready" else 503, body, NEVER_KEPT)
