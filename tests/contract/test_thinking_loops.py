"""Conversations of ten rounds of tools with thinking on, held by clients that know nothing of it.

The simulated upstream refuses thinking that is not exactly what it gave out, after exactly what it was thought after.
So these tests pass only if the gateway puts every block back where it was, or leaves out all that might not fit.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from gateway.demo import ReceivedRequest, account_of
from tests.scenarios.harness import pool_of, until
from tests.scenarios.processes import Fleet
from tests.support.client_shapes import SHAPES
from tests.support.commands import PATIENCE_SECONDS, started
from tests.support.gateway import RunningGateway, running_gateway
from tests.support.loops import (
    FORMS,
    ROUNDS,
    Form,
    Loop,
    config_of,
    forget,
    gateway_in_virtual_time,
    hand_built,
    keeping,
    names_of,
)
from tests.support.preserved import (
    Exchange,
    assert_kept,
    assert_repeated,
    assert_visible_kept,
    exchanges,
    refusals,
    thoughts_of,
)
from tests.support.upstream_rules import StrictUpstream, run_strict_upstream
from tests.support.virtual_time import in_virtual_time

ACME_EU = "sk-ant-demo-acme-eu-1"
ACME_US = "sk-ant-demo-acme-us-1"
UMBRELLA = "sk-ant-demo-umbrella-eu-1"

# The last one only thinks when told to, by a budget, and then wants its thinking back.
MODELS: list[tuple[str, dict[str, Any]]] = [
    ("claude-sonnet-5-5", {}),
    ("claude-opus-5-5", {"reasoning_effort": "high"}),
    ("claude-sonnet-4-5", {"reasoning_effort": "low"}),
]
models = pytest.mark.parametrize(("model", "options"), MODELS, ids=[model for model, _ in MODELS])
# One model both streamed and whole, the others in one way.
models_either_way = pytest.mark.parametrize(
    ("model", "options", "stream"), [(*MODELS[0], False), *((*model, True) for model in MODELS)]
)
forms = pytest.mark.parametrize("form", FORMS, ids=names_of(FORMS))


@pytest.fixture
async def simulated() -> AsyncIterator[StrictUpstream]:
    async with run_strict_upstream() as upstream:
        yield upstream


@dataclass(frozen=True, slots=True)
class House:
    """A folder in which gateways keep what they know, one after the other, and the upstream that they all use."""

    folder: Path
    upstream: StrictUpstream

    def gateway(self, *api_keys: str) -> AbstractAsyncContextManager[RunningGateway]:
        """A gateway over these keys that keeps thinking in the folder."""
        return running_gateway(config=config_of(keeping(self.folder, self.upstream.base_url, *api_keys)))

    @property
    def asked(self) -> list[ReceivedRequest]:
        """The requests for answers, the oldest first."""
        return [received for received in self.upstream.received if received.path == "/v1/messages"]

    @property
    def conversation(self) -> list[Exchange]:
        """The requests that were answered, with their answers."""
        return exchanges(self.upstream.received)


@pytest.fixture
def house(tmp_path: Path, simulated: StrictUpstream) -> House:
    return House(tmp_path, simulated)


@asynccontextmanager
async def two_accounts(folder: Path) -> AsyncIterator[tuple[House, RunningGateway]]:
    """A gateway over the keys of two accounts; the pauses for which it waits take no time."""
    async with (
        run_strict_upstream() as upstream,
        gateway_in_virtual_time(folder, upstream.base_url, ACME_EU, UMBRELLA) as running,
    ):
        yield House(folder, upstream), running


def assert_all_came_back(house: House) -> None:
    """Every answer was thought about, every thought came back where it was, and upstream found no fault."""
    said = house.conversation
    assert [received.status for received in house.asked] == [200] * len(said)
    assert len([exchange for exchange in said if exchange.calls]) == ROUNDS
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    assert_kept(said)


def assert_nothing_broke(house: House) -> None:
    """Whatever got lost, upstream found no fault, and all that the client can see came back."""
    assert refusals(house.upstream.received) == []
    assert len([exchange for exchange in house.conversation if exchange.calls]) == ROUNDS
    assert_visible_kept(house.conversation)


# One gateway.


@models_either_way
@forms
async def test_thinking_comes_back_in_the_usual_loop_of_the_sdk(
    house: House, model: str, options: dict[str, Any], form: Form, stream: bool
) -> None:
    loop = Loop(model, form, stream, options)
    async with house.gateway() as gateway:
        await loop.go_on(gateway.openai())

    assert loop.is_over
    assert_all_came_back(house)


@models
async def test_a_loop_may_change_between_streamed_and_whole_answers(
    house: House, model: str, options: dict[str, Any]
) -> None:
    loop = Loop(model, hand_built, options=options)
    async with house.gateway() as gateway:
        client = gateway.openai()
        while not loop.is_over:
            loop.stream = not loop.stream
            await loop.step(client)

    assert_all_came_back(house)


async def test_loops_side_by_side_do_not_mix(house: House) -> None:
    loops = [Loop("claude-sonnet-5-5", hand_built, stream) for stream in (False, True, False, True)]
    async with house.gateway() as gateway:
        client = gateway.openai()
        await asyncio.gather(*(loop.go_on(client) for loop in loops))
    by_length: dict[int, list[Exchange]] = {}
    for exchange in house.conversation:
        by_length.setdefault(len(exchange.body["messages"]), []).append(exchange)

    assert all(loop.is_over for loop in loops)
    assert refusals(house.upstream.received) == []
    # What begins all loops is the same to the letter: which of them a request belongs to shows by the calls' ids.
    for (_, earlier), (_, later) in pairwise(sorted(by_length.items())):
        for exchange in later:
            assert any(_continues(before, exchange) for before in earlier)


def _continues(earlier: Exchange, later: Exchange) -> bool:
    try:
        assert_kept([earlier, later])
    except AssertionError:
        return False
    return True


# More than one gateway.


@models_either_way
async def test_a_restart_in_the_middle_loses_nothing(
    house: House, model: str, options: dict[str, Any], stream: bool
) -> None:
    loop = Loop(model, hand_built, stream, options)
    while not loop.is_over:
        async with house.gateway() as gateway:
            await loop.go_on(gateway.openai(), rounds=3)

    assert_all_came_back(house)


@models_either_way
async def test_a_store_that_is_emptied_in_the_middle_only_loses_thinking(
    house: House, model: str, options: dict[str, Any], stream: bool
) -> None:
    loop = Loop(model, hand_built, stream, options)
    async with house.gateway() as gateway:
        await loop.go_on(gateway.openai(), rounds=5)
    before = house.conversation
    forget(house.folder)
    async with house.gateway() as gateway:
        await loop.go_on(gateway.openai())
    after = house.conversation[len(before) :]
    lost = [thought for exchange in before for thought in exchange.thoughts]

    assert_kept(before)
    assert lost
    assert_nothing_broke(house)
    assert not [
        thought for received in house.asked[len(before) :] for thought in thoughts_of(received) if thought in lost
    ]
    # What was written without the lost blocks is written so again.
    for earlier, later in pairwise(after):
        assert_repeated(earlier.body, later.body)


async def test_two_workers_keep_one_memory(house: House) -> None:
    file = keeping(house.folder, house.upstream.base_url, log_level="info")
    async with started("serve", "--config", str(file), "--workers", "2") as running:
        fleet = Fleet(running)
        for model, options in MODELS:
            house.upstream.received.clear()
            loop = Loop(model, hand_built, options=options)
            while not loop.is_over:
                # Each request comes on a connection of its own, which the parent gives to one of its workers.
                async with _client(running.url) as client:
                    await loop.step(client)
            assert_all_came_back(house)
        running.process.terminate()
        assert await fleet.end() == 0

    assert set(fleet.served()) == {"1", "2"}


def _client(url: str) -> AsyncOpenAI:
    # Nothing here is encrypted, and reading the system's certificates takes longer than a conversation.
    http = httpx2.AsyncClient(verify=False, timeout=PATIENCE_SECONDS)
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0, http_client=http)


# More than one key.


async def test_keys_of_one_account_read_each_others_thinking(house: House) -> None:
    loop = Loop("claude-sonnet-5-5", hand_built)
    async with house.gateway(ACME_EU, ACME_US) as gateway:
        # Upstream has said of both keys whose they are.
        await until(lambda: len({state.organization.name for state in pool_of(gateway).states}) == 1)
        client = gateway.openai()
        await loop.go_on(client, rounds=5)
        first = _account_of_the_last(house)
        house.upstream.failing[first.workspace_id] = 401
        await loop.go_on(client)
    said = house.conversation

    assert refusals(house.upstream.received) == []
    assert {received.account for received in house.asked if received.status == 200} == {
        account_of(ACME_EU),
        account_of(ACME_US),
    }
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    assert_kept(said)


@models
@pytest.mark.parametrize(("status", "stream"), [(429, False), (529, True)], ids=["429-whole", "529-streamed"])
@in_virtual_time
async def test_another_account_goes_on_without_the_thinking_of_the_first(
    tmp_path: Path, model: str, options: dict[str, Any], stream: bool, status: int
) -> None:
    loop = Loop(model, hand_built, stream, options)
    async with two_accounts(tmp_path) as (house, gateway):
        client = gateway.openai()
        await loop.go_on(client, rounds=5)
        signer = _account_of_the_last(house)
        before = house.conversation
        house.upstream.failing[signer.organization_id] = status
        await loop.go_on(client, rounds=3)
        between = house.conversation[len(before) :]
        served = [received for received in house.asked if received.status == 200]
        house.upstream.failing.clear()
        await loop.go_on(client)

    assert [received.account for received in served] == [signer] * len(before) + [_other(signer)] * len(between)
    assert_kept(before)
    assert len(between) >= 3
    foreign = [thought for exchange in before for thought in exchange.thoughts]
    assert not [
        thought for received in served[len(before) :] for thought in thoughts_of(received) if thought in foreign
    ]
    for earlier, later in pairwise(between):
        assert_repeated(earlier.body, later.body)
    assert_nothing_broke(house)


SORTED_SHAPES = sorted(SHAPES)
shapes = pytest.mark.parametrize("shape", SORTED_SHAPES)


@pytest.mark.parametrize(
    ("model", "options", "shape"),
    [*((*MODELS[0], shape) for shape in SORTED_SHAPES), *((*model, SORTED_SHAPES[0]) for model in MODELS[1:])],
)
async def test_thinking_comes_back_through_clients_that_write_turns_otherwise(
    house: House, model: str, options: dict[str, Any], shape: str
) -> None:
    loop = Loop(model, hand_built, options=options, rewrite=SHAPES[shape])
    async with house.gateway() as gateway:
        await loop.go_on(gateway.openai(), rounds=6)

    said = house.conversation
    assert refusals(house.upstream.received) == []
    assert len([exchange for exchange in said if exchange.calls]) == 6
    assert all(exchange.thoughts for exchange in said if exchange.calls)
    if shape == "growing":
        # A turn in words is not kept, so its words are the client's: up to the first one they have to be the same.
        said = said[: next(place for place, exchange in enumerate(said) if not exchange.calls) + 1]
    assert_kept(said)


@shapes
@in_virtual_time
async def test_a_429_in_the_middle_breaks_no_client_of_any_shape(tmp_path: Path, shape: str) -> None:
    loop = Loop("claude-sonnet-5-5", hand_built, rewrite=SHAPES[shape])
    async with two_accounts(tmp_path) as (house, gateway):
        client = gateway.openai()
        await loop.go_on(client, rounds=3)
        before = house.conversation
        house.upstream.failing[_account_of_the_last(house).organization_id] = 429
        await loop.go_on(client, rounds=3)
    between = house.conversation[len(before) :]

    assert_kept(before)
    assert len(between) >= 3
    if shape != "ever-new-ids":
        # Turns that stay without their thinking are sent with ids of the client's; where these change, upstream may
        # refuse the thought behind them, and the request goes once more without.
        assert refusals(house.upstream.received) == []
        for earlier, later in pairwise(between):
            assert_repeated(earlier.body, later.body)


def _account_of_the_last(house: House) -> Any:
    return house.asked[-1].account


def _other(account: Any) -> Any:
    return next(each for each in (account_of(ACME_EU), account_of(UMBRELLA)) if each != account)
