"""JSON Schema for structured outputs and strict tools: what Claude's grammar lacks is moved into descriptions.

The subset is that of section 13.2 of the Messages reference. The same schema always gives the same bytes, with keys in
their original order, because prompt caches and the compiled grammar depend on them.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson

from translators.limits import MAX_SCHEMA_PLACES, MAX_SCHEMA_VALUES
from translators.remembered import Remembered
from translators.schema_places import (
    DEFINITIONS,
    Body,
    OutsideSubsetError,
    Schema,
    described,
    references,
    string,
    values,
)
from translators.weight import has_more_values

# Section 12 of the Messages reference: for all enforced schemas of one request together.
MAX_OPTIONAL: Final = 24
MAX_UNIONS: Final = 16
_MAX_DEPTH: Final = 100

_TYPES: Final = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
# Keywords whose removal would change the meaning of a schema, so that a description cannot replace them.
_BEYOND: Final = (
    "not",
    "if",
    "then",
    "else",
    "patternProperties",
    "propertyNames",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
    "prefixItems",
    "contains",
    "additionalItems",
    "$dynamicRef",
    "$recursiveRef",
)
_KEYWORDS_OF_TYPE: Final = {
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


@dataclass(frozen=True, slots=True)
class Structured:
    """A schema within the subset, and its counts towards the limits."""

    json: bytes
    optional_parameters: int
    unions: int

    def fits(self, optional_parameters: int = 0, unions: int = 0) -> bool:
        """Whether it is within the limits together with others that have these counts."""
        optional, all_unions = self.optional_parameters + optional_parameters, self.unions + unions
        return optional <= MAX_OPTIONAL and all_unions <= MAX_UNIONS


def schema_hash(schema: bytes) -> str:
    """The hash that identifies a schema."""
    return hashlib.sha256(schema).hexdigest()


# Conversion is pure, and the same schema recurs with every turn.
_REMEMBERED: Final = Remembered[Structured | str](4 * 2**20)
# In addition to the texts.
_OBJECT_BYTES: Final = 1_500


def structured(schema: bytes) -> Structured:
    """The schema (JSON) within the subset; raises `OutsideSubsetError`."""
    found = _REMEMBERED.get(schema)
    if found is None:
        try:
            found = _converted(schema)
        except OutsideSubsetError as error:
            found = str(error)
        size = len(found if isinstance(found, str) else found.json)
        _REMEMBERED.put(schema, found, len(schema) + size + _OBJECT_BYTES)
    if isinstance(found, str):
        raise OutsideSubsetError(found)
    return found


def _converted(schema: bytes) -> Structured:
    if has_more_values(schema, MAX_SCHEMA_VALUES):
        raise OutsideSubsetError("it is too large")
    try:
        read = msgspec.json.decode(schema)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise OutsideSubsetError(f"it cannot be read: {error}") from error
    conversion = _Conversion(read)
    try:
        converted = conversion.convert_root()
        return Structured(orjson.dumps(converted), conversion.optional_parameters, conversion.unions)
    except (TypeError, RecursionError) as error:
        raise OutsideSubsetError(f"a value cannot be written: {error}") from error


def with_own_definitions(schema: Any, prefix: str) -> Any:
    """A converted schema with its definitions renamed, so that several schemas can be combined into one."""
    if isinstance(schema, list):
        return [with_own_definitions(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    renamed: Schema = {}
    for key, value in schema.items():
        if key in ("enum", "const", "default"):
            renamed[key] = value
        elif key == "properties":
            # These names are the caller's, and may be keywords of JSON Schema.
            renamed[key] = {name: with_own_definitions(item, prefix) for name, item in value.items()}
        elif key in DEFINITIONS:
            own = {prefix + name: with_own_definitions(item, prefix) for name, item in value.items()}
            renamed["$defs"] = {**renamed.get("$defs", {}), **own}
        elif key == "$ref":
            renamed[key] = f"#/$defs/{prefix}{value.rpartition('/')[2]}"
        else:
            renamed[key] = with_own_definitions(value, prefix)
    return renamed


class _Conversion:
    """The conversion of one schema; counts what is limited."""

    def __init__(self, root: Any) -> None:
        self.optional_parameters = 0
        self.unions = 0
        self._root = root
        self._depth = 0
        self._places = 0

    def convert_root(self) -> Schema:
        self._check_recursion()
        return self.convert(self._root, is_root=True)

    def convert(self, schema: Any, *, is_root: bool = False) -> Schema:
        if not isinstance(schema, dict):
            raise OutsideSubsetError("a place where anything goes")
        self._depth += 1
        self._places += 1
        if self._depth > _MAX_DEPTH:
            raise OutsideSubsetError("it is nested too deeply")
        if self._places > MAX_SCHEMA_PLACES:
            raise OutsideSubsetError("it is too large")
        try:
            return self._convert(schema, is_root)
        finally:
            self._depth -= 1

    def _convert(self, schema: Schema, is_root: bool) -> Schema:
        for keyword in _BEYOND:
            if keyword in schema:
                raise OutsideSubsetError(f"'{keyword}'")
        if "$ref" in schema:
            return self._reference(schema, is_root)
        if "allOf" in schema:
            return self._all_of(schema, is_root)
        body = self._body(schema)
        return self._with_definitions(described(schema, body), schema) if is_root else described(schema, body)

    def _body(self, schema: Schema) -> "Body":
        union = schema.get("anyOf", schema.get("oneOf"))
        if union is not None:
            if not isinstance(union, list) or not union:
                raise OutsideSubsetError("a union without members")
            self.unions += 1
            key = "anyOf" if "anyOf" in schema else "oneOf"
            return Body({"anyOf": [self.convert(member) for member in union]}, {key})
        if "enum" in schema or "const" in schema:
            return values(schema)
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._several_types(schema, kind)
        if not isinstance(kind, str):
            raise OutsideSubsetError("a place where anything goes")
        if kind not in _TYPES:
            raise OutsideSubsetError(f"the type '{kind}'")
        builder = {"object": self._object, "array": self._array, "string": string}.get(kind)
        return builder(schema) if builder else Body({"type": kind}, {"type"})

    def _object(self, schema: Schema) -> "Body":
        properties = schema.get("properties")
        # Only a closed object without properties can be nothing but `{}`. An open one can be anything.
        is_empty = properties in (None, {}) and schema.get("additionalProperties") is False
        properties = {} if is_empty else properties
        if not isinstance(properties, dict) or not (properties or is_empty):
            raise OutsideSubsetError("an object without properties")
        if schema.get("additionalProperties", False) is not False:
            raise OutsideSubsetError("an object with further properties")
        required = schema.get("required") or []
        if not isinstance(required, list) or not all(isinstance(name, str) and name in properties for name in required):
            raise OutsideSubsetError("'required' names something else than properties")
        self.optional_parameters += len(properties.keys() - required)
        converted: Schema = {
            "type": "object",
            "properties": {name: self.convert(value) for name, value in properties.items()},
        }
        if required:
            converted["required"] = required
        converted["additionalProperties"] = False
        return Body(converted, {"type", "properties", "required", "additionalProperties"})

    def _array(self, schema: Schema) -> "Body":
        converted: Schema = {"type": "array", "items": self.convert(schema.get("items"))}
        used = {"type", "items"}
        if schema.get("minItems") in (0, 1):
            converted["minItems"] = schema["minItems"]
            used.add("minItems")
        return Body(converted, used)

    def _several_types(self, schema: Schema, kinds: list[Any]) -> "Body":
        """`type: [string, null]` as a union, each member with the keywords for its own type."""
        self.unions += 1
        used = {"type"}
        members = []
        if not all(isinstance(kind, str) for kind in kinds):
            raise OutsideSubsetError("a type that is no word")
        if len(set(kinds)) < len(kinds):
            # Each member would repeat the whole inner schema, which could repeat again inside.
            raise OutsideSubsetError("the same type twice")
        for kind in kinds:
            own = {key: schema[key] for key in _KEYWORDS_OF_TYPE.get(kind, ()) if key in schema}
            used |= own.keys()
            members.append(self.convert({"type": kind, **own}))
        if not members:
            raise OutsideSubsetError("a union without members")
        return Body({"anyOf": members} if len(members) > 1 else members[0], used)

    def _reference(self, schema: Schema, is_root: bool) -> Schema:
        """References are kept; the grammar ignores keywords beside a reference, so they are left out."""
        reference = schema["$ref"]
        self._definition(reference)
        converted: Schema = {"$ref": reference}
        return self._with_definitions(converted, schema) if is_root else converted

    def _all_of(self, schema: Schema, is_root: bool) -> Schema:
        """A single member (Pydantic wraps references in this way) replaces the whole; several members are kept."""
        members = schema["allOf"]
        if not isinstance(members, list) or not members:
            raise OutsideSubsetError("'allOf' without members")
        if len(members) == 1 and isinstance(members[0], dict):
            beside = {key: value for key, value in schema.items() if key != "allOf"}
            self._places += len(beside) + 1
            return self.convert({**members[0], **beside}, is_root=is_root)
        if any(isinstance(member, dict) and "$ref" in member for member in members):
            raise OutsideSubsetError("'allOf' with a reference")
        if any(isinstance(member, dict) and member.get("type") == "object" for member in members):
            # Each object would have to be closed, and then none could have the others' properties.
            raise OutsideSubsetError("'allOf' with several objects")
        converted = described(schema, Body({"allOf": [self.convert(member) for member in members]}, {"allOf"}))
        return self._with_definitions(converted, schema) if is_root else converted

    def _with_definitions(self, converted: Schema, schema: Schema) -> Schema:
        for key in DEFINITIONS:
            if isinstance(schema.get(key), dict):
                converted[key] = {name: self.convert(value) for name, value in schema[key].items()}
        return converted

    def _definition(self, reference: Any) -> tuple[tuple[str, str], Any]:
        """The name and schema that a reference points to; only definitions within the schema are supported."""
        parts = reference.split("/") if isinstance(reference, str) else []
        if len(parts) != 3 or parts[0] != "#" or parts[1] not in DEFINITIONS:
            raise OutsideSubsetError(f"the reference {reference!r}")
        definitions = self._root.get(parts[1]) if isinstance(self._root, dict) else None
        name = parts[2].replace("~1", "/").replace("~0", "~")
        if not isinstance(definitions, dict) or name not in definitions:
            raise OutsideSubsetError(f"the reference {reference!r} leads nowhere")
        return (parts[1], name), definitions[name]

    def _check_recursion(self) -> None:
        """Reject recursive definitions, which have no finite grammar."""
        # By name, since one reference can be written in many ways.
        done: set[tuple[str, str]] = set()

        def visit(schema: Any, open_names: tuple[tuple[str, str], ...]) -> None:
            for reference in references(schema):
                name, definition = self._definition(reference)
                if name in open_names or len(open_names) > _MAX_DEPTH:
                    raise OutsideSubsetError(f"recursion ({reference})")
                if name not in done:
                    visit(definition, (*open_names, name))
                    done.add(name)

        visit(self._root, ())
