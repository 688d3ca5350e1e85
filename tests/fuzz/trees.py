"""JSON as a tree that holds what Python's types cannot: names that occur twice, numbers as they are spelled."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any


class Members(list[tuple[str, Any]]):
    """An object, its members in their order."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Anything as it is spelled: a number, or what is no JSON at all."""

    text: str


_DECODER = json.JSONDecoder(object_pairs_hook=Members, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def parsed(data: bytes) -> Any:
    """The tree of a JSON text; raises `ValueError` for what is none."""
    return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))


def written(tree: Any, *, is_ascii: bool = True, separators: tuple[str, str] = (",", ":")) -> bytes:
    """The text of a tree; with `is_ascii` half a surrogate pair is an escape, else it is broken UTF-8."""
    pieces: list[str] = []
    _write(tree, encode_basestring_ascii if is_ascii else encode_basestring, separators, pieces)
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _write(tree: Any, quoted: Callable[[str], str], separators: tuple[str, str], pieces: list[str]) -> None:
    comma, colon = separators
    kind = type(tree)
    if kind is str:
        pieces.append(quoted(tree))
    elif kind is Literal:
        pieces.append(tree.text)
    elif kind is Members:
        before = "{"
        for name, value in tree:
            pieces += (before, quoted(name), colon)
            _write(value, quoted, separators, pieces)
            before = ","
        pieces.append("}" if tree else "{}")
    elif kind is list:
        before = "["
        for value in tree:
            pieces.append(before)
            _write(value, quoted, separators, pieces)
            before = comma
        pieces.append("]" if tree else "[]")
    else:
        pieces.append(json.dumps(tree))


def places(tree: Any) -> list[tuple[Any, int]]:
    """Every place at which a value stands: the list or the members, and the index in it."""
    found: list[tuple[Any, int]] = []
    stack = [tree]
    while stack:
        parent = stack.pop()
        if not isinstance(parent, list):
            continue
        found += ((parent, index) for index in range(len(parent)))
        stack += (item[1] for item in parent) if isinstance(parent, Members) else parent
    return found


def value_at(parent: Any, index: int) -> Any:
    """The value at a place."""
    return parent[index][1] if isinstance(parent, Members) else parent[index]


def put(parent: Any, index: int, value: Any) -> None:
    """Put a value at a place."""
    parent[index] = (parent[index][0], value) if isinstance(parent, Members) else value


def copied(tree: Any) -> Any:
    """The same tree, to be changed."""
    if isinstance(tree, Members):
        return Members((name, copied(value)) for name, value in tree)
    return [copied(value) for value in tree] if isinstance(tree, list) else tree
