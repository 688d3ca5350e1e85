"""The form of the answer: a JSON Schema where the model can be held to it, instructions where it can only be asked."""

from dataclasses import dataclass
from typing import Final

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.models import FORM
from translators.reading import is_null
from translators.schema import OutsideSubsetError, schema_hash, structured
from translators.wire.chat import ResponseFormat

_JSON_WORDS: Final = "Answer with one valid JSON value and nothing else: no words around it, no Markdown code fence."
_SCHEMA_WORDS: Final = f"{_JSON_WORDS} It has to follow this JSON Schema:\n"


@dataclass(frozen=True, slots=True)
class Format:
    """What is sent: a schema for `output_config.format`, or words at the end of the system prompt.

    `only_json` says that what the model says besides its JSON is cut.
    """

    schema: bytes | None = None
    words: str | None = None
    only_json: bool = False

    @property
    def strips_fences(self) -> bool:
        """Whether the answer may come in a fence that has to be taken off."""
        return self.words is not None


def write_format(
    wanted: ResponseFormat | None, adjustments: Adjustments, refused_schemas: frozenset[str] = frozenset()
) -> Format:
    """The form for a `response_format`; `refused_schemas` (hashes, or `FORM` for all) are refused by upstream."""
    if wanted is None or wanted.type == "text":
        return Format()
    if wanted.type == "json_object":
        return Format(words=_JSON_WORDS, only_json=True)
    if wanted.type != "json_schema":
        raise TranslationError(
            f"Invalid value: '{wanted.type}'. Supported values are: 'text', 'json_object', and 'json_schema'.",
            param="response_format.type",
            code="invalid_value",
        )
    if wanted.json_schema is None or is_null(wanted.json_schema.schema):
        path = "response_format.json_schema" + (".schema" if wanted.json_schema else "")
        raise TranslationError(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
    schema = bytes(wanted.json_schema.schema)
    if FORM in refused_schemas:
        adjustments.add("response_format", "json_schema->instructions", "model")
        return Format(words=_SCHEMA_WORDS + schema.decode())
    try:
        found = structured(schema).json
        if schema_hash(found) in refused_schemas:
            raise OutsideSubsetError("upstream has refused it")
        return Format(found)
    except OutsideSubsetError:
        adjustments.add("response_format", "json_schema->instructions", "schema")
        return Format(words=_SCHEMA_WORDS + schema.decode())
