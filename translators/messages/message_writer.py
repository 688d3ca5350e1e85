"""Writes the messages of a conversation one by one; `messages.py` says in which order."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson
from msgspec import Struct
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.answers.recorder import COMPACTION, THINKING
from translators.intent import Message, SealedTurn
from translators.kept.turns import UNKNOWN_PAST, Past
from translators.messages.blocks import Block, Content, as_blocks, text_block
from translators.messages.caching import MARK, mark_of, newest_mark
from translators.messages.calls import Call, CallWriter, mark_on_calls
from translators.messages.content import ContentWriter
from translators.messages.conversation import Conversation, Placed
from translators.messages.loose_marks import LooseMarks
from translators.messages.places import Places
from translators.messages.sealed import in_order, readable_summary
from translators.messages.speakers import Speakers
from translators.messages.splicing import spliced
from translators.messages.tool_loop import refusal_of
from translators.messages.tool_set import Tools
from translators.reading import is_null, spoken_text
from translators.wire.raw import NULL, TRUE

# So many bytes make a step, to which each message adds some: 1 ms, mostly.
BYTES_A_STEP: Final = 32 * 1024
_BYTES_A_MESSAGE: Final = 128
# Stands for a message that says nothing, in every turn the same.
NOTHING: Final = b'"."'


class Taken(Struct, frozen=True):
    """What the model and the operator allow in a conversation."""

    system_messages: bool
    prefill: bool
    file_ids: bool = False
    # Whether the model takes summaries of upstream's own back.
    compactions: bool = True


class MessageWriter:
    """Writes messages of one request into `conversation`."""

    def __init__(
        self,
        messages: list[Message],
        tools: Tools,
        taken: Taken,
        adjustments: Adjustments,
        past: Past = UNKNOWN_PAST,
        places: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """`places` are where contents stand in the caller's body, `names` are those that the caller has for fields."""
        self.conversation = Conversation()
        # Whether signed thinking goes back, which upstream may find wrong.
        self.has_thinking = False
        self.has_compactions = False
        self._past = past
        self._messages = messages
        self._places = places
        self._names = names
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
    def _name(self) -> str:
        """What the caller calls the messages."""
        return self._names.get("messages", "messages") if self._names else "messages"

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

    def _placed(self, index: int) -> Placed:
        places = self._places
        return Placed(index, self._messages[index], places[index] if places else None)

    def _is_due(self, message: Message) -> bool:
        """Whether others should have their turn, now that one more message was looked at."""
        self._work += len(message.content) + _BYTES_A_MESSAGE
        if self._work < BYTES_A_STEP:
            return False
        self._work = 0
        return True

    def _assistant(self, item: Placed) -> list[Call]:
        """Write the model's own turn; gives the calls that the run after it has to answer."""
        message = item.message
        if message.name:
            self._speakers.hear((message,))
        if (made := self._past.contents.get(item.index)) is not None:
            return self._made(item, made)
        text = spoken_text(message.content)
        content: Content = text
        if not text:
            content = self._contents.assistant(message.content, item.content_path)
            self._keep_orphan(item)
        if message.refusal is not NULL and (refusal := refusal_of(message)):
            content = [*as_blocks(content), text_block(refusal)] if content else refusal
        content = self._speakers.with_name(content, message) if message.name else content
        if type(message) is SealedTurn:
            return self._sealed(item, message, content)
        thinking: list[Block] = []
        if not (text and message.thinking_blocks is message.reasoning_details is NULL):
            thinking = self._past.thinking(message, item.path)
            self.has_thinking = self.has_thinking or bool(thinking)
        calls, uses = self._calls.write(item)
        if thinking or uses:
            content = [*thinking, *as_blocks(content), *uses]
        self._add("assistant", content or self._least(), item)
        return calls

    def _sealed(self, item: Placed, turn: SealedTurn, content: Content) -> list[Call]:
        """Write a turn of the model's that comes back under a seal."""
        own = self._past.own_blocks(turn)
        kinds = {block["type"] for block in own if block is not None}
        if COMPACTION in kinds:
            own = self._compactions(own)
        self.has_thinking = self.has_thinking or not kinds.isdisjoint(THINKING)
        calls, uses = self._calls.write(item)
        self._add("assistant", in_order(turn.order, own, as_blocks(content), uses) or self._least(), item)
        return calls

    def _compactions(self, own: Sequence[Block | None]) -> list[Block | None]:
        """The blocks with upstream's summaries as the model takes them: verbatim, or what can be read of them."""
        self.has_compactions = self._taken.compactions
        if self._taken.compactions:
            return list(own)
        return [readable_summary(block) if block and block["type"] == COMPACTION else block for block in own]

    def _least(self) -> bytes:
        """What stands for a turn that said nothing: behind a system message only a turn of the model may follow."""
        messages = self.conversation.messages
        return NOTHING if messages and messages[-1]["role"] == "system" else b""

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

    def _result(self, index: int, message: Message, upstream_id: str) -> Block:
        result: Block = {"type": "tool_result", "tool_use_id": upstream_id}
        if self._trace is not None:
            self._trace.note(result, self._placed(index).path)
        if text := spoken_text(message.content):
            result["content"] = Fragment(text)
        else:
            self._add_content(result, self._placed(index))
        if message.is_error is not NULL and message.is_error == TRUE:
            result["is_error"] = True
        if message.cache_control is not NULL and (mark := self._own_mark(self._placed(index))) is not None:
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
