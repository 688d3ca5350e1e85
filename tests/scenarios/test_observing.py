"""Metrics and request log say what happened, add up to what upstream has counted, and hold no secret."""

import asyncio
import itertools
import json
import logging
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.config import AccountsConfig, AdminConfig, LogContentConfig, MetricsConfig, RequestLogConfig
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    asking,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    without_pauses,
)
from tests.scenarios.processes import Fleet, client_of
from tests.support import messages
from tests.support.commands import started
from tests.support.exposed import samples_of, total_of
from tests.support.gateway import ClientConfig, Config, Secret, config_for, key, with_settings
from tests.support.scripted import Answer, Close, ScriptedUpstream, error_answer, json_answer, stream_answer

ADMIN = "admin-key-of-the-operator"
VIEWER = "viewer-key-of-an-operator"
PROMETHEUS = "prometheus-key-of-the-operator"
SHOP = "client-key-of-the-shop"
DIARY = "client-key-of-the-diary"
SECRET = "planted-5ec2e7"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MODEL = messages.MODEL
AS_ADMIN = {"x-api-key": ADMIN}
AS_SHOP = {"authorization": f"Bearer {SHOP}"}
EVENTS = messages.text_stream()
# The issue asks for 10,000, which take two minutes; these show the same.
PLANTED = int(os.environ.get("DRAGOMAN_PLANTED", "40"))


def observed(upstream: ScriptedUpstream, **sections: Any) -> Config:
    """Two keys, an admin, a shop, and a diary whose requests may be kept."""
    clients = [
        ClientConfig(name="shop", api_key=Secret(SHOP)),
        ClientConfig(name="diary", api_key=Secret(DIARY), log_content=LogContentConfig(keep_seconds=60)),
    ]
    config = config_for(
        key(upstream.base_url, "first", KEY_A), key(upstream.base_url, "second", KEY_B), clients=clients
    )
    return with_settings(config, **{"admin": AdminConfig(api_key=Secret(ADMIN), viewer_key=Secret(VIEWER)), **sections})


async def metrics_of(http: httpx2.AsyncClient, accept: str = "") -> str:
    answer = await http.get("/metrics", headers={**AS_ADMIN, "accept": accept})
    assert answer.status_code == 200, answer.text
    return answer.text


