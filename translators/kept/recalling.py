"""Turns that go back as they were made: which of those that are kept a client still shows."""

from collections.abc import Collection, Generator, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from translators.answers.recorder import is_whole
from translators.intent import Message, SealedTurn
from translators.kept.echoes import signed_thinking
from translators.kept.history import DIGEST_BYTES, History, names_of_calls, place_key, turn_key
from translators.kept.own_blocks import spliced_block
from translators.kept.shown import shows
from translators.kept.turns import FORM, SHOWN, KeptTurn, LeftOut, Recalled
from translators.limits import MAX_MESSAGES
from translators.messages.blocks import Block
from translators.reading import is_null
from translators.remembered import Remembered

# So many turns make a step: 2 ms at most, for such as nobody has compared yet; and so many keys: 0.2 ms.
_TURNS_A_STEP: Final = 32
_KEYS_A_STEP: Final = 128
# The turns of a run in which none is kept: nobody calls tools so often without a thought.
_LONGEST_RUN: Final = 500
# What is remembered of a turn: its value, the turn that is read from it, and the content that is made of that.
_COPIES: Final = 4
_OBJECT_BYTES: Final = 1_000
_NO_TURN: Final = (None, -1)
_TURN_DECODER: Final = msgspec.msgpack.Decoder(KeptTurn)


def run_of(history: History, messages: Sequence[Message], keys: Sequence[bytes], found: Collection[bytes]) -> bytes:
    """What stood before the first of the assistant's turns since the user's last message.

    b"" where one of these is kept, or where there are so many that looking for it would take long.
    """
    number, run = len(keys), b""
    for message in reversed(messages):
        if message.role == "user" or not number:
            break
        if message.role == "assistant":
            number -= 1
            if keys[number] in found or len(keys) - number > _LONGEST_RUN:
                return b""
            run = history.turns[number].before
    return run


def keys_in_steps(history: History, messages: Sequence[Message], model: str) -> Generator[None, None, list[bytes]]:
    """What the assistant's turns would be kept under, in their order."""
    keys = []
    for turn in history.turns:
        keys.append(turn_key(turn.before, model, names_of_calls(messages[turn.index])))
        if len(keys) % _KEYS_A_STEP == 0:
            yield
    return keys


def places_in_steps(
    history: History,
    messages: Sequence[Message],
    keys: Sequence[bytes],
    found: Mapping[bytes, bytes],
    model: str,
    most: int = MAX_MESSAGES,
) -> Generator[None, None, dict[bytes, bytes]]:
    """Where to look for the turns that were not found by the ids of their calls: keys of places, to the turns' keys.

    There are none where the latest turn that called tools was found: a client that spells ids anew does so with all.
    The latest places come first, and no more than `most` of them.
    """
    places: dict[bytes, bytes] = {}
    for number, (key, turn) in enumerate(zip(reversed(keys), reversed(history.turns), strict=True)):
        if names_of_calls(messages[turn.index]):
            if key not in found:
                places[place_key(turn.before, model)] = key
                if len(places) == most:
                    break
            elif not places:
                return {}
        if number % _KEYS_A_STEP == _KEYS_A_STEP - 1:
            yield
    return places


def recall_in_steps(
    history: History,
    messages: Sequence[Message],
    keys: Sequence[bytes],
    found: Mapping[bytes, bytes],
    *,
    is_bound: bool,
    known: "KnownTurns | None" = None,
) -> Generator[None, None, tuple[Recalled | None, LeftOut | None]]:
    """The turns that go back as they were made, or why there are none though some were kept.

    The latest turn that is known decides: what was sent when it was made is sent again. `found` has what is kept under
    the `keys`; `is_bound` says that the model's thinking holds only with the tools and system prompt it was made under.
    `known` remembers turns that were compared before. No step takes long, unless a single turn does.
    """
    if not found:
        return None, None
    known = known or KnownTurns(0)
    turns: dict[bytes, tuple[_KnownTurn, int]] = {}
    head = b""
    # Where messages stand that show otherwise what is kept.
    edited: list[int] = []
    for number, (key, seen) in enumerate(zip(keys, history.turns, strict=True)):
        if (value := found.get(key)) is not None:
            # What is seen up to a turn and with it is what is seen before the next one.
            after = history.turns[number + 1].before if number + 1 < len(keys) else history.end
            previous = messages[history.turns[number - 1].index] if number else None
            turn = known.turn(value, after, messages[seen.index], previous)
            if turn is None:
                edited.append(seen.index)
            else:
                turns[key] = turn, seen.index
                head = key
        if number % _TURNS_A_STEP == 0:
            yield
    if not head:
        # Whoever brings thinking along has lost none.
        return None, "edited" if any(not signed_thinking(messages[index]) for index in edited) else None
    return (yield from _chain(turns, head, history.ground if is_bound else None))


