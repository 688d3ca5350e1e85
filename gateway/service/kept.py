"""Kept turns of conversations: signed thinking that clients do not send back, and its refusals by upstream."""

from asyncio import gather
from collections import OrderedDict
from collections.abc import Awaitable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from gateway.keypool import Account
from gateway.service.no_store import NO_STORE
from gateway.service.ports import Store
from translators.answers.recorder import Block
from translators.intent import Intent, Message
from translators.kept.echoes import signature_digest, signed_thinking
from translators.kept.history import History, has_history, history_in_steps
from translators.kept.recalling import KnownTurns, keys_in_steps, places_in_steps, recall_in_steps, run_of
from translators.kept.turns import UNKNOWN_PAST, LeftOut, Origin, Past, Recalled, kept_places, kept_turn
from translators.models import ModelRow
from translators.steps import in_one_go

T = TypeVar("T")

# Signatures that upstream has refused: clients that send them back do so with every turn.
_MOST_REFUSED: Final = 10_000
# Turns that were already compared with what their clients send.
_KNOWN_BYTES: Final = 8 * 2**20
# The number of latest places that are looked up; if nothing is found there, nothing is kept of the conversation.
_FIRST_PLACES: Final = 8
_NONE_REFUSED: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class TurnCounts:
    """Counts of turns since the start, in requests.

    `kept` counts answers; `restored` requests that got turns back; `left_out` requests that got none although some were
    kept, by the reason that callers are told. `refused` counts those that upstream did not accept.
    """

    kept: int = 0
    restored: int = 0
    left_out: dict[LeftOut, int] = field(default_factory=dict)

    def leave_out(self, why: LeftOut) -> None:
        """Count a request without its thinking."""
        self.left_out[why] = self.left_out.get(why, 0) + 1


@dataclass(slots=True)
class Recollection:
    """What one model's request gets back of its conversation; `account` is the one that signed it."""

    past: Past = UNKNOWN_PAST
    account: Account | None = None
    keys: tuple[bytes, ...] = ()
    counts: TurnCounts = field(default_factory=TurnCounts)
    _elsewhere: Past | None = None

    @property
    def size(self) -> int:
        """The bytes of what is put back, in all."""
        return sum(len(block) for content in self.past.contents.values() for block in content)

    def past_for(self, *, is_home: bool) -> Past:
        """The past for a key: thinking is valid only with the account that signed it."""
        if is_home or self.account is None:
            return self.past
        if self._elsewhere is None:
            self.counts.leave_out("account")
            self._elsewhere = _without_turns(self.past, "account")
        return self._elsewhere

    def refuse(self) -> None:
        """Upstream has refused the thinking: send none from now on."""
        self.past = _without_turns(self.past, "refused")
        self.account = None


def _without_turns(past: Past, why: LeftOut) -> Past:
    """The past without thinking, including the client's own: if one block is invalid, those after it are too."""
    origin = past.origin and replace(past.origin, parent=b"", is_gap=True)
    return replace(past, contents={}, is_bare=True, left_out=why, origin=origin)


class Answer(Protocol):
    """A complete answer, as read by the translation."""

    @property
    def blocks(self) -> Sequence[Block]: ...

    @property
    def call_names(self) -> Sequence[str]:
        """The names of its calls as the client knows them."""
        ...

    @property
    def stop_reason(self) -> str | None: ...


