"""Damage, drawn from a seeded generator: to JSON as a tree, to streams event by event, and to any bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any, Final

from tests.fuzz.oddities import DEPTHS, NO_JSON, NUMBERS, TEXTS, WORDS
from tests.fuzz.trees import Literal, Members, copied, parsed, places, put, value_at, written

# More than there are to begin with, for any one target.
_SEEDS: Final = 512


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event of a stream: its name, and its data as a tree, or as bytes where they are no JSON."""

    name: str
    data: Any


# JSON


def any_value(random: Random) -> Any:
    """A value of any type, usual or not."""
    draw = random.random()
    if draw < 0.25:
        return Literal(random.choice(NUMBERS))
    if draw < 0.40:
        return random.choice(TEXTS)
    if draw < 0.55:
        return random.choice(WORDS)
    if draw < 0.65:
        return random.choice((None, None, True, False))
    if draw < 0.70:
        return _nested(random)
    if draw < 0.72:
        return Literal(random.choice(NO_JSON))
    if draw < 0.86:
        return [any_value(random) for _ in range(random.randrange(3))]
    return Members((random.choice(WORDS), any_value(random)) for _ in range(random.randrange(4)))


def _nested(random: Random) -> Literal:
    depth = random.choice(DEPTHS)
    opening, closing = random.choice((("[", "]"), ('{"a":', "}"), ('{"type":"object","properties":{"a":', "}}")))
    levels = depth // len(closing) if len(closing) > 1 else depth
    return Literal(opening * levels + "1" + closing * levels)


def mutated_tree(tree: Any, random: Random, times: int) -> Any:
    """The tree with some damage."""
    tree = copied(tree)
    for _ in range(times):
        found = places(tree)
        if not found:
            return any_value(random)
        parent, index = random.choice(found)
        random.choice(_TREE_MUTATIONS)(parent, index, found, random)
    return tree


