"""The conversation: OpenAI's list of messages as Messages' `system` and `messages`.

A *run* is a stretch without assistant messages. What becomes of a message depends on its run and on what stands
before it, never on what comes after the next assistant message: the same history gives the same bytes, and a longer
one repeats them. Prompt caches live on that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import orjson
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.chat.content import Block, Content, assistant_texts, content_of, text_block, texts_of
from translators.chat.names import upstream_call_id, upstream_tool_name
from translators.chat.tools import call_input
from translators.errors import TranslationError
from translators.wire.chat import ChatMessage, ToolCall

ROLES: Final = ("developer", "system", "user", "assistant", "tool")
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})

# A conversation has to begin with a user's message; these stand in where there is none, in every turn the same.
_OPENING: Final = b'"Begin."'
_NOTHING: Final = b'"."'
_CONTINUE: Final = "Continue exactly where your last message ended, without repeating any of it."


@dataclass(slots=True)
class Conversation:
    """The parts of the body that carry the history."""

    system: list[Block] = field(default_factory=list)
    messages: list[Block] = field(default_factory=list)

    def add(self, role: str, content: Content) -> None:
        """Append a message, unless nothing is left of it."""
        if content:
            spliced = Fragment(content) if isinstance(content, bytes) else content
            self.messages.append({"role": role, "content": spliced})

    def say_at_the_tail(self, words: str) -> None:
        """Add words of the gateway that hold for this turn only."""
        # A system message must be followed by an assistant's or by nothing, so it takes its like after it.
        role = "system" if self.messages and self.messages[-1]["role"] == "system" else "user"
        self.add(role, [{"type": "text", "text": words}])


@dataclass(frozen=True, slots=True)
class _Placed:
    """A message and where it stands in the caller's list."""

    index: int
    message: ChatMessage

    @property
    def path(self) -> str:
        return f"messages[{self.index}]"


@dataclass(slots=True)
class _Run:
    """An assistant message (none before the first run) and what follows it up to the next one."""

    assistant: _Placed | None
    others: list[_Placed] = field(default_factory=list)


def write_conversation(
    messages: list[ChatMessage], *, takes_system: bool, takes_prefill: bool, adjustments: Adjustments
) -> Conversation:
    """The conversation for a model; raises `TranslationError` where calls and results do not belong together."""
    if not messages:
        raise TranslationError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    placed = [_checked(index, message) for index, message in enumerate(messages)]
    leading = _count_leading_system(placed)
    conversation = Conversation()
    for item in placed[:leading]:
        texts = texts_of(item.message.content, f"{item.path}.content")
        conversation.system.extend(text_block(text) for text in texts)
    names: set[str] = set()
    for run in _runs(placed[leading:]):
        calls = _write_assistant(conversation, run.assistant, adjustments) if run.assistant else []
        _write_run(conversation, run, calls, names, takes_system=takes_system)
        if run.assistant is None and not conversation.messages:
            conversation.add("user", _NOTHING if run.others else _OPENING)
    _end_with_user(conversation, placed[-1], takes_prefill, adjustments)
    return conversation


def is_in_tool_loop(messages: list[ChatMessage]) -> bool:
    """Whether the model is in the middle of a turn: its last calls have just been answered."""
    for message in reversed(messages):
        if message.role in ("tool", "assistant"):
            return message.role == "tool"
    return False


def _checked(index: int, message: ChatMessage) -> _Placed:
    if message.role not in ROLES:
        roles = ", ".join(f"'{role}'" for role in ROLES)
        raise TranslationError(
            f"Invalid value: '{message.role}'. Supported values are: {roles}.",
            param=f"messages[{index}].role",
            code="invalid_value",
        )
    return _Placed(index, message)


def _count_leading_system(placed: list[_Placed]) -> int:
    for count, item in enumerate(placed):
        if item.message.role not in _SYSTEM_ROLES:
            return count
    return len(placed)


def _runs(placed: list[_Placed]) -> Iterator[_Run]:
    run = _Run(None)
    for item in placed:
        if item.message.role == "assistant":
            yield run
            run = _Run(item)
        else:
            run.others.append(item)
    yield run


def _write_assistant(conversation: Conversation, item: _Placed, adjustments: Adjustments) -> list[ToolCall]:
    """Write the model's own turn; gives the calls that the run after it has to answer."""
    message = item.message
    texts = assistant_texts(message.content, f"{item.path}.content")
    if message.refusal and message.refusal.strip():
        texts.append(orjson.dumps(message.refusal))
    calls = message.tool_calls or []
    if not calls and len(texts) == 1:
        conversation.add("assistant", texts[0])
        return []
    blocks = [text_block(text) for text in texts]
    blocks += [_tool_use(call, f"{item.path}.tool_calls[{n}]", adjustments) for n, call in enumerate(calls)]
    conversation.add("assistant", blocks)
    return calls


