"""A request that upstream refuses costs nobody else a key, a model or the room in a limit."""

import json
from typing import Any

import pytest

from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    asking,
    assert_error,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    services_of,
    until,
    without_pauses,
)
from tests.scenarios.native_harness import COUNT_PATH, asking_natively, without_native_pauses
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.support import messages
from tests.support.gateway import KeyConfig, key
from tests.support.scripted import Answer, ReceivedRequest, ScriptedUpstream, error_answer, json_answer
from translators.models import ModelInfo

SECRETS = [f"sk-ant-api03-{number}" + "C" * 40 for number in range(5)]
NO_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
USED_UP = "You have reached your specified workspace API usage limits. You will regain access on 2099-01-01"
CLOUDFLARE = json_answer(413, b"<html>413 Request Entity Too Large</html>", {"content-type": "text/html"})


def served(**headers: str) -> Answer:
    return json_answer(200, messages.message(), headers)


def refused(status: int, message: str, code: str | None = None) -> Answer:
    types = {400: "invalid_request_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error"}
    details = {"error_code": code} if code else None
    return error_answer(status, types[status], message, details=details)


def accounts(upstream: ScriptedUpstream) -> list[KeyConfig]:
    """Five keys, each of an organization of its own."""
    return [key(upstream.base_url, f"k{place}", secret) for place, secret in enumerate(SECRETS)]


def refusing_some(answer: Answer, word: str = "BAD") -> Any:
    return lambda request: answer if word.encode() in request.body else served()


@pytest.mark.parametrize(
    "message",
    [
        f"messages.0.content.0: Input tag '{USED_UP}' found using 'type' does not match any of the expected tags",
        f"{USED_UP}: Extra inputs are not permitted",
        f"{NO_CREDIT}: Extra inputs are not permitted",
        "metadata.x.This organization has been disabled.: Extra inputs are not permitted",
    ],
)
async def test_words_that_upstream_quotes_take_no_key_out(upstream: ScriptedUpstream, message: str) -> None:
    upstream.always(refusing_some(refused(400, message)))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        bad = await running.http().post(PATH, json=asking("BAD"))
        good = await running.http().post(PATH, json=asking())

    assert_error(bad, 400, "invalid_request_error", None)
    assert good.status_code == 200


@pytest.mark.parametrize(
    ("answer", "code", "asked"),
    [
        (refused(403, "This key may not use the beta `x-2026`."), None, 2),
        (refused(403, "No.", "user_profile_billing_not_authorized"), "user_profile_billing_not_authorized", 1),
        (refused(404, "File not found: file_011"), None, 2),
        (refused(404, "model: claude-other-1"), "model_not_found", 2),
        (refused(402, "No.", "linked_organization_spend_limit_reached"), "insufficient_quota", 2),
    ],
)
async def test_a_refusal_that_may_be_the_requests_is_asked_of_one_other_key_and_takes_none(
    upstream: ScriptedUpstream, answer: Answer, code: str | None, asked: int
) -> None:
    upstream.always(refusing_some(answer))
    async with quick_gateway(*accounts(upstream)) as running:
        without_pauses(running)
        http = running.http()
        bad = [await http.post(PATH, json=asking(f"BAD {number}")) for number in range(20)]
        good = [await http.post(PATH, json=asking(f"Good {number}")) for number in range(20)]
        await no_lease_is_out(running)
        states = list(pool_of(running).states)

    for response in bad:
        assert response.status_code in (403, 404, 429)
        assert response.json()["error"]["code"] == code
        assert response.headers["x-gateway-attempts"] == str(asked)
    assert {(response.status_code, response.headers["x-gateway-attempts"]) for response in good} == {(200, "1")}
    assert not any(state.is_rejected or state.model_backoffs for state in states)


