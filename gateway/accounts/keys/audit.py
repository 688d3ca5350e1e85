"""Who has changed which key or rule, and when: lines that are added, and never changed."""

import sqlite3
from typing import Final

import msgspec
from msgspec import Raw, Struct

# More would be no description of a change.
_MOST_BYTES: Final = 16 * 1024
_LONGEST: Final = 200


class AuditLine(Struct, frozen=True):
    """One change: `actor` is who, `subject` the id of what was changed. `at` is Unix time."""

    number: int
    at: float
    actor: str
    action: str
    subject: str
    details: Raw


def add_line(connection: sqlite3.Connection, at: float, actor: str, action: str, subject: str, details: object) -> None:
    """Add a line, in the transaction of the change itself; `details` hold no secrets."""
    text = msgspec.json.encode(details)
    if len(text) > _MOST_BYTES:
        text = b'{"too_long":true}'
    connection.execute(
        "INSERT INTO audit (at, actor, action, subject, details) VALUES (?, ?, ?, ?, ?)",
        (at, actor[:_LONGEST], action, subject[:_LONGEST], text.decode()),
    )


def audit_page(connection: sqlite3.Connection, *, before: int | None, limit: int) -> tuple[list[AuditLine], bool]:
    """A page of the lines, the newest first, and whether there are more; `before` is the last page's last number."""
    rows = connection.execute(
        "SELECT number, at, actor, action, subject, details FROM audit WHERE ? IS NULL OR number < ? "
        "ORDER BY number DESC LIMIT ?",
        (before, before, limit + 1),
    )
    lines = [
        AuditLine(number, at, actor, action, subject, Raw(details.encode()))
        for number, at, actor, action, subject, details in rows
    ]
    return lines[:limit], len(lines) > limit
