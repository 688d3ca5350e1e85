"""The conversation: OpenAI's list of messages as Messages' `system` and `messages`.

A *run* is a stretch without assistant messages. What becomes of a message depends on its run and on what stands
before it, never on what comes after the next assistant message: the same history gives the same bytes, and a longer
one repeats them. Prompt caches live on that.

Nearly every message is a text and nothing else. Runs of such are taken as they are; where one message holds more, its
run is looked at message by message, which gives the same for those that hold nothing else.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import orjson
from msgspec import UNSET, Struct
from msgspec.structs import astuple
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.blocks import THINKING
from translators.chat.caching import MARK, last_markable, mark_of, newest_mark
from translators.chat.content import (
    Block,
    Content,
    ContentWriter,
    as_blocks,
    plain_texts,
    text_block,
)
from translators.chat.names import upstream_call_id
from translators.chat.native_shapes import call_places
from translators.chat.places import Places
from translators.chat.tools import Tools, call_input, custom_input
from translators.chat.turns import UNKNOWN_PAST, Past
from translators.errors import TranslationError
from translators.limits import MAX_CALLS, MAX_ID, MAX_NAME, check_length, check_text
from translators.reading import SPOKEN, is_blank, is_null, is_text
from translators.wire.chat import TRUE, ChatMessage, CustomCall, FunctionCall

ROLES: Final = ("developer", "system", "user", "assistant", "tool", "function")
_KNOWN_ROLES: Final = frozenset(ROLES)
_SYSTEM_ROLES: Final = frozenset({"system", "developer"})
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


@dataclass(slots=True)
class Conversation:
    """The parts of the body that carry the history."""

    system: list[Block] = field(default_factory=list)
    messages: list[Block] = field(default_factory=list)
    turn_words: list[str] = field(default_factory=list)

    def add(self, role: str, content: Content) -> None:
        """Append a message, unless nothing is left of it."""
        if content:
            spliced = Fragment(content) if isinstance(content, bytes) else content
            self.messages.append({"role": role, "content": spliced})

    def add_turn_words(self, *more: str | None) -> None:
        """Add the gateway's words for this turn at the very end, behind the last cache mark: no cache holds them."""
        for words in (*self.turn_words, *more):
            if words is not None:
                # A system message must be followed by an assistant's or by nothing, so it takes its like after it.
                role = "system" if self.messages and self.messages[-1]["role"] == "system" else "user"
                self.add(role, [{"type": "text", "text": words}])


class Taken(Struct, frozen=True):
    """What the model and the operator allow in a conversation."""

    system_messages: bool
    prefill: bool
    file_ids: bool = False


class _Placed(Struct, frozen=True, gc=False):
    """A message, its index, and the place of its content where that is not the ordinary one."""

    index: int
    message: ChatMessage
    place: str | None = None

    @property
    def path(self) -> str:
        return f"messages[{self.index}]" if self.place is None else self.place.removesuffix(".content")

    @property
    def content_path(self) -> str:
        return self.place or f"messages[{self.index}].content"


@dataclass(slots=True)
class _Run:
    """An assistant message (none before the first run) and what follows it up to the next one."""

    assistant: _Placed | None
    others: list[_Placed] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.assistant.path if self.assistant else "messages"


