"""What has to be installed for some settings, and how."""

from importlib.util import find_spec
from typing import Final, NamedTuple


class _Extra(NamedTuple):
    name: str
    modules: tuple[str, ...]


_EXTRAS: Final = {
    "sqlite": _Extra("store", ("cryptography",)),
    "valkey": _Extra("valkey", ("redis", "cryptography")),
}


def missing_extra(kind: str) -> str | None:
    """The command that installs what a kind of store needs, if anything of it is missing."""
    extra = _EXTRAS.get(kind)
    if extra is None or all(find_spec(module) is not None for module in extra.modules):
        return None
    return f"pip install 'dragoman[{extra.name}]'"
