"""A configuration in words, for `dragoman check` and the console."""

from typing import Any

import msgspec
from msgspec import inspect

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


def config_table(config: Config) -> list[dict[str, object]]:
    """The same for programs: sections with their settings, each with its default and its meaning."""
    return [_section(field, getattr(config, field.name)) for field in msgspec.structs.fields(config)]


def _section(field: msgspec.structs.FieldInfo, value: Any) -> dict[str, object]:
    if isinstance(value, tuple):
        entries = [_settings(entry) for entry in value]
        return {"name": field.name, "entries": entries, "none": _NONE.get(field.name, "none")}
    return {"name": field.name, "settings": _settings(value)}


def _settings(section: msgspec.Struct) -> list[dict[str, object]]:
    meanings = {each.name: each for each in inspect.type_info(type(section)).fields}  # type: ignore[attr-defined]
    shown: list[dict[str, object]] = []
    for field in msgspec.structs.fields(section):
        value, default = getattr(section, field.name), _default(field)
        meaning = _meaning(meanings[field.name].type)
        source = "default" if value == default else "configuration"
        shown.append({"name": field.name, "value": _shown(value), "source": source, "meaning": meaning})
    return shown


def _default(field: msgspec.structs.FieldInfo) -> object:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return msgspec.NODEFAULT if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _meaning(kind: inspect.Type) -> str:
    described = kind.extra_json_schema if isinstance(kind, inspect.Metadata) else None
    return str((described or {}).get("description", ""))


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
