"""Who asks for what: conversations that grow turn by turn, agents in a loop, single questions."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Final

from benchmarks.pool.buckets import Limits
from benchmarks.pool.caches import TTL_SECONDS, Part
from benchmarks.pool.world import Call, family_of
from translators.models import model_table

_MODELS: Final = model_table()
_CALLERS: Final = 20
# One caller makes as many requests as many others together: what fairness is for.
LOUDEST: Final = "caller-0"
_LOUDEST_SHARE: Final = 0.4
_LONGEST_CONVERSATION: Final = 60
# Steps of this part of a circle spread evenly: with lengths left to chance, the load of some minutes is far from what
# was asked for.
_GOLDEN: Final = 0.6180339887498949
_SPREAD: Final = 0.8
# How far bytes / 4 is from the tokens that upstream counts: much the same for all turns of a conversation.
_ESTIMATE_SPREAD: Final = 0.15
_TURN_SPREAD: Final = 0.01
_SAMPLE: Final = 3_000
# One turn of so many calls many tools at once, so that upstream does not see from its end to the end of the last one.
_TURNS_A_BURST: Final = 10
_CALLS_IN_A_BURST: Final = 12


@dataclass(frozen=True, slots=True)
class Application:
    """A kind of traffic; all sizes are means. What `prefix_tokens` are shared by is one of several applications.

    With none of them each prompt is like no other. `tools` is how many there are; without any, nothing is called.
    """

    model: str
    prefix_tokens: int
    first_tokens: int
    turn_tokens: int
    answer_tokens: int
    turns: float
    think_seconds: float
    applications: int = 20
    is_one_prompt: bool = False
    tools: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """One request of a conversation.

    `prefix` is what a balancer may know it by, `estimated_tokens` how long it looks. `ideal_tokens` is what it costs of
    the input limit where every cache is where it should be, `think_seconds` what passes after it.
    """

    conversation: int
    number: int
    caller: str
    prefix: bytes
    estimated_tokens: int
    ideal_tokens: int
    call: Call
    think_seconds: float
    tools: int = 0


_CHAT: Final = Application("claude-sonnet-5-5", 2_000, 300, 150, 400, turns=8, think_seconds=30)
_AGENT: Final = Application("claude-sonnet-5-5", 12_000, 600, 1_500, 250, turns=20, think_seconds=1.5, tools=20)
_SINGLE: Final = Application("claude-sonnet-5-5", 1_500, 1_200, 0, 300, turns=1, think_seconds=0)
_UNSHARED: Final = Application("claude-sonnet-5-5", 1_500, 1_200, 0, 300, turns=1, think_seconds=0, applications=0)
_CHEAP: Final = Application("claude-haiku-5-5", 1_500, 1_200, 0, 300, turns=1, think_seconds=0)
# Everyone asks about the same long document: one cache, more requests than one organization may serve.
_HOT: Final = Application(
    "claude-sonnet-5-5", 20_000, 200, 0, 300, turns=1, think_seconds=0, applications=1, is_one_prompt=True
)
# By name: applications and their share of the conversations.
WORKLOADS: Final[dict[str, Mapping[Application, float]]] = {
    "chat": {_CHAT: 1.0},
    "agents": {_AGENT: 1.0},
    "single": {_SINGLE: 1.0},
    "unshared": {_UNSHARED: 1.0},
    "mixed": {_CHAT: 0.3, _AGENT: 0.1, _SINGLE: 0.4, _CHEAP: 0.2},
    "hot": {_HOT: 1.0},
}


class Workload:
    """Endless conversations, the same for the same seed."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed

    def conversations(self, purpose: str = "run") -> Iterator[list[Turn]]:
        """Conversation after conversation, turn by turn."""
        random = Random(f"{self._seed} {purpose}")
        applications, shares = zip(*WORKLOADS[self._name].items(), strict=True)
        number = 0
        while True:
            kind: int = random.choices(range(len(applications)), shares)[0]
            yield _conversation(random, number, kind, applications[kind])
            number += 1

    def needs(self) -> tuple[dict[str, Limits], float]:
        """What a request takes of each family's limits on average, with ideal caches; and turns a conversation."""
        conversations = self.conversations("sample")
        turns = [turn for _ in range(_SAMPLE) for turn in next(conversations)]
        needs = {}
        for family in {family_of(turn.call.model) for turn in turns}:
            of_family = [turn for turn in turns if family_of(turn.call.model) == family]
            input_tokens = sum(turn.ideal_tokens for turn in of_family)
            output_tokens = sum(turn.call.output_tokens for turn in of_family)
            needs[family] = Limits(len(of_family), input_tokens, output_tokens).times(1 / len(turns))
        return needs, len(turns) / _SAMPLE


