"""Fixtures of the scenarios."""

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator

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
    loggers = [logging.getLogger(name) for name in _LOGS]
    before = [(log, [*log.handlers], log.propagate, log.level) for log in loggers]
    set_up_logging("debug", "text")
    (handler,) = logging.getLogger("dragoman").handlers
    assert isinstance(handler, Sink)
    written = handler.stream = io.StringIO()
    # Tasks whose failure nobody asks for are complained about here.
    logging.getLogger("asyncio").addHandler(handler)

    def read() -> str:
        handler.flush()
        return written.getvalue()

    yield read
    for log, handlers, propagate, level in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)
