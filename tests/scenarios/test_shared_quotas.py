"""Two workers share a rule's amount exactly, with real processes, also while some of them are killed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from tests.scenarios.harness import PATH, asking, quick_gateway, until
from tests.scenarios.processes import Fleet, client_of, fleet
from tests.scenarios.test_rules import bound_of_one, rule
from tests.scenarios.test_rules import ruled as ruled_alone
from tests.support import messages
from tests.support.commands import PATIENCE_SECONDS
from tests.support.scripted import Answer, ScriptedUpstream, Wait, json_answer

# Each answer has as many as its request allows, so a strict rule holds what is spent.
OUTPUT_TOKENS = 100
USAGE = {"input_tokens": 10, "output_tokens": OUTPUT_TOKENS}
CLIENTS = ("requests", "output")
RULES = (
    "{id: r, scope: key, of: requests, what: requests, amount: 100, window: day}, {id: o, scope: key, of: output, "
    f"what: output_tokens, amount: {100 * OUTPUT_TOKENS}, window: day, hold: strict}}"
)


@asynccontextmanager
async def ruled(upstream: ScriptedUpstream, folder: Path, rules: str, more: str = "") -> AsyncIterator[Fleet]:
    upstream.always(json_answer(200, messages.message(usage=USAGE)))
    file = folder / "ruled.yaml"
    file.write_text(f"rules: [{rules}]\n{more}")
    async with fleet(upstream, "--config", str(file)) as found:
        yield found


async def status(client: httpx2.AsyncClient) -> int:
    """The status of a request; 0 if its worker died."""
    try:
        return (await client.post(PATH, json=asking(max_tokens=OUTPUT_TOKENS))).status_code
    except httpx2.TransportError:
        return 0


async def test_of_200_at_once_exactly_the_100_that_a_rule_allows_are_served(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    clients = ", ".join(f"{{name: {name}, api_key: key-of-{name}-1}}" for name in CLIENTS)
    async with ruled(upstream, tmp_path, RULES, f"clients: [{clients}]\n") as both:
        await both.pids()
        async with client_of(both) as one, client_of(both) as other:
            statuses = {}
            for name in CLIENTS:
                for client in (one, other):
                    client.headers["authorization"] = f"Bearer key-of-{name}-1"
                found = await asyncio.gather(*(status((one, other)[number % 2]) for number in range(200)))
                statuses[name] = (found.count(200), found.count(429))
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert statuses == dict.fromkeys(CLIENTS, (100, 100))
    assert len(upstream.received) == 200
    assert set(both.served()) == {"1", "2"}


async def test_a_strict_budget_for_100_serves_exactly_100_of_200_through_two_workers(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with quick_gateway(config=ruled_alone(upstream, rule("money", 100, hold="strict"))) as running:
        one = await bound_of_one(running, upstream)
    budget = f"{{id: r, what: money, amount: {100 * one / 10**9:.9f}, window: day, hold: strict}}"
    async with ruled(upstream, tmp_path, budget) as both:
        # All that are admitted are there at the same time: none has given back yet what it did not cost.
        go = asyncio.Event()
        upstream.always(Answer((Wait(go), *json_answer(200, messages.message(usage=USAGE)).steps)))
        await both.pids()
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(base_url=both.running.url, timeout=PATIENCE_SECONDS, limits=limits) as http:
            asked = [asyncio.create_task(http.post(PATH, json=asking())) for _ in range(200)]
            await upstream.wait_for_requests(101)
            await until(lambda: sum(task.done() for task in asked) == 100)
            go.set()
            answers = await asyncio.gather(*asked)
        both.signal(signal.SIGTERM)
        await both.end()

    assert sorted(answer.status_code for answer in answers) == [200] * 100 + [429] * 100
    assert len(upstream.received) == 101
    assert set(both.served()) == {"1", "2"}


async def test_seats_of_workers_that_are_killed_again_and_again_are_free_for_others(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    async with ruled(upstream, tmp_path, "{id: r, what: in_flight, amount: 20}") as both:
        pids = await both.pids()
        for number in range(2):
            asked = [asyncio.create_task(alone(both)) for _ in range(30)]
            # Some have been answered by then, some wait for upstream, some for a worker.
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            os.kill(pids[-1], signal.SIGKILL)
            pids = await both.pids(3 + number)
            await asyncio.gather(*asked)
        final = [await alone(both) for _ in range(40)]
        both.signal(signal.SIGTERM)
        await both.end()

    assert final == [200] * 40


async def alone(fleet: Fleet) -> int:
    """The status of a request on a connection of its own."""
    async with client_of(fleet) as client:
        return await status(client)
