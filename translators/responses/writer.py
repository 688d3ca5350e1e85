"""What the pieces of an answer become: the items of an output, one open at a time, and the events that tell of them.

An item is finished when the next one begins, or the answer ends: only then is it known whether a text was commentary,
whether a call was cut off, and what has to go back to upstream with a thought.
"""

from typing import Final, TypeAlias

from translators.answers.answer_types import Call
from translators.answers.citations import cited_page
from translators.answers.recorder import THINKING, Block, is_whole
from translators.responses.client_tools import FORMS, ClientToolItem
from translators.responses.events import event, opening
from translators.responses.frame import OutputItem, ResponsesFrame
from translators.responses.hosted import HostedItem, call_of_result, hosted_call
from translators.responses.output import (
    COMMENTARY,
    COMPLETED,
    FINAL,
    INCOMPLETE,
    CallItem,
    Item,
    MessageItem,
    ReasoningItem,
    joined,
    read_text,
    tool_of,
)

AnyCall: TypeAlias = CallItem | ClientToolItem
# A thought that was cut off has no signature, and is of no use.
_UNSIGNED: Final = b'"signature":""'


class OutputWriter:
    """Writes one output; `chunks` takes its events, None where nobody reads them."""

    __slots__ = (
        "_blanks",
        "_calls",
        "_chunks",
        "_current",
        "_frame",
        "_has_hosted",
        "_hosted",
        "_is_new_thought",
        "_next",
        "_own",
        "items",
        "message",
    )

    def __init__(self, frame: ResponsesFrame, chunks: list[bytes] | None) -> None:
        self._frame = frame
        self._chunks = chunks
        self._next = 0
        # The finished items, by index.
        self.items: dict[int, OutputItem] = {}
        frame.items = self.items
        # The item that grows; `message` is the same one where it is a message.
        self._current: MessageItem | ReasoningItem | AnyCall | None = None
        self.message: MessageItem | None = None
        # The calls that are open, by their place among the calls; those that upstream runs, by id.
        self._calls: dict[int, AnyCall] = {}
        self._hosted: dict[str, HostedItem] = {}
        self._is_new_thought = False
        # Text that is blank so far, by block.
        self._blanks: list[list[bytes]] = []
        # Blocks that belong to no item yet, and whether some of them are of a server tool.
        self._own: list[bytes] = []
        self._has_hosted = False

    @property
    def has_begun(self) -> bool:
        """Whether there is an item."""
        return self._next > 0

    def block(self, block_type: str) -> None:
        """A block begins."""
        if block_type != "text":
            self._end_blanks()
            self._is_new_thought = block_type in THINKING
        elif self.message is not None:
            self.message.begin_block()
        else:
            self._blanks.append([])

    def text(self, raw: bytes) -> None:
        """Some text; it waits while all of it is blank, since blank texts are no messages."""
        if self.message is not None:
            self._piece(self.message, raw)
            return
        if not self._blanks:
            self._blanks.append([])
        self._blanks[-1].append(raw)
        if read_text(raw).strip():
            blocks, self._blanks = self._blanks, []
            message = self._begin_message()
            message.begin_text(self._say)
            for block in blocks:
                message.begin_block()
                for piece in block:
                    self._piece(message, piece)

    def cite(self, citations: list[bytes]) -> None:
        """What the text block that ends here cites."""
        if self.message is not None:
            pages: list[tuple[str, str]] = []
            others: list[bytes] = []
            for raw in citations:
                page = cited_page(raw)
                if page[0]:
                    pages.append(page)
                else:
                    others.append(raw)
            self.message.cite(self._say, pages, others)

    def reasoning(self, raw: bytes) -> None:
        """Some thinking."""
        item = self._current
        if self._is_new_thought or not isinstance(item, ReasoningItem):
            item = self._begin_reasoning()
        if not item.pieces:
            item.begin_text(self._say)
        self._piece(item, raw)

    def own_block(self, block: Block) -> None:
        """A block of upstream's own is complete."""
        if block.type in THINKING:
            item = self._current
            if self._is_new_thought or not isinstance(item, ReasoningItem):
                item = self._begin_reasoning()
            if _UNSIGNED not in block.json:
                item.blocks.append(block.json)
        elif is_whole(block):
            self._close_current()
            self._has_hosted = True
            self._own.append(block.json)
            if (waiting := self._hosted.pop(call_of_result(block.json), None)) is not None:
                self.items[waiting.index] = waiting.end(self._say, block.json)
            elif (found := hosted_call(self._frame, self._next, block.json)) is not None:
                call_id, waiting = found
                self._begin(waiting)
                self._hosted[call_id] = waiting

    def call(self, call: Call) -> None:
        """A call of one of the caller's tools begins."""
        self._begin_visible()
        tool = tool_of(self._frame, call)
        item: AnyCall
        if tool.kind in FORMS:
            item = ClientToolItem(self._frame, self._next, call, tool.kind)
        else:
            item = CallItem(self._frame, self._next, call, tool)
        self._begin(item)
        self._current = self._calls[call.index] = item

    def arguments(self, call: Call, raw: bytes) -> None:
        """Some of its arguments."""
        if (item := self._calls.get(call.index)) is not None:
            self._piece(item, raw)

    def call_end(self, call: Call) -> None:
        """It is complete."""
        if (item := self._calls.get(call.index)) is not None:
            item.is_ended = True

    def end(self, *, is_cut: bool, refusal: str | None, has_calls: bool) -> None:
        """The answer has ended; what it was cut off in is not complete."""
        self._end_blanks()
        if refusal is not None:
            (self.message or self._begin_message()).refuse(refusal)
        last = COMPLETED if not is_cut else INCOMPLETE
        calls = [item for item in self._calls.values() if item is not self._current]
        for item in calls:
            self.items[item.index] = item.end(self._say, last if self._current is None else COMPLETED)
        self._close_current(last, COMMENTARY if has_calls else FINAL, is_end=True)
        for waiting in self._hosted.values():
            self.items[waiting.index] = waiting.end(self._say, None)
        self._carry()

    # Beginnings and ends

    def _begin(self, item: Item) -> None:
        self._next += 1
        item.begin(self._say)

    def _begin_visible(self) -> None:
        """Something begins that carries no blocks: what is blank before it is dropped."""
        self._close_current()
        self._carry()
        self._own.clear()

    def _begin_message(self) -> MessageItem:
        self._begin_visible()
        self._current = self.message = message = MessageItem(self._frame, self._next)
        self._begin(message)
        return message

    def _begin_reasoning(self) -> ReasoningItem:
        self._is_new_thought = False
        self._close_current()
        self._carry()
        self._current = item = ReasoningItem(self._frame, self._next, self._own)
        self._own.clear()
        self._begin(item)
        return item

    def _close_current(self, status: bytes = COMPLETED, phase: bytes = COMMENTARY, *, is_end: bool = False) -> None:
        """Finish the item that is open; a call that has not ended stays open until the answer ends."""
        item, self._current, self.message = self._current, None, None
        if isinstance(item, MessageItem):
            self.items[item.index] = item.end(self._say, status, phase)
        elif isinstance(item, ReasoningItem):
            self.items[item.index] = item.end(self._say, self._frame, status)
        elif item is not None and (item.is_ended or is_end):
            self._calls = {number: call for number, call in self._calls.items() if call is not item}
            self.items[item.index] = item.end(self._say, status)

    def _carry(self) -> None:
        """The blocks of server tools travel in an item of their own."""
        if self._has_hosted and self._frame.carries_blocks:
            item = ReasoningItem(self._frame, self._next, self._own)
            self._begin(item)
            self.items[item.index] = item.end(self._say, self._frame, COMPLETED)
        if self._has_hosted:
            self._own.clear()
        self._has_hosted = False

    def _end_blanks(self) -> None:
        """A stretch of text has ended that is blank: upstream may want it back, and nobody else."""
        blocks = [b'{"type":"text","text":%b}' % joined(pieces) for pieces in self._blanks if pieces]
        self._blanks.clear()
        if isinstance(self._current, ReasoningItem):
            self._current.blocks += blocks
        else:
            self._own += blocks

    # Events

    def _say(self, kind: bytes, members: bytes) -> None:
        if self._chunks is not None:
            if not self._frame.has_begun:
                self._chunks.append(opening(self._frame))
            self._chunks.append(event(self._frame, kind, members))

    def _piece(self, item: Item, raw: bytes) -> None:
        item.pieces.append(raw)
        if self._chunks is not None and item.form:
            self._chunks.append(item.form % (self._frame.sequence, raw))
            self._frame.sequence += 1
