"""Claims of alerts in accounts.db, where all workers see them, also after a restart."""

from typing import TYPE_CHECKING, Final

from gateway.alerts.alert import TOTAL, Alert
from gateway.config import AccountsConfig
from gateway.ledger.opening import accounts_file
from gateway.ledger.trouble import AccountsFileError

if TYPE_CHECKING:
    # SQLite is loaded only where it is used.
    import sqlite3

_CLAIM: Final = """
    INSERT OR IGNORE INTO alerts (name, at)
    SELECT :name, :at WHERE NOT EXISTS (SELECT 1 FROM alerts WHERE name = :earlier AND at >= :quiet_since)
"""
# Windows are over after a month at most; what has no end is never sent again.
_KEEP_SECONDS: Final = 400 * 86_400.0
_MOST_PRUNED: Final = 100
_PRUNE: Final = f"""
    DELETE FROM alerts WHERE name IN (
        SELECT name FROM alerts WHERE at < ? AND name NOT LIKE '%/{TOTAL}/%' LIMIT {_MOST_PRUNED}
    )
"""  # noqa: S608 - constants


class StoredClaims:
    """`Claims` that are shared through the accounts' file, which is opened for each: there are few."""

    def __init__(self, config: AccountsConfig) -> None:
        self._config = config

    async def claim(self, alert: Alert) -> bool:
        file = accounts_file(self._config, "alerts")
        if file is None:
            return True
        try:
            return await file.run(lambda connection: _claim(connection, alert))
        except AccountsFileError as error:
            raise OSError(str(error)) from error
        finally:
            await file.close()


def _claim(connection: "sqlite3.Connection", alert: Alert) -> bool:
    values = {"name": alert.name, "at": alert.at, "earlier": alert.earlier, "quiet_since": alert.quiet_since}
    is_first = connection.execute(_CLAIM, values).rowcount == 1
    if is_first:
        connection.execute(_PRUNE, (alert.at - _KEEP_SECONDS,))
    return is_first
