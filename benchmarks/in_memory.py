"""What a whole request costs without kernel and network: the gateway's application between two stand-ins."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

from benchmarks.responses import against_chat
from gateway.app import Gateway
from gateway.process.parts import tables_of
from gateway.service.ports import Call, Endpoint
from tests.support.conversations import called, chat, returned, said, tool
from tests.support.gateway import config_for, key
from tests.support.messages import message

_IN_A_RUN: Final = 20
_PATH: Final = "/v1/chat/completions"
_RESPONSES: Final = "/v1/responses"
_MODEL: Final = "claude-sonnet-5-5"
_QUESTION: Final = "x" * 900


class _Answer:
    """An answer that is there already."""

    status = 200
    is_complete = True
    headers: Final = {"content-type": "application/json", "request-id": "req_1", "anthropic-organization-id": "org_1"}
    _BODY: Final = json.dumps(message("Hello.")).encode()

    async def read(self, limit: int) -> bytes:
        return self._BODY


class _Upstream:
    @contextlib.asynccontextmanager
    async def open(self, endpoint: Endpoint, call: Call) -> AsyncIterator[_Answer]:
        yield _Answer()


def in_memory(measure: Callable[[Callable[[], object]], float]) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure; `measure` gives the microseconds that a call takes."""
    gateway = Gateway(config_for(key("http://127.0.0.1:9")), callers_base_url="http://127.0.0.1:9")
    upstream: Any = _Upstream()
    gateway._upstream = upstream
    gateway.app.app = gateway._assembled(tables_of(gateway.config)[0])
    with asyncio.Runner() as runner:
        for name, body in _bodies():
            figure = measure(partial(_run, runner, _many(gateway, _PATH, body))) / _IN_A_RUN
            yield f"request of {name}, in memory", f"{figure:.0f} µs"
        chats = partial(_run, runner, _many(gateway, _PATH, _body(said("user", _QUESTION))))
        for name, more in (("", {"store": False}), (" that is stored", {})):
            asked = {"model": _MODEL, "max_output_tokens": 1000, "input": _QUESTION, **more}
            responses = partial(_run, runner, _many(gateway, _RESPONSES, json.dumps(asked).encode()))
            compared = against_chat(measure, responses, chats, _IN_A_RUN)
            yield f"request of 1 KB to /v1/responses{name}, in memory", compared


def _run(runner: asyncio.Runner, many: Callable[[], Coroutine[Any, Any, None]]) -> None:
    runner.run(many())


def _bodies() -> Iterator[tuple[str, bytes]]:
    question = said("user", _QUESTION)
    rounds = [
        turn
        for number in range(10)
        for turn in (
            called((f"toolu_{number}", "tool_1", '{"a":"b"}'), content="Look."),
            returned(f"toolu_{number}", "r" * 1000),
        )
    ]
    yield "1 KB", _body(question)
    yield "50 tools", _body(question, tools=_tools(50))
    yield "10 tools and 10 rounds of them", _body(question, *rounds, tools=_tools(10))


def _body(*messages: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({**chat(*messages, **fields), "model": _MODEL, "max_tokens": 1000}).encode()


def _tools(count: int) -> list[dict[str, Any]]:
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": "e" * 60}}}
    return [tool(f"tool_{number}", description="d" * 100, parameters=schema) for number in range(count)]


def _many(gateway: Gateway, path: str, body: bytes) -> Callable[[], Coroutine[Any, Any, None]]:
    headers = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "http_version": "1.1",
        "scheme": "http",
    }

    async def one() -> None:
        coming = iter([{"type": "http.request", "body": body, "more_body": False}])
        is_gone = asyncio.get_running_loop().create_future()
        statuses = []

        async def receive() -> Any:
            return next(coming, None) or await is_gone

        async def send(sent: Any) -> None:
            statuses.append(sent.get("status"))

        await gateway.app(dict(scope), receive, send)
        assert statuses[0] == 200

    async def many() -> None:
        for _ in range(_IN_A_RUN):
            await one()

    return many