async def test_upstreams_own_words_for_a_request_that_is_not_permitted_are_the_callers(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(refused(403, "The beta `x-2026` is not enabled."))
    async with quick_gateway(*accounts(upstream)) as running:
        without_pauses(running)
        without_native_pauses(running)
        chat = await running.http().post(PATH, json=asking())
        native = await running.http().post(NATIVE_PATH, json=asking_natively())

    error = assert_error(chat, 403, "invalid_request_error", None)
    assert error["message"] == "The beta `x-2026` is not enabled."
    assert (native.status_code, native.json()["error"]["type"]) == (403, "permission_error")
    assert native.json()["error"]["message"] == "The beta `x-2026` is not enabled."


@pytest.mark.parametrize("is_refused", [True, False])
async def test_a_probe_decides_whether_a_403_was_the_keys(upstream: ScriptedUpstream, is_refused: bool) -> None:
    upstream.models(refused(403, "No.") if is_refused else json_answer(200, b'{"data": []}'))
    upstream.always(refused(403, "No."), api_key=KEY_A)
    upstream.always(served(), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        first = await running.http().post(PATH, json=asking())
        state = services_of(running).pool.state_of("a")
        assert state is not None
        assert not state.is_rejected
        await until(lambda: state.probe_at == float("inf"))
        is_out = state.is_rejected

    assert first.status_code == 200
    assert is_out == is_refused


@pytest.mark.parametrize("message", [NO_CREDIT, "This organization has been disabled."])
async def test_an_account_without_money_rests_and_another_answers(upstream: ScriptedUpstream, message: str) -> None:
    upstream.always(refused(400, message), api_key=KEY_A)
    upstream.always(served(), api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        clock = without_pauses(running)
        http = running.http()
        answers = [await http.post(PATH, json=asking()) for _ in range(3)]
        early = [request.api_key for request in upstream.received]
        clock.now += 1.5
        answers += [await http.post(PATH, json=asking(f"Hi {number}")) for number in range(8)]
        late = [request.api_key for request in upstream.received[len(early) :]]

    assert {answer.status_code for answer in answers} == {200}
    assert early == [KEY_A, KEY_B, KEY_B, KEY_B]
    # One request has tried again whether the account is still out.
    assert late.count(KEY_A) == 1


@pytest.mark.parametrize("message", [NO_CREDIT, "This organization has been disabled."])
async def test_where_no_account_has_money_the_caller_is_told_so(upstream: ScriptedUpstream, message: str) -> None:
    upstream.always(refused(400, message))
    async with quick_gateway(key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)) as running:
        without_pauses(running)
        answers = [await running.http().post(PATH, json=asking()) for _ in range(2)]

    for answer in answers:
        assert_error(answer, 429, "insufficient_quota", "insufficient_quota")
        assert answer.headers["x-should-retry"] == "false"
    assert len(upstream.received) == 2


async def test_a_model_that_stands_in_inside_a_request_takes_the_asked_one_from_nobody(
    upstream: ScriptedUpstream,
) -> None:
    # Section 13.5 of the reference: Messages has fallbacks of its own, whose names a caller chooses.
    upstream.always(refusing_some(refused(404, "model: claude-nonsense")))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        bad = await running.http().post(PATH, json=asking("BAD"))
        good = await running.http().post(PATH, json=asking())

    assert_error(bad, 404, "invalid_request_error", "model_not_found")
    assert good.status_code == 200


@pytest.mark.parametrize("message", ["model: claude-nonsense-1", "Not found"])
@pytest.mark.parametrize(
    ("path", "request_"),
    [(PATH, asking()), (PATH, asking(stream=True)), (NATIVE_PATH, asking_natively()), (COUNT_PATH, asking_natively())],
)
async def test_a_model_that_nobody_knows_is_asked_for_once(
    upstream: ScriptedUpstream, path: str, request_: dict[str, Any], message: str
) -> None:
    upstream.always(refused(404, message))
    async with quick_gateway(*accounts(upstream)) as running:
        without_pauses(running)
        response = await running.http().post(path, json={**request_, "model": "claude-nonsense-1"})

    assert response.status_code == 404
    assert len(upstream.received) == 1


@pytest.mark.parametrize("model", ["claude-sonnet-5-5", "anthropic.claude-sonnet-5-5", "claude-of-tomorrow-7"])
async def test_a_model_that_somebody_knows_is_asked_of_every_account(upstream: ScriptedUpstream, model: str) -> None:
    asked: list[str] = []

    def refusing(request: ReceivedRequest) -> Answer:
        asked.append(json.loads(request.body)["model"])
        return refused(404, f"model: {asked[-1]}")

    upstream.always(refusing)
    async with quick_gateway(*accounts(upstream)) as running:
        services_of(running).models.refine([ModelInfo("claude-of-tomorrow-7")])
        without_pauses(running)
        response = await running.http().post(PATH, json={**asking(), "model": model})

    assert_error(response, 404, "invalid_request_error", "model_not_found")
    assert len(asked) == len(SECRETS)


async def test_a_large_request_that_an_edge_refuses_leaves_the_limits_as_they_were(upstream: ScriptedUpstream) -> None:
    limits = {
        f"anthropic-ratelimit-{kind}-{what}": value
        for kind in ("input-tokens", "output-tokens")
        for what, value in (("limit", "450000"), ("remaining", "450000"))
    }
    upstream.always(lambda request: CLOUDFLARE if len(request.body) > 1_000_000 else served(**limits))
    async with quick_gateway(key(upstream.base_url)) as running:
        without_pauses(running)
        http = running.http()
        first = await http.post(PATH, json=asking())
        too_large = await http.post(PATH, json=asking("x " * 2_000_000))
        # The clock of the test stands still: who had to wait would be told so.
        later = await http.post(PATH, json=asking("x " * 200_000))

    assert (first.status_code, too_large.status_code, later.status_code) == (200, 413, 200)


async def test_a_prompt_is_never_taken_to_be_larger_than_the_models_window(upstream: ScriptedUpstream) -> None:
    upstream.always(CLOUDFLARE)
    async with quick_gateway(key(upstream.base_url)) as running:
        seen: list[int] = []
        dispatcher = services_of(running).dispatcher
        acquire = dispatcher.acquire

        def watched(request: Any, **more: Any) -> Any:
            seen.append(request.input_tokens)
            return acquire(request, **more)

        dispatcher.acquire = watched  # type: ignore[method-assign]
        await running.http().post(PATH, json={**asking("x " * 4_000_000), "model": "claude-haiku-4-5"})

    assert seen == [200_000]
