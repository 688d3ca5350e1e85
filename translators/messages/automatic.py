"""Cache marks of the gateway's own: the facts of a prompt that is written, for `marking.py`, and its marks."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Final

import orjson

from translators.beginnings import Sharing
from translators.estimate import BYTES_A_TOKEN, estimated_tokens
from translators.messages.caching import MARK, SHORT, Block, blocks_of
from translators.messages.marking import Caching, Facts, plan

_TOOLS_DEPTH: Final = 1
# So many are looked at: what is not long enough by then consists of single letters.
_MOST_BLOCKS: Final = 16_384
# What may hold images and documents, whose tokens do not go by their bytes; to look for them elsewhere takes long.
_MEDIA: Final = frozenset({"image", "document", "tool_result"})


class Prompt:
    """A prompt as it is written, by places: numbers of blocks from its beginning. It holds no marks yet."""

    def __init__(self, tools: int, tools_bytes: int, own_system: int, system: list[Block], messages: list[Block]):
        """There are so many `tools`, of so many bytes; of `system`, `own_system` blocks are the client's.

        The gateway's own stand behind those.
        """
        self._tools = tools
        self._tools_bytes = tools_bytes
        self._own_system = own_system
        self._system = system
        self._messages = messages
        self._system_end = tools + len(system)
        # Where each message ends, once it is asked for.
        self._ends: Sequence[int] = ()

    def places(self, caching: Caching, minimum_tokens: int, sharing: Sharing) -> tuple[int, ...]:
        """Where the rule asks for marks, in their order."""
        long_enough = self._long_enough(minimum_tokens)
        if caching == "auto" and long_enough is None:
            # What most requests are; whatever else they are does not matter.
            return ()
        contents = [message["content"] for message in self._messages]
        counts = [len(content) if type(content) is list else 1 for content in contents]
        self._ends = list(accumulate(counts, initial=self._system_end))[1:]
        if long_enough is None:
            long_enough = self._end_of(len(self._messages)) + 1
        return plan(self._facts(caching, long_enough, sharing))

    def mark(self, places: Sequence[int]) -> None:
        """Set marks at these places behind the tools."""
        for place in places:
            # Before every place is what the client said, never an answer: thinking takes no marks.
            self._block(place)[MARK] = SHORT

    def _facts(self, caching: Caching, long_enough: int, sharing: Sharing) -> Facts:
        """What the rule wants to know."""
        answers = [at for at, message in enumerate(self._messages) if message["role"] == "assistant"]
        asked = len(self._messages)
        while answers and answers[-1] == asked - 1:
            # The answers that stand last belong to what comes next.
            asked = answers.pop()
        first = answers[0] if answers else asked
        sent_before = 0
        if answers:
            before = answers.pop()
            while answers and answers[-1] == before - 1:
                before = answers.pop()
            sent_before = self._end_of(before)
        return Facts(
            caching,
            self._tools,
            self._system_end,
            self._end_of(first),
            self._end_of(asked),
            long_enough,
            sent_before,
            self._shared(sharing, self._end_of(first)),
            sharing.is_asked_again,
        )

    def _end_of(self, count: int) -> int:
        """The place at which so many messages end."""
        return self._ends[count - 1] if count else self._system_end

    def _long_enough(self, minimum_tokens: int) -> int | None:
        """The first place at which a prompt is long enough to be cached; None where there is none.

        Between tools nothing is ever marked, so they count as one.
        """
        tokens = self._tools_bytes // BYTES_A_TOKEN
        if tokens >= minimum_tokens:
            return self._tools
        for place, block in enumerate(islice(self._blocks(), _MOST_BLOCKS), self._tools + 1):
            tokens += _tokens(block)
            if tokens >= minimum_tokens:
                return place
        return None

    def _blocks(self) -> Iterator[object]:
        """The blocks behind the tools; one that is only a text stands as that text."""
        yield from self._system
        for message in self._messages:
            content = message["content"]
            if isinstance(content, list):
                yield from content
            else:
                yield content

    def _shared(self, sharing: Sharing, first_turn: int) -> int:
        """The place up to which a prompt is shared.

        A part of the client's is a block, unless something was left out or put in: then only what is whole counts.
        """
        if sharing.depth <= _TOOLS_DEPTH:
            return self._tools if sharing.depth else 0
        parts = sharing.depth - _TOOLS_DEPTH
        if parts < sharing.system:
            return self._tools + (parts if self._own_system == sharing.system else 0)
        parts -= sharing.system
        if parts == sharing.first_turn:
            # Without a first turn this is the system prompt.
            return first_turn if parts else self._system_end
        return self._system_end + (parts if first_turn - self._system_end == sharing.first_turn else 0)

    def _block(self, place: int) -> Block:
        """The block behind the tools that ends at a place."""
        if place <= self._system_end:
            return self._system[place - self._tools - 1]
        at = bisect_left(self._ends, place)
        return blocks_of(self._messages[at])[place - 1 - self._end_of(at)]


def _tokens(block: object) -> int:
    """About how many tokens a block has."""
    written = orjson.dumps(block)
    if isinstance(block, dict) and block.get("type") in _MEDIA:
        return estimated_tokens(written)
    return len(written) // BYTES_A_TOKEN
