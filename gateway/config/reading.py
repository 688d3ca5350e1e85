"""Converts the file's tree into the settings' structs, following their types and limits."""

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import inspect

from gateway.config.document import Tree
from gateway.config.mistakes import WRONG, Mistakes, path_to, suggestion
from gateway.config.variables import Text

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+(_[0-9]+)*")
# No setting needs more digits, and Python refuses to parse very many.
_MOST_DIGITS = 18
_BARE = re.compile(r"true|false|[+-]?[0-9.]+")
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
_NOTHING = ("", "~", "null")
_LONGEST_SHOWN = 60
_CONTAINERS = (inspect.StructType, inspect.VarTupleType, inspect.DictType)


class Reader:
    """Reads trees as msgspec's types; each mistake is recorded, and `WRONG` replaces the value."""

    def __init__(self, mistakes: Mistakes, read_secret: Callable[[Tree, str], Any]) -> None:
        self._mistakes = mistakes
        self._read_secret = read_secret

    def read(self, kind: inspect.Type, tree: Tree, path: str) -> Any:
        """Read the value of a setting."""
        if tree is WRONG:
            return WRONG
        for of_kind, read in _READERS.items():
            if isinstance(kind, of_kind):
                return read(self, kind, tree, path)
        raise NotImplementedError(f"no setting of the type {kind} is known")

    def _struct(self, kind: inspect.StructType, tree: Tree, path: str) -> Any:
        tree = {} if tree is None else tree
        if not isinstance(tree, dict):
            return self._unexpected(kind, tree, path)
        self._report_unknown(kind, tree, path)
        # A setting without a value, for example because what follows is commented out, counts as absent.
        given = {str(name): value for name, value in tree.items() if value is not None}
        values = {field.name: self._field(field, given, path) for field in kind.fields}
        # A setting with a mistake keeps its default, so that the rules between settings can still be checked.
        kept = {f.name: values[f.name] for f in kind.fields if f.required or values[f.name] is not WRONG}
        return kind.cls(**kept)

    def _field(self, field: inspect.Field, given: Mapping[str, Tree], path: str) -> Any:
        field_path = path_to(path, field.name)
        if field.name in given:
            return self.read(field.type, given[field.name], field_path)
        if field.required:
            self._mistakes.add(field_path, f"missing, {_expected(field.type)} is needed")
        return WRONG

    def _report_unknown(self, kind: inspect.StructType, tree: dict[Text, Tree], path: str) -> None:
        known = tuple(field.name for field in kind.fields)
        for name in tree:
            if name not in known:
                advice = suggestion(name, known) or f"; known here: {', '.join(known)}"
                self._mistakes.add(path_to(path, name.as_written), f"unknown setting{advice}")

    def _tuple(self, kind: inspect.VarTupleType, tree: Tree, path: str) -> Any:
        if not isinstance(tree, list) or len(tree) < (kind.min_length or 0):
            return self._unexpected(kind, tree, path)
        return tuple(self.read(kind.item_type, item, f"{path}[{index}]") for index, item in enumerate(tree))

    def _dict(self, kind: inspect.DictType, tree: Tree, path: str) -> Any:
        if not isinstance(tree, dict):
            return self._unexpected(kind, tree, path)
        return {
            self.read(kind.key_type, name, path): self.read(kind.value_type, value, path_to(path, name.as_written))
            for name, value in tree.items()
        }

    def _optional(self, kind: inspect.UnionType, tree: Tree, path: str) -> Any:
        # A variable is always a text: `null` in a variable means the same as null in the file.
        if isinstance(tree, Text) and tree.lower() in _NOTHING:
            return None
        return self.read(_without_none(kind), tree, path)

    def _metadata(self, kind: inspect.Metadata, tree: Tree, path: str) -> Any:
        value = self.read(kind.type, tree, path)
        if value is WRONG or not kind.extra:
            return value
        try:
            return kind.extra["check"](value)
        except ValueError as problem:
            return self._mistakes.add(path, str(problem))

    def _scalar(self, kind: inspect.Type, tree: Tree, path: str) -> Any:
        value = _SCALARS[type(kind)](kind, tree) if isinstance(tree, Text) else None
        return self._unexpected(kind, tree, path) if value is None else value

    def _secret(self, kind: inspect.CustomType, tree: Tree, path: str) -> Any:
        return self._read_secret(tree, path)

    def _unexpected(self, kind: inspect.Type, tree: Tree, path: str) -> Any:
        advice = ""
        if isinstance(kind, inspect.LiteralType) and isinstance(tree, Text) and not tree.variables:
            advice = suggestion(tree, tuple(map(str, kind.values)))
        # Do not show a text in place of a whole section: it is probably a key.
        got = "a text" if isinstance(tree, Text) and isinstance(kind, _CONTAINERS) else shown(tree)
        return self._mistakes.add(path, f"expected {_expected(kind)}, got {got}{advice}")


