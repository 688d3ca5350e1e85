"""The log: one line per event, as text or as JSON, on standard error."""

import asyncio
import contextlib
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, TextIO

import orjson

LOGGER_NAME: Final = "dragoman"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Other loggers whose lines appear here: the server's, and asyncio's for tasks whose exception nobody retrieved.
_LIBRARIES: Final = ("uvicorn.error", "asyncio")
# The attribute of a record that holds its fields.
_FIELDS: Final = "dragoman_fields"

# Callers and upstream choose the values of fields, so their length has a limit.
_LONGEST_FIELD: Final = 2000
# The same for exceptions, whose text may come from outside.
_LONGEST_TRACE: Final = 16_000
# The lines of an exception are indented, so that none can be taken for a line of the log.
_TRACE_INDENT: Final = "    "
# Values with these characters are quoted.
_SPECIAL: Final = re.compile(r'[\x00-\x20"=]')

# Lines are written in batches, so that a request's line does not cost a system call.
FLUSH_SECONDS: Final = 0.05
# PIPE_BUF of Linux: longer writes can be interleaved with those of other processes to the same pipe.
_MOST_BYTES_A_WRITE: Final = 4096

_NOTHING: Final[Mapping[str, object]] = MappingProxyType({})

logger: Final = logging.getLogger(LOGGER_NAME)


def set_up_logging(level: str, form: str, *, worker: int | None = None) -> None:
    """Send the gateway's and the server's log to standard error; `form` is `text` or `json`.

    If `worker` is given, every line ends in its number.
    """
    # `sys.stderr` is None if the process was started without it.
    stream = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as the process
    line_form = _json_line if form == "json" else _text_line
    sink = Sink(stream, line_form if worker is None else _with_fields(line_form, {"worker": worker}))
    sink.is_json = form == "json"
    for name, threshold in ((LOGGER_NAME, _LEVELS[level]), *((name, logging.WARNING) for name in _LIBRARIES)):
        log = logging.getLogger(name)
        for earlier in log.handlers:
            earlier.flush()
        log.handlers = [sink]
        log.propagate = False
        log.setLevel(threshold)


def is_json() -> bool:
    """Whether the log is JSON; then everything else for the operator is written to it too, and no plain text."""
    return any(isinstance(handler, Sink) and handler.is_json for handler in logger.handlers)


def announce(level: int, message: str, text: str, **fields: object) -> None:
    """Tell the operator: `text` on standard error, or a line of the log if that is JSON."""
    if is_json():
        log_event(level, message, **fields)
        return
    with contextlib.suppress(OSError):  # the terminal is gone
        print(text, file=sys.stderr)  # noqa: T201


def log_event(level: int, message: str, data: Mapping[str, object] = _NOTHING, /, **fields: object) -> None:
    """Write one line, if its level is enabled; fields that are None are left out.

    `data` holds fields for JSON only, which replace fields of the same names: what programs need, and what the message
    and the other fields tell people already.
    """
    log_fields(level, message, fields, data)


def log_fields(level: int, message: str, fields: Mapping[str, object], data: Mapping[str, object] = _NOTHING) -> None:
    """Write one line, as `log_event` does, with fields that are there as a mapping."""
    if not logger.isEnabledFor(level):
        return
    given = {name: value for name, value in fields.items() if value is not None}
    is_written = False
    for handler in logger.handlers:
        if isinstance(handler, Sink):
            # Without a `LogRecord`: creating one costs several times as much as the line itself.
            handler.write(_Line(time.time(), level, message, given, data=data))
            is_written = True
    if not is_written:
        logger.log(level, message, extra={_FIELDS: given})


class _Line(NamedTuple):
    """One line, with values that do not change any more; `trace` is an exception's."""

    created: float
    level: int
    message: str
    fields: Mapping[str, object]
    trace: str = ""
    data: Mapping[str, object] = _NOTHING

    @property
    def moment(self) -> str:
        seconds, milliseconds = divmod(int(self.created * 1000), 1000)
        return f"{_second(seconds)}.{milliseconds:03d}+00:00"

    @property
    def level_name(self) -> str:
        return _level_name(self.level)


