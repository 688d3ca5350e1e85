"""Rules as callers meet them: what is refused and how, what waits, what is lowered, and that every hold comes back."""

import asyncio
from functools import partial
from typing import Any

import httpx2
import pytest

from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.meters import State
from gateway.config import AccountsConfig
from gateway.config.models import ModelsConfig
from tests.scenarios.harness import (
    PATH,
    asking,
    assert_error,
    data_of,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    until,
    without_pauses,
)
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.scenarios.test_pauses import ENDED, PAUSED, SEARCH
from tests.support import messages
from tests.support.gateway import (
    Config,
    RunningGateway,
    StreamingConfig,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import (
    Answer,
    Close,
    ReceivedRequest,
    ScriptedUpstream,
    Silence,
    Wait,
    error_answer,
    json_answer,
    stream_answer,
)

NOON = 1_796_040_000.0
USAGE = {"input_tokens": 10, "output_tokens": 4}
WHOLE = json_answer(200, messages.message(usage=USAGE))
# Claude Sonnet 5.5 costs $2 and $10 for a million tokens: this usage comes to 60 micro-dollars.
COST = 60_000
OTHER = "claude-haiku-5-5"


def rule(what: str, amount: float, **more: Any) -> Definition:
    return Definition(id=more.pop("id", "r"), what=what, amount=amount, **more)  # type: ignore[arg-type]


def ruled(upstream: ScriptedUpstream, *rules: Definition, **sections: Any) -> Config:
    return with_settings(config_for(key(upstream.base_url)), rules=rules, **sections)


def at_noon(running: RunningGateway) -> list[float]:
    """Let the gateway live at noon; the test moves the time."""
    moment = [NOON]
    running.time.now = lambda: moment[0]
    return moment


def state_of(running: RunningGateway, rule_id: str = "r") -> State:
    book = running.gateway.rules.rules.book
    (found,) = [meter for (name, *_), meter in book._meters.items() if name == rule_id]
    return found.state(running.time.now())


async def ask(running: RunningGateway, path: str = PATH, **more: Any) -> httpx2.Response:
    body = asking_natively(**more) if path == NATIVE_PATH else asking(**more)
    response = await running.http().post(path, json=body)
    await no_lease_is_out(running)
    return response


# What callers see


async def test_a_rate_is_refused_with_a_true_retry_after_and_its_headers(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("requests", 2, window="minute", id="two"))) as running:
        moment = at_noon(running)
        first, second, third = [await ask(running) for _ in range(3)]
        moment[0] += float(third.headers["retry-after"]) - 0.001
        early = await ask(running)
        moment[0] += 0.001
        later = await ask(running)

    assert [first.status_code, second.status_code, later.status_code] == [200, 200, 200]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert [each.headers["x-ratelimit-remaining-requests"] for each in (first, second, third)] == ["1", "0", "0"]
    assert second.headers["x-ratelimit-reset-requests"] == "1m0s"
    error = assert_error(third, 429, "rate_limit_error", "rate_limit_exceeded")
    assert "'two'" in error["message"]
    assert third.headers["retry-after"] == "30"
    assert "x-should-retry" not in third.headers
    assert early.status_code == 429


async def test_a_budget_is_refused_with_what_is_spent_held_and_when_it_resets(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("money", 0.0201, window="day", id="daily"))) as running:
        moment = at_noon(running)
        first, second = await ask(running), await ask(running)
        moment[0] += 12 * 3600
        tomorrow = await ask(running)

    assert (first.status_code, tomorrow.status_code) == (200, 200)
    error = assert_error(second, 429, "insufficient_quota", "insufficient_quota")
    assert second.headers["x-should-retry"] == "false"
    assert "retry-after" not in second.headers
    for words in ("'daily'", "$0.0201 per day", "$0.00006 spent", "$0.00 held", "2026-12-01T00:00:00Z"):
        assert words in error["message"]


