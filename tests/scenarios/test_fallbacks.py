"""When all of a model's class are overloaded another model answers; and what answers tell of how they came to be."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace

from gateway.config import ModelsConfig
from gateway.keypool import Lease, LeaseRequest
from gateway.keypool.feedback import DEFAULT_COOLING_SECONDS
from tests.scenarios.harness import (
    PATH,
    asking,
    assert_error,
    assert_whole,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    without_pauses,
)
from tests.scenarios.native_harness import without_native_pauses
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    Config,
    PoolConfig,
    RetriesConfig,
    RunningGateway,
    Secret,
    config_for,
    key,
)
from tests.support.scripted import Answer, ReceivedRequest, ScriptedUpstream, error_answer, json_answer, stream_answer

ASKED, OTHER = "claude-sonnet-5-5", "claude-haiku-5-5"
both = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


def overloaded_for(*models: str, stream: bool) -> Callable[[ReceivedRequest], Answer]:
    """An upstream that has no room for these models."""

    def answer(request: ReceivedRequest) -> Answer:
        model = request.json["model"]
        if model in models:
            return error_answer(529, "overloaded_error", "Overloaded")
        if stream:
            return stream_answer(*messages.text_stream(model=model))
        return json_answer(200, messages.message(model=model))

    return answer


def falling_back(upstream: ScriptedUpstream, *others: str, **settings: Any) -> Config:
    config = config_for(key(upstream.base_url, "a"), key(upstream.base_url, "b", "sk-ant-b"))
    models = ModelsConfig(fallbacks={ASKED: others}) if others else ModelsConfig()
    return replace(config, models=models, **settings)


async def post(running: RunningGateway, path: str = PATH, **more: Any) -> httpx2.Response:
    return await running.http().post(path, json=asking(**more))


@both
async def test_another_model_answers_where_the_first_is_overloaded(upstream: ScriptedUpstream, stream: bool) -> None:
    upstream.always(overloaded_for(ASKED, stream=stream))
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        response = await post(running, stream=stream)
        await no_lease_is_out(running)

    assert response.status_code == 200
    assert response.headers["x-gateway-model"] == OTHER
    assert f'"model":"{OTHER}"' in response.text
    assert response.headers["x-gateway-attempts"] == "4"
    assert [request.json["model"] for request in upstream.received] == [ASKED] * 3 + [OTHER]
    if stream:
        assert_whole(response.text)


async def test_models_are_asked_in_their_order(upstream: ScriptedUpstream) -> None:
    upstream.always(overloaded_for(ASKED, "claude-opus-5", stream=False))
    config = falling_back(upstream, "claude-opus-5", OTHER, retries=RetriesConfig(max_attempts=1))
    async with quick_gateway(config=config) as running:
        without_pauses(running)
        response = await post(running)

    assert response.headers["x-gateway-model"] == OTHER
    assert [request.json["model"] for request in upstream.received] == [ASKED, "claude-opus-5", OTHER]


async def test_a_request_is_written_for_the_model_that_answers(upstream: ScriptedUpstream) -> None:
    """Models differ in what they take: this one has no thinking that is asked for by effort alone."""
    upstream.always(overloaded_for(ASKED, stream=False))
    async with quick_gateway(config=falling_back(upstream, "claude-haiku-4-5")) as running:
        without_pauses(running)
        await post(running, reasoning_effort="high")
    first, *_, last = (request.json for request in upstream.received)

    assert first["thinking"] == {"type": "adaptive"} or first.get("output_config") == {"effort": "high"}
    assert last["thinking"]["type"] == "enabled"


async def test_nothing_else_than_overload_makes_another_model_answer(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(500, "api_error", "No."))
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        response = await post(running)

    assert_error(response, 500, "server_error", "upstream_error")
    assert {request.json["model"] for request in upstream.received} == {ASKED}


async def test_when_all_models_are_overloaded_the_caller_is_told(upstream: ScriptedUpstream) -> None:
    upstream.always(overloaded_for(ASKED, OTHER, stream=False))
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        response = await post(running)

    assert_error(response, 503, "service_unavailable_error", "server_is_overloaded")


REFUSALS = [
    error_answer(400, "invalid_request_error", "max_tokens: 2000 > 1000, which is the maximum for this model"),
    error_answer(404, "not_found_error", "model: unknown"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["400", "404"])
@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
async def test_what_a_stand_in_refuses_is_no_fault_of_the_caller(
    upstream: ScriptedUpstream, refusal: Answer, path: str
) -> None:
    upstream.always(
        lambda request: (
            error_answer(529, "overloaded_error", "Overloaded") if request.json["model"] == ASKED else refusal
        )
    )
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        without_native_pauses(running)
        response = await post(running, path)
        await no_lease_is_out(running)

    assert response.status_code in (503, 529)
    assert "verloaded" in response.text


async def test_where_a_stand_in_refuses_the_next_one_is_asked(upstream: ScriptedUpstream) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        model = request.json["model"]
        return REFUSALS[0] if model == "claude-opus-5" else overloaded_for(ASKED, stream=False)(request)

    upstream.always(answer)
    async with quick_gateway(config=falling_back(upstream, "claude-opus-5", OTHER)) as running:
        without_pauses(running)
        response = await post(running)

    assert (response.status_code, response.headers["x-gateway-model"]) == (200, OTHER)


async def test_no_other_model_is_asked_after_the_deadline(upstream: ScriptedUpstream) -> None:
    retries = RetriesConfig(deadline_seconds=0.1)
    async with quick_gateway(config=falling_back(upstream, OTHER, retries=retries)) as running:
        clock = without_pauses(running)

        def late(request: ReceivedRequest) -> Answer:
            clock.now += 1
            return overloaded_for(ASKED, stream=False)(request)

        upstream.always(late)
        response = await post(running)

    assert response.status_code == 503
    assert {request.json["model"] for request in upstream.received} == {ASKED}


async def test_what_another_model_has_cached_is_not_taken_for_the_first_ones_cache(upstream: ScriptedUpstream) -> None:
    upstream.always(overloaded_for(ASKED, stream=False))
    lease_requests: list[LeaseRequest] = []
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        pool = pool_of(running)
        acquire = pool.acquire

        def noted(now: float, request: LeaseRequest, **more: Any) -> Lease | None:
            lease_requests.append(request)
            return acquire(now, request, **more)

        pool.acquire = noted  # type: ignore[method-assign]
        await post(running)

    prefixes = {request.model: request.prefix for request in lease_requests}
    assert prefixes.keys() == {ASKED, OTHER}
    assert None not in prefixes.values()
    assert prefixes[ASKED] != prefixes[OTHER]


async def test_an_answer_that_has_begun_is_not_begun_anew_with_another_model(upstream: ScriptedUpstream) -> None:
    events = messages.text_stream(model=ASKED)
    upstream.always(stream_answer(*events[:4], messages.error_event("overloaded_error", "Overloaded")))
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_pauses(running)
        response = await post(running, stream=True)

    assert response.status_code == 200
    assert "server_is_overloaded" in response.text
    assert len(upstream.received) == 1


async def test_native_requests_fall_back_as_well(upstream: ScriptedUpstream) -> None:
    upstream.always(overloaded_for(ASKED, stream=False))
    async with quick_gateway(config=falling_back(upstream, OTHER)) as running:
        without_native_pauses(running)
        response = await post(running, "/v1/messages")

    assert response.status_code == 200
    assert response.headers["x-gateway-model"] == OTHER
    assert response.json()["model"] == OTHER


async def test_the_name_of_the_key_is_for_those_who_may_see_it(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message()))
    clients = (
        ClientConfig(name="seeing", api_key=Secret("see"), sees_key=True),
        ClientConfig(name="other", api_key=Secret("other")),
    )
    async with quick_gateway(config=replace(falling_back(upstream), clients=clients)) as running:
        seen, unseen, native = [
            await running.http().post(path, json=asking(), headers={"authorization": f"Bearer {secret}"})
            for path, secret in ((PATH, "see"), (PATH, "other"), ("/v1/messages", "see"))
        ]

    assert seen.headers["x-gateway-key"] in ("a", "b")
    assert native.headers["x-gateway-key"] in ("a", "b")
    assert "x-gateway-key" not in unseen.headers
    assert {answer.headers["x-gateway-attempts"] for answer in (seen, unseen, native)} == {"1"}
    assert "x-gateway-model" not in seen.headers


async def test_retries_add_no_more_than_their_budget(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(409, "conflict_error", "Later."))
    config = falling_back(upstream, retries=RetriesConfig(budget_percent=10), pool=PoolConfig(strategy="weighted"))
    async with quick_gateway(config=config) as running:
        without_pauses(running)
        http = running.http()
        for _ in range(100):
            assert_error(await http.post(PATH, json=asking()), 409, "invalid_request_error", "conflict")

    # A tenth of the requests, and the reserve: ten at once, and what comes while the pauses of the first ones pass.
    assert 110 <= len(upstream.received) <= 100 + 10 + 10 + 2


async def test_a_rate_limit_that_nobody_can_make_up_for_takes_nothing_from_the_budget(
    upstream: ScriptedUpstream,
) -> None:
    limited = error_answer(429, "rate_limit_error", "Slow down.")
    upstream.script(*[limited] * 30, error_answer(529, "overloaded_error", "No."), json_answer(200, messages.message()))
    own_key = {"authorization": "Bearer sk-ant-api03-of-a-caller"}
    async with quick_gateway(config=config_for(), callers_base_url=upstream.base_url) as running:
        clock = without_pauses(running)
        statuses: list[int] = []
        for _ in range(31):
            statuses.append((await running.http().post(PATH, json=asking(), headers=own_key)).status_code)
            clock.now += DEFAULT_COOLING_SECONDS

    assert statuses == [429] * 30 + [200]
