"""The calls of an assistant's message as blocks, and what their results have to be."""

from collections.abc import Mapping, Sequence

from msgspec import UNSET, Struct
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.intent import Call as AskedCall
from translators.intent import CustomCall, FunctionCall, PlacedCall
from translators.limits import MAX_CALLS, MAX_ID, MAX_NAME, check_length, check_text
from translators.messages.blocks import Block
from translators.messages.caching import MARK, mark_of
from translators.messages.conversation import Placed
from translators.messages.names import upstream_call_id, upstream_tool_name
from translators.messages.native_shapes import call_places
from translators.messages.places import Places
from translators.messages.properties import with_names
from translators.messages.tool_inputs import call_input, custom_input, plain_input
from translators.messages.tool_set import Tools


class Call(Struct, frozen=True, gc=False):
    """A call that waits for its result: the caller's id (none for a legacy function), and upstream's."""

    id: str | None
    upstream_id: str
    name: str = ""


class CallWriter:
    """Writes calls of one request's tools; `has_marks` says whether one of them was marked."""

    __slots__ = ("_adjustments", "_tools", "has_marks", "trace")

    def __init__(self, tools: Tools, adjustments: Adjustments) -> None:
        self._tools = tools
        self._adjustments = adjustments
        self.has_marks = False
        # Where the written blocks come from, for who asks.
        self.trace: Places | None = None

    def write(self, item: Placed) -> tuple[list[Call], list[Block]]:
        """The calls of a message, and their blocks."""
        message = item.message
        calls: list[Call] = []
        uses: list[Block] = []
        if message.tool_calls:
            if len(message.tool_calls) > MAX_CALLS:
                check_length(message.tool_calls, MAX_CALLS, f"{item.path}.tool_calls")
            for number, call in enumerate(message.tool_calls):
                if len(call.id) > MAX_ID:
                    check_text(call.id, MAX_ID, f"{_place(item, number)}.id")
                waiting = Call(call.id, upstream_call_id(call.id))
                if call.custom is None and call.function is not None and call.cache_control is UNSET:
                    uses.append(self._function_use(waiting, call.function, item, number))
                else:
                    uses.append(self._use(waiting, call, item, number))
                calls.append(waiting)
            if self.trace is not None:
                _trace(self.trace, item, uses)
        elif (legacy := message.function_call) is not None:
            # The old form has no ids; a place in the list is the same in every turn.
            waiting = Call(None, f"function_{item.index}", legacy.name)
            uses.append(self._function_use(waiting, legacy, item, None))
            calls.append(waiting)
        return calls, uses

    def _use(self, waiting: Call, call: AskedCall, item: Placed, number: int) -> Block:
        if call.custom is not None:
            place = _place(item, number)
            path = place if isinstance(call, PlacedCall) else f"{place}.custom"
            use = self._custom_use(waiting, call.custom, path)
        elif call.function is not None:
            use = self._function_use(waiting, call.function, item, number)
        else:
            param = f"{_place(item, number)}.function"
            message = f"Missing required parameter: '{param}'."
            raise TranslationError(message, param=param, code="missing_required_parameter")
        if call.cache_control is not UNSET:
            mark = mark_of(call.cache_control, None, _place(item, number), self._adjustments)
            if mark is not None:
                self.has_marks = True
                use[MARK] = mark
        return use

    def _function_use(self, call: Call, function: FunctionCall, item: Placed, number: int | None) -> Block:
        """A call of a function; `number` is its place among the message's calls, None in the legacy form."""
        tools, name = self._tools, function.name
        if tools.names.get(name) != name:
            if len(name) > MAX_NAME:
                check_text(name, MAX_NAME, f"{_path(item, number)}.name")
            name = upstream_tool_name(name)
        names = tools.properties.get(name) if tools.properties else None
        text = plain_input(function.arguments)
        if text is None or name in tools.wrapped:
            path, wraps = f"{_path(item, number)}.arguments", name in tools.wrapped
            value = call_input(function, path, self._adjustments, wraps=wraps, names=names)
        else:
            value = Fragment(with_names(text, names) if names else text)
        return {"type": "tool_use", "id": call.upstream_id, "name": name, "input": value}

    def _custom_use(self, call: Call, custom: CustomCall, path: str) -> Block:
        check_text(custom.name, MAX_NAME, f"{path}.name")
        name = upstream_tool_name(custom.name)
        return {
            "type": "tool_use",
            "id": call.upstream_id,
            "name": name,
            "input": custom_input(custom, f"{path}.input"),
        }


def mark_on_calls(item: Placed) -> Block | None:
    """A mark that a message's calls carry."""
    for number, call in enumerate(item.message.tool_calls or ()):
        if call.cache_control is not UNSET:
            mark = mark_of(call.cache_control, None, _place(item, number))
            if mark is not None:
                return mark
    return None


def answered(item: Placed, waiting: Mapping[str | None, Call]) -> Call | None:
    """The call that a result answers, by its id or, in the old form, by the function's name."""
    message = item.message
    if message.role == "function":
        call = waiting.get(None)
        return call if call is not None and call.name == message.name else None
    if message.tool_call_id is None:
        param = f"{item.path}.tool_call_id"
        missing = f"Missing required parameter: '{param}'."
        raise TranslationError(missing, param=param, code="missing_required_parameter")
    return waiting.get(message.tool_call_id)


def unexpected_result(item: Placed) -> TranslationError:
    """The error for a result that no call waits for."""
    if item.message.role == "function":
        message = "messages with role 'function' must be a response to a preceding message with 'function_call'."
        return TranslationError(f"Invalid parameter: {message}", param=item.path, code="invalid_value")
    return TranslationError(
        "Invalid parameter: messages with role 'tool' must be a response to a preceding message "
        f"with 'tool_calls'; '{item.message.tool_call_id}' has no call that waits for it.",
        # One in Anthropic's form is a part of a content.
        param=f"{item.path}.{'tool_use_id' if '.' in item.path else 'tool_call_id'}",
        code="invalid_value",
    )


def check_answered(item: Placed | None, calls: Sequence[Call], results: Mapping[str, Block]) -> None:
    """See to it that each call of an assistant's message has its result."""
    if len(results) == len(calls):
        # Each result answers another call.
        return
    path = item.path if item else "messages"
    if len({call.upstream_id for call in calls}) < len(calls):
        raise TranslationError(
            "The calls of one message must have different ids.", param=f"{path}.tool_calls", code="invalid_value"
        )
    missing = [call.id or call.name for call in calls if call.upstream_id not in results]
    if missing:
        raise TranslationError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}",
            param=path,
            code="invalid_value",
        )


def _path(item: Placed, number: int | None) -> str:
    """Where a function's call stands."""
    if number is None:
        return f"{item.path}.function_call"
    place = _place(item, number)
    return place if isinstance((item.message.tool_calls or ())[number], PlacedCall) else f"{place}.function"


def _place(item: Placed, number: int) -> str:
    """Where a call stands."""
    call = (item.message.tool_calls or ())[number]
    return call.place if isinstance(call, PlacedCall) else f"{item.path}.tool_calls[{number}]"


def _trace(trace: Places, item: Placed, uses: Sequence[Block]) -> None:
    """Note where the calls of a message come from; those in Anthropic's form stand in its content."""
    within = call_places(item.message, item.content_path)
    for number, (call, use) in enumerate(zip(item.message.tool_calls or (), uses, strict=True)):
        trace.note(use, within.get(call.id) or _place(item, number))
