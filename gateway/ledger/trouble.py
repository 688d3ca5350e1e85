"""What goes wrong with the accounts' file, in a sentence."""


class AccountsFileError(Exception):
    """The file cannot be used at the moment; the text says why, for the log and the command line, without secrets."""
