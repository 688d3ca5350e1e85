"""Which tools the model may or must call, also on models that refuse to be forced.

Forcing a tool is how most libraries ask for structured data, and the newest models answer it with a 400. There the
tool's schema becomes the form of the answer, and its text goes back as the call (see `TextCall`).
"""

from dataclasses import dataclass
from typing import Final

import orjson

from translators.adjustments import Adjustments
from translators.answers.shape import CALL_PROPERTY, TextCall
from translators.errors import TranslationError
from translators.intent import Intent
from translators.limits import MAX_NAME, MAX_STRICT_VALUES, MAX_TOOLS, check_length, check_text
from translators.messages.blocks import Block
from translators.messages.hosted import HOSTED_TYPES, hosted_name
from translators.messages.names import upstream_tool_name
from translators.messages.tool_set import Tools
from translators.models import FORM, ONE_CALL, ModelRow
from translators.reading import is_null
from translators.schema import Structured, schema_hash, structured, with_own_definitions
from translators.schema_places import OutsideSubsetError
from translators.unknown import read_counted
from translators.weight import has_more_values
from translators.wire.chat_tools import LEGACY_CHOICE, TOOL_CHOICE, AllowedTools, LegacyChoice, ToolChoice

_MODES: Final = ("none", "auto", "required")
# A choice by name: OpenAI's two kinds of tools, in their own field or flat, and Anthropic's only one.
_KINDS: Final = ("function", "custom", "tool")
_MUST_CALL: Final = "In this turn, answer by calling {tools}, not with text alone."
_MAY_CALL: Final = "In this turn, call no other tools than {tools}."


@dataclass(slots=True)
class Choice:
    """What is sent: the `tool_choice`, words for the end of the conversation, or the form of an answer that is a call.

    `is_forced` says that a forced choice was sent; `expects_call` that one could only be asked for. The arguments of
    `answer_tool` (upstream's name) are the answer.
    """

    tool_choice: Block | None = None
    turn_words: str | None = None
    format: Structured | None = None
    text_call: TextCall | None = None
    is_forced: bool = False
    expects_call: bool = False
    answer_tool: str | None = None

    @property
    def is_special(self) -> bool:
        """Whether this turn was asked for in a way that the next one is not."""
        return self.turn_words is not None or self.text_call is not None or self.answer_tool is not None


# Of a request without tools; what is chosen for one is never changed.
NO_CHOICE: Final = Choice()


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the caller wants: a mode, one tool by its upstream name, and the only tools that count (empty: all).

    `is_single` says that one call at most is wanted.
    """

    mode: str
    name: str | None = None
    allowed: tuple[str, ...] = ()
    is_single: bool = False


def write_choice(
    intent: Intent,
    tools: Tools,
    row: ModelRow,
    adjustments: Adjustments,
    *,
    has_format: bool,
    refused_schemas: frozenset[str] = frozenset(),
) -> Choice:
    """The choice for one model; `has_format` says that the answer's form is taken already."""
    wish = _read(intent, tools, adjustments)
    if not tools.definitions:
        if wish is not None and wish.mode not in ("none", "auto"):
            adjustments.add("tool_choice", "dropped", "no-tools")
        return NO_CHOICE
    if wish is not None and wish.mode == "none":
        return Choice({"type": "none"})
    # The legacy form has place for one call.
    is_single = intent.parallel_calls is False or tools.is_legacy or (wish is not None and wish.is_single)
    if is_single and ONE_CALL in row.refuses:
        is_single = False
        if not tools.is_legacy:
            adjustments.add(intent.name_of("parallel_calls"), "dropped", "model")
    one_call: Block = {"disable_parallel_tool_use": True} if is_single else {}
    is_forced = wish is not None and (wish.name is not None or wish.mode == "required")
    if wish is None or not is_forced:
        choice = Choice({"type": "auto", **one_call} if one_call or wish is not None else None)
    elif row.forced_tools:
        chosen: Block = {"type": "tool", "name": wish.name} if wish.name is not None else {"type": "any"}
        choice = Choice({**chosen, **one_call}, is_forced=True)
    else:
        return _unforced(wish, tools, one_call, adjustments, has_format, refused_schemas)
    if wish is not None and wish.allowed:
        choice.turn_words = _MAY_CALL.format(tools=_listed(wish.allowed))
    return choice


def for_answer(tools: Tools, row: ModelRow) -> Choice:
    """The choice of the only tool, whose arguments are the answer."""
    (name,) = tools.schemas
    one_call: Block = {} if ONE_CALL in row.refuses else {"disable_parallel_tool_use": True}
    return Choice({"type": "tool", "name": name, **one_call}, is_forced=True, answer_tool=name)


def _unforced(
    wish: _Wish,
    tools: Tools,
    one_call: Block,
    adjustments: Adjustments,
    has_format: bool,
    refused_schemas: frozenset[str],
) -> Choice:
    """A forced choice on a model that refuses it: the answer's form where the schemas allow it, else words."""
    candidates = (wish.name,) if wish.name is not None else wish.allowed or tuple(tools.schemas)
    asked = "function" if wish.name is not None else "required"
    try:
        if has_format:
            raise OutsideSubsetError("the answer has a form already")
        if FORM in refused_schemas:
            raise OutsideSubsetError("the model takes no forms")
        form = _form(candidates, tools)
        if schema_hash(form.json) in refused_schemas:
            raise OutsideSubsetError("upstream has refused it")
        if not form.fits():
            raise OutsideSubsetError("it is too much for a grammar")
    except OutsideSubsetError:
        adjustments.add("tool_choice", f"{asked}->auto", "model")
        words = _MUST_CALL.format(
            tools=_listed(candidates) if wish.name or wish.allowed else "at least one of the tools"
        )
        return Choice({"type": "auto", **one_call}, words, expects_call=True)
    adjustments.add("tool_choice", f"{asked}->format", "model")
    name = candidates[0] if len(candidates) == 1 else None
    return Choice({"type": "none"}, format=form, text_call=TextCall(name))


