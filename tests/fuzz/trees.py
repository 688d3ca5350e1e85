"""JSON as a tree that holds what Python's types cannot: names that occur twice, numbers as they are spelled."""

import json
from dataclasses import dataclass
from typing import Any


class Members(list[tuple[str, Any]]):
    """An object, its members in their order."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Anything as it is spelled: a number, or what is no JSON at all."""

    text: str


def parsed(data: bytes) -> Any:
    """The tree of a JSON text; raises `ValueError` for what is none."""
    return json.loads(data, object_pairs_hook=Members, parse_int=Literal, parse_float=Literal, parse_constant=Literal)


def written(tree: Any, *, is_ascii: bool = True, separators: tuple[str, str] = (",", ":")) -> bytes:
    """The text of a tree; with `is_ascii` half a surrogate pair is an escape, else it is broken UTF-8."""
    pieces: list[str] = []
    _write(tree, is_ascii, separators, pieces)
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _write(tree: Any, is_ascii: bool, separators: tuple[str, str], pieces: list[str]) -> None:
    comma, colon = separators
    if isinstance(tree, Literal):
        pieces.append(tree.text)
    elif isinstance(tree, Members):
        for number, (name, value) in enumerate(tree):
            pieces += ("," if number else "{", json.dumps(name, ensure_ascii=is_ascii), colon)
            _write(value, is_ascii, separators, pieces)
        pieces.append("}" if tree else "{}")
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            pieces.append(comma if number else "[")
            _write(value, is_ascii, separators, pieces)
        pieces.append("]" if tree else "[]")
    else:
        pieces.append(json.dumps(tree, ensure_ascii=is_ascii))


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