@dataclass(slots=True)
class KeptTurns:
    """One process's access to kept turns."""

    store: Store = NO_STORE
    counts: TurnCounts = field(default_factory=TurnCounts)
    _refused: OrderedDict[bytes, None] = field(default_factory=OrderedDict)
    _known: KnownTurns = field(default_factory=lambda: KnownTurns(_KNOWN_BYTES))

    async def recollect(
        self, intent: Intent, scope: bytes, rows: Mapping[str, ModelRow], run: "StepRunner | None" = None
    ) -> dict[str, Recollection]:
        """What a request gets back of its conversation, by model; `scope` identifies its owner.

        `run` executes the steps for a large request.
        """
        if not has_history(intent):
            return {}
        steps, messages = history_in_steps(intent, scope), intent.messages
        history = in_one_go(steps) if run is None else await run(steps)
        wanted: dict[str, list[bytes]] = {}
        for model in rows if history.turns else ():
            look = keys_in_steps(history, messages, model)
            wanted[model] = in_one_go(look) if run is None else await run(look)
        found = await self.store.fetch([key for keys in wanted.values() for key in keys]) if wanted else {}
        refused = _NONE_REFUSED
        if self._refused:
            check = self._refused_of(messages)
            refused = in_one_go(check) if run is None else await run(check)
        recollections = {}
        for model, row in rows.items():
            recalled = _Found()
            if wanted:
                recalled = await self._recall(history, messages, wanted[model], found, model, row, run)
            recollections[model] = _recollection(history, model, refused, recalled, self.counts)
        return recollections

    async def _recall(
        self,
        history: History,
        messages: Sequence[Message],
        keys: Sequence[bytes],
        found: Mapping[bytes, bytes],
        model: str,
        row: ModelRow,
        run: "StepRunner | None",
    ) -> "_Found":
        """What one model gets back; `found` is what the store has for the `keys`.

        Missing turns are looked up by their places. If there is nothing at the latest places, as in a conversation
        without thinking, the others are not looked up.
        """
        look = places_in_steps(history, messages, keys, found, model, most=_FIRST_PLACES)
        places = in_one_go(look) if run is None else await run(look)
        pointers = await self.store.fetch([*places]) if places else {}
        moved: dict[bytes, tuple[bytes, bytes]] = {}
        if pointers:
            if len(places) == _FIRST_PLACES:
                look = places_in_steps(history, messages, keys, found, model)
                places = in_one_go(look) if run is None else await run(look)
                pointers = pointers | await self.store.fetch([*islice(places, _FIRST_PLACES, None)])
            moved = await self._moved(places, pointers, found)
        begin = run_of(history, messages, keys, found.keys() | moved.keys() if moved else found)
        if moved:
            keys = [moved.get(key, (key, b""))[0] for key in keys]
            found = {**found, **dict(moved.values())}
        steps = recall_in_steps(history, messages, keys, found, is_bound=row.binds_thinking, known=self._known)
        made, left_out = in_one_go(steps) if run is None else await run(steps)
        if moved and left_out in (None, "edited") and _latest(moved) not in (made.keys if made else ()):
            left_out = "unknown"
        return _Found(made, left_out, begin)

    async def _moved(
        self, places: Mapping[bytes, bytes], pointers: Mapping[bytes, bytes], found: Mapping[bytes, bytes]
    ) -> dict[bytes, tuple[bytes, bytes]]:
        """Turns at these places: by the key that was searched for, their own keys and values.

        A turn may also be found at the place of its run: it counts once, and not if it was `found` by its key.
        """
        values = await self.store.fetch([own for own in pointers.values() if own not in found])
        kept = [(key, pointers[place]) for place, key in places.items() if pointers.get(place) in values]
        latest_of = {own: key for key, own in reversed(kept)}
        return {key: (own, values[own]) for key, own in kept if latest_of[own] == key}

    async def keep(self, origin: Origin, answer: Answer, account: Account) -> None:
        """Keep an answer that its client cannot send back completely; it is kept when this returns."""
        signer = (account.organization, account.key)
        names = answer.call_names
        kept = kept_turn(origin, answer.blocks, names=names, stop_reason=answer.stop_reason, signer=signer)
        if kept is None:
            return
        puts = [self.store.put(*kept), *(self.store.put(place, kept[0]) for place in kept_places(origin, names))]
        # Start all writes at once.
        is_kept, *_ = await gather(*puts)
        self.counts.kept += is_kept

    def refuse(self, recollection: Recollection, messages: Sequence[Message]) -> None:
        """Upstream has refused the thinking of a request: do not send it again, in this request or a later one."""
        if recollection.past.is_bare:
            # Another choice of the same request got the same refusal.
            return
        self.counts.leave_out("refused")
        self.store.forget(recollection.keys)
        for message in islice(filter(None, map(signed_thinking, reversed(messages))), _MOST_REFUSED):
            for block in message[-_MOST_REFUSED:]:
                self._refused[signature_digest(block)] = None
        while len(self._refused) > _MOST_REFUSED:
            self._refused.popitem(last=False)
        recollection.refuse()

    def set_aside(self, recollection: Recollection) -> None:
        """Upstream has refused a request for a reason that may lie in its kept turns: try once without them."""
        if not recollection.past.is_bare:
            self.counts.leave_out("refused")
            recollection.refuse()

    def _refused_of(self, messages: Sequence[Message]) -> Generator[None, None, frozenset[bytes]]:
        """The refused signatures among those that a client sends."""
        if not self._refused:
            return frozenset()
        sent: set[bytes] = set()
        for message in messages:
            if blocks := signed_thinking(message):
                sent.update(map(signature_digest, blocks))
                yield
        return frozenset(sent & self._refused.keys())


def _latest(moved: Mapping[bytes, tuple[bytes, bytes]]) -> bytes:
    """The key of the turn at the latest place; places are ordered latest first."""
    return next(iter(moved.values()))[0]


class _Found(Struct, frozen=True):
    """The turns that go back, or why none do, and the place of the run that the answer belongs to."""

    made: Recalled | None = None
    left_out: LeftOut | None = None
    run: bytes = b""


class StepRunner(Protocol):
    """Runs the steps of a long computation in turns."""

    def __call__(self, steps: Generator[None, None, T], /) -> Awaitable[T]: ...


def _recollection(
    history: History,
    model: str,
    refused: frozenset[bytes],
    recalled: "_Found",
    counts: TurnCounts,
) -> Recollection:
    made = recalled.made
    left_out = "refused" if refused else recalled.left_out
    if left_out is not None:
        counts.leave_out(left_out)
    head = made.head if made else b""
    origin = Origin(history.end, model, history.ground, head, left_out is not None, recalled.run)
    past = Past(made.contents if made else {}, refused, left_out=left_out, origin=origin)
    if made is None:
        return Recollection(past, counts=counts)
    counts.restored += 1
    # Without sealed thinking the turns are valid with any account.
    account = Account(*made.signer) if made.is_sealed else None
    return Recollection(past, account, made.keys, counts)
