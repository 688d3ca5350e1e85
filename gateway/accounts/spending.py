"""What the ledger says was spent, for the meters of rules that begin with it."""

from typing import TYPE_CHECKING, Final

from gateway.accounts.rules.rule import Measure, What
from gateway.ledger.rows import id_prefix
from gateway.ledger.trouble import AccountsFileError

if TYPE_CHECKING:
    # SQLite is loaded only where it is used.
    import sqlite3

    from gateway.ledger.lane import AccountsFile

# Where the sums of a window stand: it begins where one of their rows begins. A minute has single rows.
_TABLES: Final = {"minute": "attempts", "hour": "hours"}
# Each hour or day by itself, so that one end user is found there by the primary key, among any number of others.
_STARTS: Final = (
    "WITH RECURSIVE starts (begin) AS (SELECT min(start) FROM {table} WHERE start >= ? UNION ALL "
    "SELECT (SELECT min(start) FROM {table} WHERE start > begin) FROM starts WHERE begin IS NOT NULL) "
    "SELECT begin FROM starts"
)
_SUMS: Final = {
    What.REQUESTS: "requests",
    What.INPUT_TOKENS: "input + cache_write_5m + cache_write_1h",
    What.OUTPUT_TOKENS: "output",
    What.MONEY: "cost",
}


class LedgerSpending:
    """A `Spending`, which reads in the file's thread."""

    def __init__(self, file: "AccountsFile") -> None:
        self._file = file

    async def spent(self, measure: Measure, since: float) -> int:
        """What the ledger has; raises `OSError` if it cannot be read."""
        try:
            return await self._file.run(lambda connection: spent(connection, measure, since))
        except AccountsFileError as error:
            raise OSError(str(error)) from error


def spent(connection: "sqlite3.Connection", measure: Measure, since: float) -> int:
    """What the ledger has of a measure in the window that began at `since`."""
    table = _TABLES.get(measure.window, "days")
    conditions, values = ["start >= ?"], list[object]([int(since)])
    if table == "attempts":
        conditions, values = ["id >= ?"], [id_prefix(int(since) * 1000)]
    subject = measure.subject
    if subject.caller is not None:
        conditions.append("caller = ?")
        values.append(subject.caller)
    if subject.group is not None:
        conditions.append("group_name = ?")
        values.append(subject.group)
    if subject.end_user is not None:
        conditions.append("end_user = ?")
        values.append(subject.end_user)
        if table != "attempts":
            conditions[0] = f"start IN ({_STARTS.format(table=table)})"
    if measure.model != "*":
        conditions.append("model GLOB ?")
        values.append(measure.model.replace("[", "[[]").replace("?", "[?]"))
    where = " AND ".join(conditions)
    query = f"SELECT coalesce(sum({_SUMS[measure.what]}), 0) FROM {table} WHERE {where}"  # noqa: S608 - our own names
    return int(connection.execute(query, values).fetchone()[0])
