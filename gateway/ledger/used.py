"""What may be used once by all processes together, such as the console's links."""

import sqlite3

from gateway.private_files.sqlite import Transaction


def used_first(connection: sqlite3.Connection, name: str, until: float, now: float) -> bool:
    """Note that something was used; returns whether it was the first time. What is over is forgotten."""
    with Transaction(connection):
        connection.execute("DELETE FROM used_links WHERE until <= ?", (now,))
        return connection.execute("INSERT OR IGNORE INTO used_links VALUES (?, ?)", (name, until)).rowcount == 1
