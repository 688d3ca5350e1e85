"""What lies around the translation: errors, headers, lists of models, HTTP heads, the configuration."""

import asyncio
import itertools
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import orjson
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateway.config import Config, ConfigError, load_config
from gateway.edge.refusals import refuse
from gateway.edge.unpacking import unpacked_in_steps
from gateway.http.protocol import HttpProtocol
from gateway.keypool import SUCCESS, Key
from gateway.service.catalogue import Catalogue, fetch_models
from gateway.service.native import limit_headers, passed_headers
from gateway.service.ports import Endpoint, Upstream
from gateway.service.routing import Aliases
from gateway.upstream.answer import DirectAnswer
from tests.fuzz.judging import assert_error, assert_native_error, events_of, json_of
from tests.fuzz.requests import ROWS
from tests.support.conversations import chat
from tests.support.intents import read_intent
from tests.support.legality import violations
from tests.support.pools import ASK, pool_of
from translators.errors import FailedError, Failure
from translators.hosts import HostProfile
from translators.kept.turns import refuses_thinking
from translators.lessons import corrected, refused_places
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import ModelRow, model_table
from translators.native.errors import error_answer, error_event, with_answer
from translators.rate_limits import openai_rate_limits
from translators.upstream_errors import answered_failure

_STATUSES: Final = (200, 302, 400, 400, 400, 401, 402, 403, 404, 409, 413, 418, 429, 500, 503, 529, 599)
# No answer asks anybody to wait for longer than this.
_LONGEST_WAIT_SECONDS: Final = 366 * 86_400.0
_SIMPLE: Final = read_intent(orjson.dumps(chat(max_tokens=2000)))


def _legal_for(row: ModelRow) -> None:
    """A row, whoever has corrected it, still makes legal requests."""
    written = write_request(_SIMPLE, Target(row.id, row), Options())
    assert violations(json_of(written.body), row, written.version, written.betas) == []


_CODINGS: Final = ("gzip", "deflate", "zstd")
_MOST_UNPACKED: Final = 256 * 1024
_MOST_A_STEP: Final = 64 * 1024


def compressed_body(data: bytes, random: Random) -> None:
    """What calls itself compressed is unpacked within bounds, or refused."""
    held = [0]
    steps = unpacked_in_steps(random.choice(_CODINGS), data, _MOST_UNPACKED, held.append)
    unpacked = b""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        unpacked = end.value
    except FailedError as error:
        _assert_failure(error.failure)
    assert len(unpacked) <= _MOST_UNPACKED + _MOST_A_STEP
    assert all(after - before <= _MOST_A_STEP for before, after in itertools.pairwise(held))


def error_body(data: bytes, random: Random) -> None:
    """An error answer becomes a failure that can be told in both APIs, and teaches nothing absurd."""
    status = random.choice(_STATUSES)
    failure = answered_failure(status, data, is_callers_key=random.random() < 0.3)
    _assert_failure(failure)
    refusal = with_answer(failure, status, data, "req_1", is_callers_key=random.random() < 0.3)
    _assert_failure(refusal)
    _assert_failure(refusal.redacted(lambda text: text.replace("sk-", "***")))
    assert set(refused_places(failure.message, ("tools.3", "output_config.format"))) <= {
        "tools.3",
        "output_config.format",
    }
    assert isinstance(refuses_thinking(failure.message), bool)
    if (better := corrected(random.choice(ROWS), failure.message)) is not None:
        _legal_for(better)


def _assert_failure(failure: Failure) -> None:
    wait = failure.retry_after_seconds
    assert wait is None or 0 <= wait <= _LONGEST_WAIT_SECONDS
    assert_error(failure.as_json())
    events_of(failure.as_event())
    answer = error_answer(failure, "req_2")
    assert 300 <= answer.status < 600
    assert_native_error(answer.body)
    event = error_event(failure, "req_2")
    assert event.endswith(b"\n\n")
    assert b"\n\n" not in event[:-2]


def headers(data: bytes, random: Random) -> None:
    """Headers of an answer are understood or passed over, by the pool as well."""
    given = _headers_of(data)
    for name, value in openai_rate_limits(given).items():
        assert f"{name}{value}".isascii()
    failure = answered_failure(random.choice((429, 529, 400)), b"", given)
    _assert_failure(failure)
    passed_headers(given)
    limit_headers(given, is_callers_key=True)
    pool, now = pool_of("a", Key("b", weight=2)), 1000.0
    for _ in range(3):
        if (lease := pool.acquire(now, ASK)) is not None:
            pool.answered(lease, given, now, status=random.choice((200, 429)))
            pool.release(lease, SUCCESS, now)
        pool.why_none(now, ASK)
        now += 30.0


