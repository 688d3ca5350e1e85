"""The JSON Schema of the configuration file, for editors that complete and check it."""

from typing import Any

import msgspec

from gateway.config.settings import Config
from gateway.secret import Secret

_VARIABLE = {"type": "string", "pattern": r"\$\{", "description": "Taken from the environment: ${NAME}."}
_ONE_TEXT = {"type": "string", "minLength": 1}


def config_schema() -> dict[str, object]:
    """The JSON Schema of the file as written, with the forms of secrets, and `${NAME}` wherever it is allowed."""
    _, definitions = msgspec.json.schema_components([Config], schema_hook=_secret_schema)
    schemas = {name: _as_written(schema) for name, schema in definitions.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schemas.pop("Config"),
        "title": "Dragoman configuration",
        "$defs": schemas,
    }


def _secret_schema(kind: type) -> dict[str, object]:
    if kind is not Secret:
        raise NotImplementedError(kind)
    command = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    return {
        "anyOf": [
            _ONE_TEXT | {"description": "The secret itself, or better ${NAME}."},
            _source("env", _ONE_TEXT, "An environment variable's value."),
            _source("file", _ONE_TEXT, "A file's content; relative paths start at the configuration's folder."),
            _source("command", command, "What a program prints, given with its arguments; no shell is involved."),
        ]
    }


def _source(name: str, value: dict[str, Any], description: str) -> dict[str, object]:
    return {
        "type": "object",
        "description": description,
        "properties": {name: value},
        "required": [name],
        "additionalProperties": False,
    }


def _as_written(schema: Any) -> Any:
    """The schema with `${NAME}` allowed in place of numbers, booleans and enumerated words."""
    if isinstance(schema, list):
        return [_as_written(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written = {name: _as_written(part) for name, part in schema.items() if name not in ("default", "required")}
    if schema.get("required"):
        written["required"] = schema["required"]
    # A section's default follows from those of its settings; a list's default is empty.
    if "default" in schema and not isinstance(schema["default"], dict | tuple):
        written["default"] = schema["default"]
    if "enum" not in schema and schema.get("type") not in ("integer", "number", "boolean"):
        return written
    about = {name: written.pop(name) for name in ("description", "default") if name in written}
    return about | {"anyOf": [written, _VARIABLE]}
