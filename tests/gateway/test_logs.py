"""The log's lines: in order, together, on time, and none lost."""

import asyncio
import io
import json
import logging
import sys

import pytest

from gateway.telemetry import logs
from gateway.telemetry.logs import Sink, log_event, set_up_logging


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What has been written so far, in JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    loggers = [logging.getLogger(name) for name in ("dragoman", "uvicorn.error", "asyncio")]
    for log in loggers:
        monkeypatch.setattr(log, "handlers", [*log.handlers])
        monkeypatch.setattr(log, "propagate", log.propagate)
        monkeypatch.setattr(log, "level", log.level)
    set_up_logging("info", "json")
    return stream


def said(written: io.StringIO) -> list[str]:
    return [json.loads(line)["message"] for line in written.getvalue().splitlines()]


async def test_lines_are_written_together_and_soon(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.02)
    log_event(logging.INFO, "one")
    log_event(logging.INFO, "two")
    at_once = said(written)
    asyncio.get_running_loop().call_later(0.05, (later := asyncio.Event()).set)
    await later.wait()

    assert at_once == []
    assert said(written) == ["one", "two"]


async def test_a_warning_is_written_at_once_with_all_before_it(written: io.StringIO) -> None:
    log_event(logging.INFO, "one")
    log_event(logging.WARNING, "two")

    assert said(written) == ["one", "two"]


async def test_records_of_libraries_keep_their_place(written: io.StringIO) -> None:
    log_event(logging.INFO, "one")
    logging.getLogger("uvicorn.error").warning("two %s", 2)
    log_event(logging.INFO, "three")
    for handler in logs.logger.handlers:
        handler.flush()

    assert said(written) == ["one", "two 2", "three"]


def test_without_a_loop_a_line_is_written_at_once(written: io.StringIO) -> None:
    log_event(logging.INFO, "one")

    assert said(written) == ["one"]


def test_a_loop_that_has_ended_holds_no_line_back(written: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    async def log(message: str, seconds: float) -> None:
        log_event(logging.INFO, message)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.01)
    asyncio.run(log("one", 0))
    asyncio.run(log("two", 0.05))

    assert said(written) == ["one", "two"]


def test_below_the_level_nothing_is_written(written: io.StringIO) -> None:
    log_event(logging.DEBUG, "one")

    assert said(written) == []


def test_half_a_character_does_not_fail(written: io.StringIO) -> None:
    log_event(logging.INFO, "one", model="\ud800")

    assert json.loads(written.getvalue())["model"] == "\ud800"


@pytest.mark.parametrize("error", [OSError("disk full"), ValueError("closed")])
def test_a_log_that_cannot_be_written_fails_nothing(error: Exception) -> None:
    class Broken(io.StringIO):
        def write(self, _text: str) -> int:
            raise error

    Sink(Broken(), lambda line: line.message).write(logs._Line(0.0, logging.WARNING, "one", {}))


def test_without_standard_error_there_is_no_log(monkeypatch: pytest.MonkeyPatch, written: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    set_up_logging("info", "text")

    log_event(logging.WARNING, "one")
    for sink in logs.logger.handlers:
        if isinstance(sink, Sink):
            sink.stream.close()

    assert written.getvalue() == ""