def _chain(
    turns: Mapping[bytes, "tuple[_KnownTurn, int]"], head: bytes, ground: bytes | None
) -> Generator[None, None, tuple[Recalled | None, LeftOut | None]]:
    """The turns that were sent when the latest was made, from that one back; None where not all of them are there.

    They have to stand on this `ground`, if there is one.
    """
    contents: dict[int, tuple[Block, ...]] = {}
    chain: list[bytes] = []
    is_changed = is_sealed = False
    key, link = head, turns[head][0].link(head)
    while link:
        turn, index = turns.get(key, _NO_TURN)
        # A digest in a digest: no turn leads back to itself.
        if turn is None or turn.link(key) != link:
            return None, "missing"
        chain.append(key)
        contents[index] = turn.content
        is_changed = is_changed or (ground is not None and turn.kept.ground != ground)
        is_sealed = is_sealed or turn.is_sealed
        link = turn.kept.parent
        key = link[:DIGEST_BYTES]
        if len(chain) % _KEYS_A_STEP == 0:
            yield
    if is_changed:
        return None, "changed"
    latest = turns[head][0]
    return Recalled(latest.link(head), latest.kept.signer, tuple(chain), contents, is_sealed), None


class _KnownTurn(NamedTuple):
    """A turn that a client has shown as it was made, its content as the writer has it, and a digest of its value."""

    kept: KeptTurn
    content: tuple[Block, ...]
    digest: bytes
    is_sealed: bool

    def link(self, key: bytes) -> bytes:
        """What the turns after it call it by."""
        return key + self.digest


class KnownTurns:
    """Turns that clients have shown before, within a bound in bytes: a conversation shows them with every request."""

    def __init__(self, max_bytes: int) -> None:
        self._known: Remembered[tuple[bytes, _KnownTurn | None]] = Remembered(max_bytes)

    def turn(self, value: bytes, after: bytes, message: Message, previous: Message | None = None) -> _KnownTurn | None:
        """The turn that is kept in `value`; None where the client does not show it as it was made.

        `after` digests what is seen up to the message and with it, and perhaps what follows; `previous` is the
        assistant's message before.
        """
        is_sealed = type(message) is SealedTurn
        if is_sealed or not (is_null(message.thinking_blocks) and is_null(message.reasoning_details)):
            # Thinking of the client's own is not seen, and decides as well.
            return _compared(value, message, previous)
        known = self._known.get(after)
        if known is not None and known[0] == value:
            return known[1]
        turn = _compared(value, message, previous)
        self._known.put(after, (value, turn), _COPIES * len(value) + _OBJECT_BYTES)
        return turn


def _compared(value: bytes, message: Message, previous: Message | None) -> _KnownTurn | None:
    """A turn as it is kept, where a message shows it."""
    try:
        turn = _TURN_DECODER.decode(value)
        if turn.form != FORM or not all(map(is_whole, turn.blocks)) or not shows(turn.blocks, message, previous):
            return None
        content = tuple([spliced_block(block.json) for block in turn.blocks])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    is_sealed = any(block.type not in SHOWN for block in turn.blocks)
    return _KnownTurn(turn, content, blake2b(value, digest_size=DIGEST_BYTES).digest(), is_sealed)
