"""Establishing connections: IPv4 and IPv6 addresses, TLS, and a time limit for all of it."""

import asyncio
import itertools
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, TypeVar

from gateway.upstream.failures import unconnected, unreachable_in_time
from translators.errors import FailedError

# The "connection attempt delay" of RFC 8305, section 5.
_NEXT_ADDRESS_SECONDS: Final = 0.25
# TCP keepalive, so that a vanished peer is noticed even while a model thinks for minutes.
_KEEPALIVE_SECONDS: Final = 60
# OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python does not name.
_NO_CHECK_TIME: Final = 0x200000

_Address: TypeAlias = tuple[Any, ...]


class DialledProtocol(asyncio.Protocol):
    """A protocol with the round-trip time to its peer."""

    round_trip_seconds: float


_Attempt: TypeAlias = "asyncio.Task[tuple[socket.socket, float]]"
P = TypeVar("P", bound=DialledProtocol)


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """A context that verifies certificates, against the system's trust store (or `SSL_CERT_FILE`) or one file.

    Loading certificates takes time and memory, so one context serves all hosts. Raises `OSError` for an unusable file.
    """
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def pinned_context(certificate_file: str | None) -> ssl.SSLContext:
    """A context that trusts one certificate only, under any name and also after its end: this machine's own."""
    context = ssl.create_default_context(cafile=certificate_file)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


async def connect(
    make: Callable[[], P], host: str, port: int, tls: Callable[[], ssl.SSLContext] | None, *, limit_seconds: float
) -> P:
    """Connect, and return the protocol of the new connection; raises `FailedError`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(limit_seconds):
            context, server_name = (tls(), host) if tls is not None else (None, None)
            sock, round_trip = await _dial(host, port)
            _, protocol = await loop.create_connection(make, sock=sock, ssl=context, server_hostname=server_name)
            protocol.round_trip_seconds = round_trip
            return protocol
    except TimeoutError as error:
        raise FailedError(unreachable_in_time(f"no connection after {limit_seconds:g} s")) from error
    except (OSError, UnicodeError) as error:
        # `ssl.SSLError` is an `OSError`; an impossible host name raises `UnicodeError`.
        raise FailedError(unconnected(error)) from error


async def _dial(host: str, port: int) -> tuple[socket.socket, float]:
    """A socket connected to the first of the name's addresses that answers, and its round-trip time in seconds.

    The addresses are tried in order, each a little later than the one before (RFC 8305).
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    attempts: set[_Attempt] = set()
    errors: list[BaseException] = []
    try:
        for family, _, protocol, _, address in _mixed(found):
            attempts.add(asyncio.create_task(_open(family, protocol, address)))
            if (winner := await _first(attempts, errors, _NEXT_ADDRESS_SECONDS)) is not None:
                return winner
        while attempts:
            if (winner := await _first(attempts, errors, None)) is not None:
                return winner
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_late)
    raise errors[0] if errors else OSError(f"{host} has no address")


def _mixed(found: Iterable[_Address]) -> list[_Address]:
    """The addresses with alternating families, beginning with the one that the system prefers."""
    families: dict[int, list[_Address]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    turns = itertools.zip_longest(*families.values())
    return [address for turn in turns for address in turn if address is not None]


async def _first(
    attempts: set[_Attempt], errors: list[BaseException], seconds: float | None
) -> tuple[socket.socket, float] | None:
    """The first connection within this time; None if the time is over, or as soon as an attempt has failed."""
    done, _ = await asyncio.wait(attempts, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for attempt in done:
        attempts.discard(attempt)
        if (error := attempt.exception()) is None:
            return attempt.result()
        errors.append(error)
    return None


async def _open(family: int, protocol: int, address: Any) -> tuple[socket.socket, float]:
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        sock.setblocking(False)
        # Otherwise the end of a body can wait 40 ms for an acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        began_at = time.monotonic()
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock, time.monotonic() - began_at


def _close_late(attempt: _Attempt) -> None:
    """Close a connection that lost the race."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result()[0].close()
