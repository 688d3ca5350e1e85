"""Every door gives the same facts of each attempt: which call, how it ended, and what upstream has reported of it."""

import asyncio
from typing import Any

import pytest

from gateway.config import ModelsConfig, PriceConfig
from gateway.service.attempt import attempt_id, host_of
from gateway.service.observers import Ended
from gateway.service.record import AttemptEntry
from tests.scenarios.harness import PATH, asking, no_lease_is_out, quick_gateway, raw_client, soon, without_pauses
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.scenarios.test_forced_tools import request as forcing
from tests.support import messages
from tests.support.gateway import RunningGateway, key, with_settings
from tests.support.scripted import (
    Answer,
    Close,
    Reached,
    ScriptedUpstream,
    Silence,
    error_answer,
    json_answer,
    stream_answer,
)
from translators.message_usage import STANDARD, MessageUsage, Terms
from translators.prices import list_prices

NOW = 1_800_000_000.0
USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 2,
    "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    "output_tokens": 4,
    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 0},
    "service_tier": "standard",
    "inference_geo": "us",
    "speed": "fast",
}
SEEN = MessageUsage(
    messages.MODEL, 10, 2, 10, 20, 4, 0, (("web_search_requests", 3),), "standard", inference_geo="us", speed="fast"
)
EVENTS = messages.text_stream(usage=USAGE)
RESPONSES = "/v1/responses"
COMPLETIONS = "/v1/completions"
BODIES = {
    PATH: asking(),
    NATIVE_PATH: asking_natively(),
    RESPONSES: {"model": messages.MODEL, "input": "Hi", "max_output_tokens": 2_000},
    COMPLETIONS: {"model": messages.MODEL, "prompt": "Hi", "max_tokens": 2_000},
}


class Entries(list[AttemptEntry]):
    """What the observers of a gateway are told."""

    def __init__(self, running: RunningGateway) -> None:
        super().__init__()
        running.time.now = lambda: NOW
        running.gateway._totals.note = self.note  # type: ignore[method-assign]

    def note(self, ended: Ended) -> None:
        self.extend(ended.record.entries)


def whole(**more: Any) -> Answer:
    return json_answer(200, messages.message("Hello, world.", usage=USAGE, **more), headers=[("request-id", "req_1")])


def streamed() -> Answer:
    return stream_answer(*EVENTS, headers=[("request-id", "req_1")])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
async def test_every_door_tells_the_same_of_an_answer(upstream: ScriptedUpstream, path: str, stream: bool) -> None:
    upstream.script(streamed() if stream else whole())
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        without_pauses(running)
        response = await running.http().post(path, json={**BODIES[path], "stream": stream})
        await no_lease_is_out(running)

    assert response.status_code == 200, response.text
    (entry,) = entries
    assert entry == AttemptEntry(
        entry.id,
        key="main",
        host=upstream.base_url.removeprefix("http://"),
        model=messages.MODEL,
        began_at=NOW,
        seconds=0.0,
        first_token_seconds=0.0 if stream else None,
        status=200,
        upstream_request_id="req_1",
        stop_reason="end_turn",
        error=None,
        messages=(SEEN,),
        total=SEEN,
        is_estimated=False,
        terms=STANDARD,
        charge=list_prices().charge(SEEN, messages.MODEL),
        head_seconds=0.0,
    )
    assert entry.nano_dollars > 30_000_000
    assert entry.price == "claude-sonnet-5-5/2026-11-21+unpriced:fast+us"
    assert int.from_bytes(entry.id[:6]) == NOW * 1000


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH, RESPONSES])
async def test_each_attempt_has_an_entry(upstream: ScriptedUpstream, path: str) -> None:
    cut = stream_answer(EVENTS[0], Close())
    upstream.script(error_answer(529, "overloaded_error", "Busy"), cut, streamed())
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        without_pauses(running)
        await running.http().post(path, json={**BODIES[path], "stream": True})
        await no_lease_is_out(running)

    refused, broken, answered = entries
    assert (refused.error, refused.status, refused.messages, refused.is_estimated) == ("overloaded", 529, (), False)
    assert (broken.error, broken.status, broken.stop_reason) == ("cut_off", 200, None)
    assert (broken.total.prompt_tokens, broken.total.output_tokens, broken.is_estimated) == (42, 1, True)
    assert (answered.error, answered.total, answered.is_estimated) == (None, SEEN, False)
    assert len({entry.id for entry in entries}) == 3


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH, RESPONSES])
async def test_a_client_that_leaves_has_used_what_was_seen(upstream: ScriptedUpstream, path: str) -> None:
    reached = asyncio.Event()
    upstream.script(stream_answer(*EVENTS[:3], Reached(reached), Silence()))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        entries = Entries(running)
        client.send({**BODIES[path], "stream": True}, path=path)
        await soon(reached)
        client.leave()
        await no_lease_is_out(running)

    (entry,) = entries
    assert (entry.error, entry.stop_reason, entry.is_estimated) == ("abandoned", None, True)
    assert entry.total.prompt_tokens == 42


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH, RESPONSES])
async def test_of_a_long_answer_that_is_cut_off_the_output_is_what_was_seen(
    upstream: ScriptedUpstream, path: str
) -> None:
    deltas, words = 200, 10
    events = messages.text_stream(pieces=["word " * words] * deltas, usage=USAGE)[:-2]
    upstream.script(stream_answer(*events, Close()))
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        await running.http().post(path, json={**BODIES[path], "stream": True})
        await no_lease_is_out(running)

    (entry,) = entries
    assert (entry.error, entry.is_estimated) == ("cut_off", True)
    # A word is about a token.
    assert deltas * words // 4 < entry.total.output_tokens <= deltas * words
    assert entry.nano_dollars == list_prices().charge(entry.total, entry.model).nano_dollars


