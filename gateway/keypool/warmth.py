"""Tracks which workspace has a prefix in its prompt cache, from the usage that answers report."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.keypool.domains import Workspace
from gateway.keypool.lease_request import LeaseRequest
from translators.usage import Usage

# A cache entry lives this long after its last use (section 12 of the Messages reference); one hour is rare.
WARM_SECONDS: Final = 300.0
_MOST_PREFIXES: Final = 20_000
# A common prefix can be in several caches: at its home, and where it was served last.
_MOST_CACHES: Final = 8


@dataclass(slots=True)
class Cache:
    """A prefix in one workspace: until when it is cached, and how many estimated tokens are."""

    workspace: Workspace
    until: float
    tokens: int


class Warmth:
    """The most recent prefixes and their caches."""

    def __init__(self) -> None:
        self._caches: OrderedDict[bytes, list[Cache]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._caches)

    def caches(self, prefix: bytes | None, now: float) -> Sequence[Cache]:
        """The workspaces where a prefix is warm, earliest first use first."""
        found = self._caches.get(prefix) if prefix is not None else None
        if found is None:
            return ()
        for cache in found:
            if cache.workspace.merged_into is not None:
                cache.workspace = cache.workspace.current()
        return [cache for cache in found if cache.until > now]

    def learn(self, request: LeaseRequest, workspace: Workspace, usage: Usage, now: float) -> None:
        """Take in how much of a prompt was read from the cache or written to it."""
        cached, prefix = usage.cache_read_tokens + usage.cache_write_tokens, request.prefix
        if not cached or prefix is None:
            return
        # In estimated tokens: the estimate of the next turn will have the same error.
        tokens = request.input_tokens * cached // usage.prompt_tokens
        until = now + WARM_SECONDS
        known = self._caches.get(prefix)
        if known is None:
            self._caches[prefix] = [Cache(workspace, until, tokens)]
            if len(self._caches) > _MOST_PREFIXES:
                self._caches.popitem(last=False)
            return
        self._caches.move_to_end(prefix)
        for cache in known:
            if cache.workspace.current() is workspace:
                cache.until, cache.tokens = until, tokens
                return
        known[:] = [cache for cache in known if cache.until > now][: _MOST_CACHES - 1]
        known.append(Cache(workspace, until, tokens))


def uncached(request: LeaseRequest, workspace: Workspace, caches: Sequence[Cache]) -> int:
    """The tokens of a prompt that a workspace does not have in its cache."""
    for cache in caches:
        if cache.workspace is workspace:
            return max(0, request.input_tokens - cache.tokens)
    return request.input_tokens
