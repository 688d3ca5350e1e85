"""The ledger's tokens are those that upstream has reported, whatever becomes of a request."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gateway.config import AdminConfig, StoreConfig
from tests.scenarios.harness import (
    PATH,
    asking,
    assert_error,
    no_lease_is_out,
    quick_gateway,
    raw_client,
    soon,
    until,
    without_pauses,
)
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.scenarios.test_forced_tools import request as forcing
from tests.scenarios.test_pauses import request as pausing
from tests.support import messages
from tests.support.gateway import (
    AccountsConfig,
    ClientConfig,
    Config,
    RunningGateway,
    Secret,
    config_for,
    key,
    with_settings,
)
from tests.support.ledgers import table, unusable
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

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 7,
    "cache_read_input_tokens": 2,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
    "output_tokens": 5,
    "output_tokens_details": {"thinking_tokens": 1},
    "server_tool_use": {"web_search_requests": 1},
}
# What one whole answer costs, and one of which only the beginning has come (`messages.text_stream` begins with 1).
WHOLE = {
    "input": 10,
    "cache_read": 2,
    "cache_write_5m": 3,
    "cache_write_1h": 4,
    "output": 5,
    "thinking": 1,
    "server_tool_uses": 1,
}
BEGUN = {**WHOLE, "output": 1}
EVENTS = messages.text_stream(usage=USAGE)
PAUSED = messages.sse(*messages.message_events(messages.text_block("Wait."), stop_reason="pause_turn", usage=USAGE))
SUMMARY = messages.sse(*messages.message_events(messages.thinking_block(), messages.text_block("Short."), usage=USAGE))
COMPACTED = {
    **USAGE,
    "iterations": [
        {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
        {"type": "message", **{name: USAGE[name] for name in ("input_tokens", "output_tokens")}},
    ],
}
RESPONSES = "/v1/responses"
ASKED = {"model": messages.MODEL, "input": "Hi", "max_output_tokens": 2_000}
LEGACY = {"model": messages.MODEL, "prompt": "Hi", "max_tokens": 2_000}
BUSY = error_answer(529, "overloaded_error", "Busy")
ADMIN = "admin-key-of-the-operator"


class Case(NamedTuple):
    """A request, what upstream answers, and what of that is whole, has begun, or is more."""

    path: str
    body: dict[str, Any]
    answers: tuple[Answer, ...]
    whole: int = 1
    begun: int = 0
    more: dict[str, int] = {}
    rows: int = 1


def whole() -> Answer:
    return json_answer(200, messages.message(usage=USAGE))


def streamed() -> Answer:
    return stream_answer(*EVENTS)


def broken(events: int = 3) -> Answer:
    return stream_answer(*EVENTS[:events], Close())


CASES = {
    "chat": Case(PATH, asking(), (whole(),)),
    "chat streamed": Case(PATH, asking(stream=True), (streamed(),)),
    "native": Case(NATIVE_PATH, asking_natively(), (whole(),)),
    "native streamed": Case(NATIVE_PATH, asking_natively(stream=True), (streamed(),)),
    "legacy": Case("/v1/completions", LEGACY, (whole(),)),
    "legacy streamed": Case("/v1/completions", {**LEGACY, "stream": True}, (streamed(),)),
    "responses": Case(RESPONSES, ASKED, (whole(),)),
    "responses streamed": Case(RESPONSES, {**ASKED, "stream": True}, (streamed(),)),
    "compaction": Case(f"{RESPONSES}/compact", {"model": messages.MODEL, "input": "Hi"}, (stream_answer(SUMMARY),)),
    "upstream's own compaction": Case(
        PATH,
        asking(),
        (json_answer(200, messages.message(usage=COMPACTED)),),
        more={"input": 100, "output": 20},
    ),
    "cut off": Case(PATH, asking(stream=True), (broken(4),), whole=0, begun=1),
    "native cut off": Case(NATIVE_PATH, asking_natively(stream=True), (broken(4),), whole=0, begun=1),
    "fail-over after tokens": Case(PATH, asking(stream=True), (broken(1), broken(1), streamed()), begun=2, rows=3),
    "refused, then answered": Case(PATH, asking(), (BUSY, whole())),
    "never answered": Case(PATH, asking(), (BUSY,) * 3, whole=0, rows=0),
    "three choices": Case(PATH, asking(n=3), (whole(),) * 3, whole=3, rows=3),
    "three choices streamed": Case(PATH, asking(n=3, stream=True), (streamed(),) * 3, whole=3, rows=3),
    "pause": Case(PATH, pausing(stream=False), (stream_answer(PAUSED), streamed()), whole=2),
    "pause streamed": Case(PATH, pausing(stream=True), (stream_answer(PAUSED), streamed()), whole=2),
    "pause cut off": Case(PATH, pausing(stream=True), (stream_answer(PAUSED), broken(4)), whole=1, begun=1),
    "asked again": Case(PATH, forcing(), (whole(), whole()), whole=2),
    "counted tokens": Case(
        f"{NATIVE_PATH}/count_tokens",
        {name: value for name, value in asking_natively().items() if name in ("model", "messages")},
        (json_answer(200, {"input_tokens": 12}),),
        whole=0,
        rows=0,
    ),
}


def config_with(upstream: ScriptedUpstream, file: Path, **settings: Any) -> Config:
    """One key, and a ledger in this file."""
    return with_settings(config_for(key(upstream.base_url)), accounts=AccountsConfig(path=str(file), **settings))


def added_up(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    found = [*rows]
    return {name: sum(row[name] for row in found) for name in WHOLE}


def expected(case: Case) -> dict[str, int]:
    return {name: case.whole * WHOLE[name] + case.begun * BEGUN[name] + case.more.get(name, 0) for name in WHOLE}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


@pytest.mark.parametrize("name", CASES)
async def test_the_ledger_has_what_upstream_has_reported(upstream: ScriptedUpstream, file: Path, name: str) -> None:
    case = CASES[name]
    upstream.script(*case.answers)
    async with quick_gateway(config=config_with(upstream, file)) as running:
        without_pauses(running)
        await running.http().post(case.path, json=case.body)
        await no_lease_is_out(running)

    rows = [dict(row) for row in table(file)]
    assert added_up(rows) == expected(case)
    assert len(rows) == case.rows
    assert sum(row["requests"] for row in rows) == min(1, case.rows)
    for sums in ("hours", "days"):
        assert added_up(map(dict, table(file, sums))) == expected(case)
        assert sum(row["requests"] for row in table(file, sums)) == min(1, case.rows)
    assert {row["endpoint"] for row in rows} <= {case.path}
    assert len(upstream.received) == len(case.answers)


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH, RESPONSES])
async def test_a_client_that_leaves_has_used_what_had_come(upstream: ScriptedUpstream, file: Path, path: str) -> None:
    reached = asyncio.Event()
    upstream.script(stream_answer(*EVENTS[:3], Reached(reached), Silence()))
    body = {PATH: asking(), NATIVE_PATH: asking_natively(), RESPONSES: ASKED}[path]
    async with quick_gateway(config=config_with(upstream, file)) as running, raw_client(running) as client:
        client.send({**body, "stream": True}, path=path)
        await soon(reached)
        client.leave()
        await no_lease_is_out(running)

    (row,) = table(file)
    assert (row["error"], row["is_estimated"], row["finish"]) == ("abandoned", 1, None)
    assert added_up([dict(row)]) == BEGUN


async def test_a_response_in_the_background_is_in_the_ledger_once(upstream: ScriptedUpstream, file: Path) -> None:
    upstream.always(streamed())
    config = with_settings(config_with(upstream, file), store=StoreConfig(kind="memory"))
    async with quick_gateway(config=config) as running:
        http = running.http()
        response = (await http.post(RESPONSES, json={**ASKED, "background": True})).json()
        while response["status"] in ("queued", "in_progress"):
            response = (await http.get(f"{RESPONSES}/{response['id']}")).json()
        await no_lease_is_out(running)

    (row,) = table(file)
    assert added_up([dict(row)]) == WHOLE
    assert row["requests"] == 1


async def test_a_row_says_who_and_what_and_holds_no_content_and_no_secret(
    upstream: ScriptedUpstream, file: Path
) -> None:
    planted = ["sk-ant-planted-key", "client-planted-secret", "planted words", "planted@example.com", "planted answer"]
    upstream.script(json_answer(200, messages.message("planted answer", usage=USAGE)))
    config = with_settings(
        config_for(
            key(upstream.base_url, api_key=planted[0]), clients=[ClientConfig(name="app", api_key=Secret(planted[1]))]
        ),
        accounts=AccountsConfig(path=str(file)),
    )
    async with quick_gateway(config=config) as running:
        answer = await running.http().post(
            PATH, json=asking(planted[2], user=planted[3]), headers={"authorization": f"Bearer {planted[1]}"}
        )
        await no_lease_is_out(running)

    assert answer.status_code == 200
    (row,) = table(file)
    assert (row["caller"], row["upstream_key"], row["model"], row["model_asked"]) == (
        "app",
        "main",
        messages.MODEL,
        messages.MODEL,
    )
    assert row["request_id"] == answer.headers["x-request-id"]
    content = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"app" in content
    assert [secret for secret in planted if secret.encode() in content] == []


# What clients have used, over restarts and all workers


async def clients_of(running: RunningGateway) -> dict[str, Any]:
    answer = await running.http().get("/admin/clients", headers={"x-api-key": ADMIN})
    found: dict[str, Any] = answer.json()
    return found


async def test_what_clients_have_used_outlives_a_restart_and_counts_all_processes(
    upstream: ScriptedUpstream, file: Path
) -> None:
    upstream.always(whole())
    config = with_settings(config_with(upstream, file), admin=AdminConfig(api_key=Secret(ADMIN)))
    async with quick_gateway(config=config) as first, quick_gateway(config=config) as second:
        await first.http().post(PATH, json=asking())
        await second.http().post(PATH, json=asking())
    async with quick_gateway(config=config) as running:
        found = await clients_of(running)

    assert found["source"] == "ledger"
    (client,) = found["clients"]
    assert (client["name"], client["requests"], client["prompt_tokens"], client["completion_tokens"]) == (
        "local",
        2,
        2 * 19,
        2 * 5,
    )


async def test_without_a_ledger_they_are_those_of_the_process(upstream: ScriptedUpstream) -> None:
    upstream.always(whole())
    config = with_settings(config_for(key(upstream.base_url)), admin=AdminConfig(api_key=Secret(ADMIN)))
    async with quick_gateway(config=config) as running:
        await running.http().post(PATH, json=asking())
        await no_lease_is_out(running)
        found = await clients_of(running)

    assert "source" not in found
    assert [client["requests"] for client in found["clients"]] == [1]


# While it cannot be written


async def opened(running: RunningGateway) -> None:
    """Wait until the writer has tried the file."""
    parts = running.gateway.ledger._parts
    assert parts is not None
    await until(lambda: parts.writer.has_begun)


async def after_trouble(running: RunningGateway, *, is_failing: bool) -> None:
    """Wait until the writer has noticed."""
    parts = running.gateway.ledger._parts
    assert parts is not None
    await until(lambda: parts.writer.is_failing is is_failing)


async def test_requests_go_on_while_the_ledger_cannot_be_written_and_nothing_is_lost(
    upstream: ScriptedUpstream, file: Path
) -> None:
    upstream.always(whole())
    async with quick_gateway(config=config_with(upstream, file)) as running:
        await opened(running)
        with unusable(file):
            first = await running.http().post(PATH, json=asking())
            await after_trouble(running, is_failing=True)
            answers = [first, *[await running.http().post(PATH, json=asking()) for _ in range(3)]]
        await after_trouble(running, is_failing=False)

    assert [answer.status_code for answer in answers] == [200] * 4
    assert len(table(file)) == 4


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_if_so_configured_requests_are_refused_until_it_can_be_written_again(
    upstream: ScriptedUpstream, file: Path, path: str
) -> None:
    upstream.always(whole())
    body = asking() if path == PATH else asking_natively()
    async with quick_gateway(config=config_with(upstream, file, on_ledger_failure="refuse")) as running:
        await opened(running)
        with unusable(file):
            await running.http().post(path, json=body)
            await after_trouble(running, is_failing=True)
            refused = await running.http().post(path, json=body)
            seen = len(upstream.received)
        await after_trouble(running, is_failing=False)
        served = await running.http().post(path, json=body)

    assert (refused.status_code, refused.headers["retry-after"], seen) == (503, "1", 1)
    if path == PATH:
        assert_error(refused, 503, "service_unavailable_error", "ledger_unavailable")
    assert served.status_code == 200
    assert len(table(file)) == 2


async def test_a_reload_moves_the_ledger_and_loses_nothing(upstream: ScriptedUpstream, file: Path) -> None:
    upstream.always(whole())
    other = file.with_name("other.db")
    async with quick_gateway(config=config_with(upstream, file)) as running:
        await running.http().post(PATH, json=asking())
        await no_lease_is_out(running)
        running.gateway.reload(config_with(upstream, other))
        await running.http().post(PATH, json=asking())
        await no_lease_is_out(running)
        running.gateway.reload(with_settings(running.gateway.config, accounts=AccountsConfig(kind="off")))
        await running.http().post(PATH, json=asking())

    assert (len(table(file)), len(table(other))) == (1, 1)