class Sink(logging.Handler):
    """Writes lines in order: warnings without delay, others after `FLUSH_SECONDS` at the latest.

    Lines are formatted when they are written: many in a row are cheaper than each within its request.
    """

    def __init__(self, stream: TextIO, form: Callable[[_Line], str]) -> None:
        super().__init__()
        self.stream = stream
        self.is_json = False
        self._form = form
        self._lines: list[_Line] = []
        self._due_in: asyncio.AbstractEventLoop | None = None

    def write(self, line: _Line) -> None:
        self._lines.append(line)
        if line.level >= logging.WARNING:
            self.flush()
        else:
            self._flush_soon()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a library's record."""
        try:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            fields = getattr(record, _FIELDS, {})
            self.write(_Line(record.created, record.levelno, record.getMessage(), fields, trace))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write all lines so far; also called at the end of the process."""
        lines, self._lines, self._due_in = self._lines, [], None
        if lines:
            # A log that cannot be written (full disk, closed pipe) is no reason to fail requests.
            with contextlib.suppress(OSError, ValueError):
                for portion in _portions([self._formed(line) for line in lines]):
                    self.stream.write(portion)
                    self.stream.flush()

    def _formed(self, line: _Line) -> str:
        try:
            return self._form(line)
        except Exception:
            # For example half a surrogate pair. A line in another form is better than losing all lines of the batch.
            return f"{_cut(ascii(tuple(line)))}\n"

    def _flush_soon(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if loop is self._due_in:
            return
        self._due_in = loop
        loop.call_later(FLUSH_SECONDS, self.flush)


# Many lines belong to the same second, and formatting the date is the most expensive part of a line.
@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


@cache
def _level_name(level: int) -> str:
    return logging.getLevelName(level).lower()


def _with_fields(form: Callable[[_Line], str], fields: Mapping[str, object]) -> Callable[[_Line], str]:
    """The format, with these fields at the end of every line."""
    return lambda line: form(line._replace(fields={**line.fields, **fields}))


def _portions(lines: Iterable[str]) -> Iterator[str]:
    """The lines, joined into portions that a pipe takes in one piece; a longer line is a portion of its own."""
    portion, size = "", 0
    for line in lines:
        length = len(line.encode(errors="backslashreplace"))
        if portion and size + length > _MOST_BYTES_A_WRITE:
            yield portion
            portion, size = "", 0
        portion += line
        size += length
    yield portion


def _text_line(line: _Line) -> str:
    texts = [str(value) for value in line.fields.values()]
    if not _is_plain("".join(texts)):
        texts = [_shown(text) for text in texts]
    fields = "".join([f" {name}={text}" for name, text in zip(line.fields, texts, strict=True)])
    trace = "".join(f"\n{_TRACE_INDENT}{_on_one_line(part)}" for part in _cut(line.trace).splitlines())
    return f"{line.moment} {line.level_name:<7} {_on_one_line(_shortened(line.message))}{fields}{trace}\n"


def _json_line(line: _Line) -> str:
    known: dict[str, object] = {"time": line.moment, "level": line.level_name, "message": _shortened(line.message)}
    known |= {name: _plain(value) for name, value in {**line.fields, **line.data}.items() if value is not None}
    if line.trace:
        known["exception"] = _cut(line.trace)
    with contextlib.suppress(TypeError):  # orjson refuses half a surrogate pair
        text = orjson.dumps(known).decode()
        # JSON escapes only the ASCII control characters; terminals obey others as well.
        if text.isprintable():
            return f"{text}\n"
    return f"{json.dumps(known)}\n"


def _plain(value: object) -> object:
    """A field's value for JSON, shortened if it is too long."""
    return value if isinstance(value, int | float) else _shortened(str(value))


def _cut(trace: str) -> str:
    return trace if len(trace) <= _LONGEST_TRACE else f"{trace[:_LONGEST_TRACE]}... ({len(trace)} characters)"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}... ({len(text)} characters)"


def _shown(text: str) -> str:
    """A field's value on one line, quoted and escaped if needed."""
    if _is_plain(text):
        return text
    text = _shortened(text)
    return _on_one_line(orjson.dumps(text).decode() if _SPECIAL.search(text) else text)


def _is_plain(text: str) -> bool:
    """Whether a value needs no quotes, escapes or shortening; this check is cheaper than doing it."""
    if len(text) > _LONGEST_FIELD or not text.isprintable():
        return False
    return " " not in text and '"' not in text and "=" not in text


def _on_one_line(text: str) -> str:
    """The text with all unprintable characters escaped, so that nobody can forge a second line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
