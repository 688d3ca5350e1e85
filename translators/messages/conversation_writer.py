"""The conversation: OpenAI's list of messages as Messages' `system` and `messages`.

A *run* is a stretch without assistant messages, with the assistant message before it. What becomes of a message depends
on its run and on what stands before it, never on what comes after the next assistant message: the same history gives
the same bytes, and a longer one repeats them. Prompt caches depend on that.

Nearly every message is a text and nothing else. A run of such messages is taken as it is; where one message holds more,
its run is looked at message by message, which gives the same for those that hold nothing else.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import astuple
from orjson import Fragment

from translators.errors import TranslationError
from translators.intent import Message, SealedTurn
from translators.messages.blocks import Block, Content, plain_texts
from translators.messages.calls import Call, answered, check_answered, unexpected_result
from translators.messages.conversation import SYSTEM_ROLES, Placed, count_leading_system
from translators.messages.message_writer import BYTES_A_STEP, NOTHING, MessageWriter
from translators.messages.splicing import stripped
from translators.reading import spoken_text
from translators.wire.raw import NULL

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
_KNOWN_ROLES: Final = frozenset(ROLES)
_SPEAKERS: Final = frozenset({"user", "assistant"})
# What a message holds besides its role and its content where it holds nothing.
_ALL_ELSE: Final = slice(2, len(Message.__struct_fields__))
_NOTHING_ELSE: Final = astuple(Message("user"))[_ALL_ELSE]

# Of texts so many make a step: about 0.2 ms.
_MESSAGES_A_STEP: Final = 256

# A conversation has to begin with a user's message; this stands in where there is none, in every turn the same.
_OPENING: Final = b'"Begin."'
_CONTINUE: Final = "Continue exactly where your last message ended, without repeating any of it."


class ConversationWriter(MessageWriter):
    """Writes the messages of one request into `conversation`, once."""

    def steps(self) -> Iterator[None]:
        """Write the conversation; yields so often that no step takes longer than a single message does.

        Raises `TranslationError` where calls and results do not belong together.
        """
        messages, written = self._messages, self.conversation.messages
        self._check_messages()
        begin = yield from self._write_leading()
        made = self._past.contents
        # Where the run that is being looked at begins in what is written, as long as it holds only texts, none sealed.
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
                begin, is_only_texts, start = index, type(message) is not SealedTurn, len(written)
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
            if index % _MESSAGES_A_STEP == 0 or size > BYTES_A_STEP:
                size = 0
                yield
        if begin == len(messages) or not is_only_texts:
            yield from self._write_run(begin, len(messages))
        self._end()
        if self._speakers.has_lost_names:
            self._adjustments.add(f"{self._name}.name", "dropped", "single")

    def _check_messages(self) -> None:
        messages = self._messages
        if not messages:
            expected = "Expected an array with minimum length 1, but got an empty array instead."
            raise TranslationError(
                f"Invalid '{self._name}': empty array. {expected}", param=self._name, code="empty_array"
            )
        if {message.role for message in messages} <= _KNOWN_ROLES:
            return
        index, message = next((index, item) for index, item in enumerate(messages) if item.role not in _KNOWN_ROLES)
        roles = ", ".join(f"'{role}'" for role in ROLES)
        raise TranslationError(
            f"Invalid value: '{message.role}'. Supported values are: {roles}.",
            param=f"{self._placed(index).path}.role",
            code="invalid_value",
        )

    def _write_leading(self) -> Generator[None, None, int]:
        """Write the system messages before the first run; how many there are."""
        leading = count_leading_system(self._messages)
        for index in range(leading):
            self._write_system(self._placed(index))
            if self._is_due(self._messages[index]):
                yield
        return leading

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
            self.conversation.add("user", NOTHING)

    def _write_late(self, item: Placed) -> None:
        """Write a system message as one of the conversation."""
        texts = self._system_texts(item)
        self._marks.place(item.index)
        self.conversation.add("system", texts)
        if self._trace is not None and texts:
            self._trace.note(self.conversation.messages[-1], item.content_path)

    def _end(self) -> None:
        """A conversation whose last words are the model's own is continued by itself where it can, else on request."""
        messages = self.conversation.messages
        if messages[-1]["role"] != "assistant":
            return
        if not self._taken.prefill:
            self._adjustments.add(self._name, "prefill->continue", "model")
            self.conversation.turn_words.append(_CONTINUE)
            return
        # Trailing white space in a prefill is refused.
        content = messages[-1]["content"]
        if isinstance(content, Fragment):
            messages[-1]["content"] = stripped(content)
        elif isinstance(content, list) and content[-1]["type"] == "text":
            content[-1]["text"] = stripped(content[-1]["text"])

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
                upstream_id = self._answered(index, message, waiting)
                if upstream_id in results:
                    raise unexpected_result(self._placed(index))
                results[upstream_id] = self._result(index, message, upstream_id)
                if self._is_due(message):
                    yield
        check_answered(first, calls, results)
        return [results[call.upstream_id] for call in calls]

    def _answered(self, index: int, message: Message, waiting: Mapping[str | None, Call]) -> str:
        """The upstream id of the call that a result answers."""
        call = waiting.get(message.tool_call_id)
        if call is None or call.id is None or message.role == "function":
            item = self._placed(index)
            call = answered(item, waiting)
            if call is None:
                raise unexpected_result(item)
        return call.upstream_id


def _holds_only_content(message: Message) -> bool:
    """Whether a message has nothing but a role and a content."""
    if message.tool_calls is not None or message.tool_call_id is not None or message.name is not None:
        return False
    return (
        message.function_call is None
        # What is absent is this very object.
        and message.refusal is message.thinking_blocks is message.reasoning_details is NULL
        and message.cache_control is message.is_error is NULL
    ) or astuple(message)[_ALL_ELSE] == _NOTHING_ELSE
