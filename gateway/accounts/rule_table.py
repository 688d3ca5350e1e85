"""The table of rules: functions of a connection to accounts.db."""

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.accounts.keys.audit import add_line
from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.reading import RuleError, read_definition, rule_of
from gateway.private_files.sqlite import Transaction
from translators.errors import ErrorKind, FailedError, Failure, TranslationError

MOST_RULES: Final = 1_000


def read_rules(connection: sqlite3.Connection) -> tuple[list[Definition], list[str]]:
    """All rules in the order in which they were added, and what is wrong with those that cannot be read."""
    found: list[Definition] = []
    wrong: list[str] = []
    for rule_id, text in connection.execute(
        "SELECT id, definition FROM rules ORDER BY created_at, id LIMIT ?", (MOST_RULES,)
    ):
        try:
            definition = read_definition(text)
            rule_of(definition)
        except RuleError as error:
            wrong.append(f"{rule_id}: {error}")
        else:
            found.append(definition)
    return found, wrong


def add_rule(
    connection: sqlite3.Connection, definition: Definition, now: float, actor: str, reserved: Sequence[str] = ()
) -> None:
    """Add a rule, or replace the one of that id; raises `TranslationError` for one that cannot be counted.

    `reserved` are the ids of rules in the configuration, which stay as they are.
    """
    try:
        rule_of(definition)
    except RuleError as error:
        raise TranslationError(f"Invalid '{error.field}': {error.message}.", param=error.field) from error
    if definition.id in reserved:
        what = f"The rule '{definition.id}' is in the configuration, and can only be changed there."
        raise TranslationError(what, param="id", code="name_taken")
    text = msgspec.json.encode(definition).decode()
    with Transaction(connection):
        count = connection.execute("SELECT count(*) FROM rules WHERE id <> ?", (definition.id,)).fetchone()[0]
        if count >= MOST_RULES:
            raise TranslationError(f"There are {MOST_RULES:,} rules, which is the most: remove some first.")
        is_new = not connection.execute("SELECT 1 FROM rules WHERE id = ?", (definition.id,)).fetchone()
        connection.execute(
            "INSERT INTO rules (id, definition, created_at) VALUES (?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET definition = excluded.definition",
            (definition.id, text, now),
        )
        action = "rule.added" if is_new else "rule.changed"
        add_line(connection, now, actor, action, definition.id, msgspec.to_builtins(definition))


def remove_rule(connection: sqlite3.Connection, rule_id: str, now: float, actor: str) -> None:
    """Remove a rule; raises `FailedError` if there is none of that id."""
    with Transaction(connection):
        if not connection.execute("DELETE FROM rules WHERE id = ?", (rule_id,)).rowcount:
            raise FailedError(
                Failure(ErrorKind.UNKNOWN_ID, f"There is no rule '{rule_id[:64]}'.", code="rule_not_found")
            )
        add_line(connection, now, actor, "rule.removed", rule_id, {})
