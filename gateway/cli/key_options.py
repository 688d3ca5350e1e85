"""The options of `dragoman keys`, and what they mean."""

import argparse
import re
import time
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from gateway.accounts.keys.stored import Edit, LimitsEdit
from gateway.cli.usage import UsageError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d{1,9})([smhdw])")


def add_to(commands: Commands, configured: argparse.ArgumentParser) -> None:
    """Add the command to the others."""
    parser = commands.add_parser("keys", help="make, list and change the keys of callers")
    actions = parser.add_subparsers(dest="action", metavar="action", required=True)
    shared = argparse.ArgumentParser(add_help=False, parents=[configured])
    shared.add_argument("--url", help="a running gateway to ask, with the admin key, instead of the database")
    shared.add_argument("--json", action="store_true", help="print JSON, for programs")

    def add(name: str, help_: str, *, takes_key: bool = True) -> argparse.ArgumentParser:
        found = actions.add_parser(name, parents=[shared], help=help_)
        if takes_key:
            found.add_argument("key", help="its name, its id, or its beginning (dgm-...)")
        return found

    create = add("create", "make a key, and print it this once", takes_key=False)
    create.add_argument("called", nargs="?", metavar="NAME", help="the name of the key; or use --name")
    listing = add("list", "list the keys", takes_key=False)
    for name in ("group", "tag"):
        listing.add_argument(f"--{name}", help=f"only those of a {name}")
    listing.add_argument("--deleted", action="store_true", help="also those that were deleted")
    add("show", "show one key")
    for changing in (create, add("edit", "change a key; '' removes a limit")):
        _add_settings(changing)
    rotate = add("rotate", "make a new secret for a key, and print it this once")
    rotate.add_argument("--grace", default="1d", help="how long the old secret lives, like 2h or 0s (default: 1d)")
    add("disable", "refuse a key from now on")
    add("enable", "accept a key again")
    add("delete", "delete a key for good")
    audit = add("audit", "who has changed what, the newest first", takes_key=False)
    audit.add_argument("--limit", type=int, default=50, help="how many lines (default: 50, at most 100)")
    audit.add_argument("--after", type=int, metavar="NUMBER", help="only lines older than this one")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="its name")
    parser.add_argument("--group", help="its group, in rules and in reports")
    parser.add_argument("--models", help="patterns of models and aliases, with commas: 'claude-haiku-*,gpt-5'")
    parser.add_argument("--endpoints", help="endpoints, with commas: chat/completions,messages")
    parser.add_argument("--networks", help="addresses and networks of callers, with commas: 10.0.0.0/8")
    parser.add_argument("--max-tokens", help="the most output tokens of a request")
    parser.add_argument(
        "--needs-end-user",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether requests have to name their end user",
    )
    parser.add_argument("--expires", help="90d, 12h, a date like 2027-01-31, or never")
    parser.add_argument("--tag", action="append", help="a tag; may be given several times")
    parser.add_argument("--metadata", action="append", metavar="NAME=VALUE", help="may be given several times")
    parser.add_argument(
        "--sees-key",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether answers name the Anthropic key that was used",
    )


def edit_of(options: argparse.Namespace) -> Edit:
    """What the options say of a key; an empty text removes."""
    limits = LimitsEdit(
        models=_listed(options.models),
        endpoints=_listed(options.endpoints),
        networks=_listed(options.networks),
        max_tokens=_most(options.max_tokens),
        needs_end_user=_given(options.needs_end_user),
    )
    said = {
        "name": _given(options.name),
        "group": UNSET if options.group is None else options.group or None,
        "limits": UNSET if limits == LimitsEdit() else limits,
        "tags": UNSET if options.tag is None else tuple(filter(None, options.tag)),
        "metadata": UNSET if options.metadata is None else dict(map(_pair, filter(None, options.metadata))),
        "sees_key": _given(options.sees_key),
        "expires_at": UNSET if options.expires is None else _end(options.expires),
    }
    try:
        # Through the decoder, which checks the limits of each field.
        return msgspec.convert(
            msgspec.to_builtins({name: value for name, value in said.items() if value is not UNSET}), Edit
        )
    except msgspec.ValidationError as error:
        raise UsageError(f"{error}.") from error


def _given(value: Any) -> Any:
    return UNSET if value is None else value


def _listed(text: str | None) -> tuple[str, ...] | UnsetType:
    return UNSET if text is None else tuple(filter(None, map(str.strip, text.split(","))))


def _most(text: str | None) -> int | UnsetType | None:
    if text is None:
        return UNSET
    if not text.strip():
        return None
    if not text.strip().isdecimal():
        raise UsageError(f"--max-tokens: expected a number, or '' for no limit, got '{text}'.")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UsageError(f"--metadata: expected NAME=VALUE, got '{text}'.")
    return name, value


def _end(text: str) -> float | None:
    """The moment that a time from now, or a date, means."""
    if text.strip() in ("", "never"):
        return None
    if (seconds := seconds_of(text)) is not None:
        return time.time() + seconds
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"--expires: expected a time like 90d, a date like 2027-01-31, or never; got '{text}'."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def seconds_of(text: str) -> float | None:
    """The seconds of a time like 2h; None if it is none."""
    found = _DURATION.fullmatch(text.strip())
    return float(found[1]) * _SECONDS[found[2]] if found else None