@pytest.mark.parametrize(
    ("what", "amount", "status", "kind"),
    [("requests", 0, 429, "rate_limit_error"), ("money", 0, 402, "billing_error")],
)
async def test_the_messages_api_is_refused_in_its_own_form(
    upstream: ScriptedUpstream, what: str, amount: float, status: int, kind: str
) -> None:
    async with quick_gateway(config=ruled(upstream, rule(what, amount, window="day"))) as running:
        refused = await ask(running, NATIVE_PATH)

    assert refused.status_code == status
    assert refused.json()["error"]["type"] == kind
    assert upstream.received == []


async def test_the_tighter_of_upstreams_limits_and_the_rules_is_told(upstream: ScriptedUpstream) -> None:
    limits = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "3",
        "anthropic-ratelimit-tokens-limit": "90000",
        "anthropic-ratelimit-tokens-remaining": "80000",
    }
    upstream.always(json_answer(200, messages.message(usage=USAGE), limits))
    rules = (rule("requests", 100, window="minute"), rule("output_tokens", 9000, window="minute", id="out"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        chat, native = await ask(running), await ask(running, NATIVE_PATH)

    assert (chat.headers["x-ratelimit-limit-requests"], chat.headers["x-ratelimit-remaining-requests"]) == ("50", "3")
    assert (chat.headers["x-ratelimit-limit-tokens"], chat.headers["x-ratelimit-remaining-tokens"]) == ("9000", "7000")
    assert native.headers["anthropic-ratelimit-requests-remaining"] == "3"
    assert native.headers["anthropic-ratelimit-output-tokens-limit"] == "9000"
    assert native.headers["anthropic-ratelimit-tokens-remaining"] == "80000"


# Holds


async def bound_of_one(running: RunningGateway, upstream: ScriptedUpstream) -> int:
    """What a strict rule holds of one request, in nano-dollars."""
    go = asyncio.Event()
    upstream.script(Answer((Wait(go), *WHOLE.steps)))
    asked = asyncio.create_task(ask(running))
    await upstream.wait_for_requests(1)
    held = state_of(running).held
    go.set()
    await asked
    return held


async def test_exactly_as_many_are_served_at_once_as_a_strict_budget_pays(upstream: ScriptedUpstream) -> None:
    go = asyncio.Event()
    upstream.always(Answer((Wait(go), *WHOLE.steps)))
    async with quick_gateway(config=ruled(upstream, rule("money", 100, hold="strict"))) as running:
        at_noon(running)
        one = await bound_of_one(running, upstream)
        budget = rule("money", 100 * one / 10**9, window="day", hold="strict", id="hundred")
        running.gateway.reload(ruled(upstream, budget))
        async with httpx2.AsyncClient(base_url=running.url, limits=httpx2.Limits(max_connections=None)) as http:
            asked = [asyncio.create_task(http.post(PATH, json=asking())) for _ in range(200)]
            await upstream.wait_for_requests(101)
            await until(lambda: sum(task.done() for task in asked) == 100)
            held = state_of(running, "hundred").held
            go.set()
            answers = await asyncio.gather(*asked)
        await no_lease_is_out(running)
        state = state_of(running, "hundred")

    assert sorted(answer.status_code for answer in answers) == [200] * 100 + [429] * 100
    assert len(upstream.received) == 101
    assert held == 100 * one
    assert (state.spent, state.held) == (100 * COST, 0)


async def test_an_expected_budget_refuses_nobody_far_below_it_and_stays_within_its_bound(
    upstream: ScriptedUpstream,
) -> None:
    # The default of `max_tokens` is upstream's most, 128,000, which would hold $64 for fifty.
    spent = {"input_tokens": 1000, "output_tokens": 4000}
    upstream.always(stream_answer(*messages.text_stream(usage=spent)))
    cost = 1000 * 2_000 + 4000 * 10_000
    async with quick_gateway(config=ruled(upstream, rule("money", 30, window="day"))) as running:
        at_noon(running)
        http, statuses, refused_at = running.http(), list[int](), list[int]()

        async def caller() -> None:
            for _ in range(15):
                body = asking()
                del body["max_tokens"]
                answer = await http.post(PATH, json=body)
                statuses.append(answer.status_code)
                if answer.status_code != 200:
                    refused_at.append(state_of(running).spent)

        await asyncio.gather(*(caller() for _ in range(50)))
        await no_lease_is_out(running)
        state = state_of(running)

    assert statuses.count(200) * cost == state.spent
    assert refused_at
    assert min(refused_at) >= 0.9 * state.limit
    assert state.spent <= state.limit + 50 * cost
    assert state.held == 0


LEFT: Any = stream_answer(*messages.text_stream(usage=USAGE)[:2], Silence())


@pytest.mark.parametrize(
    "answer",
    [
        error_answer(400, "invalid_request_error", "No."),
        error_answer(529, "overloaded_error", "Busy"),
        Answer((Close(),)),
        stream_answer(*messages.text_stream(usage=USAGE)[:3], Close()),
    ],
    ids=["refused", "overloaded", "unreachable", "cut"],
)
@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_a_hold_dies_with_its_request_however_that_ends(
    upstream: ScriptedUpstream, answer: Answer, path: str
) -> None:
    upstream.always(answer)
    rules = (rule("money", 50, hold="strict"), rule("in_flight", 1, id="one"), rule("output_tokens", 9000, id="out"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        without_pauses(running)
        await ask(running, path, stream=True)
        states = [state_of(running, each.id) for each in rules]

    assert [state.held for state in states] == [0, 0, 0]


async def test_a_request_that_cannot_be_read_or_written_holds_nothing(upstream: ScriptedUpstream) -> None:
    rules = (rule("money", 50), rule("requests", 2, id="count"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        bad = await ask(running, tools=[{"type": "nonsense"}])
        worse = await ask(running, max_tokens=-5)
        state, count = state_of(running), state_of(running, "count")

    assert (bad.status_code, worse.status_code) == (400, 400)
    assert (state.held, state.spent, count.spent) == (0, 0, 0)


async def test_a_caller_that_leaves_gives_back_what_it_held(upstream: ScriptedUpstream) -> None:
    upstream.always(LEFT)
    rules = (rule("in_flight", 1), rule("money", 50, id="budget", hold="strict"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running, raw_client(running) as client:
        at_noon(running)
        client.send(asking(stream=True))
        await upstream.wait_for_requests(1)
        held = state_of(running).held
        client.leave()
        await no_lease_is_out(running)
        states = state_of(running), state_of(running, "budget")

    assert held == 1
    assert [state.held for state in states] == [0, 0]


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
@pytest.mark.parametrize(("hold", "counted"), [("strict", True), ("expected", False)])
async def test_a_caller_that_leaves_before_upstream_reports_anything_gets_nothing_free_of_a_strict_budget(
    upstream: ScriptedUpstream, path: str, hold: Any, counted: bool
) -> None:
    upstream.always(Answer((Silence(),)))
    async with quick_gateway(config=ruled(upstream, rule("money", 50, hold=hold))) as running:
        at_noon(running)
        body = asking_natively() if path == NATIVE_PATH else asking()
        asked = asyncio.create_task(running.http().post(path, json=body))
        await upstream.wait_for_requests(1)
        held = state_of(running).held
        asked.cancel()
        await asyncio.wait([asked])
        await until(lambda: not state_of(running).held)
        spent = state_of(running).spent

    assert held > 0
    assert spent == (held if counted else 0)


@pytest.mark.parametrize(("base_url", "counted"), [(None, 3), ("http://127.0.0.1:1", 0)], ids=["lost", "never sent"])
async def test_answers_that_are_lost_count_as_what_they_could_cost(
    upstream: ScriptedUpstream, base_url: str | None, counted: int
) -> None:
    upstream.always(stream_answer(Close()))
    strict = rule("output_tokens", 100_000, window="day", hold="strict")
    config = with_settings(config_for(key(base_url or upstream.base_url)), rules=(strict,))
    async with quick_gateway(config=config) as running:
        at_noon(running)
        without_pauses(running)
        lost = await ask(running)
        state = state_of(running)

    assert lost.status_code == 502
    assert (state.spent, state.held) == (counted * 2000, 0)


async def test_a_response_in_the_background_holds_until_it_is_made(upstream: ScriptedUpstream) -> None:
    go = asyncio.Event()
    upstream.always(stream_answer(Wait(go), *messages.text_stream(usage=USAGE)))
    async with quick_gateway(config=ruled(upstream, rule("money", 50))) as running:
        at_noon(running)
        body = {"model": "claude-sonnet-5-5", "input": "Hi", "background": True}
        queued = await running.http().post("/v1/responses", json=body)
        await upstream.wait_for_requests(1)
        during = state_of(running)
        go.set()
        await until(lambda: not state_of(running).held)
        after = state_of(running)

    assert queued.json()["status"] == "queued"
    assert during.held > 0
    assert (after.spent, after.held) == (COST, 0)


async def test_each_choice_is_held_and_counted(upstream: ScriptedUpstream) -> None:
    go = asyncio.Event()
    upstream.always(Answer((Wait(go), *WHOLE.steps)))
    rules = (rule("output_tokens", 100_000, window="day"), rule("requests", 5, id="count"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        asked = asyncio.create_task(ask(running, n=3, max_tokens=500))
        await upstream.wait_for_requests(3)
        held = state_of(running).held
        go.set()
        await asked
        state, count = state_of(running), state_of(running, "count")

    assert held == 1500
    assert (state.spent, state.held) == (12, 0)
    assert count.spent == 1


# Further attempts


STARTED = stream_answer(*messages.text_stream(usage=USAGE)[:1], Close())


async def served_with(upstream: ScriptedUpstream, bounds: float, *answers: Any, **more: Any) -> httpx2.Response:
    """Ask with a strict budget that pays so many times the most that a call can cost."""
    async with quick_gateway(config=ruled(upstream, rule("money", 100, hold="strict"))) as running:
        at_noon(running)
        one = await bound_of_one(running, upstream)
    upstream.received.clear()
    upstream.script(*answers)
    budget = rule("money", int(bounds * one) / 10**9, hold="strict")
    async with quick_gateway(config=ruled(upstream, budget)) as running:
        at_noon(running)
        without_pauses(running)
        response = await ask(running, **more)
        state = state_of(running)
    assert state.held == 0
    assert state.spent <= state.limit
    return response


@pytest.mark.parametrize(("bounds", "status", "asked"), [(1.01, 502, 1), (2.01, 200, 2)])
async def test_a_strict_budget_pays_for_another_attempt_or_there_is_none(
    upstream: ScriptedUpstream, bounds: float, status: int, asked: int
) -> None:
    whole = stream_answer(*messages.text_stream(usage=USAGE))
    response = await served_with(upstream, bounds, STARTED, whole, stream=True)

    assert (response.status_code, len(upstream.received)) == (status, asked)


async def test_an_attempt_that_upstream_refuses_costs_nothing(upstream: ScriptedUpstream) -> None:
    response = await served_with(upstream, 1.01, error_answer(529, "overloaded_error", "Busy"), WHOLE)

    assert (response.status_code, len(upstream.received)) == (200, 2)


SEARCHES: dict[str, Any] = {"tools": [SEARCH]}


@pytest.mark.parametrize(("bounds", "asked"), [(1.5, 1), (2.01, 2)])
async def test_a_strict_budget_pays_for_each_call_that_continues_a_turn(
    upstream: ScriptedUpstream, bounds: float, asked: int
) -> None:
    pause, end = stream_answer(PAUSED), stream_answer(ENDED)
    async with quick_gateway(config=ruled(upstream, rule("money", 100, hold="strict"))) as running:
        at_noon(running)
        go = asyncio.Event()
        upstream.script(stream_answer(Wait(go), ENDED))
        first = asyncio.create_task(ask(running, stream=True, **SEARCHES))
        await upstream.wait_for_requests(1)
        one = state_of(running).held
        go.set()
        await first
        upstream.received.clear()
        upstream.script(pause, end)
        running.gateway.reload(ruled(upstream, rule("money", int(bounds * one) / 10**9, hold="strict", id="few")))
        response = await ask(running, stream=True, **SEARCHES)
        state = state_of(running, "few")

    assert response.text.endswith("[DONE]\n\n")
    assert len(upstream.received) == asked
    assert state.held == 0
    # What the search reads is bounded by the context window: a million tokens, as if they were written for an hour.
    assert one > 4 * 10**9


# What is changed


async def test_a_strict_budget_lowers_max_tokens_to_what_it_pays(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("money", 0.03, hold="strict"))) as running:
        at_noon(running)
        chat, native = await ask(running), await ask(running, NATIVE_PATH, stream=False)
        endless = await running.http().post(PATH, json={k: v for k, v in asking().items() if k != "max_tokens"})
        await no_lease_is_out(running)
        state = state_of(running)

    sent = [request.json["max_tokens"] for request in upstream.received]
    assert [each.status_code for each in (chat, native, endless)] == [200, 200, 200]
    assert 16 <= sent[0] < 2000
    assert chat.headers["x-gateway-adjusted"] == f"max_tokens=2000->{sent[0]}:budget"
    assert native.headers["x-gateway-adjusted"] == f"max_tokens=2000->{sent[1]}:budget"
    assert endless.headers["x-gateway-adjusted"] == f"max_tokens={sent[2]}:budget"
    assert state.spent == 3 * COST


@pytest.mark.parametrize("limit", ["2000", 2000.5, True, None])
async def test_a_limit_that_is_no_whole_number_is_refused_where_it_would_have_to_be_lowered(
    upstream: ScriptedUpstream, limit: object
) -> None:
    async with quick_gateway(config=ruled(upstream, rule("money", 0.03, hold="strict"))) as running:
        at_noon(running)
        refused = await ask(running, NATIVE_PATH, max_tokens=limit)
        state = state_of(running)

    assert refused.status_code == 400
    assert refused.json()["error"]["message"] == "max_tokens: Input should be a valid integer."
    assert upstream.received == []
    assert (state.spent, state.held) == (0, 0)


async def test_filling_a_cache_natively_without_an_answer_counts(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message(usage={"input_tokens": 10, "output_tokens": 0})))
    rules = (rule("requests", 1, window="day"), rule("money", 50, id="budget", hold="strict"))
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        first, second = [await ask(running, NATIVE_PATH, max_tokens=0) for _ in range(2)]
        budget = state_of(running, "budget")

    assert (first.status_code, second.status_code) == (200, 429)
    assert upstream.received[0].json["max_tokens"] == 0
    assert (budget.spent, budget.held) == (20_000, 0)


async def test_end_users_with_long_names_are_told_apart_and_their_names_are_not_kept(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(WHOLE)
    name = "u" * 60_000
    async with quick_gateway(config=ruled(upstream, rule("requests", 1, window="day", scope="end_user"))) as running:
        at_noon(running)
        answers = [await ask(running, user=user) for user in (name, f"{name}2", name)]
        plans = running.gateway.rules.rules.book._plans.values()
        remembered = [len(user) for plan in plans for user in plan.users]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert max(remembered) <= 200


async def test_another_model_answers_when_a_rule_is_over_and_is_named(upstream: ScriptedUpstream) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        return json_answer(200, messages.message(model=request.json["model"], usage=USAGE))

    upstream.always(answer)
    switching = rule("requests", 1, window="day", model="claude-sonnet-*", over="model:gpt-5-mini")
    async with quick_gateway(config=ruled(upstream, switching)) as running:
        at_noon(running)
        first, chat, native = await ask(running), await ask(running), await ask(running, NATIVE_PATH)

    assert [request.json["model"] for request in upstream.received] == ["claude-sonnet-5-5", OTHER, OTHER]
    assert "x-gateway-model" not in first.headers
    for each in (chat, native):
        assert each.headers["x-gateway-model"] == OTHER
        assert each.headers["x-gateway-adjusted"] == f"model=claude-sonnet-5-5->{OTHER}:rule"


async def test_models_that_lead_to_each_other_end_in_a_refusal(upstream: ScriptedUpstream) -> None:
    rules = (
        rule("requests", 0, window="day", model="claude-sonnet-*", over=f"model:{OTHER}"),
        rule("requests", 0, window="day", model=OTHER, over="model:claude-sonnet-5-5", id="back"),
    )
    async with quick_gateway(config=ruled(upstream, *rules)) as running:
        at_noon(running)
        refused = await ask(running)

    assert refused.status_code == 429


async def test_a_shadow_rule_refuses_nobody(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("requests", 1, window="day", shadow=True))) as running:
        at_noon(running)
        answers = [await ask(running) for _ in range(3)]

    assert [each.status_code for each in answers] == [200] * 3
    assert "x-ratelimit-limit-requests" not in answers[0].headers


async def test_metrics_count_what_rules_refuse_and_what_shadow_rules_would(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    shadow = rule("requests", 1, id="s", window="day", shadow=True)
    async with quick_gateway(config=ruled(upstream, shadow, rule("requests", 3, window="day"))) as running:
        at_noon(running)
        for _ in range(4):
            await ask(running)
        shown = (await running.http().get("/metrics")).text

    assert 'dragoman_rule_refusals_total{effect="refused",rule="r"} 1.0' in shown
    assert 'dragoman_rule_refusals_total{effect="shadow",rule="s"} 2.0' in shown


# Who waits


def _waits(running: RunningGateway, count: int) -> bool:
    return running.gateway.rules.rules.waiting == count


QUEUED = rule("in_flight", 1, over="queue")


async def test_who_waits_for_a_rule_is_served_in_order(upstream: ScriptedUpstream) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    for gate in gates:
        upstream.script(Answer((Wait(gate), *WHOLE.steps)))
    async with quick_gateway(config=ruled(upstream, QUEUED)) as running:
        at_noon(running)
        asked = []
        for number in range(3):
            asked.append(asyncio.create_task(running.http().post(PATH, json=asking(f"number {number}"))))
            await until(partial(_waits, running, number))
            await upstream.wait_for_requests(1)
        for number, gate in enumerate(gates, 1):
            await upstream.wait_for_requests(number)
            assert len(upstream.received) == number
            gate.set()
        answers = await asyncio.gather(*asked)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert [f"number {number}" in request.body.decode() for number, request in enumerate(upstream.received)] == [
        True
    ] * 3


async def test_a_caller_that_leaves_the_line_lets_the_next_one_in(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *WHOLE.steps)))
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, QUEUED)) as running, raw_client(running) as leaving:
        at_noon(running)
        rules = running.gateway.rules.rules
        first = asyncio.create_task(running.http().post(PATH, json=asking("first")))
        await upstream.wait_for_requests(1)
        leaving.send(asking("leaves"))
        await until(lambda: rules.waiting == 1)
        last = asyncio.create_task(running.http().post(PATH, json=asking("last")))
        await until(lambda: rules.waiting == 2)
        leaving.leave()
        await until(lambda: rules.waiting == 1)
        gate.set()
        answers = await asyncio.gather(first, last)
        await no_lease_is_out(running)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert not any(b"leaves" in request.body for request in upstream.received)
    assert rules.waiting == 0


async def _ends_of_a_wait(upstream: ScriptedUpstream, path: str, *, seconds: float) -> tuple[int, bytes, bytes]:
    """The status of a stream that has waited, the first thing that it got while it waited, and the rest."""
    gate = asyncio.Event()
    upstream.script(Answer((Wait(gate), *WHOLE.steps)))
    upstream.always(stream_answer(*messages.text_stream(usage=USAGE)))
    patience = AccountsConfig(kind="off", queue_timeout_seconds=seconds)
    config = ruled(upstream, QUEUED, accounts=patience, streaming=StreamingConfig(keepalive_seconds=0.01))
    body = asking_natively(stream=True) if path == NATIVE_PATH else asking(stream=True)
    if path == "/v1/responses":
        body = {"model": "claude-sonnet-5-5", "input": "Hi", "stream": True}
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        first = asyncio.create_task(running.http().post(PATH, json=asking()))
        await upstream.wait_for_requests(1)
        client.send(body, path=path)
        await client.head()
        sign = await client.chunk()
        assert len(upstream.received) == 1
        if seconds > 1:
            gate.set()
        rest = b"".join(await client.chunks())
        gate.set()
        await first
        await no_lease_is_out(running)
        assert running.gateway.rules.rules.waiting == 0
    return client.status, sign, rest


@pytest.mark.parametrize("path", [PATH, "/v1/responses", NATIVE_PATH])
async def test_a_stream_is_kept_alive_while_it_waits_for_a_rule(upstream: ScriptedUpstream, path: str) -> None:
    status, sign, rest = await _ends_of_a_wait(upstream, path, seconds=30)

    assert status == 200
    assert b"Hello" not in sign
    assert b"Hello" in rest
    if path == PATH:
        # One answer has one id.
        assert {event["id"] for event in data_of((sign + rest).decode()) if event != "[DONE]"} == {
            data_of(sign.decode())[0]["id"]
        }


@pytest.mark.parametrize("path", [PATH, "/v1/responses", NATIVE_PATH])
async def test_a_stream_that_is_refused_after_signs_of_life_ends_in_an_error(
    upstream: ScriptedUpstream, path: str
) -> None:
    status, _, rest = await _ends_of_a_wait(upstream, path, seconds=0.2)

    assert status == 200
    assert b"rate_limit" in rest


async def test_nobody_waits_in_a_full_line_or_for_longer_than_is_allowed(upstream: ScriptedUpstream) -> None:
    upstream.always(Answer((Silence(),)))
    short = AccountsConfig(kind="off", queue_size=1, queue_timeout_seconds=0.2)
    async with quick_gateway(config=ruled(upstream, QUEUED, accounts=short)) as running:
        http = running.http()
        first = asyncio.create_task(http.post(PATH, json=asking()))
        await upstream.wait_for_requests(1)
        second = asyncio.create_task(http.post(PATH, json=asking()))
        await until(lambda: running.gateway.rules.rules.waiting == 1)
        third = await http.post(PATH, json=asking())
        late = await second
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    assert (third.status_code, late.status_code) == (429, 429)
    assert late.headers["retry-after"] == "1"


async def test_what_cannot_be_served_in_time_is_refused_at_once(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("requests", 1, window="hour", over="queue"))) as running:
        at_noon(running)
        await ask(running)
        refused = await ask(running)

    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "3600"


# Whom a rule concerns


async def test_a_reload_keeps_the_counts_of_rules_that_stay(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=ruled(upstream, rule("requests", 2, window="day"))) as running:
        at_noon(running)
        await ask(running)
        running.gateway.reload(ruled(upstream, rule("requests", 1, window="day"), rule("in_flight", 5, id="more")))
        refused = await ask(running)
        running.gateway.reload(ruled(upstream))
        served = await ask(running)

    assert (refused.status_code, served.status_code) == (429, 200)


async def test_a_stand_in_counts_for_the_rules_of_its_own_model(upstream: ScriptedUpstream) -> None:
    def answer(request: ReceivedRequest) -> Answer:
        if request.json["model"] != OTHER:
            return error_answer(529, "overloaded_error", "Busy")
        return json_answer(200, messages.message(model=OTHER, usage=USAGE))

    upstream.always(answer)
    rules = (rule("money", 5, model="claude-sonnet-*"), rule("money", 5, model=OTHER, id="other"))
    models = ModelsConfig(fallbacks={"claude-sonnet-5-5": (OTHER,)})
    async with quick_gateway(config=ruled(upstream, *rules, models=models)) as running:
        at_noon(running)
        without_pauses(running)
        served = await ask(running)
        sonnet, other = state_of(running), state_of(running, "other")

    assert served.headers["x-gateway-model"] == OTHER
    assert (sonnet.spent, sonnet.held) == (0, 0)
    assert other.spent > 0
