"""`dragoman store backup FILE`: a copy of the accounts' database, also while the gateway runs."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.cli.usage import UsageError
from gateway.config import load_config
from gateway.ledger.opening import accounts_path
from gateway.ledger.trouble import AccountsFileError
from gateway.private_files.keyfile import key_file

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

_OFF: Final = "There is nothing to copy: accounts.kind is off in the configuration."


def add_to(commands: "Commands", configured: argparse.ArgumentParser) -> None:
    """Add the command to the command line."""
    parser = commands.add_parser(
        "store", parents=[configured], help="copy the database of accounts: callers' keys, rules and the ledger"
    )
    parser.add_argument("action", choices=["backup"], help="copy it to a new file, also while the gateway runs")
    parser.add_argument("file", help="the file to create")


def command(options: argparse.Namespace) -> int:
    """Copy the database, and say what else belongs to it."""
    config = load_config(options.config, os.environ)
    if (source := accounts_path(config.accounts)) is None:
        raise UsageError(_OFF)
    # SQLite is loaded only where it is used.
    from gateway.ledger.backup import back_up

    try:
        size = back_up(source, Path(options.file))
    except AccountsFileError as error:
        raise UsageError(str(error)) from error
    print(f"{options.file}: {size} bytes, a copy of {source}")
    if config.accounts.secret is None:
        print(f"Keys can be checked only with the secret in {key_file(source)}: keep a copy of that too.")
    return 0
