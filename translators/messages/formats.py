"""The form of the answer: a JSON Schema where the model can be held to it, instructions where it can only be asked."""

from dataclasses import dataclass
from typing import Final

import orjson
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.intent import AnswerFormat
from translators.limits import MAX_NAME, MAX_TOOL_VALUES
from translators.messages.blocks import Block
from translators.messages.tool_set import Tools
from translators.messages.tools import answer_tool
from translators.models import FORM
from translators.reading import decode, is_null, is_text, missing_parameter
from translators.schema import Structured, schema_hash, structured
from translators.schema_places import OutsideSubsetError
from translators.weight import has_more_values
from translators.wire.raw import OBJECT_DECODER, TEXT_DECODER

_JSON_WORDS: Final = "Answer with one valid JSON value and nothing else: no words around it, no Markdown code fence."
_SCHEMA_WORDS: Final = f"{_JSON_WORDS} It has to follow this JSON Schema:\n"
_DESCRIPTION: Final = "description"
_NAME: Final = "answer"


@dataclass(frozen=True, slots=True)
class Format:
    """What is sent: a schema for `output_config.format`, a tool to be forced, or words at the end of the system prompt.

    `only_json` says that what the model says besides its JSON is cut.
    """

    schema: Structured | None = None
    words: str | None = None
    tools: Tools | None = None
    only_json: bool = False

    @property
    def strips_fences(self) -> bool:
        """Whether the answer may come in a fence that has to be taken off."""
        return self.words is not None


# What most answers are.
AS_IT_COMES: Final = Format()


def write_format(
    wanted: AnswerFormat,
    adjustments: Adjustments,
    refused_schemas: frozenset[str] = frozenset(),
    *,
    may_force: bool = False,
    field: str = "format",
) -> Format:
    """How an answer is given its form; `refused_schemas` (hashes, or `FORM` for all) are refused by upstream.

    `may_force` says that the model can be made to call a tool of the gateway's; `field` is the caller's name.
    """
    if wanted.type == "text":
        return AS_IT_COMES
    if wanted.type == "json_object":
        return Format(words=_JSON_WORDS, only_json=True)
    if wanted.type != "json_schema":
        raise TranslationError(
            f"Invalid value: '{wanted.type}'. Supported values are: 'text', 'json_object', and 'json_schema'.",
            param=f"{field}.type",
            code="invalid_value",
        )
    if is_null(wanted.schema):
        raise missing_parameter(wanted.path)
    return _write_schema(wanted, field, adjustments, refused_schemas, may_force)


def _write_schema(
    form: AnswerFormat, field: str, adjustments: Adjustments, refused: frozenset[str], may_force: bool
) -> Format:
    """The schema where the model can be held to it, else a tool that is not strict, else words."""
    schema, reason = _described(form), "model" if FORM in refused else "schema"
    try:
        found = structured(schema)
        if FORM in refused or schema_hash(found.json) in refused:
            raise OutsideSubsetError("upstream has refused it")
        if found.fits():
            if form.description and found.json.startswith(b'{"$ref"'):
                # What stands beside a reference is not read.
                adjustments.add(_description_of(form), "dropped", "schema")
            return Format(found)
        reason = "limit"
    except OutsideSubsetError:
        pass
    if may_force and (tools := _tool(form, refused)) is not None:
        adjustments.add(field, "json_schema->tool", reason)
        return Format(tools=tools)
    adjustments.add(field, "json_schema->instructions", reason)
    if form.description and schema[:1] != b"{":
        adjustments.add(_description_of(form), "dropped", "schema")
    return Format(words=_SCHEMA_WORDS + schema.decode())


def _description_of(form: AnswerFormat) -> str:
    """Where the description stands beside the schema."""
    return f"{form.path.rpartition('.')[0]}.{_DESCRIPTION}"


def _tool(form: AnswerFormat, refused: frozenset[str]) -> Tools | None:
    """The tool whose arguments are the answer; None where its schema can be none of a tool."""
    schema = bytes(form.schema)
    if schema[:1] != b"{" or has_more_values(schema, MAX_TOOL_VALUES):
        return None
    tools = answer_tool(form.name[:MAX_NAME] or _NAME, form.description, schema, form.path)
    return None if tool_hash(tools) in refused else tools


def tool_hash(tools: Tools) -> str:
    """What the schema of the only tool is remembered by: as a grammar it may be refused, and taken here."""
    (schema,) = tools.schemas.values()
    return schema_hash(b"tool:" + schema)


def _described(form: AnswerFormat) -> bytes:
    """The schema with the description that stands beside it, before its own."""
    schema = bytes(form.schema)
    if not form.description or schema[:1] != b"{":
        return schema
    fields = decode(OBJECT_DECODER, form.schema, form.path)
    own = fields.pop(_DESCRIPTION, form.schema)
    words = TEXT_DECODER.decode(own) if is_text(own) else ""
    description = form.description if words in ("", form.description) else f"{form.description}\n\n{words}"
    rest: Block = {name: Fragment(bytes(value)) for name, value in fields.items()}
    return orjson.dumps({_DESCRIPTION: description, **rest})
