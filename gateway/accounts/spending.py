"""What the ledger says was spent, for the meters of rules that begin with it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from gateway.accounts.rules.rule import Measure, What
from gateway.ledger.trouble import AccountsFileError

if TYPE_CHECKING:
    from gateway.ledger.lane import AccountsFile
    from gateway.ledger.queries import Sums

# What a rule counts, out of the ledger's sums: each attempt as a request, and no input that came out of a cache.
_COUNTED: Final[Mapping[What, Callable[["Sums"], int]]] = {
    What.REQUESTS: lambda sums: sums.attempts,
    What.INPUT_TOKENS: lambda sums: sums.prompt - sums.cache_read,
    What.OUTPUT_TOKENS: lambda sums: sums.output,
    What.MONEY: lambda sums: sums.cost,
}


class LedgerSpending:
    """A `Spending`, which reads in the file's thread. Attempts that were not billed are not in the ledger."""

    def __init__(self, file: "AccountsFile") -> None:
        self._file = file

    async def spent(self, measure: Measure, since: float) -> int:
        """What `measure` counts of the attempts that began since then; raises `OSError`."""
        # SQLite is loaded only where it is used.
        from gateway.ledger.queries import Where, spent

        subject = measure.subject
        where = Where(subject.caller, subject.group, subject.end_user, measure.model)
        try:
            sums = await self._file.run(lambda connection: spent(connection, since, where))
        except AccountsFileError as error:
            raise OSError(str(error)) from error
        return _COUNTED[measure.what](sums)

    async def close(self) -> None:
        await self._file.close()
