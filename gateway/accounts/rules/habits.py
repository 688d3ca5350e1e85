"""What the answers of one key and model usually come to: how long they are, and how much of a prompt a cache has."""

from typing import Final

# An answer is taken to be this long until enough are known.
UNKNOWN_TOKENS: Final = 2_000
_ENOUGH: Final = 20
_MANY: Final = 100
# So many answers are remembered, and half of them forgotten then.
_MOST: Final = 1_024
_EVERY: Final = 32
_PART: Final = 0.95
# Eight places for each doubling: a length is known to an eighth of itself.
_PLACES: Final = 176
_WEIGHT: Final = 0.1


class Habits:
    """Learns from each answer; all numbers are tokens."""

    __slots__ = ("_answers", "_lengths", "_seen", "_until_next", "cached_share", "longest")

    def __init__(self) -> None:
        self._lengths = [0] * _PLACES
        self._answers = self._seen = 0
        self._until_next = _ENOUGH
        # What 95 of 100 answers stay below.
        self.longest = UNKNOWN_TOKENS
        # The part of a prompt that is usually read from a cache.
        self.cached_share = 0.0

    def is_due(self) -> bool:
        """Whether to learn from this answer: from each until many are known, and then from one of four."""
        self._seen += 1
        return self._answers < _MANY or not self._seen % 4

    def note(self, prompt: int, cached: int, output: int) -> None:
        """Learn from a complete answer."""
        share = self.cached_share
        if cached < prompt:
            self.cached_share = share + (cached / prompt - share) * _WEIGHT
        if output < 8:
            place = max(0, output)
        else:
            size = output.bit_length()
            place = min(_PLACES - 1, (size - 3) * 8 + (output >> (size - 4) & 7))
        self._lengths[place] += 1
        self._answers += 1
        self._until_next -= 1
        if not self._until_next:
            self._learn()

    def _learn(self) -> None:
        self._until_next = _EVERY
        lengths, left = self._lengths, self._answers * (1 - _PART)
        place = _PLACES - 1
        while place and lengths[place] <= left:
            left -= lengths[place]
            place -= 1
        self.longest = _end_of(place)
        if self._answers >= _MOST:
            self._lengths = [count // 2 for count in lengths]
            self._answers = sum(self._lengths)


def _end_of(place: int) -> int:
    """The longest answer that is counted in a place."""
    if place < 8:
        return place
    return ((place % 8 + 9) << (place // 8 - 1)) - 1
