"""An upstream on loopback that has limits: Anthropic's buckets, caches and faults, in real time.

The world is the simulator's own (`benchmarks/pool/world.py`). Its buckets refill by the minute, so a test that takes
seconds wants them nearly empty at the beginning (`fill`), or small (`burst_seconds`).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

from benchmarks.pool.buckets import Limits
from benchmarks.pool.caches import Part, Usage
from benchmarks.pool.world import ApiKey, Call, Fault, Organization, Reply, Trouble, World
from tests.support.gateway import KeyConfig, key
from tests.support.messages import message, message_events, sse, text_block
from tests.support.scripted import (
    Answer,
    Connection,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    Silence,
    Step,
    error_answer,
    json_answer,
    scripted_upstream,
    stream_answer,
)
from translators.models import model_table

SECRET = "sk-ant-limited-"
_TEXT = "One two three four five six seven eight nine ten."


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it was decided: by which key, what became of it, and whether it found its cache.

    A later turn is one whose conversation some workspace has cached; it is at home in any that has the most of it.
    """

    moment: float
    key: ApiKey
    status: int | None
    fault: Fault | None
    usage: Usage
    is_later_turn: bool
    is_at_home: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """What upstream takes to go on."""

    seconds: float

    async def play(self, connection: Connection) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Between:
    """Steps with something before and something after them, also where the client leaves in the middle."""

    begin: Callable[[], None]
    steps: tuple[Step, ...]
    end: Callable[[], None]

    async def play(self, connection: Connection) -> None:
        self.begin()
        try:
            for step in self.steps:
                await step.play(connection)
        finally:
            self.end()


class LimitedUpstream:
    """All the hosts of one world.

    Its caches keep every beginning; with `goes_by_marks` they keep what is marked, and bill by that.

    An answer's head takes `head_seconds`, or what `slow_heads` says of its key; from there to its end it takes
    `answer_seconds` and has `answer_tokens`.
    """

    def __init__(
        self, organizations: Iterable[Organization], keys: Iterable[ApiKey], *, goes_by_marks: bool = False
    ) -> None:
        self.world = World(organizations, keys, epoch=time.time())
        self.asked: list[Asked] = []
        self._goes_by_marks = goes_by_marks
        self.hosts: dict[str, ScriptedUpstream] = {}
        self.head_seconds = 0.005
        self.slow_heads: dict[str, float] = {}
        self.answer_tokens = 20
        self.answer_seconds = 0.01
        self._began_at = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        """Seconds since the beginning, by which the world lives."""
        return asyncio.get_running_loop().time() - self._began_at

    @property
    def keys(self) -> list[KeyConfig]:
        """The world's keys as a gateway is given them."""
        return [
            key(self.hosts[owned.host].base_url, name=owned.name, api_key=SECRET + owned.name)
            for owned in self.world.keys.values()
        ]

    def misbehave(self, fault: Fault, target: str) -> Trouble:
        """From now on a key, a host or an organization has this fault."""
        trouble = Trouble(fault, target, self.now)
        self.world.troubles.append(trouble)
        return trouble

    def behave(self, trouble: Trouble) -> None:
        """That is over."""
        self.world.troubles.remove(trouble)

    def statuses(self) -> dict[int | None, int]:
        """How many calls were answered with each status; None for those that got no answer."""
        counts: dict[int | None, int] = {}
        for asked in self.asked:
            counts[asked.status] = counts.get(asked.status, 0) + 1
        return counts

    def share_at_home(self) -> float:
        """The share of the later turns that went to where their cache is."""
        later = [asked for asked in self.asked if asked.is_later_turn and asked.status == 200]
        return sum(asked.is_at_home for asked in later) / len(later)

    def answer(self, request: ReceivedRequest) -> Answer:
        """Decide and note a call, and what goes back for it."""
        owned = self.world.keys.get((request.api_key or "").removeprefix(SECRET))
        if owned is None:
            return error_answer(401, "authentication_error", "invalid x-api-key")
        call = self._call(owned.name, request.json)
        caches = self.world.caches.items()
        cached = {name: cache.cached_tokens(call.parts, self.now, call.marks) for name, cache in caches}
        most = max(cached.values())
        # Tools and system any conversation may share.
        is_later_turn = most > parts_of(request.json)[0].tokens
        reply = self.world.ask(owned.name, call, self.now)
        is_at_home = cached[owned.workspace] == most
        asked = Asked(self.now, owned, reply.status, reply.fault, reply.usage, is_later_turn, is_at_home)
        self.asked.append(asked)
        return Answer(tuple(self._steps(owned.name, call, reply, request.json)))

    def _call(self, name: str, body: Mapping[str, Any]) -> Call:
        parts, marks = (blocks_of(body), marks_of(body)) if self._goes_by_marks else (parts_of(body), None)
        head_seconds = self.slow_heads.get(name, self.head_seconds)
        per_second = self.answer_tokens / self.answer_seconds
        minimum = model_table().row(body["model"]).cache_minimum if self._goes_by_marks else 0
        tokens = parts[-1].tokens
        return Call(body["model"], parts, tokens, self.answer_tokens, head_seconds, per_second, minimum, marks)

    def _steps(self, name: str, call: Call, reply: Reply, body: Mapping[str, Any]) -> list[Step]:
        if reply.fault is Fault.RESET:
            return [Reset()]
        if reply.fault is Fault.HANG:
            return [Silence()]
        if reply.status != 200:
            return list(json_answer(reply.status or 500, reply.body, reply.headers).steps)
        answer = _stream(call, reply) if body.get("stream") else _message(call, reply)
        answering = Between(partial(self._begin, name, call), answer.steps, partial(self._end, name, call))
        return [Pause(reply.seconds), answering]

    def _begin(self, name: str, call: Call) -> None:
        self.world.begin_answer(name, call, self.now)

    def _end(self, name: str, call: Call) -> None:
        self.world.end_answer(name, call, self.now)


