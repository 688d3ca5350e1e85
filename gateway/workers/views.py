"""What a gateway shows of itself: each view is looked at in every worker, and merged in the one that is asked."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from gateway.workers.tallies import Tally

V = TypeVar("V")

_encode = msgspec.msgpack.Encoder().encode


def _no_tally() -> Tally:
    return {}


# What stands between the name of an order and its argument, where they are one text.
_BETWEEN = "\0"


def name_of(asked: str) -> str:
    """The name of the view or the order that somebody asks for."""
    return asked.partition(_BETWEEN)[0]


@dataclass(frozen=True, slots=True)
class View(Generic[V]):
    """One view. `look` gives what this process shows now, and `kind` is its type, by which other workers read it.

    `tally` gives the counts of this process, which only grow; those of workers that have gone stay in the sum.
    `merge` is pure: the values of the workers that have answered, and the sum of all counts, give the fields of the
    answer.
    """

    name: str
    kind: type[V]
    look: Callable[[], V]
    merge: Callable[[Sequence[V], Tally], Mapping[str, object]]
    tally: Callable[[], Tally] = _no_tally


class Part(msgspec.Struct, array_like=True, frozen=True):
    """What one worker shows, encoded."""

    worker: int
    value: msgspec.Raw


class Collected(msgspec.Struct, array_like=True, frozen=True):
    """The values of all workers, the numbers of those that were silent, and the counts of all, the gone included."""

    parts: list[Part]
    missing: list[int]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Seen:
    """A merged view: the numbers of the workers whose values are in it, and of those whose values are not."""

    workers: list[int]
    missing: list[int]
    fields: Mapping[str, object]


@dataclass(slots=True)
class Views:
    """The views of one process, the `number`th of `count` workers.

    `collect` asks all workers for a view; it returns None if nobody could be asked. Without it the process is alone.
    """

    number: int = 1
    count: int = 1
    collect: Callable[[str], Awaitable[Collected | None]] | None = None
    _views: dict[str, View[Any]] = field(default_factory=dict)
    _orders: dict[str, Callable[[str], bool]] = field(default_factory=dict)

    def offer(self, *views: View[Any]) -> None:
        """Show these from now on, in place of earlier ones of the same names."""
        self._views.update((view.name, view) for view in views)

    def obey(self, name: str, carry_out: Callable[[str], bool]) -> None:
        """Carry out an order with this name from now on, by its argument; returns whether it could be."""
        self._orders[name] = carry_out

    async def order(self, name: str, argument: str) -> tuple[list[bool], list[int]]:
        """Let all workers carry out an order: what each of them says, and the numbers of those that were silent."""
        collected = None
        if self.collect is not None:
            collected = await self.collect(name + _BETWEEN + argument)
        if collected is None:
            return [self._orders[name](argument)], []
        return [msgspec.msgpack.decode(part.value, type=bool) for part in collected.parts], collected.missing

    def look(self, name: str) -> bytes:
        """What this process shows, for another worker to merge; raises `KeyError` for a name that is not known.

        The name may be an order with its argument, which is carried out.
        """
        name, _, argument = name.partition(_BETWEEN)
        if (carry_out := self._orders.get(name)) is not None:
            return _encode(Part(self.number, msgspec.Raw(_encode(carry_out(argument)))))
        return _encode(Part(self.number, msgspec.Raw(_encode(self._views[name].look()))))

    def tallies(self) -> dict[str, Tally]:
        """The counts of all views that have some."""
        found = ((view.name, view.tally()) for view in self._views.values())
        return {name: tally for name, tally in found if tally}

    async def see(self, name: str) -> Seen:
        """The view of all workers, without those that do not answer in time."""
        view, collected = self._views[name], None
        if self.collect is not None:
            collected = await self.collect(name)
        if collected is None:
            return self._seen({self.number}, set(), view.merge([view.look()], view.tally()))
        values, workers, missing = [], set(), set(collected.missing)
        for part in collected.parts:
            try:
                values.append(msgspec.msgpack.decode(part.value, type=view.kind))
                workers.add(part.worker)
            except msgspec.MsgspecError:
                # It runs another version of the code, as happens while workers are replaced one after another.
                missing.add(part.worker)
        return self._seen(workers, missing, view.merge(values, collected.tally))

    def _seen(self, workers: set[int], missing: set[int], fields: Mapping[str, object]) -> Seen:
        absent = set(range(1, self.count + 1)) - workers
        return Seen(sorted(workers), sorted(missing | absent), fields)
