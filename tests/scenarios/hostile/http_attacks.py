"""Attacks on the server's side of HTTP: heads, framing, pace, connections, keys."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tests.scenarios.harness import PATH, asking
from tests.scenarios.hostile.target import HOSTILE_KEY, Target, each, order

Attack = Callable[[Target], Awaitable[None]]

_HEAD = b"POST %b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer %b\r\ncontent-type: application/json\r\n" % (
    PATH.encode(),
    HOSTILE_KEY.encode(),
)
_ODD_HEADS = {
    "no request": b"\x00\x01\x02\x03\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": _HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "length and chunks": _HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": _HEAD + b"content-length: -1\r\n\r\n",
    "huge length": _HEAD + b"content-length: 99999999999999999999999\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: 1\r\n 2\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-a: 1\x002\r\n\r\n",
    "bad chunks": _HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    "no host name": b"GET http:// HTTP/1.1\r\nhost: localhost\r\n\r\n",
}
# What upholds no less than RFC 9112 asks for.
_LOOSE_HEADS = {
    "two hosts": b"GET /health HTTP/1.1\r\nhost: localhost\r\nhost: elsewhere\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "HTTP/3.0": b"GET /health HTTP/3.0\r\nhost: localhost\r\n\r\n",
    "gzip, chunked": _HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
}


def status_of(answer: bytes) -> int:
    """The status of an answer, 0 for none."""
    found = re.match(rb"HTTP/1\.1 (\d+)", answer)
    return int(found[1]) if found else 0


async def connect_method(target: Target) -> None:
    """`CONNECT`, with a path and with an absolute address; the gateway is no proxy."""
    for goal in (b"/", b"http://localhost/v1/models", b"localhost:443"):
        answer = await target.say(b"CONNECT %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % goal, seconds=5)
        assert 400 <= status_of(answer) < 500, answer


async def upgrades(target: Target) -> None:
    """Wishes to become another protocol, with a body behind them."""
    body = json.dumps(asking()).encode()
    for name in (b"websocket", b"h2c", b"TLS/1.0"):
        wish = b"connection: upgrade, close\r\nupgrade: %b\r\ncontent-length: %d\r\n\r\n" % (name, len(body))
        assert status_of(await target.say(_HEAD + wish + body)) == 200


async def large_head(target: Target) -> None:
    """One header of a megabyte."""
    answer = await target.say(b"GET /health HTTP/1.1\r\nhost: localhost\r\nx-pad: " + b"x" * 2**20 + b"\r\n\r\n")
    assert status_of(answer) in (0, 431)


async def many_headers(target: Target) -> None:
    """As many tiny headers as a head may hold, on connections that then stay silent."""
    head = b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"a:\r\n" * 15_000
    await each(target.say(head, seconds=1.0) for _ in range(40))


async def long_target(target: Target) -> None:
    """Long paths, queries and method names."""
    for line in (b"GET /%b" % (b"a" * 60_000), b"GET /health?%b" % (b"b=%00&" * 10_000), b"A" * 50_000 + b" /"):
        await target.say(line + b" HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", seconds=5)


async def odd_heads(target: Target) -> None:
    """What is no HTTP, or could be read in two ways."""
    for name, data in _ODD_HEADS.items():
        answer = await target.say(data, seconds=5)
        assert 400 <= status_of(answer) < 500 or status_of(answer) in (501, 505), (name, answer)


async def loose_heads(target: Target) -> None:
    """What other servers read in other ways, or not at all."""
    for name, data in _LOOSE_HEADS.items():
        answer = await target.say(data, seconds=5)
        assert status_of(answer) in (400, 501, 505), (name, answer)


async def tiny_chunks(target: Target) -> None:
    """A body in chunks of one byte."""
    text = json.dumps(asking("x" * 200_000)).encode()
    chunks = b"".join([b"1\r\n%c\r\n" % byte for byte in text]) + b"0\r\n\r\n"
    answer = await target.say(_HEAD + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n" + chunks)
    assert status_of(answer) in (0, 200, 400, 408, 413), answer[:200]


async def slow_bodies(target: Target) -> None:
    """Large bodies that never end."""
    begun = _HEAD + b"content-length: 31000000\r\n\r\n" + b" " * 2_000_000
    await each(target.say(begun, seconds=1.5) for _ in range(12))


async def slow_heads(target: Target) -> None:
    """Many connections that say nothing, or never finish their head."""
    await each(target.say(data, seconds=1.0) for data in (b"", b"POST /v1/chat", _HEAD) * 30)


async def pipelining(target: Target) -> None:
    """Very many requests at once on one connection."""
    body = json.dumps(asking()).encode()
    asked = _HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    last = health.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    answer = await target.say(health * 500 + asked * 20 + last)
    assert answer.count(b"HTTP/1.1 200 OK") in range(522), answer[-300:]


async def half_closed(target: Target) -> None:
    """A client that has sent all it has to say, and says so: it gets its answer."""
    body = json.dumps(asking()).encode()
    answer = await target.say(
        _HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body, half_close=True
    )
    assert status_of(answer) == 200, answer


async def half_closed_too_early(target: Target) -> None:
    """A client that ends in the middle of its body, or of its head."""
    for data in (_HEAD + b"content-length: 5000\r\n\r\n{", _HEAD, b"GET /hea"):
        await target.say(data, half_close=True, seconds=3)


async def resets(target: Target) -> None:
    """Requests whose client is gone at once."""
    body = json.dumps(asking(stream=True)).encode()
    for _ in range(50):
        async with target.connection() as (_, writer):
            writer.write(_HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
            await asyncio.sleep(0)


async def wrong_keys(target: Target) -> None:
    """Keys are guessed, over connections that are kept."""
    request = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer guess-%06d-of-a-key\r\n\r\n"
    guesses = b"".join([request % number for number in range(200)])
    answers = await asyncio.gather(*(target.say(guesses, seconds=1.0) for _ in range(5)))
    statuses = set(re.findall(rb"HTTP/1\.1 (\d+)", b"".join(answers)))
    assert statuses <= {b"401", b"429"}, statuses


async def admin_by_guess(target: Target) -> None:
    """What only the operator may see."""
    for path in (b"/admin/pool", b"/admin/clients", b"/admin/../admin/pool", b"//admin/pool", b"/ADMIN/pool"):
        answer = await target.say(
            b"GET %b HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-api-key: %b\r\n\r\n"
            % (path, HOSTILE_KEY.encode())
        )
        assert status_of(answer) in (401, 404, 429), answer


async def from_a_web_page(target: Target) -> None:
    """A page from elsewhere, with a browser's preflight."""
    origin = b"origin: https://evil.example\r\naccess-control-request-method: POST\r\nconnection: close\r\n\r\n"
    answer = await target.say(b"OPTIONS %b HTTP/1.1\r\nhost: localhost\r\n" % PATH.encode() + origin)
    assert b"access-control-allow-origin" not in answer.lower(), answer


async def never_reads(target: Target) -> None:
    """Clients that ask for much, and read nothing of it."""
    bodies = [json.dumps(asking(order("flood_of_events"), stream=True)).encode() for _ in range(10)]
    await each(_ask_and_do_not_read(target, body) for body in bodies)


async def _ask_and_do_not_read(target: Target, body: bytes) -> None:
    async with target.connection() as (_, writer):
        transport: Any = writer.transport
        transport.pause_reading()
        writer.write(_HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(1.5)


HTTP_ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        connect_method,
        upgrades,
        large_head,
        many_headers,
        long_target,
        odd_heads,
        loose_heads,
        tiny_chunks,
        slow_bodies,
        slow_heads,
        pipelining,
        half_closed,
        half_closed_too_early,
        resets,
        wrong_keys,
        admin_by_guess,
        from_a_web_page,
        never_reads,
    )
}
