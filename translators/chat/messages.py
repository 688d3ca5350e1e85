"""The conversation: OpenAI's list of messages as Messages' `system` and `messages`.

A *run* is a stretch without assistant messages, with the assistant message before it. What becomes of a message depends
on its run and on what stands before it, never on what comes after the next assistant message: the same history gives
the same bytes, and a longer one repeats them. Prompt caches depend on that.

Nearly every message is a text and nothing else. A run of such messages is taken as it is; where one message holds more,
its run is looked at message by message, which gives the same for those that hold nothing else.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Final

import orjson
from msgspec import Struct
from msgspec.structs import astuple
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.blocks import THINKING
from translators.chat.caching import MARK, mark_of, newest_mark
from translators.chat.calls import Call, CallWriter, answered, check_answered, mark_on_calls, unexpected_result
from translators.chat.content import Block, Content, ContentWriter, as_blocks, plain_texts, text_block
from translators.chat.conversation import SYSTEM_ROLES, Conversation, Placed, count_leading_system, placed
from translators.chat.loose_marks import LooseMarks
from translators.chat.places import Places
from translators.chat.speakers import Speakers
from translators.chat.splicing import spliced, stripped
from translators.chat.tools import Tools
from translators.chat.turns import UNKNOWN_PAST, Past
from translators.errors import TranslationError
from translators.reading import SPOKEN, is_blank, is_null, is_text, spoken_text
from translators.wire.chat import NULL, TRUE, ChatMessage

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
_KNOWN_ROLES: Final = frozenset(ROLES)
_SPEAKERS: Final = frozenset({"user", "assistant"})
# What a message holds besides its role and its content where it holds nothing.
_ALL_ELSE: Final = slice(2, len(ChatMessage.__struct_fields__))
_NOTHING_ELSE: Final = astuple(ChatMessage("user"))[_ALL_ELSE]

# Of texts so many make a step: about 0.2 ms. Of all else so many bytes, to which each message adds some: 1 ms, mostly.
_MESSAGES_A_STEP: Final = 256
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_A_MESSAGE: Final = 128
# So much is looked at of turns that may say nothing.
_MOST_BLANK_BYTES: Final = 64 * 1024

# A conversation has to begin with a user's message; these stand in where there is none, in every turn the same.
_OPENING: Final = b'"Begin."'
_NOTHING: Final = b'"."'
_CONTINUE: Final = "Continue exactly where your last message ended, without repeating any of it."


class Taken(Struct, frozen=True):
    """What the model and the operator allow in a conversation."""

    system_messages: bool
    prefill: bool
    file_ids: bool = False


def is_in_tool_loop(messages: list[ChatMessage], past: Past, places: Sequence[str] | None = None) -> bool:
    """Whether the model's last turn called tools and its signed thinking does not go back."""
    looked_at = 0
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role == "assistant":
            if message.tool_calls or message.function_call:
                made = past.contents.get(index)
                return made[0]["type"] not in THINKING if made else not past.thinking(message)
            # A turn of which nothing is left is none.
            content, path = message.content, placed(messages, places, index).content_path
            if SPOKEN.match(content) or ContentWriter().assistant(content, path) or _refusal(message):
                return False
            looked_at += len(content)
            if looked_at > _MOST_BLANK_BYTES:
                return False
    return False


def _refusal(message: ChatMessage) -> bytes:
    """The refusal of an assistant message (a JSON string), empty where there is none."""
    if is_null(message.refusal):
        return b""
    refusal = bytes(message.refusal) if is_text(message.refusal) else b""
    return b"" if not refusal or is_blank(refusal) else refusal


