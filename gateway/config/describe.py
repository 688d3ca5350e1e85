"""A configuration in words, for `dragoman check`."""

from typing import Any

import msgspec

from gateway.config.settings import Config
from gateway.secret import Secret

_NONE = {
    "keys": "none: callers send Anthropic keys of their own, which are passed on",
    "rules": "none: callers may use as much as the keys allow",
    "clients": "none: anybody on this machine may use it, until there are keys for callers",
}


def describe_config(config: Config) -> list[str]:
    """One line for each section, key and client; secrets are shown only as set or not."""
    lines: list[str] = []
    for field in msgspec.structs.fields(config):
        section = getattr(config, field.name)
        if isinstance(section, tuple):
            lines += [f"{field.name}: {_described(entry)}" for entry in section] or [
                f"{field.name}: {_NONE[field.name]}"
            ]
        else:
            lines.append(f"{field.name}: {_described(section)}")
    return lines


def _described(section: msgspec.Struct) -> str:
    settings = msgspec.structs.asdict(section)
    return ", ".join(f"{name} {_shown(value)}" for name, value in settings.items())


def _shown(value: Any) -> str:
    match value:
        case None:
            return "not set"
        case Secret():
            return "set"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.15g}"
        case dict():
            return "{" + ", ".join(f"{name}: {_shown(target)}" for name, target in value.items()) + "}"
        case msgspec.Struct():
            return "{" + _described(value) + "}"
        case tuple():
            return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value)