@asynccontextmanager
async def limited_upstream(
    keys: Iterable[ApiKey],
    limits: Limits,
    *,
    burst_seconds: float = 60.0,
    fill: float = 1.0,
    goes_by_marks: bool = False,
) -> AsyncIterator[LimitedUpstream]:
    """An upstream for these keys, each of whose organizations has these limits; a port for each host."""
    owned = list(keys)
    names = sorted({owned_key.organization for owned_key in owned})
    organizations = [Organization(name, limits, burst_seconds, fill) for name in names]
    limited = LimitedUpstream(organizations, owned, goes_by_marks=goes_by_marks)
    async with AsyncExitStack() as stack:
        for host in sorted({owned_key.host for owned_key in owned}):
            limited.hosts[host] = await stack.enter_async_context(scripted_upstream())
            limited.hosts[host].always(limited.answer)
        yield limited


def keys_of(*organizations: int) -> list[ApiKey]:
    """So many keys for each organization, which has one workspace and one host; `a1` is the first key of the first."""
    return [
        ApiKey(f"{letter}{number}", f"organization-{letter}", f"workspace-{letter}", f"host-{letter}")
        for letter, count in zip("abcdefghijkl", organizations, strict=False)
        for number in range(1, count + 1)
    ]


def parts_of(body: Mapping[str, Any]) -> tuple[Part, ...]:
    """A prompt's beginnings: tools and system, then one more message at a time; cache marks do not matter.

    Where all is kept, it is the choice of the workspace that is looked at.
    """
    return _beginnings(body, ([body.get("tools"), body.get("system")], *map(_in_blocks, body["messages"])))


def blocks_of(body: Mapping[str, Any]) -> tuple[Part, ...]:
    """A prompt's beginnings, block by block."""
    return _beginnings(body, _blocks(body))


def marks_of(body: Mapping[str, Any]) -> tuple[int, ...]:
    """How many blocks there are up to each mark."""
    return tuple(place for place, block in enumerate(_blocks(body), 1) if "cache_control" in block)


def _blocks(body: Mapping[str, Any]) -> list[Any]:
    messages = [block for message in body["messages"] for block in _in_blocks(message)["content"]]
    return [*body.get("tools", ()), *body.get("system", ()), *messages]


def _in_blocks(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose content is blocks: a string equals one."""
    content = message["content"]
    return {**message, "content": [{"type": "text", "text": content}] if isinstance(content, str) else content}


def _beginnings(body: Mapping[str, Any], pieces: Iterable[Any]) -> tuple[Part, ...]:
    digest = blake2b(body["model"].encode(), digest_size=8)
    parts, size = [], 0
    for place, piece in enumerate(pieces, 1):
        data = json.dumps(_unmarked(piece)).encode()
        digest.update(data)
        size += len(data)
        parts.append(Part(digest.copy().digest(), size // 4, place))
    return tuple(parts)


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmarked(item) for name, item in value.items() if name != "cache_control"}
    return [_unmarked(item) for item in value] if isinstance(value, list) else value


def _stream(call: Call, reply: Reply) -> Answer:
    events = message_events(text_block(_TEXT), model=call.model, usage=_usage(reply.usage))
    *first, last = (sse(event) for event in events)
    pause = Pause(call.stream_seconds / len(first))
    return stream_answer(*(piece for data in first for piece in (data, pause)), last, headers=reply.headers)


def _message(call: Call, reply: Reply) -> Answer:
    body = message([{"type": "text", "text": _TEXT}], model=call.model, usage=_usage(reply.usage))
    answer = json_answer(200, body, reply.headers)
    return replace(answer, steps=(Pause(call.stream_seconds), *answer.steps))


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