async def test_what_was_asked_again_is_a_message_of_the_same_attempt(upstream: ScriptedUpstream) -> None:
    upstream.script(whole(), whole())
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        await running.http().post(PATH, json=forcing())
        await no_lease_is_out(running)

    (entry,) = entries
    assert entry.messages == (SEEN, SEEN)
    assert entry.total.prompt_tokens == 2 * SEEN.prompt_tokens
    assert entry.total.server_tools == (("web_search_requests", 6),)


async def test_each_choice_has_attempts_of_its_own(upstream: ScriptedUpstream) -> None:
    upstream.always(whole())
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        await running.http().post(PATH, json=asking(n=3))
        await no_lease_is_out(running)

    assert [entry.total for entry in entries] == [SEEN] * 3


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_what_was_asked_for_that_changes_the_price_is_told(upstream: ScriptedUpstream, path: str) -> None:
    upstream.script(whole())
    body = {**BODIES[path], "model": "claude-opus-5-5", "speed": "fast", "inference_geo": "us"}
    # A caller's own key may use what costs more.
    async with quick_gateway(callers_base_url=upstream.base_url) as running:
        entries = Entries(running)
        headers = {"authorization": "Bearer sk-ant-api03-" + "C" * 40}
        response = await running.http().post(path, json=body, headers=headers)
        await no_lease_is_out(running)

    assert response.status_code == 200, response.text
    assert [entry.terms for entry in entries] == [Terms("fast", "us")]


async def test_a_price_of_ones_own_counts_from_the_next_request_on(upstream: ScriptedUpstream) -> None:
    upstream.always(whole())
    async with quick_gateway(key(upstream.base_url)) as running:
        entries = Entries(running)
        own = ModelsConfig(prices={"claude-*": PriceConfig(percent=50)})
        for models in (ModelsConfig(), own):
            running.gateway.reload(with_settings(running.gateway.config, models=models))
            await running.http().post(PATH, json=asking())
            await no_lease_is_out(running)

    listed, discounted = entries
    fees = 3 * 10_000_000
    assert 2 * (discounted.nano_dollars - fees) == listed.nano_dollars - fees
    assert discounted.price.startswith("own:claude-*#")


def test_ids_are_in_the_order_of_time() -> None:
    ids = [attempt_id(NOW + seconds) for seconds in range(100)]

    assert ids == sorted(ids)
    assert {len(each) for each in ids} == {16}
    assert attempt_id(NOW) != attempt_id(NOW)


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.anthropic.com", "api.anthropic.com"),
        ("https://Api.Example:8443/base", "api.example:8443"),
        ("http://user:word@host/", "host"),
    ],
)
def test_a_host_is_told_without_credentials(address: str, host: str) -> None:
    assert host_of(address) == host