async def requests_of(http: httpx2.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await http.get(f"/admin/requests{query}", headers=AS_ADMIN)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["requests"]
    return found


def usages(number: random.Random) -> Iterator[dict[str, Any]]:
    """What upstream says it has counted, a different sum each time."""
    while True:
        short, long = number.randrange(50), number.randrange(50)
        yield {
            **messages.USAGE,
            "input_tokens": number.randrange(1000),
            "cache_read_input_tokens": number.randrange(100),
            "cache_creation_input_tokens": short + long,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens": 1 + number.randrange(200),
        }


async def test_the_sums_are_those_that_upstream_has_counted(upstream: ScriptedUpstream) -> None:
    told = list(itertools.islice(usages(random.Random(7)), 12))
    answers: list[Answer] = []
    for place, usage in enumerate(told):
        if place % 4 == 3:
            answers.append(error_answer(529, "overloaded_error", "Busy"))
        whole = json_answer(200, messages.message(usage=usage))
        answers.append(whole if place % 2 else stream_answer(*messages.text_stream(usage=usage)))
    upstream.script(*answers)
    async with quick_gateway(config=observed(upstream)) as running:
        without_pauses(running)
        http = running.http()
        for place in range(len(told)):
            await http.post(PATH, json=asking(stream=not place % 2), headers=AS_SHOP)
        await http.post(PATH, json=asking())
        await no_lease_is_out(running)
        text, entries = await metrics_of(http), await requests_of(http)

    def sums(name: str) -> int:
        return sum(usage[name] for usage in told)

    written = [usage["cache_creation"] for usage in told]
    assert {kind: total_of(text, "dragoman_tokens_total", type=kind, model=MODEL, caller="shop") for kind in TYPES} == {
        "input": sums("input_tokens"),
        "cache_read": sums("cache_read_input_tokens"),
        "cache_write_5m": sum(each["ephemeral_5m_input_tokens"] for each in written),
        "cache_write_1h": sum(each["ephemeral_1h_input_tokens"] for each in written),
        "output": sums("output_tokens"),
    }
    cost = sum(entry["nano_dollars"] for entry in entries)
    assert cost > 0
    assert total_of(text, "dragoman_cost_dollars_total") == pytest.approx(cost / 1e9, rel=1e-12)
    everything = total_of(text, "dragoman_tokens_total")
    assert everything == sum(sum(entry.get("usage", {}).values()) for entry in entries)
    assert total_of(text, "gen_ai_client_inference_usage_output_tokens_total") == sums("output_tokens")
    assert total_of(text, "gen_ai_client_inference_usage_input_tokens_total") == everything - sums("output_tokens")
    assert total_of(text, "dragoman_requests_total", status="200", endpoint=PATH) == len(told) == len(entries)
    assert total_of(text, "dragoman_attempts_total") == len(answers) == sum(len(each["attempts"]) for each in entries)
    assert total_of(text, "dragoman_attempts_total", outcome="overloaded") == 3
    assert total_of(text, "dragoman_http_requests_total", route=PATH, status_class="4xx") == 1
    assert total_of(text, "dragoman_http_errors_total", kind="missing_key") == 1


TYPES = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output")


async def test_a_request_has_a_timeline(upstream: ScriptedUpstream) -> None:
    upstream.script(error_answer(529, "overloaded_error", f"Busy {SECRET}"), stream_answer(*EVENTS))
    async with quick_gateway(config=observed(upstream)) as running:
        clock = without_pauses(running)
        traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        await running.http().post(PATH, json=asking(stream=True, logit_bias={"1": 2}), headers=AS_SHOP | traced)
        await no_lease_is_out(running)
        (entry,) = await requests_of(running.http())

    assert (entry["caller"], entry["endpoint"], entry["status"], entry["is_stream"]) == ("shop", PATH, 200, True)
    assert entry["trace_id"] == TRACE
    assert entry["adjusted"].startswith("logit_bias=")
    assert entry["stop_reason"] == "end_turn"
    assert entry["refusals"] == ["first: overloaded 529 overloaded_error"]
    first, second = entry["attempts"]
    assert (first["key"], first["status"], first["error"]) == ("first", 529, "overloaded")
    assert (second["key"], second["status"], second["stop_reason"]) == ("second", 200, "end_turn")
    assert first["host"] == upstream.base_url.removeprefix("http://")
    assert second["upstream_request_id"] == messages_id()
    assert entry["admitted_ms"] <= entry["first_token_ms"]
    assert sum(clock.pauses) > 0
    assert SECRET not in json.dumps(entry)


def messages_id() -> str:
    """The id that the scripted upstream gives to each of its answers."""
    return "req_011CScriptedUpstream"


async def test_the_line_in_the_log_says_where_the_time_went_and_names_the_trace(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "dragoman")
    upstream.script(stream_answer(*EVENTS))
    async with quick_gateway(config=observed(upstream)) as running:
        traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        await running.http().post(PATH, json=asking(stream=True), headers=AS_SHOP | traced)
        await no_lease_is_out(running)

    (fields,) = [record.dragoman_fields for record in caplog.records if PATH in record.message]  # type: ignore[attr-defined]
    assert fields["trace_id"] == TRACE
    assert fields["first_token_ms"] <= fields["upstream_ms"] <= fields["ms"]


async def test_requests_are_found_by_what_they_are(upstream: ScriptedUpstream) -> None:
    fails = error_answer(400, "invalid_request_error", f"messages: {SECRET}")
    upstream.script(json_answer(200, messages.message()), fails, stream_answer(EVENTS[0], Close()))
    async with quick_gateway(config=observed(upstream)) as running:
        http = running.http()
        as_diary = {"authorization": f"Bearer {DIARY}"}
        await http.post(PATH, json=asking(), headers=AS_SHOP)
        await http.post("/v1/messages", json={**asking(), "max_tokens": 5}, headers={"x-api-key": SHOP})
        await http.post(PATH, json=asking(model="gpt-5"), headers=as_diary)
        await no_lease_is_out(running)
        everything = await requests_of(http)
        ids = [entry["id"] for entry in everything]
        found = {
            query: [ids.index(entry["id"]) for entry in await requests_of(http, f"?{query}")]
            for query in (
                "caller=shop",
                "model=gpt-5",
                f"model={MODEL}&limit=1",
                "status=4xx",
                "status=400",
                "status=failed",
                "slower_than=1000",
                f"after={everything[1]['at'] + everything[1]['ms'] / 1000}",
            )
        }
        wrong = [
            await http.get(f"/admin/requests?{query}", headers=AS_ADMIN)
            for query in ("status=bad", "limit=0", "slower_than=x", "after=inf", "color=red")
        ]
        one = await http.get(f"/admin/requests/{ids[1]}", headers=AS_ADMIN)
        none = await http.get("/admin/requests/req_0", headers=AS_ADMIN)
        refused = await http.get("/admin/requests", headers=AS_SHOP)

    assert list(found.values())[:2] == [[1, 2], [0]]
    assert found["status=4xx"] == found["status=400"] == [1]
    assert found["status=failed"] == [0, 1]
    assert found["slower_than=1000"] == []
    assert found[f"after={everything[1]['at'] + everything[1]['ms'] / 1000}"] == [0]
    assert {answer.status_code for answer in wrong} == {400}
    assert one.json() == {"request": everything[1], "content": None}
    assert (none.status_code, refused.status_code) == (404, 401)


async def test_what_is_refused_before_an_attempt_is_there_if_its_caller_is_known(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=observed(upstream)) as running:
        http = running.http()
        for body in ({"model": MODEL, "messages": SECRET}, asking(temperature="hot"), asking(top_k=[SECRET])):
            assert (await http.post(PATH, json=body, headers=AS_SHOP)).status_code == 400
        await http.post(PATH, json=asking(), headers={"authorization": "Bearer wrong"})
        text, entries = await metrics_of(http), await requests_of(http, "?status=failed")
        clients = await http.get("/admin/clients", headers=AS_ADMIN)

    assert [(entry["caller"], entry["status"], entry["error"]) for entry in entries] == [
        ("shop", 400, "invalid_request")
    ] * 3
    assert total_of(text, "dragoman_requests_total", caller="shop", status="400") == 3
    assert total_of(text, "dragoman_requests_total", model="other") > 0
    assert total_of(text, "dragoman_failures_total", kind="invalid_request") == 3
    assert [client["requests"] for client in clients.json()["clients"]] == [1]
    assert SECRET not in json.dumps(entries)


async def test_what_is_said_is_kept_for_a_time_and_only_where_that_is_allowed(upstream: ScriptedUpstream) -> None:
    upstream.script(
        stream_answer(*messages.text_stream(f"Yes, {SECRET}")),
        json_answer(200, messages.message(f"Yes, {SECRET}")),
        error_answer(400, "invalid_request_error", f"messages: {SECRET}"),
    )
    async with quick_gateway(config=observed(upstream)) as running:
        http = running.http()
        as_diary = {"authorization": f"Bearer {DIARY}"}
        await http.post(PATH, json=asking(f"Dear {SECRET}", stream=True), headers=as_diary)
        await http.post(PATH, json=asking(f"Dear {SECRET}"), headers=AS_SHOP)
        await http.post(PATH, json=asking(f"Dear {SECRET}"), headers=as_diary)
        await no_lease_is_out(running)
        listed = await requests_of(http)
        pages = [await http.get(f"/admin/requests/{entry['id']}", headers=AS_ADMIN) for entry in listed]
        as_viewer = {"x-api-key": VIEWER}
        viewed = [await http.get(f"/admin/requests/{entry['id']}", headers=as_viewer) for entry in listed]
        now = running.time.now()
        running.time.now = lambda: now + 61
        later = [await http.get(f"/admin/requests/{entry['id']}", headers=AS_ADMIN) for entry in listed]

    refused, shop, diary = [page.json()["content"] for page in pages]
    assert shop is None
    assert f"Dear {SECRET}" in diary["request"]
    assert f"Yes, {SECRET}" in "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content") or ""
        for line in diary["answer"].splitlines()
        if line.startswith("data: {")
    )
    assert SECRET in refused["said"][0]
    assert SECRET not in json.dumps(listed)
    assert [page.json()["content"] for page in later] == [None, None, None]
    assert [page.json()["content"] for page in viewed] == [None, None, None]
    assert [page.json()["request"] for page in viewed] == [page.json()["request"] for page in pages]