class _Call(Struct, frozen=True, gc=False):
    """A call that waits for its result: the caller's id (none for a legacy function), and upstream's."""

    id: str | None
    upstream_id: str
    name: str


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
            content, path = message.content, _Placed(index, message, places[index] if places else None).content_path
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
        self._tools = tools
        self._taken = taken
        self._adjustments = adjustments
        self._contents = ContentWriter(adjustments, allows_ids=taken.file_ids, shapes_are_read=places is not None)
        # Who has spoken by name in each role, up to the run that is being written; whose name the words have, and
        # whose not.
        self._names: dict[str, set[str]] = {}
        self._said: set[str] = set()
        self._unsaid: set[str] = set()
        self._trace: Places | None = None
        # Marks of contents whose first parts vanished, by the index of the message.
        self._orphans: dict[int, Block] = {}
        # The last block that can carry a mark, of so many messages.
        self._markable: Block | None = None
        self._searched = 0
        # What has been written since others had their turn.
        self._work = 0

    def trace(self, places: Places) -> None:
        """Note in `places` where everything comes from that will be written."""
        self._trace = self._contents.trace = places

    def steps(self) -> Iterator[None]:
        """Write the conversation; yields so often that no step takes longer than a single message does.

        Raises `TranslationError` where calls and results do not belong together.
        """
        messages, written = self._messages, self.conversation.messages
        _check_messages(messages, self._places)
        leading = _count_leading_system(messages)
        places = self._places
        for index in range(leading):
            item = _Placed(index, messages[index], places[index] if places else None)
            self._write_system(item)
            if self._is_due(item.message):
                yield
        texts: list[Block] = []
        while len(texts) < len(messages):
            _add_texts(messages, texts)
            yield
        for index in self._past.contents:
            texts[index] = {}
        if self._trace is not None:
            self._trace_texts(texts)
        done = leading
        for start, end in _runs_with_more(messages, texts, leading):
            written += texts[done:start]
            yield from self._write_run(_run(self._placed(start, end)))
            done = end
            yield
        written += texts[done:]
        self._end()
        if self._unsaid - self._said:
            self._adjustments.add("messages.name", "dropped", "single")

    def _placed(self, start: int, end: int) -> list[_Placed]:
        messages, places = self._messages, self._places
        if not places:
            return [_Placed(index, messages[index]) for index in range(start, end)]
        return [_Placed(index, messages[index], places[index]) for index in range(start, end)]

    def _write_system(self, item: _Placed) -> None:
        """Write a system message before the first run."""
        if item.message.name and not self._names:
            # All of them are there in every turn.
            self._hear(self._placed(0, _count_leading_system(self._messages)))
        texts = self._system_texts(item)
        self._place_orphan(item)
        self.conversation.system.extend(texts)
        if self._trace is not None:
            for text in texts:
                self._trace.note(text, item.content_path)

    def _write_run(self, run: _Run) -> Iterator[None]:
        """Write a run: the assistant's turn, then results first and together, users in order, system messages last."""
        messages = self.conversation.messages
        if run.assistant is None and not run.others:
            self.conversation.add("user", _OPENING)
            return
        calls = self._assistant(run.assistant) if run.assistant else []
        results = yield from self._results(run, calls)
        self.conversation.add("user", results)
        if self._trace is not None and results:
            self._trace.move(results[0], messages[-1])
        if run.assistant and len(results) == len(run.others):
            return
        users = [item for item in run.others if item.message.role == "user"]
        contents: dict[int, Content] = {}
        for item in users:
            contents[item.index] = self._content(item)
            if self._is_due(item.message):
                yield
        self._hear(run.others)
        # A system message is taken only behind a user's; and there only as the last of its run.
        stands_late = self._taken.system_messages and bool(results or any(contents.values()))
        late: list[_Placed] = []
        for item in run.others:
            if item.message.role == "user":
                self._add("user", self._with_name(contents[item.index], item), item)
            elif item.message.role in _SYSTEM_ROLES and stands_late:
                late.append(item)
            elif item.message.role in _SYSTEM_ROLES:
                self._add("user", list(map(self._as_system, self._system_texts(item))), item)
            if self._is_due(item.message):
                yield
        for item in late:
            texts = self._system_texts(item)
            self._place_orphan(item)
            self.conversation.add("system", texts)
            if self._trace is not None and texts:
                self._trace.note(messages[-1], item.content_path)
            if self._is_due(item.message):
                yield
        if run.assistant is None and not messages:
            self.conversation.add("user", _NOTHING)

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
            messages[-1]["content"] = _stripped(content)
        elif isinstance(content, list) and content[-1]["type"] == "text":
            content[-1]["text"] = _stripped(content[-1]["text"])

    def _assistant(self, item: _Placed) -> list[_Call]:
        """Write the model's own turn; gives the calls that the run after it has to answer."""
        message = item.message
        if message.name:
            self._hear((item,))
        if (made := self._past.contents.get(item.index)) is not None:
            return self._made(item, made)
        content = self._contents.assistant(message.content, item.content_path)
        self._keep_orphan(item)
        if refusal := _refusal(message):
            content = [*as_blocks(content), text_block(refusal)] if content else refusal
        content = self._with_name(content, item)
        thinking = self._past.thinking(message, item.path)
        self.has_thinking = self.has_thinking or bool(thinking)
        calls, uses = self._calls(item)
        if thinking or uses:
            content = [*thinking, *as_blocks(content), *uses]
        self._add("assistant", content or self._least(), item)
        return calls

    def _least(self) -> bytes:
        """What stands for a turn that said nothing: behind a system message only a turn of the model may follow."""
        messages = self.conversation.messages
        return _NOTHING if messages and messages[-1]["role"] == "system" else b""

    def _made(self, item: _Placed, made: Sequence[Block]) -> list[_Call]:
        """Write the model's own turn as it was made: its ids as they are upstream, the marks those of the client."""
        shown = self._contents.assistant(item.message.content, item.content_path)
        self._keep_orphan(item)
        if item.message.name:
            self._unsaid.add(item.message.name)
        content = [dict(block) for block in made]
        self.has_thinking = self.has_thinking or any(block["type"] in THINKING for block in content)
        self._add("assistant", content or self._least(), item)
        if (mark := _mark_on_calls(item) or newest_mark(as_blocks(shown))) is not None:
            self._mark_before(mark)
        uses = [block for block in content if block["type"] == "tool_use"]
        ids = [str(orjson.loads(orjson.dumps(block["id"]))) for block in uses]
        message = item.message
        if (legacy := message.function_call) is not None and not message.tool_calls:
            return [_Call(None, ids[0], legacy.name)]
        return [_Call(call.id, made_id, "") for call, made_id in zip(message.tool_calls or (), ids, strict=True)]

    def _calls(self, item: _Placed) -> tuple[list[_Call], list[Block]]:
        calls: list[_Call] = []
        uses: list[Block] = []
        places = {} if self._trace is None else call_places(item.message, item.content_path)
        if item.message.tool_calls:
            check_length(item.message.tool_calls, MAX_CALLS, f"{item.path}.tool_calls")
        for number, call in enumerate(item.message.tool_calls or ()):
            path = f"{item.path}.tool_calls[{number}]"
            if len(call.id) > MAX_ID:
                check_text(call.id, MAX_ID, f"{path}.id")
            waiting = _Call(call.id, upstream_call_id(call.id), "")
            if call.custom is not None:
                uses.append(self._custom_use(waiting, call.custom, f"{path}.custom.input"))
            elif call.function is not None:
                uses.append(self._function_use(waiting, call.function, f"{path}.function.arguments"))
            else:
                raise TranslationError(
                    f"Missing required parameter: '{path}.function'.",
                    param=f"{path}.function",
                    code="missing_required_parameter",
                )
            if self._trace is not None:
                self._trace.note(uses[-1], places.get(call.id, path))
            if call.cache_control is not UNSET:
                mark = mark_of(call.cache_control, None, path, self._adjustments)
                if mark is not None:
                    uses[-1][MARK] = mark
            calls.append(waiting)
        if (legacy := item.message.function_call) is not None and not calls:
            # The old form has no ids; a place in the list is the same in every turn.
            waiting = _Call(None, f"function_{item.index}", legacy.name)
            uses.append(self._function_use(waiting, legacy, f"{item.path}.function_call.arguments"))
            calls.append(waiting)
        return calls, uses

    def _function_use(self, call: _Call, function: FunctionCall, path: str) -> Block:
        if len(function.name) > MAX_NAME:
            check_text(function.name, MAX_NAME, f"{path.rpartition('.')[0]}.name")
        tools = self._tools
        name = tools.upstream_name(function.name)
        names = tools.properties.get(name)
        value = call_input(function, path, self._adjustments, wraps=name in tools.wrapped, names=names)
        return {"type": "tool_use", "id": call.upstream_id, "name": name, "input": value}

    def _custom_use(self, call: _Call, custom: CustomCall, path: str) -> Block:
        check_text(custom.name, MAX_NAME, f"{path.rpartition('.')[0]}.name")
        name = self._tools.upstream_name(custom.name)
        return {"type": "tool_use", "id": call.upstream_id, "name": name, "input": custom_input(custom, path)}

    def _results(self, run: _Run, calls: list[_Call]) -> Generator[None, None, list[Block]]:
        """The results of one turn in the order of its calls; each call needs exactly one."""
        waiting: dict[str | None, _Call] = {}
        for call in calls:
            waiting.setdefault(call.id, call)
        results: dict[str, Block] = {}
        work = 0
        for item in run.others:
            if item.message.role in ("tool", "function"):
                answered = _answered(item, waiting)
                if answered is None or answered.upstream_id in results:
                    raise _unexpected_result(item)
                results[answered.upstream_id] = self._result(item, answered)
                work += len(item.message.content) + _BYTES_A_MESSAGE
                if work > _BYTES_A_STEP:
                    work = 0
                    yield
        _check_answered(run, calls, results)
        return [results[call.upstream_id] for call in calls]

    def _result(self, item: _Placed, call: _Call) -> Block:
        result: Block = {"type": "tool_result", "tool_use_id": call.upstream_id}
        if self._trace is not None:
            self._trace.note(result, item.path)
        content = self._content(item)
        if content:
            self._place_orphan(item)
        elif (orphaned := self._orphans.pop(item.index, None)) is not None:
            result[MARK] = orphaned
        if content:
            result["content"] = Fragment(content) if isinstance(content, bytes) else content
        if item.message.is_error == TRUE:
            result["is_error"] = True
        if (mark := _own_mark(item, self._adjustments)) is not None:
            result[MARK] = mark
        return result

    def _content(self, item: _Placed) -> Content:
        write = self._contents.users if item.message.role == "user" else self._contents.content
        content = write(item.message.content, item.content_path)
        self._keep_orphan(item)
        return content

    def _keep_orphan(self, item: _Placed) -> None:
        if (mark := self._contents.take_orphaned_mark()) is not None:
            self._orphans[item.index] = mark

    def _place_orphan(self, item: _Placed) -> None:
        """Move a mark that nothing in its message can carry to what stands before it."""
        if (orphaned := self._orphans.pop(item.index, None)) is not None:
            self._mark_before(orphaned)

    def _mark_before(self, mark: Block) -> None:
        """Mark the last that was written: a prompt is tools, then system, then messages."""
        messages = self.conversation.messages
        # What was searched in vain is not searched again: there may be a mark on every message.
        self._markable = last_markable(messages[self._searched :]) or self._markable
        self._searched = len(messages)
        if self._markable is not None:
            self._markable.setdefault(MARK, mark)
            return
        for block in (self.conversation.system or self._tools.definitions)[-1:]:
            block.setdefault(MARK, mark)

    def _system_texts(self, item: _Placed) -> list[Block]:
        """A system message's texts, the last of them with the mark of the whole."""
        texts = self._contents.texts(item.message.content, item.content_path)
        self._keep_orphan(item)
        if texts and (name := item.message.name) and self._says(item, name):
            texts[0]["text"] = Fragment(_spliced(f"{name}:\n", orjson.dumps(texts[0]["text"])))
        if (mark := _own_mark(item, self._adjustments)) is not None:
            if texts:
                texts[-1].setdefault(MARK, mark)
            else:
                self._orphans[item.index] = mark
        return texts

    def _add(self, role: str, content: Content, source: _Placed) -> None:
        """Append a message with the mark that its source carries as a whole.

        A mark that nothing in its message can carry moves to the message before.
        """
        self._place_orphan(source)
        self.conversation.add(role, content)
        if self._trace is not None and content:
            self._trace.note(self.conversation.messages[-1], source.content_path)
        if (mark := _own_mark(source, self._adjustments)) is not None:
            self._mark_before(mark)

    def _as_system(self, block: Block) -> Block:
        marked = _marked_as_system(block)
        if self._trace is not None:
            self._trace.move(block, marked)
        return marked

    def _trace_texts(self, texts: Sequence[Block]) -> None:
        """Note where the texts come from that are taken as they are."""
        assert self._trace is not None
        for item, message in zip(self._placed(0, len(texts)), texts, strict=True):
            if not message:
                continue
            self._trace.note(message, item.content_path)
            content = message["content"]
            for number, block in enumerate(content if isinstance(content, list) else ()):
                self._trace.note(block, f"{item.content_path}[{number}]")

    def _hear(self, items: Iterable[_Placed]) -> None:
        """Take note of who speaks; a result has the name of its tool."""
        for item in items:
            name = item.message.name
            if name and item.message.role not in ("tool", "function") and name.strip():
                self._names.setdefault(_side(item), set()).add(name)

    def _says(self, item: _Placed, name: str) -> bool:
        """Whether a message's words are to say whose they are: as soon as its role has spoken by more than one name."""
        if not name.strip():
            return False
        is_told = len(self._names.get(_side(item), ())) > 1
        (self._said if is_told else self._unsaid).add(name)
        return is_told

    def _with_name(self, content: Content, item: _Placed) -> Content:
        name = item.message.name
        if not name or not content or not self._says(item, name):
            return content
        if isinstance(content, bytes):
            return _spliced(f"{name}:\n", content)
        return [{"type": "text", "text": f"{name}:"}, *content]


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
        param=f"{_Placed(index, message, places[index] if places else None).path}.role",
        code="invalid_value",
    )


