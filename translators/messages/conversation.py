"""What a conversation is made of while it is written: its parts, and where in the caller's body a message stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from orjson import Fragment

from translators.intent import Message
from translators.messages.blocks import Block, Content

SYSTEM_ROLES: Final = frozenset({"system", "developer"})


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


class Placed(Struct, frozen=True, gc=False):
    """A message, its index, and the place of its content where that is not the ordinary one."""

    index: int
    message: Message
    place: str | None = None

    @property
    def path(self) -> str:
        """Where the message stands in the caller's body."""
        return f"messages[{self.index}]" if self.place is None else self.place.removesuffix(".content")

    @property
    def content_path(self) -> str:
        """Where its content stands."""
        return self.place or f"messages[{self.index}].content"


def placed(messages: Sequence[Message], places: Sequence[str] | None, index: int) -> Placed:
    """The message of that index; `places` are those of the intent."""
    return Placed(index, messages[index], places[index] if places else None)


def count_leading_system(messages: Sequence[Message]) -> int:
    """How many system messages a conversation begins with."""
    count = 0
    for message in messages:
        if message.role not in SYSTEM_ROLES:
            break
        count += 1
    return count
