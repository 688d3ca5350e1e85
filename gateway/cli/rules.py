"""`dragoman rules`: lists, adds and removes rules in the accounts' database, which running gateways watch."""

import argparse
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.reading import RuleError, rule_of
from gateway.cli.actor import actor
from gateway.cli.table import table
from gateway.cli.usage import UsageError
from gateway.config import Config, load_config
from gateway.ledger.opening import accounts_file
from translators.errors import FailedError

if TYPE_CHECKING:
    import sqlite3
    from argparse import _SubParsersAction

T = TypeVar("T")

_OFF: Final = "The configuration keeps no accounts (accounts.kind is off), so it has only the rules in its own section."
_NONE: Final = "There are no rules: add one with `dragoman rules add ID --what requests --amount 60 --window minute`."


def add_to(commands: "_SubParsersAction[Any]", configured: argparse.ArgumentParser) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser("rules", help="list, add and remove rules: who may use how much of what")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", parents=[configured], help="list the rules")
    listing.add_argument("--json", action="store_true", help="print JSON")
    adding = actions.add_parser("add", parents=[configured], help="add a rule, or replace the one of that id")
    adding.add_argument("id", help="the name of the rule")
    adding.add_argument("--what", required=True, help="requests, input_tokens, output_tokens, in_flight or money")
    adding.add_argument("--amount", required=True, type=float, help="the most of it; of money in US dollars")
    adding.add_argument("--window", default="total", help="minute, hour, day, month or total")
    adding.add_argument("--aligned", choices=("true", "false"), help="windows of the calendar, or a steady refill")
    adding.add_argument("--scope", default="all", help="all, group, key or end_user")
    adding.add_argument("--of", default="*", help="which groups or keys")
    adding.add_argument("--model", default="*", help="which models, by their ids upstream")
    adding.add_argument("--over", default="refuse", help="refuse, queue or model:NAME")
    adding.add_argument("--hold", help="expected or strict")
    adding.add_argument("--shadow", action="store_true", help="only report what the rule would refuse")
    removing = actions.add_parser("remove", parents=[configured], help="remove a rule")
    removing.add_argument("id", help="the name of the rule")


def command(options: argparse.Namespace) -> int:
    """Carry out one of the subcommands."""
    config = load_config(options.config, os.environ)
    if options.action == "list":
        _list(config, as_json=options.json)
    elif options.action == "add":
        _add(config, options)
    else:
        from gateway.accounts.rule_table import remove_rule

        rule_id = options.id
        _run(config, lambda connection: remove_rule(connection, rule_id, time.time(), actor()))
        print(f"The rule {rule_id} is removed.")
    return 0


def _add(config: Config, options: argparse.Namespace) -> None:
    from gateway.accounts.rule_table import add_rule

    fields = ("id", "what", "amount", "window", "scope", "of", "model", "over", "hold", "shadow")
    written = {name: getattr(options, name) for name in fields}
    written["aligned"] = None if options.aligned is None else options.aligned == "true"
    try:
        definition = msgspec.convert(written, Definition)
        rule_of(definition)
    except (msgspec.ValidationError, RuleError) as error:
        raise UsageError(f"This is not a rule that can be counted: {error}.") from error
    reserved = [rule.id for rule in config.rules]
    _run(config, lambda connection: add_rule(connection, definition, time.time(), actor(), reserved))
    print(f"The rule {definition.id} is in force.")


def _list(config: Config, *, as_json: bool) -> None:
    stored: list[Definition] = []
    if accounts_file(config.accounts) is not None:
        from gateway.accounts.rule_table import read_rules

        stored, _ = _run(config, read_rules)
    rules = [(rule, "configuration") for rule in config.rules] + [(rule, "stored") for rule in stored]
    if as_json:
        shown = [{**msgspec.structs.asdict(rule), "source": source} for rule, source in rules]
        print(msgspec.json.format(msgspec.json.encode({"object": "list", "data": shown})).decode())
        return
    heads = ("id", "what", "amount", "window", "scope", "of", "model", "over", "source")
    rows = [
        (r.id, r.what, f"{r.amount:.15g}", r.window, r.scope, r.of, r.model, _over(r), source) for r, source in rules
    ]
    print(table([heads, *rows]) if rows else _NONE)


def _over(rule: Definition) -> str:
    return f"{rule.over} (shadow)" if rule.shadow else rule.over


def _run(config: Config, action: "Callable[[sqlite3.Connection], T]") -> T:
    from gateway.ledger.trouble import AccountsFileError

    file = accounts_file(config.accounts)
    if file is None:
        raise UsageError(_OFF)
    try:
        return file.run_now(action)
    except FailedError as error:
        raise UsageError(error.failure.message) from error
    except AccountsFileError as error:
        raise UsageError(f"The accounts cannot be used: {error}") from error
