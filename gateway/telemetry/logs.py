"""The log: one line an event, as text or as JSON, on standard error."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final

import orjson

LOGGER_NAME: Final = "dragoman"
_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
# Where `fields=` of a record is kept.
_FIELDS: Final = "dragoman_fields"

# Callers and upstreams choose what stands in fields; the log is no place to keep all of it.
_LONGEST_FIELD: Final = 2000

logger: Final = logging.getLogger(LOGGER_NAME)


def set_up_logging(level: str, form: str) -> None:
    """Send the gateway's and the server's log to standard error; `form` is `text` or `json`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    for name, threshold in ((LOGGER_NAME, _LEVELS[level]), ("uvicorn.error", logging.WARNING)):
        log = logging.getLogger(name)
        log.handlers = [handler]
        log.propagate = False
        log.setLevel(threshold)


def log_event(level: int, message: str, **fields: object) -> None:
    """Write one line, unless nobody listens at that level; fields that are None are left out."""
    if logger.isEnabledFor(level):
        given = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, message, extra={_FIELDS: given})


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_shown(value)}" for name, value in getattr(record, _FIELDS, {}).items())
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{_moment(record)} {record.levelname.lower():<7} {_on_one_line(record.getMessage())}{fields}{trace}"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _moment(record), "level": record.levelname.lower(), "message": record.getMessage()}
        line |= {name: _cut(value) for name, value in getattr(record, _FIELDS, {}).items()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def _cut(value: object) -> object:
    return value if not isinstance(value, str) or len(value) <= _LONGEST_FIELD else value[:_LONGEST_FIELD]


def _shown(value: object) -> str:
    """A field's value on one line, however it came."""
    text = str(value)
    if len(text) > _LONGEST_FIELD:
        text = f"{text[:_LONGEST_FIELD]}... ({len(text)} characters)"
    return _on_one_line(orjson.dumps(text).decode() if any(c <= " " or c in '"=' for c in text) else text)


def _on_one_line(text: str) -> str:
    """The text with everything escaped that a terminal would not print: nobody can forge a second line."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
