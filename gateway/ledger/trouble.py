"""What goes wrong with the accounts' file, in a sentence."""

from typing import Final

from translators.errors import ErrorKind, FailedError, Failure

_SAID: Final = "The accounts of this gateway cannot be reached at the moment. Please try again."


class AccountsFileError(Exception):
    """The file cannot be used at the moment; the text says why, for the log and the command line, without secrets."""


def unavailable(error: AccountsFileError) -> FailedError:
    """What a caller is told; the reason is for the log."""
    return FailedError(Failure(ErrorKind.STORE_UNAVAILABLE, _SAID, detail=str(error)))
