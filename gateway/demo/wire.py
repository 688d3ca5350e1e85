"""The structs of a Messages request, and the API's error messages for a body that does not match them."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from gateway.demo.errors import MessagesError, invalid

_T = TypeVar("_T")


class Exact(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base class of strict structs: an unknown field is an error."""


class CacheControl(Exact):
    type: str
    ttl: str | None = None
    scope: str | None = None


class MessageOutputConfig(Exact):
    """The `output_config` of a system message, which applies from there on."""

    effort: str | None = None


class Message(Exact):
    """One entry of `messages`; the last two fields are for system messages."""

    role: str
    content: str | list[dict[str, Any]] | UnsetType = UNSET
    output_config: MessageOutputConfig | None = None
    clear_at: str | None = None

    @property
    def is_effort_only(self) -> bool:
        """Whether a system message changes the effort and says nothing."""
        return self.role == "system" and bool(self.output_config and self.output_config.effort) and not self.content


class BlockBinding(Exact):
    """What to do with thinking whose prefix has changed."""

    prefix_mismatch_behavior: str


class Thinking(Exact):
    type: str
    budget_tokens: int | UnsetType = UNSET
    display: str | UnsetType | None = UNSET
    block_binding: BlockBinding | UnsetType = UNSET


class OutputFormat(Exact):
    type: str
    schema: dict[str, Any]


class OutputConfig(Exact):
    effort: str | None = None
    format: OutputFormat | None = None
    task_budget: dict[str, Any] | UnsetType = UNSET


class ToolChoice(Exact):
    type: str
    name: str | UnsetType = UNSET
    disable_parallel_tool_use: bool | UnsetType = UNSET


class CustomTool(Exact):
    name: str
    input_schema: dict[str, Any]
    type: str | None = None
    description: str = ""
    strict: bool = False
    eager_input_streaming: bool | None = None
    input_examples: list[dict[str, Any]] = []
    defer_loading: bool = False
    allowed_callers: list[str] = []
    cache_control: CacheControl | None = None


class CountRequest(msgspec.Struct, kw_only=True):
    """The body of `POST /v1/messages/count_tokens`; fields that the answer does not depend on are ignored."""

    model: str
    messages: list[Message]
    system: str | list[dict[str, Any]] = ""
    tools: list[dict[str, Any]] = []
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    speed: str | None = None


class MessagesRequest(CountRequest, kw_only=True):
    """The body of `POST /v1/messages`."""

    max_tokens: int
    stream: bool = False
    stop_sequences: list[str] = []
    inference_geo: str | None = None


def decode(body: bytes, kind: type[_T]) -> _T:
    """Decode a body; a mistake is a 400 with the API's message."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _in_words(str(error), "") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"The request body is not valid JSON: {error}") from None


def convert(value: object, kind: type[_T], path: str) -> _T:
    """Convert a decoded value to a struct; `path` is its place, e.g. `messages.0.content.1.text`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _in_words(str(error), path) from None


_MISTAKE = re.compile(r"(?P<problem>.*?)(?: - at `\$\.?(?P<place>.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_EXPECTED = re.compile(r"Expected `(.+?)`, got .*")
_KINDS = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "array": "list",
    "object": "dictionary",
}


def _in_words(problem_and_place: str, path: str) -> MessagesError:
    """The API's message for an error of msgspec, e.g. `messages.0.role: Field required`."""
    match = _MISTAKE.fullmatch(problem_and_place)
    problem, place = (match["problem"], match["place"] or "") if match else (problem_and_place, "")
    places = [*filter(None, [path, re.sub(r"\[(\d+)\]", r".\1", place)])]
    if missing := _MISSING.fullmatch(problem):
        places, problem = [*places, missing[1]], "Field required"
    elif unknown := _UNKNOWN.fullmatch(problem):
        places, problem = [*places, unknown[1]], "Extra inputs are not permitted"
    elif expected := _EXPECTED.fullmatch(problem):
        kinds = [_KINDS.get(kind, kind) for kind in expected[1].split(" | ") if kind != "null"]
        problem = f"Input should be a valid {' or '.join(kinds)}"
    return invalid(f"{'.'.join(places)}: {problem}" if places else problem)