def _count_leading_system(messages: list[ChatMessage]) -> int:
    for count, message in enumerate(messages):
        if message.role not in _SYSTEM_ROLES:
            return count
    return len(messages)


def _add_texts(messages: list[ChatMessage], texts: list[Block]) -> None:
    """Add the next messages as they are sent, as many as a step takes, to the texts of those before.

    One is as it is sent where it is a text or texts and nothing else; it is empty where it holds more, or less.
    """
    size = 0
    for message in messages[len(texts) : len(texts) + _MESSAGES_A_STEP]:
        content = message.content
        if message.role not in _SPEAKERS or astuple(message)[_ALL_ELSE] != _NOTHING_ELSE:
            texts.append({})
        elif SPOKEN.match(content):
            texts.append({"role": message.role, "content": Fragment(bytes(content))})
        else:
            size += len(content)
            texts.append({"role": message.role, "content": blocks} if (blocks := plain_texts(content)) else {})
            if size > _BYTES_A_STEP:
                return


def _runs_with_more(messages: list[ChatMessage], texts: list[Block], start: int) -> Iterator[tuple[int, int]]:
    """Where the runs begin and end that are not only texts; the first has no assistant message, and may be empty."""
    if all(texts[start:]) and start < len(messages) and messages[start].role == "user":
        return
    turns = [index for index in range(start, len(messages)) if messages[index].role == "assistant"]
    for begin, end in pairwise((start, *turns, len(messages))):
        if begin == end or not all(texts[begin:end]):
            yield begin, end


