"""Fixtures of the scenarios."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest

from gateway.telemetry.logs import Sink, set_up_logging
from tests.support import messages
from tests.support.scripted import ScriptedUpstream, Wait, scripted_upstream, stream_answer

_LOGS = ("dragoman", "uvicorn.error", "asyncio")


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as running:
        yield running


@pytest.fixture
def gate(upstream: ScriptedUpstream) -> asyncio.Event:
    """What streams wait for after they have begun."""
    event = asyncio.Event()
    start, block, first, *rest = messages.text_stream()
    upstream.always(stream_answer(start, block, first, Wait(event), *rest))
    return event


@pytest.fixture
def read_log() -> Iterator[Callable[[], str]]:
    """What the gateway has written to its log so far, every line and every field of it."""
    yield from _reading("text")


@pytest.fixture
def read_json_log() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The same as JSON, line by line."""

    def parsed(read: Callable[[], str]) -> list[dict[str, Any]]:
        return [json.loads(line) for line in read().splitlines()]

    for read in _reading("json"):
        yield partial(parsed, read)


def _reading(form: str) -> Iterator[Callable[[], str]]:
    loggers = [logging.getLogger(name) for name in _LOGS]
    before = [(log, [*log.handlers], log.propagate, log.level) for log in loggers]
    set_up_logging("debug", form)
    (handler,) = logging.getLogger("dragoman").handlers
    assert isinstance(handler, Sink)
    written = handler.stream = io.StringIO()

    def read() -> str:
        handler.flush()
        return written.getvalue()

    yield read
    for log, handlers, propagate, level in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
