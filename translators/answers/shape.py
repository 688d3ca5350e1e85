"""How the caller reads the answer: decided while the request is written, needed when the answer comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from msgspec import Struct


@dataclass(frozen=True, slots=True)
class TextCall:
    """The text is a tool call in disguise: its arguments, or without a name `{"call": {"name", "arguments"}}`."""

    name: str | None = None


class AnswerShape(Struct, frozen=True):
    """What has to be undone or added on the way back.

    `tool_names` restores rewritten names, `property_names` (by upstream's name of the tool, the caller's names by
    upstream's) those of arguments; `custom_tools` (the caller's names) take free text, which came as one property;
    `wrapped_tools` (upstream's names) had a union at the root of their schema, which was put into one property;
    `is_legacy` answers with `function_call`; `text_call` turns text into a call, and a call of the `answer_tool`
    (upstream's name) is the text; `strips_fences` takes Markdown fences off JSON, `only_json` the words around it as
    well; `stops` are the stop sequences that the gateway looks for itself; `shows_reasoning_twice` is OpenRouter's
    dialect; `counts_text` is needed for annotations, which hold offsets; `keeps_blocks` records the answer as it has to
    be sent back.
    """

    tool_names: Mapping[str, str] = {}
    custom_tools: frozenset[str] = frozenset()
    wrapped_tools: frozenset[str] = frozenset()
    property_names: Mapping[str, Mapping[str, str]] = {}
    is_legacy: bool = False
    text_call: TextCall | None = None
    answer_tool: str | None = None
    strips_fences: bool = False
    only_json: bool = False
    stops: tuple[str, ...] = ()
    shows_reasoning_twice: bool = False
    shows_thinking_blocks: bool = False
    counts_text: bool = False
    continues_pauses: bool = False
    keeps_blocks: bool = False


PLAIN: Final = AnswerShape()
# The same, recorded to be sent back.
RECORDED: Final = AnswerShape(keeps_blocks=True)
# The property that holds a custom tool's text, and the one that holds a wrapped tool's arguments.
INPUT_PROPERTY: Final = "input"
VALUE_PROPERTY: Final = "value"
CALL_PROPERTY: Final = "call"
