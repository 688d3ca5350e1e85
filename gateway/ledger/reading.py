"""The ledger for those who read it, in a thread and on a connection of their own; a reload may name another file."""

import asyncio
from typing import TYPE_CHECKING

from gateway.config import AccountsConfig
from gateway.ledger.opening import accounts_file
from gateway.ledger.questions import Reports

if TYPE_CHECKING:
    from gateway.ledger.reports import LedgerReports

_THREAD = "reports"


class LedgerReading:
    """Opens the file when it is first asked."""

    def __init__(self, config: AccountsConfig) -> None:
        self._config = config
        self._reports: LedgerReports | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def reports(self) -> Reports | None:
        """The reports; None where no ledger is kept."""
        if self._reports is None and (file := accounts_file(self._config, _THREAD)) is not None:
            # SQLite is loaded only where it is used.
            from gateway.ledger.reports import LedgerReports

            self._reports = LedgerReports(file)
        return self._reports

    def reload(self, config: AccountsConfig) -> None:
        """Use the file of another configuration."""
        if config == self._config:
            return
        self._config = config
        old, self._reports = self._reports, None
        if old is not None:
            task = asyncio.get_running_loop().create_task(old.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        if self._reports is not None:
            await self._reports.close()
        await asyncio.gather(*self._closing)
