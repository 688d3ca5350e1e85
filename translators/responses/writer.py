"""Turns the pieces of an answer into the items of a response's output, with their events. One item is open at a time.

An item is finished when the next one begins or the answer ends. Only then is it known whether a text was commentary,
whether a call was cut off, and which own blocks (those that upstream wants back unchanged) a reasoning item seals.
"""

from collections import deque
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from translators.answers.answer_types import Call
from translators.answers.citations import cited_page
from translators.answers.recorder import COMPACTION, THINKING, Block, is_whole
from translators.reading import SPOKEN
from translators.responses.client_tools import FORMS, ClientToolItem
from translators.responses.compaction import sealed_block
from translators.responses.events import event, opening
from translators.responses.frame import OutputItem, ResponsesFrame
from translators.responses.hosted import HostedCall, HostedItem, call_of_result, hosted_call
from translators.responses.output import (
    COMMENTARY,
    COMPLETED,
    FINAL,
    INCOMPLETE,
    CallItem,
    CompactionItem,
    Item,
    MessageItem,
    ReasoningItem,
    joined,
    message_of,
    read_text,
    tool_of,
)

AnyCall: TypeAlias = CallItem | ClientToolItem


class _Signed(Struct):
    signature: str = ""
    data: str = ""


_SIGNED_DECODER: Final = msgspec.json.Decoder(_Signed)