_READERS: dict[type[inspect.Type], Callable[[Reader, Any, Tree, str], Any]] = {
    inspect.Metadata: Reader._metadata,
    inspect.StructType: Reader._struct,
    inspect.VarTupleType: Reader._tuple,
    inspect.DictType: Reader._dict,
    inspect.UnionType: Reader._optional,
    inspect.CustomType: Reader._secret,
    inspect.Type: Reader._scalar,
}


def shown(tree: Tree) -> str:
    """A value as a mistake may show it, without the values of variables."""
    if isinstance(tree, list):
        return "a list" if tree else "an empty list"
    if isinstance(tree, dict):
        return "a mapping"
    if not isinstance(tree, Text):
        return "nothing"
    if tree.variables:
        return f"the value of {tree.as_written}"
    if len(tree) > _LONGEST_SHOWN:
        return "a longer text"
    return str(tree) if _BARE.fullmatch(tree) else json.dumps(tree, ensure_ascii=not tree.isprintable())


def _text(kind: inspect.StrType, text: Text) -> str | None:
    return str(text) if len(text) >= (kind.min_length or 0) else None


def _whole_number(kind: inspect.IntType, text: Text) -> int | None:
    if len(text) > _MOST_DIGITS or not _WHOLE_NUMBER.fullmatch(text):
        return None
    number = int(text)
    return number if _within(kind, number) else None


def _number(kind: inspect.FloatType, text: Text) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and _within(kind, number) else None


def _within(kind: inspect.IntType | inspect.FloatType, number: float) -> bool:
    return (
        (kind.ge is None or number >= kind.ge)
        and (kind.gt is None or number > kind.gt)
        and (kind.le is None or number <= kind.le)
    )


def _truth(kind: inspect.BoolType, text: Text) -> bool | None:
    return _TRUTH.get(text.lower())


def _choice(kind: inspect.LiteralType, text: Text) -> str | None:
    return str(text) if text in kind.values else None


_SCALARS: dict[type[inspect.Type], Callable[[Any, Text], Any]] = {
    inspect.StrType: _text,
    inspect.IntType: _whole_number,
    inspect.FloatType: _number,
    inspect.BoolType: _truth,
    inspect.LiteralType: _choice,
}


def _expected(kind: inspect.Type) -> str:
    """What a value of this type looks like, for `expected ..., got ...`."""
    match kind:
        case inspect.Metadata():
            return _expected(kind.type)
        case inspect.LiteralType():
            *others, last = map(str, kind.values)
            return f"{', '.join(others)} or {last}"
        case inspect.IntType():
            return f"a whole number{_limits(kind)}"
        case inspect.FloatType():
            return f"a number{_limits(kind)}"
        case inspect.VarTupleType() if kind.min_length:
            return "a list with at least one entry"
    return _EXPECTED[type(kind)]


_EXPECTED = {
    inspect.StrType: "a text",
    inspect.BoolType: "true or false",
    inspect.StructType: "a mapping (name: value)",
    inspect.DictType: "a mapping (name: value)",
    inspect.VarTupleType: "a list",
    inspect.CustomType: "a secret",
}


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.le is not None:
        return f" from {kind.ge} to {kind.le}"
    return f" above {kind.gt}" if kind.gt is not None else f" of {kind.ge} or more"


def _without_none(kind: inspect.UnionType) -> inspect.Type:
    return next(item for item in kind.types if not isinstance(item, inspect.NoneType))
