"""A workspace's prompt caches: which beginnings of prompts it has, and until when."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

TTL_SECONDS: Final = 300.0
# From each mark upstream looks for something cached so many blocks back, the marked one among them.
LOOK_BACK_BLOCKS: Final = 20


class Part(NamedTuple):
    """A beginning of a prompt: what it is, and how many tokens and blocks it has from the start."""

    identity: Hashable
    tokens: int
    place: int = 0


# The places that are marked; None where every beginning is.
Marks: TypeAlias = tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Usage:
    """How the tokens of a call are counted."""

    input_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0

    @property
    def uncached_tokens(self) -> int:
        """What counts toward the input limit."""
        return self.input_tokens + self.cache_write_tokens


NOTHING: Final = Usage()


class PromptCache:
    """Entries live for five minutes after their last use; one is readable once the answer that wrote it has begun."""

    def __init__(self, ttl_seconds: float = TTL_SECONDS) -> None:
        self._ttl_seconds = ttl_seconds
        self._expires_at: dict[Hashable, float] = {}

    def holds(self, identity: Hashable, now: float) -> bool:
        """Whether this beginning can be read."""
        return self._expires_at.get(identity, 0.0) > now

    def cached_tokens(self, parts: tuple[Part, ...], now: float, marks: Marks = None) -> int:
        """How much of a prompt (its beginnings, the shortest first) can be read."""
        found = self._found(parts, now, marks)
        return found.tokens if found else 0

    def keep(self, parts: tuple[Part, ...], now: float, marks: Marks = None) -> None:
        """A prompt has been read or written: what is marked and what was read lives on."""
        found = self._found(parts, now, marks)
        expires_at = now + self._ttl_seconds
        for part in parts:
            if marks is None or part.place in marks or part is found:
                self._expires_at[part.identity] = expires_at

    def _found(self, parts: tuple[Part, ...], now: float, marks: Marks) -> Part | None:
        """The longest beginning that is there, and in sight of a mark."""
        held = (part for part in reversed(parts) if self.holds(part.identity, now))
        return next((part for part in held if _is_in_sight(part.place, marks)), None)


def marked_tokens(parts: tuple[Part, ...], marks: Marks) -> int:
    """How much of a prompt is in the cache afterwards."""
    return max((part.tokens for part in parts if marks is None or part.place in marks), default=0)


def _is_in_sight(place: int, marks: Marks) -> bool:
    return marks is None or any(mark - LOOK_BACK_BLOCKS < place <= mark for mark in marks)
