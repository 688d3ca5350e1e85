"""A workspace's prompt caches: which beginnings of prompts it has, and until when."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple

TTL_SECONDS: Final = 300.0


class Part(NamedTuple):
    """A beginning of a prompt: what it is, and how many tokens it has from the start."""

    identity: Hashable
    tokens: int


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

    def cached_tokens(self, parts: tuple[Part, ...], now: float) -> int:
        """How much of a prompt (its beginnings, the shortest first) can be read."""
        return next((part.tokens for part in reversed(parts) if self.holds(part.identity, now)), 0)

    def keep(self, parts: tuple[Part, ...], now: float) -> None:
        """A prompt has been read or written: all its beginnings live on."""
        expires_at = now + self._ttl_seconds
        for part in parts:
            self._expires_at[part.identity] = expires_at