class OutputWriter:
    """Writes one output; its events are appended to `chunks` (None for a response that is not streamed)."""

    __slots__ = (
        "_blanks",
        "_chunks",
        "_current",
        "_frame",
        "_has_hosted",
        "_hosted",
        "_is_new_thought",
        "_next",
        "_own",
        "_waiting",
        "_waiting_by_id",
        "_whole",
        "items",
        "message",
        "thought",
    )

    def __init__(self, frame: ResponsesFrame, chunks: list[bytes] | None) -> None:
        self._frame = frame
        self._chunks = chunks
        self._next = 0
        # The finished items, by index.
        self.items: dict[int, OutputItem] = {}
        frame.items = self.items
        # The open item. `message` is the same if it is a message, and `thought` if it is reasoning with a text: the
        # stream adds frequent pieces to these directly.
        self._current: MessageItem | ReasoningItem | AnyCall | None = None
        self.message: MessageItem | None = None
        self.thought: ReasoningItem | None = None
        # Calls that upstream runs and that wait for their results, in order, and by id; the open item of the first.
        self._waiting: deque[HostedCall] = deque()
        self._waiting_by_id: dict[str, HostedCall] = {}
        self._hosted: HostedItem | None = None
        self._is_new_thought = False
        # Text that has been blank so far: the pieces of each block.
        self._blanks: list[list[bytes]] = []
        # Own blocks that belong to no item yet, and whether some of them are from a server tool.
        self._own: list[bytes] = []
        self._has_hosted = False
        self._whole = b""

    @property
    def has_begun(self) -> bool:
        """Whether there is an item."""
        return self._next > 0

    def block(self, block_type: str) -> None:
        """A block begins."""
        if block_type != "text":
            self._end_blanks()
            self._is_new_thought, self.thought = block_type in THINKING, None
        elif self.message is not None:
            self.message.begin_block()
        else:
            self._blanks.append([])

    def text(self, raw: bytes) -> None:
        """Some text. It is held back while all of it is blank: a blank text is no message."""
        if self.message is not None:
            self._piece(self.message, raw)
            return
        if not self._blanks:
            self._blanks.append([])
        self._blanks[-1].append(raw)
        if SPOKEN.match(raw) or read_text(raw).strip():
            blocks, self._blanks = self._blanks, []
            message = self._begin_message()
            if self._chunks is not None:
                message.begin_text(self._say)
            for block in blocks:
                message.begin_block()
                for piece in block:
                    self._piece(message, piece)

    def whole_text(self, raw: bytes) -> None:
        """The text of an answer that is nothing else, and not blank; nobody reads its events."""
        self._whole, self._next = raw, 1

    def cite(self, citations: list[bytes]) -> None:
        """The citations of the text block that ends here."""
        if self.message is not None:
            pages: list[tuple[str, str]] = []
            others: list[bytes] = []
            for raw in citations:
                page = cited_page(raw)
                if page[0]:
                    pages.append(page)
                else:
                    others.append(raw)
            self.message.cite(None if self._chunks is None else self._say, pages, others)

    def reasoning(self, raw: bytes) -> None:
        """Some thinking. Within a call it is left out: the call is the open item."""
        if self._is_in_call:
            return
        item = self.thought = self._thought()
        if not item.pieces and self._chunks is not None:
            item.begin_text(self._say)
        self._piece(item, raw)

    def own_block(self, block: Block) -> None:
        """An own block is complete."""
        if not (_is_signed(block) if block.type in THINKING else is_whole(block)):
            return
        if block.type == COMPACTION and (sealer := self._frame.sealer) is not None:
            self._begin_visible()
            self._compact(sealed_block(block.json, sealer))
        elif self._is_in_call:
            self._own.append(block.json)
            self._has_hosted = True
        elif block.type in THINKING:
            self._thought().blocks.append(block.json)
        else:
            self._close_current()
            self._own.append(block.json)
            self._has_hosted = True
            if (call := hosted_call(block.json)) is not None:
                self._waiting.append(call)
                self._waiting_by_id[call.id] = call
            elif waiting := self._waiting_by_id.pop(call_of_result(block.json), None):
                waiting.result = block.json
            self._advance()

    def call(self, call: Call) -> None:
        """A call of one of the caller's tools begins."""
        self._begin_visible()
        tool = tool_of(self._frame, call)
        if tool.kind in FORMS:
            # It gets its index when it is written.
            self._current = ClientToolItem(self._frame, self._next, call, tool.kind)
        else:
            self._current = item = CallItem(self._frame, self._next, call, tool)
            self._begin(item)

    def arguments(self, call: Call, raw: bytes) -> None:
        """Some arguments of a call."""
        item = self._current
        if isinstance(item, AnyCall) and item.call is call:
            self._piece(item, raw)

    def call_end(self, call: Call) -> None:
        """A call is complete."""
        item = self._current
        if isinstance(item, AnyCall) and item.call is call:
            item.is_ended = True

    def end(self, *, is_cut: bool, refusal: str | None, has_calls: bool) -> None:
        """The answer has ended; with `is_cut`, the open item is incomplete."""
        status = INCOMPLETE if is_cut else COMPLETED
        if self._whole:
            self.items[0] = message_of(self._frame, self._whole, status)
            return
        if self._blanks:
            self._end_blanks()
        if refusal is not None:
            # In a message of its own: Codex, which does not know refusals, drops the whole message that has one.
            self._close_current(COMPLETED, FINAL)
            self._begin_message().refuse(refusal)
        self._close_current(status, COMMENTARY if has_calls else FINAL)
        if self._waiting or self._has_hosted:
            self._carry(status)

    # Beginnings and ends

    def _begin(self, item: Item) -> None:
        self._next += 1
        if self._chunks is not None:
            item.begin(self._say)

    def _begin_visible(self) -> None:
        """An item without own blocks begins. Blank text before it is dropped."""
        if self._current is not None:
            self._close_current()
        if self._waiting or self._has_hosted:
            self._carry()
        self._own.clear()

    def _compact(self, seal: str) -> None:
        """Write a compaction item."""
        item = CompactionItem(self._frame, self._next)
        self._next += 1
        self._finish(item, item.end(seal))

    def _begin_message(self) -> MessageItem:
        self._begin_visible()
        self._current = self.message = message = MessageItem(self._frame, self._next)
        self._begin(message)
        return message

    def _thought(self) -> ReasoningItem:
        """The open reasoning item, or a new one if another thinking block has begun."""
        if isinstance(self._current, ReasoningItem) and not self._is_new_thought:
            return self._current
        self._is_new_thought = False
        self._close_current()
        self._carry()
        self._current = item = ReasoningItem(self._frame, self._next, self._own)
        self._own.clear()
        self._begin(item)
        return item

    def _close_current(self, status: bytes = COMPLETED, phase: bytes = COMMENTARY) -> None:
        """Finish the open item."""
        item, self._current = self._current, None
        self.message = self.thought = None
        if isinstance(item, MessageItem):
            self._finish(item, item.end(status, phase))
        elif isinstance(item, ReasoningItem):
            self._finish(item, item.end(self._frame, status))
        elif isinstance(item, CallItem):
            self._finish(item, item.end(status))
        elif item is not None and (finished := item.end(status)) is not None:
            self._next += 1
            self._finish(item, finished)

    def _finish(self, item: Item, finished: OutputItem) -> None:
        self.items[item.index] = finished
        if self._chunks is not None:
            item.tell_end(self._say, finished)

    @property
    def _is_in_call(self) -> bool:
        """Whether a call is open and incomplete. A call that the model wrote as text may have blocks within it."""
        return isinstance(self._current, AnyCall) and not self._current.is_ended

    def _advance(self, end: bytes | None = None) -> None:
        """Write calls that upstream runs, in order, up to one without a result; with `end` it gets that status."""
        while self._waiting:
            if self._hosted is None:
                self._hosted = HostedItem(self._frame, self._next, self._waiting[0])
                self._begin(self._hosted)
            if (result := self._waiting[0].result) is None and end is None:
                return
            self._finish(self._hosted, self._hosted.end(result, end or COMPLETED))
            self._waiting.popleft()
            self._hosted = None

    def _carry(self, status: bytes = COMPLETED) -> None:
        """Write the own blocks of server tools as a reasoning item, which seals them."""
        self._advance(status)
        if not self._has_hosted:
            return
        if self._frame.carries_blocks:
            item = ReasoningItem(self._frame, self._next, self._own)
            self._begin(item)
            self._finish(item, item.end(self._frame, COMPLETED))
        self._own.clear()
        self._has_hosted = False

    def _end_blanks(self) -> None:
        """Blank text has ended: it becomes an own block, since upstream may want it back."""
        blocks = [b'{"type":"text","text":%b}' % joined(pieces) for pieces in self._blanks if pieces]
        self._blanks.clear()
        if isinstance(self._current, ReasoningItem):
            self._current.blocks += blocks
        else:
            self._own += blocks

    # Events

    def _say(self, kind: bytes, members: bytes) -> None:
        assert self._chunks is not None, "nobody is told where nobody reads"
        if not self._frame.has_begun:
            self._chunks.append(opening(self._frame))
        self._chunks.append(event(self._frame, kind, members))

    def _piece(self, item: Item, raw: bytes) -> None:
        item.pieces.append(raw)
        if self._chunks is not None and item.form:
            self._chunks.append(item.form % (self._frame.sequence, raw))
            self._frame.sequence += 1


def _is_signed(block: Block) -> bool:
    """Whether a thinking block has its signature. One that was cut off has none, and cannot go back."""
    try:
        found = _SIGNED_DECODER.decode(block.json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bool(found.signature or found.data)
