"""Turns items of the Responses API into messages of an intent, one after another."""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, Raw

from translators.errors import TranslationError
from translators.intent import CustomCall, FunctionCall, Message, PlacedCall
from translators.limits import MAX_ID, MAX_NAME, check_text
from translators.reading import decode, is_null, missing_parameter
from translators.responses.client_functions import CLIENT_CALLS
from translators.responses.compaction import SPEAKERS, OwnWords, opened
from translators.responses.read import NOT_SIMPLE, REFERENCE
from translators.responses.results import RESULTS
from translators.responses.seals import Opener
from translators.responses.tools import ReadTools
from translators.responses.turns import Turn
from translators.responses.words import plain
from translators.wire.raw import NULL, OBJECT_DECODER
from translators.wire.responses import Item

COMPACTION: Final = "compaction"
COMPACTION_TRIGGER: Final = "compaction_trigger"
_ROLES: Final = ("user", "assistant", "system", "developer")
# Calls of tools that run at Anthropic. Their blocks are in the sealed reasoning item behind them.
_HOSTED: Final = ("web_search_call", "code_interpreter_call")
# Items of tools that only OpenAI runs: dropped and reported.
_UNSUPPORTED: Final = (
    *("file_search_call", "image_generation_call", "computer_call", "computer_call_output"),
    *("mcp_list_tools", "mcp_call", "mcp_approval_request", "mcp_approval_response"),
    *("tool_search_call", "tool_search_output", "program", "program_output"),
)
# `tools.py` and `request.py` read these.
_READ_ELSEWHERE: Final = NOT_SIMPLE | {COMPACTION_TRIGGER}

_Reader: TypeAlias = "Callable[[ItemReader, Item, str], None]"


