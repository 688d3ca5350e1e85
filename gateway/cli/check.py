"""`dragoman check`: whether the configuration is right, and what it comes to."""

import argparse
import os
import time
from collections.abc import Sequence

import orjson

from gateway.accounts.keys.stored import StoredKey
from gateway.accounts.rules.definition import Definition
from gateway.cli.aims import MOST, aimless, callers_of
from gateway.config import Config, config_path, config_schema, describe_config, load, load_certificate
from gateway.kept_turns import place_in_words, seals_in_words, try_store
from gateway.ledger.opening import accounts_file
from gateway.private_files.database import is_missing
from gateway.process.certificates import day_of
from gateway.process.parts import tables_of
from gateway.process.serving import check_exposure, run


def command(options: argparse.Namespace) -> int:
    """Print the effective settings, or the schema of all; the mistakes of a configuration are raised."""
    if options.schema:
        print(orjson.dumps(config_schema(), option=orjson.OPT_INDENT_2).decode())
        return 0
    loaded = load(options.config, os.environ)
    config = loaded.config
    check_exposure(config)
    print("\n".join(describe_config(config)))
    if config.server.tls is not None:
        end = load_certificate(config.server.tls).end
        what = "expires" if end > time.time() else "WARNING: has expired,"
        print(f"the certificate: {config.server.tls.certificate}, {what} {day_of(end)}")
    trial = run(try_store(config.store))
    print(f"the store: {place_in_words(config.store)}")
    print(f"the store: {trial.words}" if trial.is_well else f"WARNING: the store cannot be used now: {trial.words}")
    print(f"encrypted_content of /v1/responses: {seals_in_words(config)}")
    for notice in (*loaded.notices, *_aimless(config)):
        print(f"WARNING: {notice}")
    print(f"OK: {config_path(options.config, os.environ) or 'the environment; there is no configuration file'}")
    return 0


def _aimless(config: Config) -> Sequence[str]:
    """Warnings of rules and limits that match nothing."""
    keys, stored, warnings = _accounts(config)
    rules, (models, aliases) = [*config.rules, *stored], tables_of(config)
    warnings += aimless(callers_of(config, keys), models, aliases, rules, keys)
    more = len(warnings) - MOST
    return warnings if more <= 0 else [*warnings[:MOST], f"{more} more rules and limits match nothing"]


def _accounts(config: Config) -> tuple[list[StoredKey], list[Definition], list[str]]:
    """The keys and rules in accounts.db, as far as there is one that can be read."""
    file = accounts_file(config.accounts)
    if file is None or is_missing(file.file):
        return [], [], []
    # SQLite is loaded only where it is used.
    from gateway.accounts.keys.table import living_keys
    from gateway.accounts.rule_table import read_rules
    from gateway.ledger.trouble import AccountsFileError

    try:
        return file.run_now(lambda connection: (living_keys(connection), read_rules(connection)[0], []))
    except AccountsFileError as error:
        return [], [], [f"the accounts cannot be used now: {error}"]
