"""Who speaks by name: words say whose they are as soon as their role has spoken by more than one name."""

from collections.abc import Iterable

from orjson import Fragment

from translators.intent import Message
from translators.messages.blocks import Block, Content
from translators.messages.conversation import SYSTEM_ROLES
from translators.messages.splicing import spliced


class Speakers:
    """The names in each role, up to the run that is being written."""

    __slots__ = ("_names", "_said", "_unsaid")

    def __init__(self) -> None:
        self._names: dict[str, set[str]] = {}
        # The names that stand before words of theirs, and those that do not.
        self._said: set[str] = set()
        self._unsaid: set[str] = set()

    @property
    def is_silent(self) -> bool:
        """Whether nobody has been heard yet."""
        return not self._names

    @property
    def has_lost_names(self) -> bool:
        """Whether there is a name that never stands before words."""
        return bool(self._unsaid - self._said)

    def hear(self, messages: Iterable[Message]) -> None:
        """Take note of who speaks; a result has the name of its tool."""
        for message in messages:
            name = message.name
            if name and message.role not in ("tool", "function") and name.strip():
                self._names.setdefault(_side(message), set()).add(name)

    def leave_out(self, name: str) -> None:
        """A message by this name goes back as it was made, without it."""
        self._unsaid.add(name)

    def with_name(self, content: Content, message: Message) -> Content:
        """A message's content with the speaker's name before it, where that is to be said."""
        name = message.name
        if not name or not content or not self._says(message, name):
            return content
        if isinstance(content, bytes):
            return spliced(f"{name}:\n", content)
        return [{"type": "text", "text": f"{name}:"}, *content]

    def name_first(self, texts: list[Block], message: Message) -> None:
        """Put the speaker's name into the first of a system message's texts, where it is to be said."""
        if texts and (name := message.name) and self._says(message, name):
            texts[0]["text"] = Fragment(spliced(f"{name}:\n", texts[0]["text"]))

    def _says(self, message: Message, name: str) -> bool:
        if not name.strip():
            return False
        is_told = len(self._names.get(_side(message), ())) > 1
        (self._said if is_told else self._unsaid).add(name)
        return is_told


def _side(message: Message) -> str:
    role = message.role
    return "system" if role in SYSTEM_ROLES else role
