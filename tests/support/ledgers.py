"""Ledgers for tests: requests that have ended, rows, and what a file holds."""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.ledger.lane import AccountsFile
from gateway.ledger.rows import COLUMNS, Row, id_prefix, rows_of
from gateway.ledger.writing import write_rows
from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry, Record
from translators.message_usage import STANDARD, MessageUsage, total_of
from translators.prices import Charge
from translators.usage import Usage

HOUR = 3600
DAY = 86_400
# 2026-11-24T00:00:00Z, a Tuesday.
MIDNIGHT = 1_795_478_400
NOON = 1_796_040_000.0
MODEL = "claude-sonnet-5-5"
_numbers = itertools.count()


def entry(*messages: MessageUsage, at: float = NOON, error: str | None = None, **more: Any) -> AttemptEntry:
    """An attempt with the usage of its messages, each of them a call of a model."""
    found: dict[str, Any] = {
        "id": id_prefix(int(at * 1000)) + next(_numbers).to_bytes(10, "big"),
        "key": "main",
        "host": "api.anthropic.com",
        "model": MODEL,
        "began_at": at,
        "seconds": 1.5,
        "first_token_seconds": 0.25,
        "status": 200,
        "upstream_request_id": "req_1",
        "stop_reason": None if error else "end_turn",
        "error": error,
        "messages": messages,
        "total": total_of(messages),
        "is_estimated": False,
        "terms": STANDARD,
        "charge": Charge(1_500, "list:1", 20),
    }
    return AttemptEntry(**{**found, **more})


def ended(*entries: AttemptEntry, **more: Any) -> Ended:
    """A request with these attempts."""
    record = Record(
        attempts=len(entries),
        key="main",
        model=MODEL,
        fallback=None,
        adjusted=None,
        upstream_request_id=None,
        upstream_headers={},
        stop_reason=None,
        answer_usage=Usage(),
        entries=entries,
        failures=(),
        said=(),
        waited_seconds=0.0,
        first_token_seconds=None,
    )
    found: dict[str, Any] = {
        "request_id": f"req_{next(_numbers)}",
        "endpoint": "/v1/chat/completions",
        "caller": "app",
        "key_id": None,
        "group": None,
        "end_user": None,
        "model": "gpt-5",
        "is_stream": False,
        "at": NOON,
        "seconds": 2.0,
        "record": record,
    }
    return Ended(**{**found, **more})


def used(read: int = 10, written: int = 5, **more: Any) -> MessageUsage:
    """The usage of one call of a model."""
    return MessageUsage(MODEL, input_tokens=read, output_tokens=written, **more)


def rows(*requests: Ended) -> list[Row]:
    """Their rows."""
    return [row for request in requests for row in rows_of(request)]


def row(at: float = NOON, **columns: Any) -> Row:
    """One row, with some columns set."""
    (made,) = rows(ended(entry(used(), at=at)))
    return tuple(columns.get(name, value) for name, value in zip(COLUMNS, made, strict=True))


@dataclass(frozen=True, slots=True)
class Call:
    """A billed call upstream; `at` is in Unix seconds, `cost` in nano-dollars. Other fields are columns of its row."""

    at: float = MIDNIGHT
    caller: str = "key_a"
    group_name: str = "research"
    end_user: bytes = b""
    endpoint: str = "/v1/chat/completions"
    model: str = MODEL
    upstream_key: str = "main"
    batch: int = 0
    service_tier: str = "standard"
    requests: int = 1
    error: str | None = None
    input: int = 100
    cache_read: int = 20
    cache_write_5m: int = 3
    cache_write_1h: int = 4
    output: int = 50
    thinking: int = 10
    server_tool_uses: int = 0
    cost: int = 1_000_000
    saved: int = 250


def write_ledger(file: Path, *calls: Call, keys: Mapping[str, str] | None = None) -> None:
    """Write calls as the gateway does, and stored keys by their ids."""
    made = [row(call.at, **{name: value for name, value in asdict(call).items() if name != "at"}) for call in calls]

    def write(connection: sqlite3.Connection) -> None:
        write_rows(connection, made)
        connection.executemany(
            "INSERT INTO keys (id, name, hash, prefix, created_at) VALUES (?, ?, ?, ?, 0)",
            [(key_id, name, key_id.encode(), key_id[:4]) for key_id, name in (keys or {}).items()],
        )

    AccountsFile(file).run_now(write)


@contextlib.contextmanager
def unusable(file: Path) -> Iterator[None]:
    """A folder where the file should be; then the file is there again."""
    away = file.with_name(f"away-{file.name}")
    file.rename(away)
    while True:
        try:
            file.mkdir()
            break
        except FileExistsError:
            # Somebody has made a new one meanwhile.
            file.unlink()
    yield
    file.rmdir()
    away.rename(file)


def table(file: Path, name: str = "attempts") -> list[Mapping[str, Any]]:
    """All rows of a table, as a process that only reads sees them."""
    with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(found) for found in connection.execute(f"SELECT * FROM {name}")]
