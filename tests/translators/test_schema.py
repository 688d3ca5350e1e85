"""Schemas for structured outputs: always inside the subset, never with another meaning than the caller's."""

import json
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from tests.support.subset import outside_subset
from translators.schema import structured
from translators.schema_places import OutsideSubsetError

TEXT = {"type": "string"}
POINT = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}
CLOSED_POINT = {**POINT, "additionalProperties": False}
CLOSED = {"type": "object", "properties": {}, "additionalProperties": False}


def converted(schema: Any) -> Any:
    return json.loads(structured(json.dumps(schema).encode()).json)


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (POINT, CLOSED_POINT),
        ({"type": "string", "minLength": 2}, {"description": "{minLength: 2}", "type": "string"}),
        (
            {"type": "integer", "description": "A digit.", "minimum": 0, "maximum": 9},
            {"description": "A digit.\n\n{minimum: 0, maximum: 9}", "type": "integer"},
        ),
        ({"oneOf": [TEXT, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"type": "string", "enum": ["a", "b"]}, {"enum": ["a", "b"]}),
        ({"const": 1, "title": "One", "default": 1}, {"title": "One", "default": 1, "const": 1}),
        ({"type": ["string", "null"]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"type": "array", "items": TEXT, "minItems": 1}, {"type": "array", "items": TEXT, "minItems": 1}),
        (
            {"type": "array", "items": TEXT, "minItems": 2},
            {"description": "{minItems: 2}", "type": "array", "items": TEXT},
        ),
        ({"type": "string", "format": "uuid"}, {"type": "string", "format": "uuid"}),
        ({"type": "string", "format": "regex"}, {"description": '{format: "regex"}', "type": "string"}),
        ({"type": "string", "pattern": "^[a-z]{2,4}$"}, {"type": "string", "pattern": "^[a-z]{2,4}$"}),
        ({"type": "string", "pattern": "(?=a)"}, {"description": '{pattern: "(?=a)"}', "type": "string"}),
        ({"type": "string", "pattern": "\\bA"}, {"description": '{pattern: "\\\\bA"}', "type": "string"}),
        (
            {"$defs": {"P": POINT}, **obj(p={"allOf": [{"$ref": "#/$defs/P"}], "description": "Here."})},
            {**obj(p={"$ref": "#/$defs/P"}), "additionalProperties": False, "$defs": {"P": CLOSED_POINT}},
        ),
        (
            {"definitions": {"P": POINT}, **obj(p={"$ref": "#/definitions/P"})},
            {**obj(p={"$ref": "#/definitions/P"}), "additionalProperties": False, "definitions": {"P": CLOSED_POINT}},
        ),
        (
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **obj(**{"not": TEXT, "$ref": TEXT})},
            {**obj(**{"not": TEXT, "$ref": TEXT}), "additionalProperties": False},
        ),
        ({"type": "object", "additionalProperties": False}, CLOSED),
        ({**CLOSED, "properties": None, "required": []}, CLOSED),
        ({"type": "array", "items": CLOSED}, {"type": "array", "items": CLOSED}),
    ],
)
def test_a_schema_becomes_one_of_the_subset(schema: Any, expected: Any) -> None:
    assert converted(schema) == expected
    assert outside_subset(converted(schema)) == []


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        [],
        {"type": "object"},
        {"type": "object", "properties": {}},
        {**CLOSED, "additionalProperties": {}},
        {**CLOSED, "required": ["a"]},
        {**CLOSED, "properties": []},
        obj(p={"type": "object"}),
        {**POINT, "additionalProperties": True},
        {**POINT, "additionalProperties": TEXT},
        {**POINT, "additionalProperties": {}},
        {"not": TEXT},
        {"if": TEXT, "then": TEXT},
        {**POINT, "patternProperties": {"^a": TEXT}},
        obj(p={"$ref": "https://example.com/schema.json"}),
        obj(p={"$ref": "#/$defs/Missing"}),
        obj(p={"$ref": "#"}),
        {"$defs": {"N": obj(n={"$ref": "#/$defs/N"})}, **obj(n={"$ref": "#/$defs/N"})},
        {
            "$defs": {"A": obj(b={"$ref": "#/$defs/B"}), "B": obj(a={"$ref": "#/$defs/A"})},
            **obj(a={"$ref": "#/$defs/A"}),
        },
        obj(p={}),
        obj(p=True),
        {"type": "array"},
        {"type": "array", "items": {}},
        {"enum": [{"a": 1}]},
        {"const": []},
        {"anyOf": []},
        {"allOf": [{"$ref": "#/$defs/P"}, TEXT], "$defs": {"P": POINT}},
        # Each member would be closed, so that nothing fits both: the same as "only {}".
        {"allOf": [obj(a=TEXT), obj(b=TEXT)]},
        {"type": "object", "properties": {"a": TEXT}, "required": ["a", "b"]},
        {"type": "date"},
        obj(p={"type": ["string", "file"]}),
        {"type": "array", "prefixItems": [TEXT], "items": TEXT},
    ],
    ids=json.dumps,
)
def test_what_the_grammar_cannot_hold_is_outside(schema: Any) -> None:
    with pytest.raises(OutsideSubsetError):
        structured(json.dumps(schema).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"type":"string"', b"[" * 3000, b'{"const":1e999}'])
def test_what_cannot_be_read_is_outside(text: bytes) -> None:
    with pytest.raises(OutsideSubsetError):
        structured(text)


def test_optional_parameters_and_unions_are_counted() -> None:
    schema = {
        "type": "object",
        "properties": {"a": TEXT, "b": {"type": ["string", "null"]}, "c": {"anyOf": [TEXT, POINT]}},
        "required": ["a"],
    }
    found = structured(json.dumps(schema).encode())

    assert (found.optional_parameters, found.unions) == (2, 2)


def test_order_and_numbers_stay() -> None:
    text = b'{"type":"object","properties":{"z":{"type":"number","default":1.0},"a":{"enum":["b","a"]}}}'
    found = structured(text).json

    assert found.index(b'"z"') < found.index(b'"a"')
    assert b'"default":1.0' in found
    assert b'["b","a"]' in found


# Any model that pydantic makes: the commonest source of schemas.

_names = st.sampled_from(["a", "value", "type", "properties", "items", "not", "enum_", "description", "ref"])
_described = st.none() | st.sampled_from(["What it is.", 'With "quotes".'])


@st.composite
def _constrained(draw: st.DrawFn) -> Any:
    return draw(
        st.sampled_from(
            [
                (str, {}),
                (str, {"min_length": 1, "max_length": 9}),
                (str, {"pattern": "^[a-z]+$"}),
                (str, {"pattern": r"\bx"}),
                (int, {"ge": 0, "lt": 10}),
                (float, {"multiple_of": 0.5}),
                (bool, {}),
                (Literal["a", "b"], {}),
                (Literal[1], {}),
                (list[str], {"min_length": 1, "max_length": 3}),
                (list[int], {}),
                (Optional[int], {"default": None}),  # noqa: UP045 - as models are written
                (int | str | None, {"default": 1}),
            ]
        )
    )


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name in draw(st.lists(_names, min_size=1, max_size=4, unique=True)):
        if depth and draw(st.booleans()):
            inner = draw(models(depth - 1))
            kind = draw(st.sampled_from([inner, list[inner], inner | None, inner | str]))  # type: ignore[valid-type]
            fields[name] = (kind, Field(description=draw(_described)))
        else:
            kind, limits = draw(_constrained())
            fields[name] = (kind, Field(description=draw(_described), **limits))
    return create_model(draw(st.sampled_from(["Answer", "Point", "A/B"])), **fields)


@given(model=models())
def test_every_pydantic_model_of_plain_fields_is_inside_the_subset(model: type[BaseModel]) -> None:
    assert outside_subset(converted(model.model_json_schema())) == []


@given(model=models(), value=st.data())
def test_every_field_and_requirement_of_a_model_stays(model: type[BaseModel], value: st.DataObject) -> None:
    schema = model.model_json_schema()
    found = converted(schema)

    assert list(found.get("properties", {})) == list(schema.get("properties", {}))
    assert found.get("required", []) == schema.get("required", [])
    assert found.get("$defs", {}).keys() == schema.get("$defs", {}).keys()


_words = st.one_of(
    st.sampled_from(
        ["type", "properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "allOf", "enum"]
    ),
    st.sampled_from(
        ["const", "$ref", "$defs", "minItems", "pattern", "format", "description", "minimum", "not", "title"]
    ),
)
_anything = st.recursive(
    st.sampled_from(["object", "array", "string", "integer", "null", "#/$defs/a", "uuid", "", 0, 1, 2.5, True, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words | st.sampled_from(["a"]), inner, max_size=4),
    max_leaves=12,
)


@given(schema=_anything)
def test_any_schema_is_either_inside_afterwards_or_said_to_be_outside(schema: Any) -> None:
    try:
        found = converted(schema)
    except OutsideSubsetError:
        return

    assert outside_subset(found) == []


@given(schema=_anything)
def test_converting_twice_changes_nothing(schema: Any) -> None:
    try:
        once = converted(schema)
    except OutsideSubsetError:
        return

    assert converted(once) == once