def _form(candidates: tuple[str, ...], tools: Tools) -> Structured:
    """The form of an answer that is a call of one of these; raises `OutsideSubsetError`."""
    if not candidates:
        raise OutsideSubsetError("no function to call")
    known = {name: _known_schema(name, tools) for name in candidates}
    if has_more_values(b",".join(known.values()), MAX_STRICT_VALUES):
        raise OutsideSubsetError("the schemas are too large together")
    schemas = {name: structured(schema) for name, schema in known.items()}
    if len(candidates) == 1:
        return schemas[candidates[0]]
    definitions: Block = {}
    members = []
    for number, (name, found) in enumerate(schemas.items()):
        schema = with_own_definitions(orjson.loads(found.json), f"t{number}_")
        definitions |= schema.pop("$defs", {})
        call = {"name": {"const": name}, "arguments": schema}
        members.append(_closed_object(call))
    form = _closed_object({CALL_PROPERTY: {"anyOf": members}})
    return Structured(
        orjson.dumps({**form, "$defs": definitions} if definitions else form),
        sum(found.optional_parameters for found in schemas.values()),
        sum(found.unions for found in schemas.values()) + 1,
    )


def _known_schema(name: str, tools: Tools) -> bytes:
    if name not in tools.schemas:
        raise OutsideSubsetError("a tool that upstream runs itself")
    return tools.schemas[name]


def _closed_object(properties: Block) -> Block:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _read(intent: Intent, tools: Tools, adjustments: Adjustments) -> _Wish | None:
    if tools.is_legacy:
        return _read_legacy(intent, tools, adjustments)
    if is_null(intent.tool_choice):
        return None
    choice = read_counted(TOOL_CHOICE, intent.tool_choice, "tool_choice", adjustments)
    if isinstance(choice, str):
        return _Wish(_mode(choice, "tool_choice"))
    is_single = bool(choice.disable_parallel_tool_use)
    if choice.type == "allowed_tools":
        listed = AllowedTools(choice.tools, choice.mode) if choice.tools is not None else None
        if (allowed := choice.allowed_tools or listed) is not None:
            return _read_allowed(allowed, tools)
    if choice.type in (*_MODES, "any"):
        return _Wish(_mode(choice.type, "tool_choice.type"), is_single=is_single)
    named = _named(choice)
    if named is None:
        raise TranslationError(
            "tool_choice has to be 'none', 'auto', 'required', 'allowed_tools', or name one tool.",
            param="tool_choice",
            code="invalid_value",
        )
    return _Wish("required", _known(named, tools, "tool_choice"), is_single=is_single)


def _read_allowed(allowed: AllowedTools, tools: Tools) -> _Wish:
    path = "tool_choice.allowed_tools.tools"
    if not allowed.tools:
        # Allowing nothing is not the same as allowing everything, and `none` is how to say it.
        raise TranslationError(
            f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param=path,
            code="empty_array",
        )
    check_length(allowed.tools, MAX_TOOLS, path)
    names = []
    for index, tool in enumerate(allowed.tools):
        named = tool.function or tool.custom
        wanted = named.name if named else tool.name
        if wanted is None:
            raise TranslationError(
                f"Invalid value for '{path}[{index}]': a tool is allowed by its name, and there is none.",
                param=f"{path}[{index}]",
                code="invalid_value",
            )
        names.append(_known(wanted, tools, path))
    mode = _mode(allowed.mode, "tool_choice.allowed_tools.mode")
    return _Wish(mode, allowed=tuple(names))


def _read_legacy(intent: Intent, tools: Tools, adjustments: Adjustments) -> _Wish | None:
    if is_null(intent.tool_choice):
        return None
    choice = read_counted(LEGACY_CHOICE, intent.tool_choice, "function_call", adjustments)
    if isinstance(choice, LegacyChoice):
        return _Wish("required", _known(choice.name, tools, "function_call"))
    return _Wish(_mode(choice, "function_call"))


def _mode(mode: str, path: str) -> str:
    mode = "required" if mode == "any" else mode
    if mode not in _MODES:
        raise TranslationError(
            f"Invalid value: '{mode}'. Supported values are: 'none', 'auto', and 'required'.",
            param=path,
            code="invalid_value",
        )
    return mode


def _named(choice: ToolChoice) -> str | None:
    if choice.type in HOSTED_TYPES:
        return hosted_name(HOSTED_TYPES[choice.type])
    if choice.type not in _KINDS:
        return None
    named = choice.function if choice.type == "function" else choice.custom
    return named.name if named else choice.name


def _known(wanted: str, tools: Tools, path: str) -> str:
    check_text(wanted, MAX_NAME, path)
    name = upstream_tool_name(wanted)
    if tools.definitions and name not in tools.names:
        raise TranslationError(
            f"Invalid value for '{path}': there is no tool with the name '{wanted}'.", param=path, code="invalid_value"
        )
    return name


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
