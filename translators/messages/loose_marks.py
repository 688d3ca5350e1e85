"""Cache marks that nothing in their own message can carry: they move to what stands before it."""

from translators.messages.blocks import Block
from translators.messages.caching import MARK, last_markable
from translators.messages.conversation import Conversation


class LooseMarks:
    """The marks of one conversation that still need a place."""

    __slots__ = ("_conversation", "_markable", "_orphans", "_searched", "for_tools")

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        # The mark that belongs on the last tool, as nothing else stands before it.
        self.for_tools: Block | None = None
        # Marks of contents whose first parts vanished, by the index of the message.
        self._orphans: dict[int, Block] = {}
        # The last block that can carry a mark, of so many messages.
        self._markable: Block | None = None
        self._searched = 0

    def keep(self, index: int, mark: Block) -> None:
        """Keep a mark that nothing in the content of a message can carry."""
        self._orphans[index] = mark

    def take(self, index: int) -> Block | None:
        """The mark that was kept for a message, once."""
        return self._orphans.pop(index, None)

    def place(self, index: int) -> None:
        """Put the mark that was kept for a message on what stands before it."""
        if self._orphans and (mark := self._orphans.pop(index, None)) is not None:
            self.mark_last(mark)

    def mark_last(self, mark: Block) -> None:
        """Mark the last that was written: a prompt is tools, then system, then messages."""
        messages = self._conversation.messages
        # What was searched in vain is not searched again: there may be a mark on every message.
        self._markable = last_markable(messages[self._searched :]) or self._markable
        self._searched = len(messages)
        if self._markable is not None:
            self._markable.setdefault(MARK, mark)
        elif self._conversation.system:
            self._conversation.system[-1].setdefault(MARK, mark)
        elif self.for_tools is None:
            self.for_tools = mark
