"""What a request has used is counted whatever became of its attempts, and the log and the totals agree about it."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.service.totals import ClientTotals
from tests.scenarios.harness import (
    PATH,
    asking,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    soon,
    without_pauses,
)
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.scenarios.test_fallbacks import ASKED, OTHER, falling_back
from tests.scenarios.test_forced_tools import request as forcing
from tests.support import messages
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import (
    Answer,
    Close,
    Reached,
    ReceivedRequest,
    ScriptedUpstream,
    Send,
    Silence,
    error_answer,
    json_answer,
    stream_answer,
)

USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 4}
PROMPT, WRITTEN = 12, 4
EVENTS = messages.text_stream(usage=USAGE)
START = EVENTS[0]
OVERLOADED = messages.error_event("overloaded_error", "Busy")
TEXT = json_answer(200, messages.message("I would rather talk.", usage=USAGE))


def totals_of(running: RunningGateway) -> ClientTotals:
    (totals,) = running.gateway._totals.clients()
    return totals


def logged(log: str, field: str) -> int:
    (found,) = re.findall(rf"\b{field}=(\d+)", log)
    return int(found)


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
@pytest.mark.parametrize("broken", [(OVERLOADED,), (Close(),)], ids=["error", "cut"])
async def test_an_attempt_that_failed_before_its_content_is_counted(
    upstream: ScriptedUpstream, read_log: Callable[[], str], path: str, broken: tuple[Any, ...]
) -> None:
    upstream.script(stream_answer(START, *broken), stream_answer(START, *broken), stream_answer(*EVENTS))
    body = asking(stream=True) if path == PATH else asking_natively(stream=True)
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        without_pauses(running)
        response = await running.http().post(path, json=body)
        await no_lease_is_out(running)
        totals = totals_of(running)

    assert "Hello," in response.text
    assert response.headers["x-gateway-cache"] == "read=2 write=0"
    assert (totals.requests, totals.prompt_tokens, totals.cache_read_tokens) == (1, 3 * PROMPT, 6)
    assert logged(read_log(), "prompt_tokens") == totals.prompt_tokens
    assert logged(read_log(), "completion_tokens") == totals.completion_tokens >= WRITTEN


async def test_where_all_attempts_fail_each_is_counted(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    upstream.always(stream_answer(START, OVERLOADED))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        response = await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)
        totals = totals_of(running)

    assert response.status_code == 503
    assert totals.prompt_tokens == logged(read_log(), "prompt_tokens") == 3 * PROMPT


async def test_each_model_is_counted_for_what_it_has_used(upstream: ScriptedUpstream) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        model = request.json["model"]
        start, *rest = messages.text_stream(model=model, usage=USAGE)
        return stream_answer(start, OVERLOADED) if model == ASKED else stream_answer(start, *rest)

    upstream.always(answer)
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        noted: list[Any] = []
        running.gateway._totals.note = lambda ended: noted.extend(ended.record.entries)  # type: ignore[method-assign]
        await running.http().post(PATH, json=asking(stream=True))
        await no_lease_is_out(running)

    assert [(entry.model, entry.total.prompt_tokens) for entry in noted] == [(ASKED, PROMPT)] * 3 + [(OTHER, PROMPT)]


async def test_a_client_that_leaves_while_it_is_asked_again_has_used_the_first_answer(
    upstream: ScriptedUpstream, read_log: Callable[[], str]
) -> None:
    reached = asyncio.Event()
    upstream.script(TEXT, Answer((Reached(reached), Silence())))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        client.send(forcing())
        await soon(reached)
        client.leave()
        await no_lease_is_out(running)
        totals = totals_of(running)

    assert (totals.prompt_tokens, totals.completion_tokens) == (PROMPT, WRITTEN)
    assert logged(read_log(), "completion_tokens") == WRITTEN


@pytest.mark.parametrize(
    ("second", "prompts"),
    [
        (TEXT, 2),
        (error_answer(529, "overloaded_error", "Busy"), 1),
        (json_answer(200, b"{"), 1),
        (Answer((Send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"), Close())), 1),
    ],
)
async def test_what_was_asked_again_in_vain_does_not_hide_the_first_answer(
    upstream: ScriptedUpstream, read_log: Callable[[], str], second: Answer, prompts: int
) -> None:
    upstream.script(TEXT, second)
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=forcing())
        await no_lease_is_out(running)
        totals = totals_of(running)

    usage = response.json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (prompts * PROMPT, prompts * WRITTEN)
    assert (totals.prompt_tokens, totals.completion_tokens) == (prompts * PROMPT, prompts * WRITTEN)
    assert logged(read_log(), "prompt_tokens") == totals.prompt_tokens


# What cannot be


@pytest.mark.parametrize("figure", [10**12, 10**400])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_absurd_usage_costs_no_key_its_turn(upstream: ScriptedUpstream, stream: bool, figure: int) -> None:
    limits = {
        f"anthropic-ratelimit-{kind}-{what}": "90000"
        for kind in ("input-tokens", "output-tokens")
        for what in ("limit", "remaining")
    }
    absurd = {"input_tokens": figure, "output_tokens": figure}
    upstream.always(
        stream_answer(*messages.text_stream(usage=absurd), headers=limits)
        if stream
        else json_answer(200, messages.message(usage=absurd), limits)
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)
        await running.http().post(PATH, json=asking(stream=stream))
        await no_lease_is_out(running)
        clock.now += 60
        again = await running.http().post(PATH, json=asking(stream=stream))
        await no_lease_is_out(running)
        (state,) = pool_of(running).states
        (bucket,) = [found.output for found in state.organization.limits_by_class.values() if found.output is not None]

    assert again.status_code == 200
    assert bucket.level > -1_000_000
