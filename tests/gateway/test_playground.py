"""The console as a caller, and the wire of its requests: who may ask, who may look, how much is kept and how long."""

from typing import Any

import httpx2
import pytest

from gateway.accounts.rules.definition import Definition
from gateway.service.ports import Call
from gateway.service.wire import MOST_WIRE_BYTES, WIRE_SECONDS, Wire
from gateway.telemetry.requests.contents import MOST_BYTES_TOGETHER, Wires
from gateway.upstream.hosts import endpoint
from tests.gateway.test_console import ADMIN, FOREIGN, OWN, VIEWER, closed, signed_in
from tests.scenarios.harness import KEY_A, PATH, asking, assert_error, quick_gateway
from tests.support import messages
from tests.support.gateway import RunningGateway, Secret, key
from tests.support.scripted import ScriptedUpstream, error_answer, stream_answer

WIRE = {**OWN, "x-gateway-wire": "1"}


async def wire_of(http: httpx2.AsyncClient, asked: httpx2.Response) -> dict[str, Any]:
    """Both sides of a request that was just answered."""
    answer = await http.get(f"/admin/requests/{asked.headers['x-request-id']}/wire", headers=OWN)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kept(running: RunningGateway) -> int:
    return len(running.gateway.observing.requests.wires.shown())


async def test_both_sides_of_a_request_of_the_console_can_be_read(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running)
        asked = await http.post(PATH, json=asking("Grüße", stream=True, temperature=0.5), headers=WIRE)
        seen = await wire_of(http, asked)

    wire, (call,) = seen["wire"], seen["wire"]["calls"]
    assert asked.headers["x-gateway-adjusted"] == seen["request"]["adjusted"] == "temperature=dropped:model"
    assert seen["request"]["caller"] == "console"
    assert "Grüße" in wire["request"]
    assert call["body"].encode() == upstream.received[-1].body
    assert call["url"].endswith("/v1/messages")
    assert (call["key"], call["status"], call["error"]) == ("main", 200, None)
    assert "".join(text for _, text in wire["events"]) == asked.text
    assert "message_stop" in "".join(text for _, text in call["events"])
    times = [call["began_ms"], call["head_ms"], *(at for at, _ in call["events"]), call["ended_ms"]]
    assert times == sorted(times)
    assert KEY_A not in str(seen)
    assert not wire["is_cut"]


async def test_a_failed_attempt_is_on_the_wire_with_what_upstream_said(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(400, "invalid_request_error", f"no such thing as {KEY_A}"))
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running)
        asked = await http.post(PATH, json=asking(stream=True), headers=WIRE)
        seen = await wire_of(http, asked)

    call = seen["wire"]["calls"][-1]
    assert (call["status"], call["error"]) == (400, "invalid_request")
    assert "no such thing" in call["events"][0][1]
    assert KEY_A not in str(seen)


async def test_nobody_else_can_have_a_wire_kept(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    async with quick_gateway(config=closed(upstream)) as running:
        shop = {"authorization": "Bearer client-key-of-an-application"}
        signed = await signed_in(running)
        answers = [
            await running.http().post(PATH, json=asking(stream=True), headers={**shop, **WIRE}),
            await signed.post(PATH, json=asking(stream=True), headers={**WIRE, **shop}),
            await signed.post(PATH, json=asking(stream=True), headers=OWN),
        ]
        count = kept(running)

    assert [answer.status_code for answer in answers] == [200] * 3
    assert count == 0


async def test_a_viewer_may_neither_spend_nor_read_a_wire(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    async with quick_gateway(config=closed(upstream)) as running:
        viewer, admin = await signed_in(running, viewer=True), await signed_in(running)
        spent = await viewer.post(PATH, json=asking(stream=True), headers=WIRE)
        asked = await admin.post(PATH, json=asking(stream=True), headers=WIRE)
        path = f"/admin/requests/{asked.headers['x-request-id']}/wire"
        read = await viewer.get(path)
        by_key = [
            await running.http().get(path, headers={"authorization": f"Bearer {each}"}) for each in (ADMIN, VIEWER)
        ]

    assert_error(spent, 403, "invalid_request_error", "viewer_only_reads")
    assert_error(read, 403, "invalid_request_error", "viewer_only_reads")
    assert [answer.status_code for answer in by_key] == [200, 403]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"x-dragoman-console": "1", "sec-fetch-site": "same-site"},
        {"x-dragoman-console": "1", "sec-fetch-site": "cross-site"},
        {"x-dragoman-console": "1", "origin": FOREIGN},
    ],
)
async def test_other_pages_cannot_spend_for_who_is_signed_in(
    upstream: ScriptedUpstream, headers: dict[str, str]
) -> None:
    async with quick_gateway(config=closed(upstream)) as running:
        http = await signed_in(running)
        for name in OWN:
            del http.headers[name]
        answer = await http.post(PATH, json=asking(stream=True), headers=headers)

    assert answer.status_code == 401
    assert not upstream.received


async def test_a_gateway_that_is_open_to_its_machine_has_an_open_playground(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        asked = await http.post(PATH, json=asking(stream=True), headers=WIRE)
        seen = await wire_of(http, asked)
        program = await http.get(f"/admin/requests/{asked.headers['x-request-id']}/wire")

    assert seen["request"]["caller"] == "console"
    assert program.status_code == 403


async def test_what_the_console_asks_counts_for_rules_as_any_other_request(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    rules = (Definition(id="calls", scope="key", what="requests", amount=1, window="day"),)
    async with quick_gateway(config=closed(upstream, rules=rules)) as running:
        http = await signed_in(running)
        answers = [await http.post(PATH, json=asking(stream=True), headers=WIRE) for _ in range(2)]
        refused = await wire_of(http, answers[1])

    assert [answer.status_code for answer in answers] == [200, 429]
    assert (refused["request"]["caller"], refused["wire"]["calls"]) == ("console", [])


def test_a_wire_is_bounded_whatever_is_said() -> None:
    wire = Wire(lambda: 0.0)
    wire.take(b"a" * MOST_WIRE_BYTES)
    heard = wire.call(endpoint("main", Secret(KEY_A), "http://127.0.0.1:9"), Call("2023-06-01", b"b" * MOST_WIRE_BYTES))
    for _ in range(40_000):
        wire.hear(b"c" * 20)
        heard.hear(b"d" * 20)
    seen = wire.seen()

    assert seen.is_cut
    assert wire.size <= MOST_WIRE_BYTES
    assert len(seen.request) < MOST_WIRE_BYTES / 3
    assert 100 < len(seen.events) < 10_000


def test_a_character_may_be_split_between_two_pieces() -> None:
    wire = Wire(lambda: 0.0)
    for piece in ("ü".encode()[:1], "ü".encode()[1:]):
        wire.hear(piece)

    assert "".join(text for _, text in wire.seen().events) == "ü"


async def test_wires_are_forgotten_after_five_minutes_and_the_oldest_for_the_newest() -> None:
    now = 0.0
    wires = Wires(lambda: now)
    for number in range(5):
        wire = Wire(lambda: 0.0)
        wire.hear(b"x" * MOST_WIRE_BYTES)
        wires.keep(f"req_{number}", wire)
    full = list(wires.shown())
    now = WIRE_SECONDS
    late = wires.shown()
    wires.close()

    assert full == [f"req_{number}" for number in range(5 - MOST_BYTES_TOGETHER // (MOST_WIRE_BYTES + 500), 5)]
    assert late == {}