def _replace(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    put(parent, index, any_value(random))


def _remove(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    del parent[index]


def _repeat(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    """The same member or element once more, which for a member is a name that occurs twice."""
    parent.insert(random.randrange(len(parent) + 1), copied_item(parent[index]))


def copied_item(item: Any) -> Any:
    """A member or an element, to be put elsewhere."""
    return (item[0], copied(item[1])) if isinstance(item, tuple) else copied(item)


def _transplant(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    """A value from elsewhere in the same text: right in its form, wrong in its place."""
    put(parent, index, copied(value_at(*random.choice(found))))


def _wrap(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    value = value_at(parent, index)
    put(parent, index, random.choice(([value], Members([(random.choice(WORDS), value)]))))


def _unwrap(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    value = value_at(parent, index)
    if isinstance(value, list) and value:
        put(parent, index, value_at(value, 0))


def _add_member(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    if isinstance(parent, Members):
        parent.insert(index, (random.choice(WORDS), any_value(random)))
    else:
        parent.insert(index, any_value(random))


def _add_to_root(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    """One more field of the whole: most of them are optional."""
    root = found[0][0]
    _add_member(root, random.randrange(len(root) + 1), found, random)


def _renumber(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    """Another number in the place of one."""
    numbers = [place for place in found if isinstance(value_at(*place), Literal)]
    if numbers:
        put(*random.choice(numbers), Literal(random.choice(NUMBERS)))


def _rename(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    if isinstance(parent, Members):
        parent[index] = (random.choice((*WORDS, *TEXTS)), parent[index][1])


def _reorder(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    random.shuffle(parent)


def _null_everywhere(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    for place in range(len(parent)):
        if random.random() < 0.5:
            put(parent, place, None)


def _change_text(parent: Any, index: int, found: list[tuple[Any, int]], random: Random) -> None:
    value = value_at(parent, index)
    if not isinstance(value, str):
        return
    at = random.randrange(len(value) + 1)
    end = at + random.choice((0, 0, 1, 8))
    put(parent, index, value[:at] + random.choice((*TEXTS, "")) + value[end:])


_TREE_MUTATIONS: Final = (
    _replace,
    _replace,
    _replace,
    _remove,
    _repeat,
    _transplant,
    _transplant,
    _wrap,
    _unwrap,
    _add_member,
    _add_member,
    _add_to_root,
    _renumber,
    _rename,
    _reorder,
    _null_everywhere,
    _change_text,
)


def _times(random: Random) -> int:
    return random.choice((1, 1, 1, 2, 2, 3, 6))


def mutated_json(data: bytes, random: Random) -> bytes:
    """A JSON text with damage to its values, and sometimes to its bytes."""
    try:
        tree = mutated_tree(_tree_of(data), random, _times(random))
    except (ValueError, RecursionError):
        return mutated_bytes(data, random)
    separators = random.choice(((",", ":"), (",", ":"), (", ", ": "), (" ,\n", "\t: ")))
    text = written(tree, is_ascii=random.random() < 0.7, separators=separators)
    return mutated_bytes(text, random) if random.random() < 0.08 else text


# Streams


def sent_events(data: bytes) -> list[SentEvent]:
    """The events of a stream."""
    return [*_events_of(data)]


# Of what is damaged over and over: whoever changes a tree copies it first.
@lru_cache(_SEEDS)
def _events_of(data: bytes) -> tuple[SentEvent, ...]:
    events = []
    for block in data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        name, lines = "", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"event":
                name = value.strip().decode("utf-8", "replace")
            elif field == b"data":
                lines.append(value.removeprefix(b" "))
        if lines:
            events.append(SentEvent(name, _tree_or_bytes(b"\n".join(lines))))
    return tuple(events)


@lru_cache(_SEEDS)
def _tree_of(data: bytes) -> Any:
    return parsed(data)


def _tree_or_bytes(data: bytes) -> Any:
    try:
        return parsed(data)
    except (ValueError, RecursionError):
        return data


def written_events(events: Sequence[SentEvent], random: Random) -> bytes:
    """A stream of these events, mostly to the byte as the hosts write them."""
    newline = random.choice((b"\n",) * 8 + (b"\r\n", b"\r"))
    is_ascii = random.random() < 0.5
    separators = random.choice(((",", ":"),) * 4 + ((", ", ": "),))
    pieces = []
    for event in events:
        data = (
            event.data
            if isinstance(event.data, bytes)
            else written(event.data, is_ascii=is_ascii, separators=separators)
        )
        name = event.name.encode("utf-8", "surrogatepass")
        pieces.append(b"event: %b%bdata: %b%b%b" % (name, newline, data, newline, newline))
    return b"".join(pieces)


def mutated_stream(data: bytes, random: Random) -> bytes:
    """A stream with damage to the order of its events, to their values, and sometimes to its bytes."""
    events = sent_events(data)
    if not events:
        return mutated_bytes(data, random)
    for _ in range(_times(random)):
        random.choice(_STREAM_MUTATIONS)(events, random)
        if not events:
            break
    stream = written_events(events, random)
    return mutated_bytes(stream, random) if random.random() < 0.08 else stream


def _change_event(events: list[SentEvent], random: Random) -> None:
    at = random.randrange(len(events))
    event = events[at]
    data = mutated_bytes(event.data, random) if isinstance(event.data, bytes) else mutated_tree(event.data, random, 1)
    name = event.name
    if random.random() < 0.05:
        name = random.choice(("", "error", "ping", "é", *WORDS))
    events[at] = SentEvent(name, data)


def _remove_events(events: list[SentEvent], random: Random) -> None:
    at = random.randrange(len(events))
    del events[at : at + random.choice((1, 1, 1, 2, 5, len(events)))]


def _repeat_event(events: list[SentEvent], random: Random) -> None:
    events.insert(random.randrange(len(events) + 1), random.choice(events))


def _swap_events(events: list[SentEvent], random: Random) -> None:
    one, other = random.randrange(len(events)), random.randrange(len(events))
    events[one], events[other] = events[other], events[one]


def _swap_deltas(events: list[SentEvent], random: Random) -> None:
    """A delta of one block in another, perhaps of another type: what one event says is put into a second."""
    one, other = random.choice(events), random.randrange(len(events))
    found = events[other].data
    if not (isinstance(one.data, Members) and isinstance(found, Members)):
        return
    name = random.choice(("index", "delta", "content_block", "type"))
    taken = dict(one.data)
    if name in taken:
        changed = Members((key, copied(taken[name]) if key == name else value) for key, value in found)
        events[other] = SentEvent(events[other].name, changed)


def _insert_block(events: list[SentEvent], random: Random) -> None:
    """Events about a block that nobody has announced, or that changes its type in between."""
    kind = random.choice(("text", "thinking", "tool_use", "redacted_thinking", "server_tool_use", "of_tomorrow"))
    index = Literal(random.choice(("0", "1", "2", "-1", "999999999999", "1.5", "0.0")))
    block = Members([("type", kind), ("id", "t1"), ("name", "f"), ("text", ""), ("thinking", ""), ("input", Members())])
    piece = random.choice(("text_delta", "thinking_delta", "input_json_delta", "signature_delta", "citations_delta"))
    texts = ('{"a":', "1}", "x", "", '"')
    delta = Members([("type", piece)])
    delta += [(name, random.choice(texts)) for name in ("text", "thinking", "partial_json", "signature")]
    delta.append(("citation", any_value(random)))
    made = (
        Members([("type", "content_block_start"), ("index", index), ("content_block", block)]),
        Members([("type", "content_block_delta"), ("index", index), ("delta", delta)]),
        Members([("type", "content_block_stop"), ("index", index)]),
    )
    at = random.randrange(len(events) + 1)
    events[at:at] = [SentEvent(data[0][1], data) for data in made if random.random() < 0.7]


_STREAM_MUTATIONS: Final = (
    _change_event,
    _change_event,
    _change_event,
    _change_event,
    _remove_events,
    _repeat_event,
    _swap_events,
    _swap_deltas,
    _swap_deltas,
    _insert_block,
    _insert_block,
)


# Bytes

_PIECES: Final = (
    b"",
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98",
    b"\xef\xbb\xbf",
    b"\\",
    b'"',
    b"\\ud83d",
    b"\r",
    b"\n\n",
    b"\r\n\r\n",
    b"{",
    b"[" * 300,
    b": ",
    b"e400",
    b"%00",
    b"\x1b[0m",
    b"*a &a !!b ",
)


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """Bytes with some cut out, put in, flipped or repeated."""
    for _ in range(_times(random)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((0, 1, 1, 2, 7, 40)))
        draw = random.random()
        if draw < 0.25:
            data = data[:at] + data[end:]
        elif draw < 0.60:
            data = data[:at] + random.choice(_PIECES) + data[end:]
        elif draw < 0.75 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
        elif draw < 0.85:
            data = data[:at] + data[at:end] * random.choice((2, 30)) + data[end:]
        elif draw < 0.92:
            data = data[:at]
        else:
            data = data[:at] + random.choice(NUMBERS).encode() + data[end:]
    return data