class ConversationWriter:
    """Writes the messages of one request into `conversation`, once."""

    def __init__(
        self,
        messages: list[ChatMessage],
        tools: Tools,
        taken: Taken,
        adjustments: Adjustments,
        past: Past = UNKNOWN_PAST,
        places: Sequence[str] | None = None,
    ) -> None:
        self.conversation = Conversation()
        # Whether signed thinking goes back, which upstream may find wrong.
        self.has_thinking = False
        self._past = past
        self._messages = messages
        # Where the contents stand in the body, as `ChatRequest` has it.
        self._places = places
        self._taken = taken
        self._adjustments = adjustments
        self._contents = ContentWriter(adjustments, allows_ids=taken.file_ids, shapes_are_read=places is not None)
        self._calls = CallWriter(tools, adjustments)
        self._speakers = Speakers()
        self._marks = LooseMarks(self.conversation)
        self._has_own_marks = False
        self._trace: Places | None = None
        # What has been written since others had their turn.
        self._work = 0

    @property
    def has_marks(self) -> bool:
        """Whether anything in the messages is marked."""
        return self._has_own_marks or self._contents.has_marks or self._calls.has_marks

    @property
    def tool_mark(self) -> Block | None:
        """The mark of a message that belongs on the last tool, as nothing else stands before it."""
        return self._marks.for_tools

    def trace(self, places: Places) -> None:
        """Note in `places` where everything comes from that will be written."""
        self._trace = self._contents.trace = self._calls.trace = places

    def steps(self) -> Iterator[None]:
        """Write the conversation; yields so often that no step takes longer than a single message does.

        Raises `TranslationError` where calls and results do not belong together.
        """
        messages, written = self._messages, self.conversation.messages
        _check_messages(messages, self._places)
        begin = count_leading_system(messages)
        for index in range(begin):
            self._write_system(self._placed(index))
            if self._is_due(messages[index]):
                yield
        made = self._past.contents
        # Where the run that is being looked at begins in what is written, as long as it holds only texts.
        is_only_texts, start = True, 0
        # How much was read of parts since others had their turn.
        size = 0
        for index in range(begin, len(messages)):
            message = messages[index]
            role = message.role
            if role == "assistant":
                if index == begin or not is_only_texts:
                    yield from self._write_run(begin, index)
                    yield
                begin, is_only_texts, start = index, True, len(written)
            if is_only_texts:
                if role not in _SPEAKERS or index in made or not _holds_only_content(message):
                    is_only_texts = False
                elif text := spoken_text(message.content):
                    written.append({"role": role, "content": Fragment(text)})
                else:
                    if blocks := plain_texts(message.content):
                        written.append({"role": role, "content": blocks})
                    else:
                        is_only_texts = False
                    size += len(message.content)
                if not is_only_texts:
                    # Each message of such a run is looked at by itself.
                    del written[start:]
                elif self._trace is not None:
                    self._trace_texts(self._placed(index), written[-1])
            if index % _MESSAGES_A_STEP == 0 or size > _BYTES_A_STEP:
                size = 0
                yield
        if begin == len(messages) or not is_only_texts:
            yield from self._write_run(begin, len(messages))
        self._end()
        if self._speakers.has_lost_names:
            self._adjustments.add("messages.name", "dropped", "single")

    def _placed(self, index: int) -> Placed:
        places = self._places
        return Placed(index, self._messages[index], places[index] if places else None)

    def _write_system(self, item: Placed) -> None:
        """Write a system message before the first run."""
        if item.message.name and self._speakers.is_silent:
            # All of them are there in every turn.
            self._speakers.hear(self._messages[: count_leading_system(self._messages)])
        texts = self._system_texts(item)
        self._marks.place(item.index)
        self.conversation.system.extend(texts)
        if self._trace is not None:
            for text in texts:
                self._trace.note(text, item.content_path)

    def _write_run(self, begin: int, end: int) -> Generator[None, None, None]:
        """Write a run: the assistant's turn, then results first and together, users in order, system messages last."""
        if begin == end:
            self.conversation.add("user", _OPENING)
            return
        first = self._placed(begin) if self._messages[begin].role == "assistant" else None
        calls = self._assistant(first) if first is not None else []
        begin += first is not None
        results = yield from self._results(first, begin, end, calls)
        self.conversation.add("user", results)
        if self._trace is not None and results:
            self._trace.move(results[0], self.conversation.messages[-1])
        if first is None or len(results) < end - begin:
            yield from self._write_others(begin, end, is_first=first is None, has_results=bool(results))

    def _write_others(self, begin: int, end: int, *, is_first: bool, has_results: bool) -> Generator[None, None, None]:
        """Write what a run holds besides an assistant's turn and results."""
        messages = self.conversation.messages
        others = [self._placed(index) for index in range(begin, end)]
        contents: dict[int, Content] = {}
        for item in others:
            if item.message.role == "user":
                contents[item.index] = self._content(item)
                if self._is_due(item.message):
                    yield
        self._speakers.hear(item.message for item in others)
        # A system message is taken only behind a user's; and there only as the last of its run.
        stands_late = self._taken.system_messages and bool(has_results or any(contents.values()))
        late: list[Placed] = []
        for item in others:
            if item.message.role == "user":
                self._add("user", self._speakers.with_name(contents[item.index], item.message), item)
            elif item.message.role in SYSTEM_ROLES and stands_late:
                late.append(item)
            elif item.message.role in SYSTEM_ROLES:
                self._add("user", list(map(self._as_system, self._system_texts(item))), item)
            if self._is_due(item.message):
                yield
        for item in late:
            self._write_late(item)
            if self._is_due(item.message):
                yield
        if is_first and not messages:
            self.conversation.add("user", _NOTHING)

    def _write_late(self, item: Placed) -> None:
        """Write a system message as one of the conversation."""
        texts = self._system_texts(item)
        self._marks.place(item.index)
        self.conversation.add("system", texts)
        if self._trace is not None and texts:
            self._trace.note(self.conversation.messages[-1], item.content_path)

    def _is_due(self, message: ChatMessage) -> bool:
        """Whether others should have their turn, now that one more message was looked at."""
        self._work += len(message.content) + _BYTES_A_MESSAGE
        if self._work < _BYTES_A_STEP:
            return False
        self._work = 0
        return True

    def _end(self) -> None:
        """A conversation whose last words are the model's own is continued by itself where it can, else on request."""
        messages = self.conversation.messages
        if messages[-1]["role"] != "assistant":
            return
        if not self._taken.prefill:
            self._adjustments.add("messages", "prefill->continue", "model")
            self.conversation.turn_words.append(_CONTINUE)
            return
        # Trailing white space in a prefill is refused.
        content = messages[-1]["content"]
        if isinstance(content, Fragment):
            messages[-1]["content"] = stripped(content)
        elif isinstance(content, list) and content[-1]["type"] == "text":
            content[-1]["text"] = stripped(content[-1]["text"])

    def _assistant(self, item: Placed) -> list[Call]:
        """Write the model's own turn; gives the calls that the run after it has to answer."""
        message = item.message
        if message.name:
            self._speakers.hear((message,))
        if (made := self._past.contents.get(item.index)) is not None:
            return self._made(item, made)
        content: Content = spoken_text(message.content)
        if not content:
            content = self._contents.assistant(message.content, item.content_path)
            self._keep_orphan(item)
        if message.refusal is not NULL and (refusal := _refusal(message)):
            content = [*as_blocks(content), text_block(refusal)] if content else refusal
        content = self._speakers.with_name(content, message) if message.name else content
        thinking = self._past.thinking(message, item.path)
        self.has_thinking = self.has_thinking or bool(thinking)
        calls, uses = self._calls.write(item)
        if thinking or uses:
            content = [*thinking, *as_blocks(content), *uses]
        self._add("assistant", content or self._least(), item)
        return calls

    def _least(self) -> bytes:
        """What stands for a turn that said nothing: behind a system message only a turn of the model may follow."""
        messages = self.conversation.messages
        return _NOTHING if messages and messages[-1]["role"] == "system" else b""

    def _made(self, item: Placed, made: Sequence[Block]) -> list[Call]:
        """Write the model's own turn as it was made: its ids as they are upstream, the marks those of the client."""
        message = item.message
        shown = self._contents.assistant(message.content, item.content_path)
        self._keep_orphan(item)
        if message.name:
            self._speakers.leave_out(message.name)
        content = [dict(block) for block in made]
        self.has_thinking = self.has_thinking or any(block["type"] in THINKING for block in content)
        self._add("assistant", content or self._least(), item)
        if (mark := mark_on_calls(item) or newest_mark(as_blocks(shown))) is not None:
            self._has_own_marks = True
            self._marks.mark_last(mark)
        uses = [block for block in content if block["type"] == "tool_use"]
        ids = [str(orjson.loads(orjson.dumps(block["id"]))) for block in uses]
        if (legacy := message.function_call) is not None and not message.tool_calls:
            return [Call(None, ids[0], legacy.name)]
        return [Call(call.id, made_id) for call, made_id in zip(message.tool_calls or (), ids, strict=True)]

    def _results(
        self, first: Placed | None, begin: int, end: int, calls: Sequence[Call]
    ) -> Generator[None, None, list[Block]]:
        """The results of one turn in the order of its calls; each call needs exactly one."""
        waiting: dict[str | None, Call] = {}
        for call in calls:
            waiting.setdefault(call.id, call)
        results: dict[str, Block] = {}
        for index in range(begin, end):
            message = self._messages[index]
            if message.role in ("tool", "function"):
                item = self._placed(index)
                call_answered = answered(item, waiting)
                if call_answered is None or call_answered.upstream_id in results:
                    raise unexpected_result(item)
                results[call_answered.upstream_id] = self._result(item, call_answered)
                if self._is_due(message):
                    yield
        check_answered(first, calls, results)
        return [results[call.upstream_id] for call in calls]

    def _result(self, item: Placed, call: Call) -> Block:
        message = item.message
        result: Block = {"type": "tool_result", "tool_use_id": call.upstream_id}
        if self._trace is not None:
            self._trace.note(result, item.path)
        if text := spoken_text(message.content):
            result["content"] = Fragment(text)
        else:
            self._add_content(result, item)
        if message.is_error is not NULL and message.is_error == TRUE:
            result["is_error"] = True
        if message.cache_control is not NULL and (mark := self._own_mark(item)) is not None:
            result[MARK] = mark
        return result

    def _add_content(self, result: Block, item: Placed) -> None:
        """Add a result's content, if anything is left of it; a mark of what is not goes on the result."""
        content = self._content(item)
        if content:
            self._marks.place(item.index)
            result["content"] = Fragment(content) if isinstance(content, bytes) else content
        elif (orphaned := self._marks.take(item.index)) is not None:
            result[MARK] = orphaned

    def _content(self, item: Placed) -> Content:
        write = self._contents.users if item.message.role == "user" else self._contents.content
        content = write(item.message.content, item.content_path)
        self._keep_orphan(item)
        return content

    def _keep_orphan(self, item: Placed) -> None:
        if (mark := self._contents.take_orphaned_mark()) is not None:
            self._marks.keep(item.index, mark)

    def _system_texts(self, item: Placed) -> list[Block]:
        """A system message's texts, the last of them with the mark of the whole."""
        message = item.message
        texts = self._contents.texts(message.content, item.content_path)
        self._keep_orphan(item)
        if message.name:
            self._speakers.name_first(texts, message)
        if message.cache_control is not NULL and (mark := self._own_mark(item)) is not None:
            if texts:
                texts[-1].setdefault(MARK, mark)
            else:
                self._marks.keep(item.index, mark)
        return texts

    def _add(self, role: str, content: Content, source: Placed) -> None:
        """Append a message with the mark that its source carries as a whole.

        A mark that nothing in its message can carry moves to the message before.
        """
        self._marks.place(source.index)
        self.conversation.add(role, content)
        if self._trace is not None and content:
            self._trace.note(self.conversation.messages[-1], source.content_path)
        if source.message.cache_control is not NULL and (mark := self._own_mark(source)) is not None:
            self._marks.mark_last(mark)

    def _own_mark(self, item: Placed) -> Block | None:
        """The mark that a message carries as a whole."""
        given = item.message.cache_control
        mark = None if is_null(given) else mark_of(given, None, item.path, self._adjustments)
        self._has_own_marks = self._has_own_marks or mark is not None
        return mark

    def _as_system(self, block: Block) -> Block:
        """A system text inside a user's message, told apart from the user's words."""
        marked = {**block, "text": Fragment(spliced("<system>\n", block["text"], "\n</system>"))}
        if self._trace is not None:
            self._trace.move(block, marked)
        return marked

    def _trace_texts(self, item: Placed, written: Block) -> None:
        """Note where a message comes from that is taken as it is."""
        assert self._trace is not None
        self._trace.note(written, item.content_path)
        content = written["content"]
        for number, block in enumerate(content if isinstance(content, list) else ()):
            self._trace.note(block, f"{item.content_path}[{number}]")


def _holds_only_content(message: ChatMessage) -> bool:
    """Whether a message has nothing but a role and a content."""
    return (
        message.tool_calls is None
        and message.tool_call_id is None
        and message.name is None
        and message.function_call is None
        # What is absent is this very object.
        and message.refusal is message.thinking_blocks is message.reasoning_details is NULL
        and message.cache_control is message.is_error is NULL
    ) or astuple(message)[_ALL_ELSE] == _NOTHING_ELSE


def _check_messages(messages: list[ChatMessage], places: Sequence[str] | None) -> None:
    if not messages:
        raise TranslationError(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    if {message.role for message in messages} <= _KNOWN_ROLES:
        return
    index, message = next((index, item) for index, item in enumerate(messages) if item.role not in _KNOWN_ROLES)
    roles = ", ".join(f"'{role}'" for role in ROLES)
    raise TranslationError(
        f"Invalid value: '{message.role}'. Supported values are: {roles}.",
        param=f"{placed(messages, places, index).path}.role",
        code="invalid_value",
    )
