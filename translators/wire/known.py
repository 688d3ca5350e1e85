"""What a struct of the wire knows: its twin that refuses other fields, and the names of its fields, inside it too.

A twin reads what the struct reads where there is nothing to count, at no further cost.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Final, Generic, NamedTuple, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)
V = TypeVar("V")


class Shape(NamedTuple):
    """The fields of an object, and the shapes of the objects that stand in some of them, alone or in a list."""

    fields: frozenset[str]
    inner: Mapping[str, "Shape"] = {}


def field_names(struct: type[Struct]) -> frozenset[str]:
    """The fields of a struct, as they are called in JSON."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(struct))


def shape(struct: type[Struct]) -> Shape:
    """The shape of a struct that does not hold itself."""
    found = ((field.encode_name, _struct_in(field.type)) for field in msgspec.structs.fields(struct))
    return Shape(field_names(struct), {name: shape(inner) for name, inner in found if inner is not None})


def known(struct: type[T], /, **instead: Any) -> type[T]:
    """The struct without other fields, in itself and in the structs inside it; `instead` are types of some fields."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(struct):
        twin = instead.get(field.name) or _twin(field.type)
        if twin == field.type:
            continue
        default = () if field.required else (msgspec.field(default=field.default, name=field.encode_name),)
        fields.append((field.name, twin, *default))
    name, gc = f"Known{struct.__name__}", struct.__struct_config__.gc
    return cast(type[T], msgspec.defstruct(name, fields, bases=(struct,), forbid_unknown_fields=True, gc=gc))


class Counted(Generic[V]):
    """How an object is read whose unknown fields count; `or_text` says that a text may stand in its place."""

    def __init__(self, struct: type[Struct], *, or_text: bool = False) -> None:
        """Of objects with the fields of `struct`, or with others as well."""
        twin = known(struct)
        self.shape: Final = shape(struct)
        self.known: Final[msgspec.json.Decoder[V]] = msgspec.json.Decoder(twin | str if or_text else twin)
        self.patient: Final[msgspec.json.Decoder[V]] = msgspec.json.Decoder(struct | str if or_text else struct)


def _struct_in(hint: Any) -> type[Struct] | None:
    """The struct that a type is, may be, or is a list of."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint
    return next(filter(None, map(_struct_in, get_args(hint))), None)


def _twin(hint: Any) -> Any:
    """The same type with the twins of its structs."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return known(hint)
    if get_origin(hint) is list:
        return list[_twin(get_args(hint)[0])]  # type: ignore[misc]
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, map(_twin, get_args(hint)))
    return hint
