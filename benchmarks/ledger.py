"""The ledger: what a row costs its thread, how large a file becomes, and how long a report takes.

`python -m benchmarks.ledger [rows]`; a million rows take half a minute.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.accounts.rules.rule import Measure, What
from gateway.accounts.spending import spent
from gateway.ledger.batches import MOST_ROWS_A_BATCH, Batches
from gateway.ledger.lane import AccountsFile
from gateway.ledger.questions import Question
from gateway.ledger.reports import lines_of
from gateway.ledger.rows import rows_of
from gateway.service.attempt import attempt_id
from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry, Record
from translators.message_usage import STANDARD, MessageUsage
from translators.prices import prices_of
from translators.usage import Usage

_ROWS: Final = 1_000_000
_DAY: Final = 86_400
_DAYS: Final = 30
_CALLERS: Final = 20
_MODELS: Final = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5")
# The end of the rows: a whole day after the last of them.
_NOW: Final = 1_796_083_200


def ledger(count: int = _ROWS, users: int = 50) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure, for so many rows in 30 days, of 20 callers with `users` end users in all."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "accounts.db")
        batches = Batches(AccountsFile(file), lambda: b"a secret of the benchmark")
        batches.probe()
        spent_seconds = 0.0
        for begin in range(0, count, MOST_ROWS_A_BATCH):
            requests = [_ended(number, count, users) for number in range(begin, min(begin + MOST_ROWS_A_BATCH, count))]
            began = time.thread_time()
            batches.add([row for request in requests for row in rows_of(request, batches.users)])
            spent_seconds += time.thread_time() - began
        batches.close()
        assert not batches.trouble, batches.trouble
        yield f"a row, of {users} end users", f"{spent_seconds / count * 1e6:.1f} µs of CPU in its thread"
        yield f"a file of {count:,} rows", f"{file.stat().st_size / 2**20:.0f} MiB"
        yield from AccountsFile(file).run_now(_asked)


def _asked(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    week = Question(_NOW - 7 * _DAY, _NOW, ("key", "model"))
    month, minute = (Measure("rule", What.MONEY, 1, window, True) for window in ("month", "minute"))
    return [
        ("usage by key and model, 7 days", _milliseconds(lambda: lines_of(connection, week, 10_000))),
        ("spent of everybody, this month", _milliseconds(lambda: spent(connection, month, _NOW - _DAYS * _DAY))),
        ("spent of everybody, this minute", _milliseconds(lambda: spent(connection, minute, _NOW - _DAY - 60))),
    ]


def _milliseconds(work: object) -> str:
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return f"{(time.perf_counter() - began) * 1000:.1f} ms"


_PRICES: Final = prices_of({})


def _ended(number: int, count: int, users: int) -> Ended:
    at = _NOW - _DAY - _DAYS * _DAY * (1 - number / count)
    model = _MODELS[number % len(_MODELS)]
    used = MessageUsage(model, 100 + number % 900, number % 5000, number % 50, 0, number % 800, service_tier="standard")
    entry = AttemptEntry(
        attempt_id(at), "main", "api.anthropic.com", model, at, 1.5, 0.4, 200, "req_011C", "end_turn", None,
        (used,), used, False, STANDARD, _PRICES.total((used,), model),
    )  # fmt: skip
    record = Record(1, "main", model, None, None, None, {}, "end_turn", Usage(), [entry], (), (), 0.0, 0.4)
    caller = f"team-{number % _CALLERS}"
    user = f"user-{number % users}@example.com" if users else None
    return Ended(f"{number:032x}", "/v1/chat/completions", caller, None, None, user, model, True, at, 1.5, record)


if __name__ == "__main__":
    for name, figure in ledger(*map(int, sys.argv[1:])):
        print(f"{name:45} {figure}")
