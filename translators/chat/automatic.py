"""Cache marks of the gateway's own: the facts of a prompt that is written, for `marking.py`, and its marks."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final

import orjson

from translators.beginnings import Sharing
from translators.chat.caching import MARK, SHORT, Block, blocks_of
from translators.chat.marking import Caching, Facts, plan
from translators.estimate import BYTES_A_TOKEN, estimated_tokens

_TOOLS_DEPTH: Final = 1
# So many are looked at: what is not long enough by then consists of single letters.
_MOST_BLOCKS: Final = 16_384
# What may hold images and documents, whose tokens do not go by their bytes; to look for them elsewhere takes long.
_MEDIA: Final = frozenset({"image", "document", "tool_result"})


class Prompt:
    """A prompt as it is written, by places: numbers of blocks from its beginning. It holds no marks yet."""

    def __init__(self, tools: list[Block], own_system: int, system: list[Block], messages: list[Block]) -> None:
        """Of `system`, `own_system` blocks are the client's; the gateway's stand behind them."""
        self._tools = tools
        self._own_system = own_system
        self._system = system
        self._messages = messages
        self._system_end = len(tools) + len(system)
        contents = [message["content"] for message in messages]
        counts = [len(content) if type(content) is list else 1 for content in contents]
        # Where each message ends.
        self._ends = list(accumulate(counts, initial=self._system_end))[1:]

    def mark(self, caching: Caching, minimum_tokens: int, sharing: Sharing) -> bool:
        """Set the marks that the rule asks for; whether there are any."""
        long_enough = self._long_enough(minimum_tokens)
        if caching == "auto" and long_enough > self._end_of(len(self._messages)):
            # What most requests are; whatever else they are does not matter.
            return False
        places = plan(self._facts(caching, long_enough, sharing))
        for place in places:
            # Before every place is what the client said, never an answer: thinking takes no marks.
            self._block(place)[MARK] = SHORT
        return bool(places)

    def _facts(self, caching: Caching, long_enough: int, sharing: Sharing) -> Facts:
        """What the rule wants to know."""
        asked = self._before_answers(len(self._messages))
        answer = next((at for at in range(asked - 1, -1, -1) if self._is_answer(at)), None)
        first = next((at for at in range(asked) if self._is_answer(at)), asked)
        return Facts(
            caching,
            len(self._tools),
            self._system_end,
            self._end_of(first),
            self._end_of(asked),
            long_enough,
            0 if answer is None else self._end_of(self._before_answers(answer)),
            self._shared(sharing, self._end_of(first)),
            sharing.is_asked_again,
        )

    def _is_answer(self, at: int) -> bool:
        return bool(self._messages[at]["role"] == "assistant")

    def _before_answers(self, count: int) -> int:
        """How many of the first `count` messages are left without the answers that stand last."""
        while count and self._is_answer(count - 1):
            count -= 1
        return count

    def _end_of(self, count: int) -> int:
        """The place at which so many messages end."""
        return self._ends[count - 1] if count else self._system_end

    def _long_enough(self, minimum_tokens: int) -> int:
        """The first place at which a prompt is long enough to be cached; one behind its end where there is none.

        Between tools nothing is ever marked, so they count as one.
        """
        tokens = len(orjson.dumps(self._tools)) // BYTES_A_TOKEN if self._tools else 0
        if tokens >= minimum_tokens:
            return len(self._tools)
        for place, block in enumerate(islice(self._blocks(), _MOST_BLOCKS), len(self._tools) + 1):
            tokens += _tokens(block)
            if tokens >= minimum_tokens:
                return place
        return self._end_of(len(self._messages)) + 1

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
            return len(self._tools) if sharing.depth else 0
        parts = sharing.depth - _TOOLS_DEPTH
        if parts < sharing.system:
            return len(self._tools) + (parts if self._own_system == sharing.system else 0)
        parts -= sharing.system
        if parts == sharing.first_turn:
            # Without a first turn this is the system prompt.
            return first_turn if parts else self._system_end
        return self._system_end + (parts if first_turn - self._system_end == sharing.first_turn else 0)

    def _block(self, place: int) -> Block:
        """The block that ends at a place."""
        if place <= len(self._tools):
            return self._tools[place - 1]
        if place <= self._system_end:
            return self._system[place - len(self._tools) - 1]
        at = bisect_left(self._ends, place)
        return blocks_of(self._messages[at])[place - 1 - self._end_of(at)]


def _tokens(block: object) -> int:
    """About how many tokens a block has."""
    written = orjson.dumps(block)
    if isinstance(block, dict) and block.get("type") in _MEDIA:
        return estimated_tokens(written)
    return len(written) // BYTES_A_TOKEN
