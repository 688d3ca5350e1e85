"""The outermost layer: assigns the request id, guards an open port, formats every error, logs one line per request."""

import asyncio
import logging
import time
from collections.abc import Callable
from random import getrandbits
from typing import Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.addresses import Addresses, address_of
from gateway.edge.notes import Notes, attach_notes, notes_of
from gateway.edge.outcomes import CLIENT_GONE_STATUS
from gateway.edge.requests import headers_of
from gateway.edge.responder import Responder, attach, detach
from gateway.edge.shapes import shape_for
from gateway.edge.unpacking import ACCEPTED as ACCEPTED_ENCODINGS
from gateway.http.errors import ClientGoneError
from gateway.http.request import served_request
from gateway.telemetry.logs import log_event, log_fields
from translators.errors import ErrorKind, FailedError, Failure

# The answer to a caller with too many wrong keys is delayed by this time, for at most this many requests at once.
HOLD_SECONDS: Final = 1.0
MOST_HELD: Final = 256
# Longer paths are cut in the log.
_LONGEST_PATH: Final = 200
# The same for the `x-request-id` that a caller sends.
_LONGEST_ID: Final = 128
# From this status on the caller is not at fault, and the log line is a warning.
_FAILED_STATUS: Final = 500
# Headers that an error needs besides its status (RFC 9110, 15.5.16 and 15.5.22).
_HEADERS: Final = {
    ErrorKind.UNSUPPORTED_ENCODING: {"accept-encoding": ACCEPTED_ENCODINGS},
    ErrorKind.NO_WEBSOCKET: {"upgrade": "HTTP/1.1", "connection": "upgrade"},
}
_LONGEST_ORIGIN: Final = 300
# Accepted values of `Host` are cached. Callers can send any port, so the number of values is limited.
_MOST_HOSTS: Final = 256
_pause: Final = asyncio.sleep


