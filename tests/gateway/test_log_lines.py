"""A line of the text log: everything that was said, on one line."""

import io
import json
import logging
import traceback
from datetime import datetime
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.telemetry import logs
from gateway.telemetry.logs import LOGGER_NAME, Sink, log_event, set_up_logging

FORMS = {"text": logs._text_line, "json": logs._json_line}
Line = logs._Line


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    for logger in map(logging.getLogger, (LOGGER_NAME, "uvicorn.error", "asyncio")):
        for name in ("handlers", "propagate", "level"):
            monkeypatch.setattr(logger, name, getattr(logger, name))
    monkeypatch.setattr("sys.stderr", stream)
    set_up_logging("info", "text")
    return stream


def flush() -> None:
    """Have the lines written that wait for others."""
    for handler in logging.getLogger(LOGGER_NAME).handlers:
        handler.flush()


def test_a_line_is_a_moment_a_level_a_message_and_fields(log: io.StringIO) -> None:
    log_event(logging.WARNING, "Something happened", key="main", nothing=None, count=3, stream=False, ms=1.5)

    moment, line = log.getvalue().split(" ", 1)
    assert datetime.fromisoformat(moment).tzinfo is not None
    assert line == "warning Something happened key=main count=3 stream=False ms=1.5\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ('"quoted"', r'"\"quoted\""'),
        ("a=b", '"a=b"'),
        ("two\nlines", r'"two\nlines"'),
        ("\x7f\u2028", r"\x7f\u2028"),
        ("é" * 2001, '"' + "é" * 2000 + '... (2001 characters)"'),
    ],
)
def test_a_field_that_could_be_misread_is_quoted_beside_one_that_could_not(
    log: io.StringIO, value: str, shown: str
) -> None:
    log_event(logging.INFO, "Something happened", before="plain", value=value, after="plain")
    flush()

    assert log.getvalue().endswith(f" before=plain value={shown} after=plain\n")


CONTROLS = ["\x1b[2J", "\x9b2J", "\x7f", "\u2028", "\u202e", "\r\n", "\ud800", "\n1970-01-01T00:00:00.000+00:00 error"]
FROM_OUTSIDE = st.text(max_size=40) | st.sampled_from(CONTROLS)


@pytest.mark.parametrize("form", ["text", "json"])
@given(message=FROM_OUTSIDE, value=FROM_OUTSIDE, said=FROM_OUTSIDE, times=st.sampled_from([1, 2_000]))
def test_nothing_from_outside_is_obeyed_by_a_terminal_or_forges_or_floods_the_log(
    form: str, message: str, value: str, said: str, times: int
) -> None:
    stream = io.StringIO()
    try:
        raise ValueError(said * times)
    except ValueError as error:
        trace = "".join(traceback.format_exception(error))
    Sink(stream, FORMS[form]).write(Line(0.0, logging.ERROR, message * times, {"value": value * times}, trace))
    first, *others = stream.getvalue().removesuffix("\n").split("\n")

    assert all(line.isprintable() for line in (first, *others))
    assert first.startswith("1970-01-01T00:00:00.000+00:00 error" if form == "text" else '{"time":')
    assert all(line.startswith("    ") for line in others)
    assert len(stream.getvalue()) < 300_000
    if form == "json":
        assert others == []
        assert json.loads(first)["level"] == "error"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_message_and_an_exception_are_cut(form: str) -> None:
    stream = io.StringIO()
    fields = {"path": Path("p" * 100_000)}
    Sink(stream, FORMS[form]).write(Line(0.0, logging.ERROR, "m" * 100_000, fields, "t" * 100_000))

    assert stream.getvalue().count("m") < 2_010
    assert stream.getvalue().count("p") < 2_010
    assert stream.getvalue().count("t") < 16_100
    assert stream.getvalue().count("(100000 characters)") == 3


def test_a_line_of_many_fields_is_not_cut(log: io.StringIO) -> None:
    log_event(logging.INFO, "Something happened", first="a" * 1500, second="b" * 1500)
    flush()

    assert log.getvalue().endswith(f" first={'a' * 1500} second={'b' * 1500}\n")


def test_a_line_that_cannot_be_put_into_its_form_is_written_all_the_same(log: io.StringIO) -> None:
    log_event(logging.INFO, "Before")
    log_event(logging.INFO, "Something happened", value="half a pair: \ud800")
    log_event(logging.INFO, "After")
    flush()

    before, between, after = log.getvalue().splitlines()
    assert (before.endswith("Before"), after.endswith("After")) == (True, True)
    assert r"half a pair: \ud800" in between


@given(created=st.floats(86400, 4e9))
def test_the_moment_is_that_of_the_record(created: float) -> None:
    stream = io.StringIO()
    record = logging.LogRecord(LOGGER_NAME, logging.WARNING, "", 0, "Something happened", (), None)
    record.created = created
    Sink(stream, lambda line: line.moment).emit(record)

    assert len(stream.getvalue()) == len("2026-11-21T08:00:00.000+00:00")
    assert abs(datetime.fromisoformat(stream.getvalue()).timestamp() - created) <= 0.001
