"""A ledger with rows of a test's choice, written as the gateway writes them."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from gateway.ledger.lane import AccountsFile

HOUR = 3600
DAY = 86_400
# 2026-11-24T00:00:00Z, a Tuesday.
MIDNIGHT = 1_795_478_400
_DIMENSIONS = (
    "caller", "group_name", "end_user", "endpoint", "model", "upstream_key", "batch", "service_tier"
)  # fmt: skip
_SUMS = (
    "requests", "attempts", "errors", "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "thinking",
    "server_tool_uses", "cost", "saved"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Call:
    """A billed call upstream; `at` is in Unix seconds, `cost` in nano-dollars."""

    at: float = MIDNIGHT
    caller: str = "key_a"
    group_name: str = "research"
    end_user: bytes = b""
    endpoint: str = "/v1/chat/completions"
    model: str = "claude-sonnet-5-5"
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

    @property
    def attempts(self) -> int:
        return 1

    @property
    def errors(self) -> int:
        return 0 if self.error is None else 1


def write_ledger(file: Path, *calls: Call, keys: dict[str, str] | None = None) -> None:
    """Write calls with their sums, and stored keys by their ids."""

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        for number, call in enumerate(calls):
            _write(connection, number, call)
        for key_id, name in (keys or {}).items():
            connection.execute(
                "INSERT INTO keys (id, name, hash, prefix, created_at) VALUES (?, ?, ?, ?, 0)",
                (key_id, name, key_id.encode(), key_id[:4]),
            )
        connection.execute("COMMIT")

    AccountsFile(file).run_now(write)


def _write(connection: sqlite3.Connection, number: int, call: Call) -> None:
    milliseconds = int(call.at * 1000)
    named = {name: getattr(call, name) for name in (*_DIMENSIONS, *_SUMS)}
    row = named | {
        "id": milliseconds.to_bytes(6, "big") + number.to_bytes(10, "big"),
        "at": milliseconds,
        "request_id": f"req-{number}",
        "attempt": 1,
        "model_asked": "gpt-5",
        "error": call.error,
    }
    _insert(connection, "attempts", row)
    for table, seconds in (("hours", HOUR), ("days", DAY)):
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in _SUMS)
        _insert(
            connection,
            table,
            named | {"start": int(call.at) // seconds * seconds},
            f" ON CONFLICT DO UPDATE SET {added}",
        )


def _insert(connection: sqlite3.Connection, table: str, row: dict[str, object], more: str = "") -> None:
    columns = [(name, kind) for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")]
    values = [row.get(name, "" if kind == "TEXT" else 0) for name, kind in columns]
    names, marks = ", ".join(name for name, _ in columns), ", ".join("?" * len(columns))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks}){more}", values)