def _run(placed: list[_Placed]) -> _Run:
    has_assistant = bool(placed) and placed[0].message.role == "assistant"
    return _Run(placed[0], placed[1:]) if has_assistant else _Run(None, placed)


def _own_mark(item: _Placed, adjustments: Adjustments) -> Block | None:
    """The mark that a message carries as a whole."""
    given = item.message.cache_control
    return None if is_null(given) else mark_of(given, None, item.path, adjustments)


def _side(item: _Placed) -> str:
    role = item.message.role
    return "system" if role in _SYSTEM_ROLES else role


def _mark_on_calls(item: _Placed) -> Block | None:
    """A mark that a message's calls carry."""
    for number, call in enumerate(item.message.tool_calls or ()):
        if call.cache_control is not UNSET:
            mark = mark_of(call.cache_control, None, f"{item.path}.tool_calls[{number}]")
            if mark is not None:
                return mark
    return None


def _answered(item: _Placed, waiting: Mapping[str | None, _Call]) -> _Call | None:
    """The call that a result answers, by its id or, in the old form, by the function's name."""
    if item.message.role == "function":
        call = waiting.get(None)
        return call if call is not None and call.name == item.message.name else None
    if item.message.tool_call_id is None:
        raise TranslationError(
            f"Missing required parameter: '{item.path}.tool_call_id'.",
            param=f"{item.path}.tool_call_id",
            code="missing_required_parameter",
        )
    return waiting.get(item.message.tool_call_id)


def _unexpected_result(item: _Placed) -> TranslationError:
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


def _check_answered(run: _Run, calls: list[_Call], results: dict[str, Block]) -> None:
    if len(results) == len(calls):
        # Each result answers another call.
        return
    if len({call.upstream_id for call in calls}) < len(calls):
        raise TranslationError(
            "The calls of one message must have different ids.", param=f"{run.path}.tool_calls", code="invalid_value"
        )
    missing = [call.id or call.name for call in calls if call.upstream_id not in results]
    if missing:
        raise TranslationError(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}",
            param=run.path,
            code="invalid_value",
        )


def _stripped(text: object) -> str:
    """A spliced text without white space at its end."""
    stripped: str = orjson.loads(orjson.dumps(text)).rstrip()
    return stripped


def _marked_as_system(block: Block) -> Block:
    """A system text inside a user's message, told apart from the user's words."""
    text = orjson.dumps(block["text"])
    return {**block, "text": Fragment(_spliced("<system>\n", text, "\n</system>"))}


def _spliced(before: str, text: bytes, after: str = "") -> bytes:
    """A JSON string with words around it, the middle as it stood."""
    return orjson.dumps(before)[:-1] + text[1:-1] + orjson.dumps(after)[1:]