class ItemReader:
    """Takes item after item, and collects `messages` with the `places` of their contents.

    `lost` and `noted` become those of the intent: types of items that are dropped, and reasoning or searches without
    their blocks, with the reason.
    """

    __slots__ = (
        *("_hosted", "_last", "_opener", "_summary", "_tools", "_turn"),
        *("lost", "messages", "noted", "places"),
    )

    def __init__(self, tools: ReadTools, opener: Opener) -> None:
        self.messages: list[Message] = []
        self.places: list[str] = []
        self.lost: dict[str, None] = {}
        self.noted: dict[tuple[str, str], None] = {}
        self._tools = tools
        self._opener = opener
        # The turn that is being read, and the one before it, whose calls may still get results.
        self._turn: Turn | None = None
        self._last: Turn | None = None
        self._hosted: set[str] = set()
        # A summary of the conversation before: the index of the message after it, its words, and its place.
        self._summary: tuple[int, OwnWords, str] | None = None

    def say(self, message: Message, place: str) -> None:
        """Add a message of any role but `assistant`."""
        if self._turn is not None:
            self._end_turn(self._turn)
        self.messages.append(message)
        self.places.append(place)

    def take(self, item: Item, place: str) -> None:
        """Add an item; raises `TranslationError` with its place."""
        kind = item.type or ""
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, item, place)
        elif kind not in _READ_ELSEWHERE:
            values = ", ".join(f"'{known}'" for known in (*_READERS, *sorted(_READ_ELSEWHERE)))
            message = f"Invalid value: '{kind}'. Supported values are: {values}."
            raise TranslationError(message, param=f"{place}.type", code="invalid_value")

    def finish(self) -> None:
        """End the conversation."""
        if self._turn is not None:
            self._end_turn(self._turn)
        if self._last is not None:
            self._check_answered()
        if self._summary is not None:
            at, summary, place = self._summary
            self.messages.insert(at, summary)
            self.places.insert(at, place)

    def _message(self, item: Item, place: str) -> None:
        content, role = item.content, item.role
        if content is NULL or is_null(content):
            raise missing_parameter(f"{place}.content")
        # An `input` that is a text is a content itself. Stored items have no place of their own.
        where = f"{place}.content" if place[-1] == "]" else place
        if role in SPEAKERS:
            self.say(Message(role, plain(content)), where)
        elif role == "assistant":
            (self._turn or self._begin_turn(place)).add_content(plain(content), where)
        elif role is None:
            raise missing_parameter(f"{place}.role")
        else:
            values = ", ".join(f"'{role}'" for role in _ROLES)
            message = f"Invalid value: '{role}'. Supported values are: {values}."
            raise TranslationError(message, param=f"{place}.role", code="invalid_value")

    def _reasoning(self, item: Item, place: str) -> None:
        turn = self._turn or self._begin_turn(place)
        if item.encrypted_content is None:
            lost = "unsigned"
        elif (blocks := self._opener.open(item.encrypted_content)) is None:
            lost = "unreadable"
        else:
            turn.add_own(blocks)
            return
        turn.lose_blocks()
        self.noted["input.reasoning", lost] = None

    def _function_call(self, item: Item, place: str) -> None:
        name = _text(item.name, MAX_NAME, place, "name")
        if item.namespace:
            name = self._tools.name_of(item.namespace, name)
        self._add_call(item, place, FunctionCall(name, item.arguments))

    def _custom_call(self, item: Item, place: str) -> None:
        name = self._tools.name_of(item.namespace, _text(item.name, MAX_NAME, place, "name"))
        if is_null(item.input):
            raise missing_parameter(f"{place}.input")
        self._add_call(item, place, None, CustomCall(name, item.input))

    def _client_call(self, item: Item, place: str) -> None:
        """A call of a shell or of `apply_patch`; its object (`action`, `operation`) holds the arguments."""
        tool = CLIENT_CALLS[item.type or ""]
        given = item.action if tool.field == "action" else item.operation
        path = f"{place}.{tool.field}"
        if is_null(given):
            raise missing_parameter(path)
        fields = decode(OBJECT_DECODER, given, path)
        said = {name: value for name, value in fields.items() if value != tool.defaults.get(name)}
        function = FunctionCall(self._tools.client_tool(tool.name), Raw(msgspec.json.encode(said)))
        self._add_call(item, place, function)

    def _result(self, item: Item, place: str) -> None:
        if self._turn is not None:
            self._end_turn(self._turn)
        call_id = item.call_id
        if not call_id or len(call_id) > MAX_ID:
            # An output of a local shell may have the call's id as its own.
            is_local = item.type == "local_shell_call_output" and not call_id
            call_id = _text(item.id if is_local else call_id, MAX_ID, place, "call_id")
        if self._last is None or self._last.waiting.pop(call_id, None) is None:
            why = f"No tool call found for function call output with call_id {call_id}: none waits for it here."
            raise TranslationError(why, param=f"{place}.call_id", code="invalid_value")
        message = RESULTS[item.type or ""](item, place)
        message.tool_call_id = call_id
        self.say(message, f"{place}.output" if place[-1] == "]" else place)

    def _compaction(self, item: Item, place: str) -> None:
        """A summary: it replaces what the model and its tools said before it. Messages of others stay."""
        content = _text(item.encrypted_content, None, place, "encrypted_content")
        compacted = opened(content, self._opener)
        if compacted is None:
            self.noted["input.compaction", "unreadable"] = None
            return
        if compacted.own is not None:
            # Upstream's own summary: upstream ignores what stands before it.
            (self._turn or self._begin_turn(place)).add_summary(compacted.own)
            return
        self._turn = self._last = None
        self._hosted.clear()
        begin = self._summary[0] if self._summary else 0
        said = [at for at in range(begin, len(self.messages)) if self.messages[at].role in SPEAKERS]
        self.messages[begin:] = [self.messages[at] for at in said]
        self.places[begin:] = [self.places[at] for at in said]
        summary = OwnWords("user", Raw(b"[%b]" % b",".join(compacted.parts)))
        self._summary = (len(self.messages), summary, place)

    def _hosted_call(self, item: Item, place: str) -> None:
        if self._turn is None:
            self._begin_turn(place)
        self._hosted.add(item.type or "")

    def _reference(self, item: Item, place: str) -> None:
        """A reference in a stored item. Those in the body were replaced by their items before."""
        self.noted["input.item_reference", "unknown"] = None

    def _unsupported_item(self, item: Item, place: str) -> None:
        self.lost[f"input.{item.type}"] = None

    def _add_call(
        self, item: Item, place: str, function: FunctionCall | None, custom: CustomCall | None = None
    ) -> None:
        kind = "function" if custom is None else "custom"
        call = PlacedCall(_text(item.call_id, MAX_ID, place, "call_id"), kind, function, custom, UNSET, place)
        (self._turn or self._begin_turn(place)).add_call(call)

    def _begin_turn(self, place: str) -> Turn:
        """Begin the assistant's next turn; its first item stands at `place`."""
        if self._last is not None:
            self._check_answered()
        self._turn = Turn(place)
        return self._turn

    def _end_turn(self, turn: Turn) -> None:
        message = turn.message()
        if message is not None:
            self.messages.append(message)
            self.places.append(turn.place)
        if self._hosted:
            if not turn.is_sealed:
                self.noted.update({(f"input.{kind}", "unsigned"): None for kind in sorted(self._hosted)})
            self._hosted.clear()
        self._turn, self._last = None, turn

    def _check_answered(self) -> None:
        """Check that each call of the last turn has a result."""
        if self._last is not None and self._last.waiting:
            call_id, place = next(iter(self._last.waiting.items()))
            message = f"No tool output found for function call {call_id}."
            raise TranslationError(message, param=f"{place}.call_id", code="invalid_value")


def _text(value: str | None, limit: int | None, place: str, field: str) -> str:
    """A required text."""
    if not value:
        raise missing_parameter(f"{place}.{field}")
    if limit is not None and len(value) > limit:
        check_text(value, limit, f"{place}.{field}")
    return value


# By the type of the item; the methods are those of `ItemReader`.
_READERS: Final[Mapping[str, _Reader]] = {
    "message": ItemReader._message,
    "reasoning": ItemReader._reasoning,
    "function_call": ItemReader._function_call,
    "custom_tool_call": ItemReader._custom_call,
    **dict.fromkeys(CLIENT_CALLS, ItemReader._client_call),
    **dict.fromkeys(RESULTS, ItemReader._result),
    COMPACTION: ItemReader._compaction,
    **dict.fromkeys(_HOSTED, ItemReader._hosted_call),
    **dict.fromkeys(_UNSUPPORTED, ItemReader._unsupported_item),
    REFERENCE: ItemReader._reference,
}