def most_per_minute(limits: Limits, needs: Mapping[str, Limits]) -> float:
    """How many requests a minute limits allow, where no cache is missed and no limit is left unused."""
    return min(
        min(
            limits.requests / need.requests,
            limits.input_tokens / need.input_tokens,
            limits.output_tokens / need.output_tokens,
        )
        for need in needs.values()
    )


def _conversation(random: Random, number: int, kind: int, application: Application) -> list[Turn]:
    applications = application.applications or 1
    shared = random.randrange(applications)
    # The same for all conversations of one application, so not from `random`.
    prefix_tokens = int(application.prefix_tokens * (0.6 + 0.8 * (shared + 0.5) / applications))
    opening = ("application", kind, shared) if application.applications else ("conversation", number)
    # The system prompt is one block.
    parts = [Part(opening, prefix_tokens, application.tools + 1)]
    marks = (parts[0].place,) if application.turns == 1 else None
    named_by: object = ("hot", kind) if application.is_one_prompt else number
    prefix = blake2b(repr(named_by).encode(), digest_size=8).digest()
    loudest = random.random() < _LOUDEST_SHARE
    caller = LOUDEST if loudest else f"caller-{random.randrange(1, _CALLERS)}"
    cache_minimum = _MODELS.row(application.model).cache_minimum
    bytes_ratio = math.exp(random.gauss(0.0, _ESTIMATE_SPREAD))
    turns: list[Turn] = []
    tokens, cached_before, paused = prefix_tokens, prefix_tokens, 0.0
    for turn_number in range(_turns(number * _GOLDEN % 1, application.turns)):
        tokens += _size(random, application.turn_tokens if turn_number else application.first_tokens)
        parts.append(Part((number, turn_number), tokens, parts[-1].place + _blocks(number, turn_number, application)))
        answer_tokens = _size(random, application.answer_tokens)
        call = Call(
            application.model,
            tuple(parts),
            tokens,
            answer_tokens,
            random.uniform(0.5, 2.0),
            random.uniform(50.0, 100.0),
            cache_minimum,
            marks,
        )
        estimated = int(tokens * bytes_ratio * math.exp(random.gauss(0.0, _TURN_SPREAD)))
        think_seconds = random.expovariate(1 / application.think_seconds) if application.think_seconds else 0.0
        ideal = tokens - (cached_before if paused < TTL_SECONDS else prefix_tokens)
        turns.append(
            Turn(number, turn_number, caller, prefix, estimated, ideal, call, think_seconds, application.tools)
        )
        cached_before, paused = tokens, think_seconds
        tokens += answer_tokens
    return turns


def _blocks(number: int, turn_number: int, application: Application) -> int:
    """How many blocks a turn adds: a question; before it an answer; or an answer with calls, and their results."""
    if not turn_number:
        return 1
    if not application.tools:
        return 2
    # As all else of the traffic is the same with calls and without, chance has no part in it.
    is_burst = (number + turn_number) % _TURNS_A_BURST == 0
    return 1 + 2 * (_CALLS_IN_A_BURST if is_burst else 1)


def _turns(place: float, mean: float) -> int:
    """Geometric, each turn may be the last: the number at a place in 0..1 of all conversations by length."""
    if mean <= 1:
        return 1
    return min(_LONGEST_CONVERSATION, 1 + int(math.log(1.0 - place) / math.log(1 - 1 / mean)))


def _size(random: Random, mean: float) -> int:
    """Lognormal: mostly small, now and then large."""
    return max(1, round(mean * math.exp(random.gauss(-(_SPREAD**2) / 2, _SPREAD))))
