"""`dragoman keys`: makes, lists and changes the keys of callers."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from gateway.accounts.keys.stored import Draft, Edit, Query
from gateway.cli.key_desks import Desk, Shown, desk_for
from gateway.cli.key_options import edit_of, seconds_of
from gateway.cli.table import shortened, table
from gateway.cli.usage import UsageError
from gateway.config import load_config

_PAGE: Final = 100
_WIDTH: Final = 40
_ONCE: Final = "The key of {name} ({prefix}...). Copy it now: it is not stored, and not shown again."
_OLD: Final = "The old secret is accepted until {until}."


def command(options: argparse.Namespace) -> int:
    """Carry out one of the subcommands."""
    desk = desk_for(load_config(options.config, os.environ), options.url)
    _ACTIONS[options.action](desk, options)
    return 0


def _create(desk: Desk, options: argparse.Namespace) -> None:
    if (name := options.called or options.name) is None:
        raise UsageError("A key needs a name: dragoman keys create NAME.")
    edit = edit_of(options)
    said = {field: value for field, value in msgspec.to_builtins(edit).items() if value is not None}
    try:
        draft = msgspec.convert({**said, "name": name}, Draft)
    except msgspec.ValidationError as error:
        raise UsageError(f"{error}.") from error
    _tell_made(desk.create(draft), options)


def _list(desk: Desk, options: argparse.Namespace) -> None:
    query = Query(limit=_PAGE, group=options.group, tag=options.tag, with_deleted=options.deleted)
    page = desk.page(query)
    keys, configured = list(page["data"]), page.get("configured", [])
    while page["has_more"]:
        page = desk.page(msgspec.structs.replace(query, after=keys[-1]["id"]))
        keys += page["data"]
    if options.json:
        _print_json({"object": "list", "data": keys, "configured": configured, "has_more": False})
        return
    heads = ("name", "id", "group", "state", "expires", "limits", "tags")
    rows = [heads, *map(_row, keys), *map(_row, configured)]
    print(table(rows) if len(rows) > 1 else "There are no keys: make one with `dragoman keys create NAME`.")


def _show(desk: Desk, options: argparse.Namespace) -> None:
    _tell(desk.find(options.key), options)


def _edit(desk: Desk, options: argparse.Namespace) -> None:
    edit = edit_of(options)
    if edit == Edit():
        raise UsageError("Nothing to change: say what, for instance --max-tokens 4000.")
    _tell(desk.edit(options.key, edit), options)


def _rotate(desk: Desk, options: argparse.Namespace) -> None:
    grace = seconds_of(options.grace)
    if grace is None:
        raise UsageError(f"--grace: expected a time like 2h, 1d or 0s, got '{options.grace}'.")
    _tell_made(desk.rotate(options.key, grace), options)


def _disable(desk: Desk, options: argparse.Namespace) -> None:
    _tell(desk.switch(options.key, is_enabled=False), options)


def _enable(desk: Desk, options: argparse.Namespace) -> None:
    _tell(desk.switch(options.key, is_enabled=True), options)


def _delete(desk: Desk, options: argparse.Namespace) -> None:
    deleted = desk.delete(options.key)
    _print_json(deleted) if options.json else print(f"The key {deleted['id']} is deleted.")


def _audit(desk: Desk, options: argparse.Namespace) -> None:
    if not 1 <= options.limit <= _PAGE:
        raise UsageError(f"--limit: expected a number from 1 to {_PAGE}.")
    page = desk.audit(options.after, options.limit)
    if options.json:
        _print_json(page)
        return
    rows = [("number", "when", "who", "what", "which", "how")]
    for line in page["data"]:
        details = msgspec.json.encode(line["details"]).decode()
        how = "" if details == "{}" else shortened(details, 2 * _WIDTH)
        rows.append((str(line["number"]), _moment(line["at"]), line["actor"], line["action"], line["subject"], how))
    print(table(rows))


_ACTIONS: Final[Mapping[str, Callable[[Desk, argparse.Namespace], None]]] = {
    "create": _create,
    "list": _list,
    "show": _show,
    "edit": _edit,
    "rotate": _rotate,
    "disable": _disable,
    "enable": _enable,
    "delete": _delete,
    "audit": _audit,
}


# What is printed


def _tell_made(made: Shown, options: argparse.Namespace) -> None:
    """Print a key: alone on standard output, so that a script can take it."""
    if options.json:
        _print_json(made)
        return
    print(_ONCE.format(name=made["name"], prefix=made["prefix"]), file=sys.stderr)
    if made.get("old_secret_until"):
        print(_OLD.format(until=_moment(made["old_secret_until"])), file=sys.stderr)
    print(made["key"])


def _tell(key: Shown, options: argparse.Namespace) -> None:
    if options.json:
        _print_json(key)
        return
    limits = {f"limits.{name}": value for name, value in key.get("limits", {}).items()}
    facts = {**{name: value for name, value in key.items() if name not in ("object", "limits")}, **limits}
    print(table([("field", "value"), *((name, _shown(name, value)) for name, value in facts.items())]))


def _row(key: Shown) -> Sequence[str]:
    limits = key.get("limits", {})
    words = [f"{name}={_shown(name, value)}" for name, value in limits.items() if value]
    return (
        key["name"],
        key.get("id") or f"({key['source']})",
        key.get("group") or "",
        key["state"],
        _moment(key["expires_at"]) if key.get("expires_at") else "",
        shortened(" ".join(words), _WIDTH),
        shortened(",".join(key.get("tags", ())), _WIDTH),
    )


def _shown(name: str, value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(f"{key}={text}" for key, text in value.items())
    return _moment(value) if name.endswith(("_at", "_until")) and isinstance(value, int | float) else str(value)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value)).decode())
