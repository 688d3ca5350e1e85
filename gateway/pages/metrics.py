"""`GET /metrics`: what Prometheus reads. Open to the keys of operators, never to a client's."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from starlette.types import Receive, Scope, Send

from gateway.accounts.auth import presented_key
from gateway.accounts.guesses import Guesses
from gateway.edge.notes import notes_of
from gateway.edge.requests import header
from gateway.edge.responder import NEVER_KEPT, responder_of
from gateway.secret import Secret
from gateway.telemetry.metrics.exposition import exposition
from gateway.telemetry.metrics.metrics import METRICS
from gateway.workers.views import Views
from translators.errors import ErrorKind, FailedError, Failure

_NOT_SET: Final = (
    "This gateway's metrics are closed: it has neither metrics.api_key nor an admin key. Set one of them in its "
    "configuration, and let Prometheus send it (authorization: {credentials: KEY})."
)
_MISSING: Final = "You didn't provide the metrics key. Send it as Authorization: Bearer METRICS_KEY."
_WRONG: Final = "This is neither the metrics key nor the admin key of this gateway. Client keys are not accepted here."
_ELSEWHERE: Final = "This gateway's metrics have a port of their own, metrics.port."
ON_OWN_PORT: Final = "dragoman.metrics_port"
_LONGEST_ACCEPT: Final = 1_000


class MetricsAccess(NamedTuple):
    """`keys` open the page. If there are none and the gateway `is_open`, anybody may see it.

    With `has_own_port` it is only at that port, whose requests have `ON_OWN_PORT` in their scope.
    """

    keys: tuple[Secret, ...]
    is_open: Callable[[], bool]
    has_own_port: bool = False
    with_otel_names: bool = True


class MetricsPage:
    """The metrics of all workers."""

    def __init__(self, views: Views, access: MetricsAccess, guesses: Guesses) -> None:
        self._views = views
        self._access = access
        self._guesses = guesses
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Prometheus asks every few seconds.
        notes_of(scope).level = logging.DEBUG
        if self._access.has_own_port and ON_OWN_PORT not in scope:
            raise FailedError(Failure(ErrorKind.UNKNOWN_URL, _ELSEWHERE))
        self._check(scope)
        accept = (header(scope, b"accept") or "")[:_LONGEST_ACCEPT]
        with_otel_names = self._access.with_otel_names
        # One after another: each takes a while where there are many metrics.
        async with self._turn:
            shown: Any = (await self._views.see(METRICS)).fields[METRICS]
            # In a thread: importing the library and writing thousands of lines would delay requests.
            body, content_type = await asyncio.to_thread(exposition, shown, accept, with_otel_names=with_otel_names)
        await responder_of(scope).send_body(200, body, content_type, NEVER_KEPT)

    def _check(self, scope: Scope) -> None:
        """Raise `FailedError` unless the request may see metrics; the comparison takes constant time."""
        if not self._access.keys:
            if self._access.is_open():
                return
            raise FailedError(Failure(ErrorKind.CALLER_NOT_PERMITTED, _NOT_SET, code="metrics_key_not_set"))
        token = presented_key(scope)
        if token is None:
            raise FailedError(Failure(ErrorKind.MISSING_KEY, _MISSING))
        if not any(Secret(token) == key for key in self._access.keys):
            raise self._guesses.refusal(scope, _WRONG)
