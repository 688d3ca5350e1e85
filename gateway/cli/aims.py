"""Rules and limits of keys that match nothing: valid, and most likely typed wrongly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from gateway.accounts.auth import ANYBODY
from gateway.accounts.keys.stored import StoredKey
from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.reading import rule_of
from gateway.accounts.rules.rule import matches
from gateway.config import Config
from gateway.service.routing import Aliases
from translators.models import ModelTable

# More warnings than these are counted only.
MOST: Final = 20


class Callers(Struct, frozen=True):
    """Who may call: the names and ids of clients and keys, and their groups."""

    names: frozenset[str]
    groups: frozenset[str]


def callers_of(config: Config, keys: Sequence[StoredKey]) -> Callers:
    """The clients of the configuration, and the stored keys."""
    names = {*(client.name for client in config.clients), *(key.name for key in keys), *(key.id for key in keys)}
    groups = {*(client.group for client in config.clients), *(key.group for key in keys)}
    return Callers(frozenset(names or {ANYBODY}), frozenset(group for group in groups if group is not None))


def aimless(
    callers: Callers, models: ModelTable, aliases: Aliases, rules: Iterable[Definition], keys: Iterable[StoredKey]
) -> Iterator[str]:
    """A sentence for each rule, and for each limit of a key, that matches nothing."""

    def is_model(pattern: str) -> bool:
        return models.find(pattern) is not None or any(matches(pattern, name) for name in models.ids)

    for definition in rules:
        yield from _of_rule(definition, callers, aliases, is_model)
    for key in keys:
        for pattern in key.limits.models:
            if not (is_model(pattern) or _is_alias(pattern, aliases)):
                yield f"key {key.name}: its limit to models {pattern!r} matches no known model and no alias"


def _of_rule(
    definition: Definition, callers: Callers, aliases: Aliases, is_model: Callable[[str], bool]
) -> Iterator[str]:
    rule = rule_of(definition)
    where = f"rule {rule.id}:"
    if not is_model(rule.model):
        more = "; rules count by upstream's ids, and this is an alias" if _is_alias(rule.model, aliases) else ""
        yield f"{where} model {rule.model!r} matches no known model{more}"
    if rule.scope == "group" and not any(matches(rule.of, group) for group in callers.groups):
        yield f"{where} no client and no key is in a group {rule.of!r}, so it concerns nobody"
    elif rule.scope in ("key", "end_user") and not any(matches(rule.of, name) for name in callers.names):
        yield f"{where} there is no client and no key {rule.of!r}, so it concerns nobody"
    if (other := rule.other_model) is not None and not is_model(aliases.resolve(other).id):
        yield f"{where} over names {other!r}, which is no known model"


def _is_alias(pattern: str, aliases: Aliases) -> bool:
    """Whether a pattern fits some name of the table of aliases."""
    return aliases.is_alias(pattern.replace("*", "")) or any(
        fnmatchcase(name.replace("*", ""), pattern) for name in aliases.table
    )
