"""One attempt, whatever happens while its answer is closed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.keypool import Key, KeyPool, RetryBudget
from gateway.secret import Secret
from gateway.service.dispatch import Dispatcher
from gateway.service.exchange import Exchange
from gateway.service.ports import Call, Endpoint
from gateway.service.retry import RetryPolicy
from gateway.service.services import Candidate, Services
from gateway.upstream.hosts import endpoint
from tests.scenarios.harness import soon
from translators.errors import ErrorKind, FailedError, Failure
from translators.native.request import NativeRequest

BROKEN = FailedError(Failure(ErrorKind.CUT_OFF, "The answer has broken off."))


class Answer:
    status = 200
    headers: dict[str, str] = {}
    is_complete = True


class Upstream:
    """Its answers are closed when the test says so."""

    def __init__(self) -> None:
        self.closing, self.may_close = asyncio.Event(), asyncio.Event()
        self.fails_at_the_end = False

    @contextlib.asynccontextmanager
    async def open(self, endpoint: Endpoint, call: Call) -> AsyncIterator[Any]:
        try:
            yield Answer()
        finally:
            self.closing.set()
            await self.may_close.wait()
        if self.fails_at_the_end:
            raise BROKEN


def exchange_with(upstream: Upstream, *, max_attempts: int = 1) -> tuple[Exchange[NativeRequest], KeyPool]:
    pool = KeyPool([Key("main")])
    services = Services(
        dispatcher=Dispatcher(pool),
        endpoints={"main": endpoint("main", Secret("sk-ant-test"), "http://127.0.0.1:9")},
        upstream=upstream,
        policy=RetryPolicy(max_attempts),
        budget=RetryBudget(20),
    )
    request = NativeRequest(b"{}")
    return Exchange(services, [Candidate("claude-sonnet-5-5", lambda host, is_home: request)]), pool


async def asked(exchange: Exchange[NativeRequest], error: Exception | None = None) -> str:
    async for attempt in exchange:
        async with attempt:
            await attempt.open()
            if error is not None:
                raise error
            return "answered"
    raise AssertionError


@pytest.mark.parametrize("error", [None, BROKEN, ZeroDivisionError()], ids=["whole", "broken", "a mistake of ours"])
async def test_whoever_is_cancelled_while_the_answer_is_closed_gives_the_lease_back(error: Exception | None) -> None:
    upstream = Upstream()
    exchange, pool = exchange_with(upstream)
    asking = asyncio.create_task(asked(exchange, error))
    await soon(upstream.closing)
    assert pool.in_flight == 1

    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert pool.in_flight == 0
    assert not exchange.progress.is_answered


async def test_an_answer_that_fails_while_it_is_closed_is_a_failed_attempt() -> None:
    upstream = Upstream()
    upstream.fails_at_the_end = True
    upstream.may_close.set()
    exchange, pool = exchange_with(upstream)

    with pytest.raises(FailedError):
        await asked(exchange)

    assert pool.in_flight == 0
    assert exchange.progress.failures == ["main: cut_off The answer has broken off."]