def _headers_of(data: bytes) -> dict[str, str]:
    lines = data.decode("latin-1").split("\r\n")
    return {
        name.strip().lower(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon
    }


class _Answer:
    """A whole answer of the Models API."""

    status = 200
    headers: Mapping[str, str] = {}

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self, limit: int) -> bytes:
        return self._body[:limit]


class _Lists:
    """An upstream that knows nothing but a list of models."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.paths: list[str] = []

    @asynccontextmanager
    async def open(self, _endpoint: object, call: Any) -> AsyncIterator[_Answer]:
        self.paths.append(call.path)
        yield _Answer(self._body)


class _Anywhere:
    profile = HostProfile()


def model_list(data: bytes, random: Random) -> None:
    """A list of models is shown as JSON, and makes no row that upstream would refuse."""
    upstream, table = _Lists(data), model_table()
    try:
        entries = asyncio.run(fetch_models(cast(Upstream, upstream), cast(Endpoint, _Anywhere())))
    except FailedError as error:
        assert_error(error.failure.as_json())
        return
    finally:
        assert all(path.isascii() and path.isprintable() and " " not in path for path in upstream.paths)
    catalogue = Catalogue(Aliases({"mine": "claude-sonnet-5-5"}), table)
    catalogue.update(entries)
    for entry in (*catalogue.all(), catalogue.find("mine")):
        if entry is not None:
            json_of(orjson.dumps(entry.as_openai()))
            json_of(orjson.dumps(entry.as_anthropic()))
            _legal_for(table.row(entry.id))


class _Transport:
    """The side of a connection that nobody reads."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def writelines(self, pieces: Any) -> None:
        self.sent += b"".join(pieces)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.is_closed

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def set_protocol(self, protocol: object) -> None: ...


class _Loop:
    """A loop that only has a clock."""

    def time(self) -> float:
        return 0.0

    def call_soon(self, *_: object) -> None: ...


def http_answer(data: bytes, random: Random) -> None:
    """An answer's bytes are an answer or a failure, and no header holds what could end it."""
    answer = DirectAnswer(cast(asyncio.Transport, _Transport()), cast(asyncio.AbstractEventLoop, _Loop()))
    at = random.randrange(len(data) + 1)
    answer.feed(data[:at])
    answer.feed(data[at:])
    answer.end(None)
    assert answer.is_complete or answer.failure is not None
    if answer.has_head:
        assert 200 <= answer.status < 1000
        assert not any(mark in text for pair in answer.headers.items() for text in pair for mark in "\r\n\0")
        answered_failure(answer.status, b"", answer.headers)


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


_SERVER: Final = uvicorn.Config(_app, lifespan="off", log_config=None, log_level="critical")


def http_request(data: bytes, random: Random) -> None:
    """A client's bytes are answered with whole answers, or with nothing."""
    asyncio.run(_serve([data[: (at := random.randrange(len(data) + 1))], data[at:]]))


async def _serve(pieces: list[bytes]) -> None:
    transport = _Transport()
    protocol = HttpProtocol(_SERVER, ServerState(), {}, refuse=refuse)
    protocol.connection_made(cast(asyncio.Transport, transport))
    for piece in pieces:
        if not transport.is_closed:
            protocol.data_received(piece)
        for _ in range(4):
            await asyncio.sleep(0)
    protocol.connection_lost(None)
    await asyncio.sleep(0)
    assert not transport.sent or transport.sent.startswith(b"HTTP/1.1 ")


# To make one takes longer than to read what is in it.
_FOLDER: Final = tempfile.TemporaryDirectory()


def configuration(data: bytes, random: Random) -> None:
    """A configuration can be used, or everything that is wrong with it is said."""
    path = Path(_FOLDER.name, "config.yaml")
    path.write_bytes(data)
    try:
        config = load_config(str(path), {"ANTHROPIC_API_KEY": "sk-ant-0123456789"})
    except ConfigError as error:
        assert str(error).encode()  # noqa: PT017
    else:
        assert isinstance(config, Config)