def _tool_use(call: ToolCall, path: str, adjustments: Adjustments) -> Block:
    if call.function is None:
        raise TranslationError(
            f"Missing required parameter: '{path}.function'.",
            param=f"{path}.function",
            code="missing_required_parameter",
        )
    return {
        "type": "tool_use",
        "id": upstream_call_id(call.id),
        "name": upstream_tool_name(call.function.name),
        "input": call_input(call.function, f"{path}.function.arguments", adjustments),
    }


def _write_run(
    conversation: Conversation, run: _Run, calls: list[ToolCall], names: set[str], *, takes_system: bool
) -> None:
    """Write a run: results first and together, then the users' messages in order, system messages last."""
    results = _results(run, calls)
    conversation.add("user", results)
    contents = {item.index: _content(item) for item in run.others if item.message.role == "user"}
    names.update(item.message.name for item in run.others if item.message.role == "user" and item.message.name)
    # A system message is taken only behind a user's; and there only as the last of its run.
    stands_late = takes_system and bool(results or any(contents.values()))
    late: list[Content] = []
    for item in run.others:
        if item.message.role == "user":
            conversation.add("user", _with_name(contents[item.index], item.message.name, names))
        elif item.message.role in _SYSTEM_ROLES:
            texts = texts_of(item.message.content, f"{item.path}.content")
            if stands_late:
                late.append([text_block(text) for text in texts])
            else:
                conversation.add("user", [text_block(_marked_as_system(text)) for text in texts])
    for content in late:
        conversation.add("system", content)


def _content(item: _Placed) -> Content:
    return content_of(item.message.content, f"{item.path}.content")


def _results(run: _Run, calls: list[ToolCall]) -> list[Block]:
    """The results of one turn in the order of its calls; each call needs exactly one."""
    results: dict[str, Block] = {}
    expected = {call.id for call in calls}
    for item in run.others:
        if item.message.role != "tool":
            continue
        call_id = item.message.tool_call_id
        if call_id is None:
            raise TranslationError(
                f"Missing required parameter: '{item.path}.tool_call_id'.",
                param=f"{item.path}.tool_call_id",
                code="missing_required_parameter",
            )
        if call_id not in expected or call_id in results:
            raise TranslationError(
                "Invalid parameter: messages with role 'tool' must be a response to a preceding message "
                f"with 'tool_calls'; '{call_id}' has no call that waits for it.",
                param=f"{item.path}.tool_call_id",
                code="invalid_value",
            )
        results[call_id] = _result(item, call_id)
    _check_answered(run, calls, results)
    return [results[call.id] for call in calls]


def _result(item: _Placed, call_id: str) -> Block:
    result: Block = {"type": "tool_result", "tool_use_id": upstream_call_id(call_id)}
    if content := _content(item):
        result["content"] = Fragment(content) if isinstance(content, bytes) else content
    return result


def _check_answered(run: _Run, calls: list[ToolCall], results: dict[str, Block]) -> None:
    ids = [call.id for call in calls]
    if missing := [call_id for call_id in ids if call_id not in results]:
        raise TranslationError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}",
            param=run.assistant.path if run.assistant else "messages",
            code="invalid_value",
        )
    if len(set(ids)) < len(ids) and run.assistant:
        raise TranslationError(
            "The calls of one message must have different ids.",
            param=f"{run.assistant.path}.tool_calls",
            code="invalid_value",
        )


def _with_name(content: Content, name: str | None, names: set[str]) -> Content:
    """Say who speaks, as soon as more than one name has occurred."""
    if not name or len(names) < 2 or not content:
        return content
    if isinstance(content, bytes):
        return _spliced(f"{name}:\n", content)
    return [{"type": "text", "text": f"{name}:"}, *content]


def _marked_as_system(text: bytes) -> bytes:
    """A system text inside a user's message, told apart from the user's words."""
    return _spliced("<system>\n", text, "\n</system>")


def _spliced(before: str, text: bytes, after: str = "") -> bytes:
    """A JSON string with words around it, the middle as it stood."""
    return orjson.dumps(before)[:-1] + text[1:-1] + orjson.dumps(after)[1:]


def _end_with_user(conversation: Conversation, last: _Placed, takes_prefill: bool, adjustments: Adjustments) -> None:
    """A last message of the assistant is continued by the model itself where it can, else on request."""
    if last.message.role != "assistant" or conversation.messages[-1]["role"] != "assistant":
        return
    if not takes_prefill:
        adjustments.add("messages", "prefill->continue", "model")
        conversation.say_at_the_tail(_CONTINUE)
        return
    # Trailing white space in a prefill is refused.
    texts = [orjson.loads(text) for text in assistant_texts(last.message.content, "messages")]
    texts += [last.message.refusal] if last.message.refusal else []
    conversation.messages[-1]["content"] = "\n".join(texts).rstrip() if texts else _NOTHING
