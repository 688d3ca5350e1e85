"""The log as several processes write it together."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway.telemetry.logs import LOGGER_NAME, Sink, log_event, set_up_logging


class Pipe(io.StringIO):
    """Standard error, with every write that reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def flush(self) -> None:
        self.writes.append(self.getvalue())
        self.seek(0)
        self.truncate()


def sink_to(pipe: Pipe) -> Sink:
    """Let what was set up write there."""
    (sink,) = logging.getLogger(LOGGER_NAME).handlers
    assert isinstance(sink, Sink)
    sink.stream = pipe
    return sink


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    logs = [logging.getLogger(name) for name in (LOGGER_NAME, "uvicorn.error")]
    before = [(log, [*log.handlers], log.propagate, log.level) for log in logs]
    yield Pipe()
    for log, handlers, propagate, level in before:
        log.handlers, log.propagate = handlers, propagate
        log.setLevel(level)


def test_a_workers_lines_say_which_one_it_is(pipe: Pipe) -> None:
    set_up_logging("info", "text", worker=2)
    sink_to(pipe)
    log_event(logging.INFO, "Hello", key="main")
    logging.getLogger("uvicorn.error").warning("From the server")

    assert pipe.writes[0].endswith("Hello key=main worker=2\n")
    assert pipe.writes[1].endswith("From the server worker=2\n")


async def test_lines_reach_a_pipe_whole(pipe: Pipe) -> None:
    set_up_logging("info", "json", worker=1)
    sink = sink_to(pipe)
    for _ in range(40):
        log_event(logging.INFO, "Grüße", text="ü" * 300)
    log_event(logging.INFO, "Long", text="x" * 1900, more="x" * 1900, most="x" * 1900)
    log_event(logging.WARNING, "Last")
    sink.flush()

    lines = [json.loads(line) for write in pipe.writes for line in write.splitlines()]
    assert [line["message"] for line in lines] == ["Grüße"] * 40 + ["Long", "Last"]
    assert all(write.endswith("\n") for write in pipe.writes)
    assert all(len(write.encode()) <= 4096 for write in pipe.writes if "Long" not in write)
    assert len(pipe.writes) < 15
