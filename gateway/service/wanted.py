"""Which stored responses hold the items that a request names by their ids."""

import re
from collections.abc import Generator, Sequence
from typing import Final

from gateway.service.items import has_seal, id_of
from translators.errors import TranslationError

# Responses that one request has searched, of which so many are in memory at once.
MOST_RESPONSES: Final = 1_000
_AT_ONCE: Final = 8
MOST_BYTES: Final = 32 * 2**20
# Of the responses that are searched, with all that they repeat of their requests.
MOST_SEARCHED_BYTES: Final = 128 * 2**20
_BYTES_A_STEP: Final = 256 * 1024
# The digits of the response, then those of the item (`gateway.service.responses.item_id`).
_ITEM_ID: Final = re.compile(r"[a-z]{1,8}_([0-9a-f]{32})[0-9a-f]{0,16}")
_TOO_MUCH: Final = f"The items that this request refers to hold more than {MOST_BYTES} bytes."
_TOO_FAR: Final = (
    f"The items that this request refers to are in responses of more than {MOST_SEARCHED_BYTES} bytes. Send the items "
    "themselves."
)


class Wanted:
    """The search for items by their ids: for references, and for reasoning items whose seal the client left out.

    What a client sends with each request is stored with each response, so the latest one usually holds everything:
    it comes first, then the others in growing numbers.
    """

    def __init__(self, references: Sequence[str], unsealed: Sequence[str]) -> None:
        self.found: dict[str, bytes] = {}
        self._missing = dict.fromkeys((*references, *unsealed))
        self._unsealed = frozenset(unsealed).difference(references)
        # The responses that made them, the latest one last.
        self._left: dict[str, list[str]] = {}
        for name in self._missing:
            if match := _ITEM_ID.fullmatch(name):
                self._left.setdefault(f"resp_{match[1]}", []).append(name)
        self._asked = 0
        self._referred_bytes = self._searched_bytes = 0
        self._most = 1

    def next_responses(self) -> list[str]:
        """The ids of the responses to search next; none if there is nothing left to be found."""
        ids: list[str] = []
        while self._left and len(ids) < self._most and self._asked < MOST_RESPONSES:
            response, names = self._left.popitem()
            if not self._missing.keys().isdisjoint(names):
                ids.append(response)
                self._asked += 1
        self._most = min(2 * self._most, _AT_ONCE)
        return ids

    def take_in_steps(self, items: Sequence[bytes], besides: int = 0) -> Generator[None, None, None]:
        """Search the items of a response, in steps; raises `TranslationError` if too much is referred to.

        `besides` are the bytes of the response that were read with them.
        """
        work = 0
        self._searched_bytes += besides
        for item in items:
            self._searched_bytes += len(item)
            self._take(item)
            work += len(item)
            if work > _BYTES_A_STEP:
                work = 0
                yield
        if self._searched_bytes > MOST_BYTES:
            # References have to be found. A thought need not go back.
            for each in self._unsealed:
                self._missing.pop(each, None)
        if self._searched_bytes > MOST_SEARCHED_BYTES and self._missing:
            raise TranslationError(_TOO_FAR, param="input", code="string_above_max_length")

    def _take(self, item: bytes) -> None:
        name = id_of(item)
        if name not in self._missing:
            return
        if name not in self._unsealed:
            self._referred_bytes += len(item)
            if self._referred_bytes > MOST_BYTES:
                raise TranslationError(_TOO_MUCH, param="input", code="string_above_max_length")
        elif not has_seal(item):
            return
        self.found[name] = item
        del self._missing[name]
