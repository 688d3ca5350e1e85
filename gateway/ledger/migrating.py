"""Brings the database to the newest schema: numbered SQL files, each run once, in one transaction."""

import functools
import importlib.resources
import re
import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.sqlite import Transaction

# "DRGA": what tells this kind of database from another one of ours, and from other programs'.
APPLICATION_ID: Final = 0x44524741
_NAME: Final = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """One step of the schema: its number, and its statements."""

    number: int
    statements: tuple[str, ...]


@functools.cache
def migrations() -> tuple[Migration, ...]:
    """All of them in order."""
    folder = importlib.resources.files(__package__).joinpath("migrations")
    found = {file.name: file for file in folder.iterdir() if _NAME.fullmatch(file.name)}
    return tuple(Migration(int(name[:4]), tuple(_statements(found[name].read_text("utf-8")))) for name in sorted(found))


def migrate(connection: sqlite3.Connection, steps: tuple[Migration, ...] | None = None) -> None:
    """Run what is missing; raises `AccountsFileError` for another program's file, or one of a newer Dragoman.

    Several processes may do this at the same time: each step is decided and run under the write lock.
    """
    steps = migrations() if steps is None else steps
    check_ours(connection, steps[-1].number)
    for step in steps:
        if _number(connection, "user_version") >= step.number:
            continue
        with Transaction(connection):
            # Another process may have done it in the meantime.
            if _number(connection, "user_version") < step.number:
                for statement in step.statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {step.number}")


def check_ours(connection: sqlite3.Connection, newest: int | None = None) -> None:
    """Raise `AccountsFileError` if a database that is not empty is not of this kind, or of a newer schema."""
    newest = migrations()[-1].number if newest is None else newest
    if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return
    if _number(connection, "application_id") != APPLICATION_ID:
        raise AccountsFileError("the database is another program's, choose another accounts.path")
    if (version := _number(connection, "user_version")) > newest:
        raise AccountsFileError(
            f"the database was made by a newer Dragoman (schema {version}, this one knows {newest}): "
            "use that version, or restore a backup made before the upgrade"
        )


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; those of triggers hold semicolons."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if statement.strip():
        raise ValueError(f"A migration ends in the middle of a statement: {statement.strip()[:80]}")


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
