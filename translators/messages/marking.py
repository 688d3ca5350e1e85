"""The rule for cache marks of the gateway's own: where they pay, and nowhere else.

A prompt is a list of blocks: tools, system, messages. A *place* is a number of blocks, and a mark there writes the
prompt up to it into the cache. Upstream bills a write at 1.25 times the price of input and a read at a tenth of it or
less. What is written is what stands between the longest beginning that can be read and the last mark. So the last mark
has to pay; those before it cost nothing.

1. *The end* is marked where the same prompt, or a longer one that begins with it, will come soon: the request has tools
   (an agent's loop comes back), or it is a later turn of a conversation, or the same prompt came lately, or several
   answers to it are asked for. The end is what the client will repeat: the answers that stand last belong to what
   comes next, and the gateway's words for one turn stand behind it.
2. *The end of the request before* is marked where the turn added so many blocks that upstream, which looks back from
   each mark for 20 blocks, would not find what was written then.
3. *The end of a beginning that another request had* lately: the same tools, the same tools and system prompt, or also
   the same first parts of the first turn (a long document before the question). In a later turn a whole first turn
   that is known says nothing: it is the conversation's own.
4. *The end of the system prompt* is marked wherever something behind it is: the next conversation reads it.

That makes at most four. Nothing is marked below the length from which the model caches at all. Who has marked anything,
or has spoken about caching, is not helped.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

Caching: TypeAlias = Literal["off", "auto", "always"]

# Section 13.1 of the Messages reference. Whether the marked block is one of them is not told, so it is taken to be.
LOOK_BACK_BLOCKS: Final = 20


class Facts(NamedTuple):
    """What is to be known of a prompt; all but `caching` and `is_asked_again` are places.

    `tools`, `system`, `first_turn` and `end` say where these end, `long_enough` is the first place at which a prompt is
    long enough to be cached, `sent_before` where the request before this one ended (0 in a first turn), `shared` up to
    where another request was the same lately.
    """

    caching: Caching
    tools: int
    system: int
    first_turn: int
    end: int
    long_enough: int = 0
    sent_before: int = 0
    shared: int = 0
    is_asked_again: bool = False

    @property
    def comes_back(self) -> bool:
        """Whether a prompt that begins with all of this is to be expected."""
        return self.tools > 0 or self.sent_before > 0 or self.shared >= self.end or self.is_asked_again


def plan(facts: Facts) -> tuple[int, ...]:
    """The places to mark, in their order; `always` is the end, whatever it costs."""
    if facts.caching != "auto":
        return (facts.end,) if facts.caching == "always" else ()
    places = set()
    if facts.comes_back:
        places.add(facts.end)
        if 0 < facts.sent_before <= facts.end - LOOK_BACK_BLOCKS:
            places.add(facts.sent_before)
    is_own = facts.sent_before > 0 and facts.shared >= facts.first_turn
    if 0 < facts.shared < facts.end and not is_own:
        places.add(facts.shared)
    if max(places, default=0) > facts.system:
        places.add(facts.system)
    return tuple(sorted(place for place in places if place >= max(1, facts.long_enough)))