@pytest.mark.parametrize(("is_open", "headers", "status"), [
    (False, {"authorization": f"Bearer {PROMETHEUS}"}, 200),
    (False, AS_ADMIN, 200),
    (False, {"x-api-key": VIEWER}, 200),
    (False, AS_SHOP, 401),
    (False, {}, 401),
    (True, {}, 200),
])  # fmt: skip
async def test_metrics_are_for_operators(
    upstream: ScriptedUpstream, is_open: bool, headers: dict[str, str], status: int
) -> None:
    config = config_for(key(upstream.base_url))
    if not is_open:
        config = observed(upstream, metrics=MetricsConfig(api_key=Secret(PROMETHEUS)))
    async with quick_gateway(config=config) as running:
        answer = await running.http().get("/metrics", headers=headers)

    assert answer.status_code == status


async def test_metrics_may_have_a_port_of_their_own(
    upstream: ScriptedUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    async with quick_gateway(config=observed(upstream, metrics=MetricsConfig(port=0))) as running:
        port = running.server.servers[-1].sockets[0].getsockname()[1]
        http, own = running.http(), f"http://127.0.0.1:{port}"
        seen = await http.get(f"{own}/metrics", headers=AS_ADMIN)
        closed = await http.get(f"{own}/metrics", headers=AS_SHOP)
        well = await http.get(f"{own}/livez")
        no_door = await http.post(f"{own}{PATH}", json=asking(), headers=AS_SHOP)
        elsewhere = await http.get("/metrics", headers=AS_ADMIN)
        async with quick_gateway(config=observed(upstream, metrics=MetricsConfig(port=port))) as other:
            serves = await other.http().get("/livez")

    assert [seen.status_code, closed.status_code, well.status_code] == [200, 401, 200]
    assert [no_door.status_code, elsewhere.status_code, serves.status_code] == [404, 404, 200]
    assert "The port for metrics cannot be listened on" in caplog.text


async def test_without_any_key_for_them_metrics_are_closed_and_can_be_switched_off(upstream: ScriptedUpstream) -> None:
    closed = observed(upstream, admin=AdminConfig())
    off = observed(upstream, metrics=MetricsConfig(enabled=False), request_log=RequestLogConfig(size=0))
    async with quick_gateway(config=closed) as running:
        refused = await running.http().get("/metrics", headers=AS_SHOP)
        running.gateway.reload(off)
        missing = [await running.http().get(path, headers=AS_ADMIN) for path in ("/metrics", "/admin/requests")]

    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "metrics_key_not_set"
    assert {answer.status_code for answer in missing} == {404}


async def test_what_the_server_refuses_by_itself_is_counted_and_what_is_open_is_shown(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    async with quick_gateway(config=observed(upstream)) as running, raw_client(running) as odd:
        odd.write(b"no HTTP at all\r\n\r\n")
        await odd.ended()
        async with running.http().stream("POST", PATH, json=asking(stream=True), headers=AS_SHOP):
            text = await metrics_of(running.http())
            gate.set()

    assert total_of(text, "dragoman_refused_connections_total", status="400") == 1
    assert total_of(text, "dragoman_open_streams") == total_of(text, "dragoman_open_requests") == 1
    assert total_of(text, "dragoman_connections") >= 2
    assert total_of(text, "dragoman_key_leases") == 1


async def test_openmetrics_names_the_trace_of_a_slow_request(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(200, messages.message()))
    async with quick_gateway(config=observed(upstream)) as running:
        traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        await running.http().post(PATH, json=asking(), headers=AS_SHOP | traced)
        await no_lease_is_out(running)
        text = await metrics_of(running.http(), "application/openmetrics-text; version=1.0.0")

    exemplars = [sample.exemplar for sample in samples_of(text) if sample.exemplar]
    assert {exemplar.labels["trace_id"] for exemplar in exemplars} == {TRACE}


async def test_no_planted_secret_is_in_metrics_request_log_or_log(
    upstream: ScriptedUpstream, read_json_log: Callable[[], list[dict[str, Any]]]
) -> None:
    upstream.always(json_answer(200, messages.message(f"I know {SECRET}"), {"x-note": SECRET, "request-id": "req_1"}))
    async with quick_gateway(config=observed(upstream)) as running:
        http = running.http()
        # Several at once, since the answer to a guesser of keys is held back.
        for first in range(0, PLANTED, 20):
            requests = (http.request(**planted(upstream, number)) for number in range(first, first + 20))
            await asyncio.gather(*requests)
        await no_lease_is_out(running)
        shown = await metrics_of(http) + json.dumps(await requests_of(http, "?limit=1000"))

    lines = [line for line in read_json_log() if line["level"] != "debug"]
    # What a caller names its request, and the path that it asks for, are in the line as they came.
    shown += json.dumps([{**line, "client_request_id": "", "path": "", "message": ""} for line in lines])
    assert {shown[max(0, at.start() - 40) : at.end() + 40] for at in re.finditer(SECRET, shown)} == set()
    assert total_of(shown.partition("[{")[0], "dragoman_http_requests_total") >= PLANTED


def planted(upstream: ScriptedUpstream, number: int) -> dict[str, Any]:
    """A request with the secret wherever a caller, or upstream, can put one."""
    fails = (
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (500, "api_error"),
    )
    status, kind = fails[number // 10 % len(fails)]
    if number % 3 == 0:
        said = f"messages.0: {SECRET} in '{SECRET}'"
        cut = stream_answer(EVENTS[0], messages.error_event(message=SECRET))
        upstream.script(cut if number % 2 else error_answer(status, kind, said))
    body = asking(
        f"Remember {SECRET}",
        stream=bool(number % 2),
        user=SECRET,
        metadata={"note": SECRET},
        stop=[SECRET],
        tools=[{"type": "function", "function": {"name": "look", "description": SECRET}}],
        **{f"x_{SECRET}": SECRET},
    )
    path = (PATH, f"{PATH}?token={SECRET}", f"/v1/{SECRET}", f"/v1/models/{SECRET}", "/v1/responses")[number % 5]
    headers = {
        **(AS_SHOP if number % 7 else {"authorization": f"Bearer {SECRET}"}),
        "x-request-id": SECRET,
        "user-agent": SECRET,
        "traceparent": SECRET,
        "anthropic-beta": SECRET,
    }
    return {"method": "POST", "url": path, "json": body if number % 11 else {"messages": SECRET}, "headers": headers}


async def test_counts_of_a_killed_worker_stay(upstream: ScriptedUpstream) -> None:
    upstream.always(json_answer(200, messages.message()))
    environment = {"ANTHROPIC_API_KEY": "sk-ant-test", "ANTHROPIC_BASE_URL": upstream.base_url}
    async with started("serve", "--workers", "2", DRAGOMAN_ADMIN_KEY=ADMIN, **environment) as running:
        both = Fleet(running)
        pids = await both.pids()

        async def ask(count: int) -> None:
            for _ in range(count):
                async with client_of(both) as client:
                    assert (await client.post(PATH, json=asking())).status_code == 200

        async def counted() -> float:
            async with client_of(both) as client:
                return total_of(await metrics_of(client), "dragoman_requests_total")

        await ask(6)
        before = await counted()
        os.kill(pids[0], signal.SIGKILL)
        await both.pids(3)
        after = await counted()
        await ask(4)
        at_last = await counted()
        async with client_of(both) as client:
            asked = len(await requests_of(client))
        both.signal(signal.SIGTERM)
        await both.end()

    assert (before, after, at_last) == (6, 6, 10)
    assert 4 <= asked < 10


async def test_the_ledger_is_in_the_metrics_where_there_is_one(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.script(json_answer(200, messages.message()))
    accounts = AccountsConfig(path=str(tmp_path / "accounts.db"))
    async with quick_gateway(config=observed(upstream, accounts=accounts)) as running:
        await running.http().post(PATH, json=asking(), headers=AS_SHOP)
        text = await metrics_of(running.http())
        running.gateway.reload(observed(upstream))
        without = await metrics_of(running.http())

    assert {"dragoman_ledger_waiting", "dragoman_ledger_failing"} <= {sample.name for sample in samples_of(text)}
    assert total_of(text, "dragoman_ledger_failing") == 0
    assert "dragoman_ledger" not in without


async def test_requests_are_counted_through_a_reload_that_switches_counting_off_and_on(
    upstream: ScriptedUpstream,
) -> None:
    upstream.always(json_answer(200, messages.message()))
    off = observed(upstream, metrics=MetricsConfig(enabled=False), request_log=RequestLogConfig(size=0))
    async with quick_gateway(config=observed(upstream)) as running:
        http = running.http()
        for config in (observed(upstream), off, observed(upstream)):
            running.gateway.reload(config)
            await http.post(PATH, json=asking(), headers=AS_SHOP)
            await no_lease_is_out(running)
        text, entries = await metrics_of(http), await requests_of(http)

    assert total_of(text, "dragoman_requests_total") == 2
    assert len(entries) == 1
