"""Who may read the ledger over HTTP, and what is said where there is none."""

from collections.abc import Callable

from starlette.types import Scope

from gateway.accounts.guesses import Guesses
from gateway.ledger.questions import Reports
from gateway.ledger.trouble import AccountsFileError
from gateway.pages.admin import AdminKeys, check_admin
from translators.errors import ErrorKind, FailedError, Failure

_OFF = "This gateway keeps no ledger: accounts.kind is off in its configuration."


class LedgerAccess:
    """What the pages that read the ledger share; `find` gives None where there is no ledger."""

    def __init__(self, keys: AdminKeys, guesses: Guesses, find: Callable[[], Reports | None]) -> None:
        self._keys = keys
        self._guesses = guesses
        self._find = find

    def check(self, scope: Scope) -> None:
        """Raise `FailedError` unless the caller may read."""
        check_admin(scope, self._keys, self._guesses)

    @property
    def is_on(self) -> bool:
        """Whether there is a ledger."""
        return self._find() is not None

    def reports(self) -> Reports:
        """The ledger's reports; raises `FailedError` where there are none."""
        if (reports := self._find()) is None:
            raise FailedError(Failure(ErrorKind.INVALID_REQUEST, _OFF, code="ledger_off"))
        return reports

    def unreadable(self, error: AccountsFileError) -> FailedError:
        """What a caller is told if the file cannot be read; where it lies is the operator's business, as is the key."""
        message = "The ledger cannot be read at the moment."
        return FailedError(Failure(ErrorKind.STORE_UNAVAILABLE, message, detail=str(error)))
