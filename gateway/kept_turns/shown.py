"""What `/admin/store` shows of the stores of all workers; pure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Databases: TypeAlias = dict[str, dict[str, Any]]
"""For each database its `place`, and figures of what is in this process's memory."""

_DATABASES = ("store", "responses")


def merged(shown: Sequence[Databases], counts: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
    """The figures added up, with the counts of all workers."""
    databases = {
        name: {**_sum([found[name] for found in shown]), "counts": counts.get(name, {})} for name in _DATABASES
    }
    return {"turns": counts.get("turns", {}), **databases, "seals": counts.get("seals", {})}


def _sum(figures: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summed: dict[str, Any] = {}
    for found in figures:
        for name, value in found.items():
            if isinstance(value, int) and name in summed:
                summed[name] += value
            else:
                summed.setdefault(name, value)
    return summed