class Edge:
    """A plain ASGI layer around all endpoints; the events of a stream do not pass through it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        guards_loopback: Callable[[], bool],
        allowed_origins: tuple[str, ...] = (),
        allowed_hosts: tuple[str, ...] = (),
        addresses: Addresses | None = None,
        on_answered: Callable[[str, int, str | None], None] | None = None,
    ) -> None:
        """`on_answered` is told of each request that has ended: its path, status, and the kind of its error."""
        self._app = app
        self._on_answered = on_answered
        self._addresses = addresses or Addresses()
        self._held = 0
        self._guards_loopback = guards_loopback
        self._allowed_origins = allowed_origins
        self._allowed_hosts = frozenset(allowed_hosts)
        # Values of `Host` that were accepted, as they were received.
        self._answered: set[bytes] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; every failure inside is reported to the caller."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = time.perf_counter()
        responder = Responder(send, new_request_id(), shape_for(scope), served_request(scope))
        attach(scope, responder)
        self._addresses.note(scope)
        notes = attach_notes(scope)
        try:
            await self._serve(scope, receive, send, responder)
        except ClientGoneError:
            responder.status = CLIENT_GONE_STATUS
        finally:
            _log(scope, responder, notes, time.perf_counter() - began_at)
            if self._on_answered is not None:
                self._on_answered(scope["path"], responder.status, notes.error)
            # The responder refers to the request, and the request to the scope: without this, only the garbage
            # collector would free them.
            detach(scope)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, responder: Responder) -> None:
        try:
            if self._guards_loopback():
                self._check_origin(scope)
            # With an "app" in the scope Starlette raises for a wrong method, instead of answering by itself.
            scope["app"] = self._app
            await self._app(scope, receive, send)
        except FailedError as error:
            if error.failure.kind is ErrorKind.TOO_MANY_WRONG_KEYS:
                # `Guesses` logs a summary; one line per wrong key would let a guesser fill the log.
                notes_of(scope).level = logging.DEBUG
                await self._hold()
            await _tell(responder, error.failure, scope)
        except HTTPException as error:
            await _tell(responder, _framework_failure(error, scope), scope, dict(error.headers or {}))
        except ClientGoneError:
            raise
        except Exception as error:
            logging.getLogger("dragoman").exception("The gateway has failed. request_id=%s", responder.request_id)
            message = (
                f"The gateway has failed ({type(error).__name__}); its log has the details under this request's id."
            )
            await _tell(responder, Failure(ErrorKind.INTERNAL, message), scope)

    async def _hold(self) -> None:
        """Delay the answer to a guesser of keys; at most `MOST_HELD` answers are delayed at once."""
        if self._held >= MOST_HELD:
            return
        self._held += 1
        try:
            await _pause(HOLD_SECONDS)
        finally:
            self._held -= 1

    def _check_origin(self, scope: Scope) -> None:
        """Refuse requests by foreign web pages: every page in a browser on this machine can reach its open port.

        A foreign name in `Host` means DNS rebinding, a foreign `Origin` a page from elsewhere.
        """
        headers = headers_of(scope)
        named = headers.get(b"host")
        if named is not None and named not in self._answered and not self._is_answered(named):
            host = named.decode("latin-1")
            message = (
                f"This gateway is open to its own machine only, and '{host[:_LONGEST_ORIGIN]}' is not a name of it. "
                "Configure clients to be reached under other names, or allow this one with server.allowed_hosts."
            )
            raise FailedError(Failure(ErrorKind.FORBIDDEN_ORIGIN, message))
        if b"origin" not in headers:
            return
        origin = headers[b"origin"].decode("latin-1")
        if self._allows(origin) or is_loopback_name(_hostname(origin)):
            return
        message = (
            f"Pages from '{origin[:_LONGEST_ORIGIN]}' may not use this gateway. Allow them with server.cors_origins."
        )
        raise FailedError(Failure(ErrorKind.FORBIDDEN_ORIGIN, message))

    def _is_answered(self, host: bytes) -> bool:
        if len(host) > _LONGEST_ORIGIN:
            return False
        name = _hostname(f"//{host.decode('latin-1')}")
        is_answered = is_loopback_name(name) or name in self._allowed_hosts
        if is_answered and len(self._answered) < _MOST_HOSTS:
            self._answered.add(host)
        return is_answered

    def _allows(self, origin: str) -> bool:
        return origin in self._allowed_origins or "*" in self._allowed_origins


def new_request_id() -> str:
    """A request id in the format that OpenAI and Anthropic share."""
    # Nothing depends on whether ids can be guessed, so a system call for secure random bits is not needed.
    return f"req_{getrandbits(128):032x}"


def is_loopback_name(host: str | None) -> bool:
    """Whether a name or address can only mean this machine."""
    if host is None:
        return False
    return host in ("localhost", "::1") or host.endswith(".localhost") or _is_loopback_ipv4(host)


def _is_loopback_ipv4(host: str) -> bool:
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() and int(part) < 256 for part in parts)


def _hostname(url: str) -> str | None:
    # No valid name is nearly as long, and `urlsplit` caches what it is given.
    if len(url) > _LONGEST_ORIGIN:
        return None
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


async def _tell(responder: Responder, failure: Failure, scope: Scope, headers: dict[str, str] | None = None) -> None:
    """Report the failure: as a response, or as the last event of a stream that has begun."""
    notes = notes_of(scope)
    notes.error = notes.fields["error"] = failure.kind.name.lower()
    if failure.detail:
        notes.fields["detail"] = failure.detail
    if failure.said:
        notes.words.setdefault("said", failure.said)
    if responder.has_begun and failure.rule.status >= _FAILED_STATUS:
        # The caller got status 200 and half an answer, so the status alone would not be logged as a failure.
        notes.level = logging.WARNING
    if not responder.has_begun:
        await responder.send_failure(failure, {**(headers or {}), **_HEADERS.get(failure.kind, {})})
    elif not responder.has_ended:
        await responder.finish_failed(failure)


def _framework_failure(error: HTTPException, scope: Scope) -> Failure:
    if error.status_code == 405:
        message = f"{scope['method']} is not possible at {scope['path']}."
        return Failure(ErrorKind.METHOD_NOT_ALLOWED, message)
    return Failure(ErrorKind.INVALID_REQUEST, str(error.detail))


def _shown(text: str, most: int = _LONGEST_PATH) -> str:
    """A caller's text for the log: escaped, and cut, since a head can hold 64 KB."""
    if len(text) <= most and text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:most])
    return shown if len(text) <= most else f"{shown}... ({len(text)} characters)"


def _log(scope: Scope, responder: Responder, notes: Notes, seconds: float) -> None:
    method, path, status = scope["method"], _shown(scope["path"]), responder.status
    own_id = headers_of(scope).get(b"x-request-id")
    notes.data |= {"method": method, "path": path, "status": status}
    fields = {
        "ms": round(seconds * 1000, 1),
        "request_id": responder.request_id,
        "client_request_id": None if own_id is None else _shown(own_id.decode("latin-1"), _LONGEST_ID),
        "address": address_of(scope),
        **notes.fields,
    }
    # What is only worth a line at `debug`, such as the 503 of a gateway that drains, is no failure.
    level = logging.WARNING if status >= _FAILED_STATUS and notes.level > logging.DEBUG else notes.level
    log_fields(level, f"{method} {path} {status}", fields, notes.data)
    if notes.words:
        log_event(logging.DEBUG, "What was said", request_id=responder.request_id, **notes.words)
