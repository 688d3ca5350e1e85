"""Responses in the background: they are made whoever listens, found again, replayed, cancelled, and never left open."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from gateway.config import ResponsesConfig
from gateway.service import event_log
from gateway.service.background import Background
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    asking,
    assert_error,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    until,
)
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    Config,
    RunningGateway,
    Secret,
    ServerConfig,
    StoreConfig,
    StreamingConfig,
    config_for,
    key,
    running_gateway,
    with_settings,
)
from tests.support.responses_grammar import event_violations, response_violations, stream_violations
from tests.support.scripted import ScriptedUpstream, Silence, error_answer, json_answer, stream_answer

PATH = "/v1/responses"
MODEL = "claude-sonnet-5-5"
EVENTS = messages.text_stream()
CORPUS = Path(__file__).parents[1] / "corpus" / "responses" / "answers"


def wanting(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": "Hi", "background": True, **more}


async def begun(http: httpx2.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await http.post(PATH, json=wanting(**more))
    assert answer.status_code == 200, answer.text
    response: dict[str, Any] = answer.json()
    return response


async def found(http: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    response: dict[str, Any] = (await http.get(f"{PATH}/{name}")).json()
    return response


async def ended(http: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    """The response once it is over."""
    while (response := await found(http, name)).get("status") in ("queued", "in_progress"):
        pass
    return response


async def replayed(http: httpx2.AsyncClient, name: str, after: int | None = None) -> bytes:
    query = "" if after is None else f"&starting_after={after}"
    answer = await http.get(f"{PATH}/{name}?stream=true{query}")
    assert answer.status_code == 200, answer.text
    return answer.content


def numbers(stream: bytes) -> list[int]:
    return [event["sequence_number"] for event in events_of(stream)]


def events_of(stream: bytes) -> list[dict[str, Any]]:
    lines = [line for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item.get("content") or ())


def limited(upstream: ScriptedUpstream, most: int, most_per_client: int = 50) -> Config:
    limits = ResponsesConfig(background_tasks=most, background_per_client=most_per_client)
    return with_settings(config_for(key(upstream.base_url)), responses=limits)


def background_of(running: RunningGateway) -> Background:
    return running.gateway.background


@contextmanager
def never_ending(upstream: ScriptedUpstream) -> Iterator[None]:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    yield


async def test_the_sdk_polls_until_it_is_done(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        first = await client.responses.create(model=MODEL, input="Hi", background=True, metadata={"topic": "tides"})
        second = await client.responses.retrieve(first.id)
        gate.set()
        while (last := await client.responses.retrieve(first.id)).status in ("queued", "in_progress"):
            pass
        no_lease = pool_of(running).in_flight

    assert (first.status, first.background, first.output) == ("queued", True, [])
    assert (second.status, second.id, second.output) == ("in_progress", first.id, [])
    assert (last.status, last.id, last.output_text) == ("completed", first.id, "Hello, world.")
    assert last.usage is not None
    assert (last.created_at, last.metadata) == (first.created_at, {"topic": "tides"})
    assert [response_violations(each.to_dict(mode="json")) for each in (first, second, last)] == [[], [], []]
    assert no_lease == 0


async def test_it_is_logged_and_counted_once_when_it_ends(
    upstream: ScriptedUpstream, gate: asyncio.Event, read_json_log: Callable[[], list[dict[str, Any]]]
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await begun(http)
        before = running.gateway._totals.clients()
        gate.set()
        await ended(http, response["id"])
        await until(lambda: bool(running.gateway._totals.clients()))
        (totals,) = running.gateway._totals.clients()
        await until(lambda: not background_of(running))

    (line,) = [line for line in read_json_log() if line["message"] == "A response in the background is completed"]
    (asked,) = [line for line in read_json_log() if line.get("method") == "POST"]
    assert before == []
    assert (totals.requests, totals.prompt_tokens, totals.completion_tokens) == (1, 12, 7)
    assert (line["response"], line["request_id"]) == (response["id"], asked["request_id"])
    assert (line["model"], line["attempts"], line["key"], line["completion_tokens"]) == (MODEL, 1, "main", 7)
    assert asked["attempts"] == 0


async def test_a_stream_is_replayed_with_the_numbers_it_had(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        live = (await http.post(PATH, json=wanting(stream=True))).content
        name = events_of(live)[0]["response"]["id"]
        whole = await replayed(http, name)
        rests = [await replayed(http, name, after) for after in range(len(numbers(live)) + 2)]
        response = await found(http, name)

    assert stream_violations(live) == []
    assert [event["type"] for event in events_of(live)[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert whole == live
    for after, rest in enumerate(rests):
        assert numbers(rest) == numbers(live)[after + 1 :]
        assert live.endswith(rest)
    assert events_of(live)[-1]["response"] == response


async def test_whatever_an_answer_holds_its_replay_is_its_stream(upstream: ScriptedUpstream) -> None:
    answers = [file.read_bytes() for file in sorted(CORPUS.glob("*/messages.sse"))]
    upstream.script(*(stream_answer(answer) for answer in answers))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        lives = [(await http.post(PATH, json=wanting(stream=True))).content for _ in answers]
        names = [events_of(live)[0]["response"]["id"] for live in lives]
        replays = [await replayed(http, name) for name in names]
        middles = [await replayed(http, name, len(numbers(live)) // 2) for name, live in zip(names, lives, strict=True)]

    assert len(answers) > 10
    assert [stream_violations(live) for live in lives] == [[]] * len(answers)
    assert replays == lives
    for live, middle in zip(lives, middles, strict=True):
        assert live.endswith(middle)
        assert numbers(middle)[0] == len(numbers(live)) // 2 + 1


async def test_the_sdk_goes_on_where_it_was_cut(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        seen = []
        stream = await client.responses.create(model=MODEL, input="Hi", background=True, stream=True)
        async for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        gate.set()
        name = seen[0].response.id  # type: ignore[union-attr]
        resumed = await client.responses.retrieve(name, stream=True, starting_after=seen[-1].sequence_number)
        seen += [event async for event in resumed]

    assert event_violations([event.to_dict(mode="json") for event in seen]) == []
    assert seen[-1].type == "response.completed"
    assert seen[-1].response.output_text == "Hello, world."


async def test_the_sdks_helper_follows_one_by_its_id(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        response = await client.responses.create(model=MODEL, input="Hi", background=True)
        gate.set()
        async with client.responses.stream(response_id=response.id, starting_after=3) as stream:
            first = await anext(aiter(stream))
            last = await stream.get_final_response()

    assert first.sequence_number == 4
    assert last.output_text == "Hello, world."


async def test_many_follow_at_once_and_see_the_same(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await begun(http)
        following = [asyncio.create_task(replayed(http, response["id"])) for _ in range(20)]
        await upstream.wait_for_requests(1)
        gate.set()
        streams = await asyncio.gather(*following)

    assert len({*streams}) == 1
    assert stream_violations(streams[0]) == []


async def test_a_client_that_leaves_ends_nothing(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        async with raw_client(running) as client:
            client.send(wanting(stream=True), path=PATH)
            await client.head()
            first = b""
            while b"Hello," not in first:
                first += await client.chunk()
            client.leave()
        name = events_of(first)[0]["response"]["id"]
        await until(lambda: not running.server.server_state.tasks)
        gate.set()
        response = await ended(running.http(), name)

    assert text_of(response) == "Hello, world."
    assert upstream.disconnects == 0


async def test_silence_is_filled_for_those_who_follow(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    config = with_settings(config_for(key(upstream.base_url)), streaming=StreamingConfig(keepalive_seconds=0.02))
    async with quick_gateway(config=config) as running, raw_client(running) as client:
        client.send(wanting(stream=True), path=PATH)
        await client.head()
        seen = b""
        while seen.count(b": keep-alive\n\n") < 3:
            seen += await client.chunk()
        gate.set()
        seen += b"".join(await client.chunks())

    assert stream_violations(seen) == []


async def test_what_was_cancelled_is_cancelled_upstream_and_for_good(
    upstream: ScriptedUpstream, read_json_log: Callable[[], list[dict[str, Any]]]
) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Silence()))
    async with quick_gateway(key(upstream.base_url)) as running:
        client, http = running.openai(), running.http()
        response = await client.responses.create(model=MODEL, input="Hi", background=True)
        following = asyncio.create_task(replayed(http, response.id))
        await upstream.wait_for_requests(1)
        await until(lambda: pool_of(running).in_flight == 1)
        cancelled = await client.responses.cancel(response.id)
        await upstream.wait_for_disconnects(1)
        again = await client.responses.cancel(response.id)
        after = await client.responses.retrieve(response.id)
        stream = await following
        await no_lease_is_out(running)

    (line,) = [line for line in read_json_log() if "A response in the background" in line["message"]]
    assert [each.status for each in (cancelled, again, after)] == ["cancelled"] * 3
    assert cancelled.usage is not None
    assert line["message"].endswith("cancelled")
    # No event is there for it.
    assert [event["type"] for event in events_of(stream)[-2:]] == ["response.failed", "error"]
    assert stream_violations(stream) == []


async def test_what_has_ended_cannot_be_cancelled_any_more(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await ended(http, (await begun(http))["id"])
        cancelled = (await http.post(f"{PATH}/{response['id']}/cancel")).json()

    assert cancelled == response
    assert cancelled["status"] == "completed"


async def test_only_what_is_in_the_background_can_be_cancelled_or_replayed(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = (await http.post(PATH, json={"model": MODEL, "input": "Hi"})).json()
        cancelled = await http.post(f"{PATH}/{response['id']}/cancel")
        replay = await http.get(f"{PATH}/{response['id']}?stream=true")
        unknown = await http.post(f"{PATH}/resp_1/cancel")

    assert assert_error(cancelled, 400, "invalid_request_error", None)["message"] == (
        "Cannot cancel a synchronous response."
    )
    assert_error(replay, 400, "invalid_request_error", "invalid_value")
    assert_error(unknown, 404, "invalid_request_error", None)


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 13, "٣"])
async def test_a_number_that_is_none_is_refused(upstream: ScriptedUpstream, after: str) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await begun(http)
        refused = await http.get(f"{PATH}/{response['id']}", params={"stream": "true", "starting_after": after})

    assert assert_error(refused, 400, "invalid_request_error", "invalid_value")["param"] == "starting_after"


async def test_what_is_not_finished_cannot_be_continued(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await begun(http)
        next_one = {"model": MODEL, "input": "Go on", "previous_response_id": response["id"]}
        too_early = await http.post(PATH, json=next_one)
        gate.set()
        await ended(http, response["id"])
        continued = await http.post(PATH, json=next_one)

    assert_error(too_early, 400, "invalid_request_error", "previous_response_not_completed")
    assert continued.status_code == 200
    said = [message["role"] for message in upstream.received[-1].json["messages"]]
    assert said == ["user", "assistant", "user"]


async def test_a_chain_of_them_is_continued_and_a_conversation_holds_them(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        conversation = (await http.post("/v1/conversations", json={})).json()["id"]
        first = await begun(http, conversation=conversation)
        await ended(http, first["id"])
        items = (await http.get(f"/v1/conversations/{conversation}/items?order=asc")).json()["data"]

    assert [item["role"] for item in items] == ["user", "assistant"]


async def test_deleting_one_that_runs_cancels_it(upstream: ScriptedUpstream) -> None:
    with never_ending(upstream):
        async with quick_gateway(key(upstream.base_url)) as running:
            http = running.http()
            response = await begun(http)
            await upstream.wait_for_requests(1)
            deleted = (await http.delete(f"{PATH}/{response['id']}")).json()
            await upstream.wait_for_disconnects(1)
            gone = [
                await http.get(f"{PATH}/{response['id']}"),
                await http.get(f"{PATH}/{response['id']}?stream=true"),
                await http.post(f"{PATH}/{response['id']}/cancel"),
            ]
            await until(lambda: not background_of(running))
            left = len(running.gateway._kept.records.memory)

    assert deleted == {"id": response["id"], "object": "response", "deleted": True}
    assert [answer.status_code for answer in gone] == [404] * 3
    assert left == 0


async def test_a_failure_is_kept_and_told(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(400, "invalid_request_error", "prompt is too long: 300000 tokens > 200000 maximum"))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await ended(http, (await begun(http))["id"])
        stream = await replayed(http, response["id"])

    assert (response["status"], response["error"]["code"]) == ("failed", "context_length_exceeded")
    assert response_violations(response) == []
    assert stream_violations(stream) == []
    assert events_of(stream)[-2]["response"] == response


async def test_an_answer_that_breaks_off_has_failed(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS[:3]))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await ended(http, (await begun(http))["id"])
        stream = await replayed(http, response["id"])

    assert response["status"] == "failed"
    assert stream_violations(stream) == []


async def test_mistakes_are_told_at_once(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        answers = [
            await http.post(PATH, json=wanting(store=False)),
            await http.post(PATH, json=wanting(temperature=7)),
            await http.post(PATH, json=wanting(model="claude-nobody-knows")),
        ]
        running_tasks = len(background_of(running))

    assert [answer.status_code for answer in answers[:2]] == [400, 400]
    assert running_tasks <= 1


async def test_another_time_than_the_soonest_is_named(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        later = await http.post(PATH, json=wanting(background_options={"completion_window": "8h"}))
        soonest = await http.post(PATH, json=wanting(background_options={"completion_window": "soonest"}))
        refused = await http.post(
            PATH,
            json=wanting(background_options={"completion_window": "8h"}),
            headers={"x-gateway-on-unsupported": "reject"},
        )

    assert later.headers["x-gateway-adjusted"] == "background_options.completion_window=dropped:unsupported"
    assert "x-gateway-adjusted" not in soonest.headers
    assert refused.json()["error"]["param"] == "background_options.completion_window"


@pytest.mark.parametrize("limits", [(0, 5), (5, 0)])
async def test_an_operator_can_allow_none(upstream: ScriptedUpstream, limits: tuple[int, int]) -> None:
    async with quick_gateway(config=limited(upstream, *limits)) as running:
        refused = await running.http().post(PATH, json=wanting())

    error = assert_error(refused, 400, "invalid_request_error", "background_unavailable")
    assert "responses.background_tasks" in error["message"]


async def test_an_answer_that_is_too_large_to_be_kept_has_failed(upstream: ScriptedUpstream) -> None:
    config = with_settings(config_for(key(upstream.base_url)), responses=ResponsesConfig(memory_bytes=2**20))
    upstream.always(stream_answer(*messages.text_stream(pieces=["x" * 1000] * 400)))
    async with quick_gateway(config=config) as running:
        http = running.http()
        response = await ended(http, (await begun(http))["id"])

    assert response["status"] == "failed"
    assert "too large to be kept" in response["error"]["message"]


async def test_a_request_that_is_too_large_to_be_kept_is_refused(upstream: ScriptedUpstream) -> None:
    config = with_settings(config_for(key(upstream.base_url)), responses=ResponsesConfig(memory_bytes=2**20))
    async with quick_gateway(config=config) as running:
        refused = await running.http().post(PATH, json=wanting(input="x" * 300_000))
        held = len(background_of(running)), background_of(running)._taken.total()

    assert_error(refused, 413, "invalid_request_error", "request_too_large")
    assert held == (0, 0)
    assert upstream.received == []


@pytest.mark.parametrize("kind", ["off", "memory"])
async def test_without_a_store_that_all_workers_share_the_setting_is_named(
    upstream: ScriptedUpstream, kind: str
) -> None:
    config = with_settings(
        config_for(key(upstream.base_url)),
        store=StoreConfig(kind=kind),  # type: ignore[arg-type]
        server=ServerConfig(port=0, workers=2),
    )
    async with quick_gateway(config=config) as running:
        refused = await running.http().post(PATH, json=wanting())

    error = assert_error(refused, 400, "invalid_request_error", "background_unavailable")
    assert "store.kind" in error["message"]
    assert error["param"] == "background"


@pytest.mark.parametrize("path", ["/v1/responses/input_tokens", "/v1/responses/compact"])
async def test_what_is_counted_or_compacted_is_not_in_the_background(upstream: ScriptedUpstream, path: str) -> None:
    upstream.always(
        lambda request: (
            json_answer(200, {"input_tokens": 5}) if "count_tokens" in request.path else stream_answer(*EVENTS)
        )
    )
    async with quick_gateway(config=limited(upstream, 0)) as running:
        answer = await running.http().post(path, json=wanting())

    assert answer.status_code == 200, answer.text


async def test_a_client_has_so_many_and_all_together_so_many(upstream: ScriptedUpstream) -> None:
    clients = [ClientConfig(name=name, api_key=Secret(f"key-of-{name}-123")) for name in "abc"]
    config = with_settings(limited(upstream, 3, 2), clients=tuple(clients))
    with never_ending(upstream):
        async with quick_gateway(config=config) as running:
            http = running.http()

            async def asked(name: str) -> httpx2.Response:
                return await http.post(PATH, json=wanting(), headers={"authorization": f"Bearer key-of-{name}-123"})

            answers = [await asked(name) for name in "aaabbc"]
            cancelled = await http.post(
                f"{PATH}/{answers[0].json()['id']}/cancel", headers={"authorization": "Bearer key-of-a-123"}
            )
            once_more = await asked("c")

    assert [answer.status_code for answer in answers] == [200, 200, 429, 200, 429, 429]
    assert_error(answers[2], 429, "rate_limit_error", "too_many_background_responses")
    assert answers[2].headers["retry-after"] == "5"
    assert cancelled.status_code == once_more.status_code == 200


async def test_however_many_are_asked_for_no_more_are_made_than_are_allowed(upstream: ScriptedUpstream) -> None:
    with never_ending(upstream):
        async with quick_gateway(config=limited(upstream, 5)) as running:
            http = running.http()
            for _ in range(5):
                await begun(http)
            lane = asyncio.Semaphore(20)

            async def one_more() -> int:
                async with lane:
                    return (await http.post(PATH, json=wanting())).status_code

            statuses = await asyncio.gather(*(one_more() for _ in range(500)))
            held = (len(background_of(running)), len(running.gateway._kept.records.memory))

    assert {*statuses} == {429}
    # A response and its run each.
    assert held == (5, 10)


async def test_nobody_finds_cancels_replays_or_deletes_what_belongs_to_others(upstream: ScriptedUpstream) -> None:
    clients = tuple(ClientConfig(name=name, api_key=Secret(f"key-of-{name}-123")) for name in "ab")
    config = with_settings(config_for(key(upstream.base_url)), clients=clients)
    with never_ending(upstream):
        async with quick_gateway(config=config) as running:
            http = running.http()
            owner, other = ({"authorization": f"Bearer key-of-{name}-123"} for name in "ab")
            name = (await http.post(PATH, json=wanting(), headers=owner)).json()["id"]
            refused = [
                await http.get(f"{PATH}/{name}", headers=other),
                await http.get(f"{PATH}/{name}?stream=true", headers=other),
                await http.post(f"{PATH}/{name}/cancel", headers=other),
                await http.delete(f"{PATH}/{name}", headers=other),
            ]
            still = (await http.get(f"{PATH}/{name}", headers=owner)).json()

    assert [answer.status_code for answer in refused] == [404] * 4
    assert still["status"] == "in_progress"


async def test_those_with_keys_of_their_own_have_theirs_and_their_own_limit(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    config = with_settings(config_for(), responses=ResponsesConfig(background_per_client=1))
    async with quick_gateway(config=config, callers_base_url=upstream.base_url) as running:
        http = running.http()
        one, other = ({"authorization": f"Bearer {owned}"} for owned in (KEY_A, KEY_B))
        answers = [await http.post(PATH, json=wanting(), headers=headers) for headers in (one, one, other)]
        name = answers[0].json()["id"]
        await upstream.wait_for_requests(2)
        gate.set()
        foreign = await http.get(f"{PATH}/{name}", headers=other)
        while (own := (await http.get(f"{PATH}/{name}", headers=one)).json())["status"] != "completed":
            pass

    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert foreign.status_code == 404
    assert text_of(own) == "Hello, world."
    assert sorted(str(request.api_key) for request in upstream.received) == [KEY_A, KEY_B]


async def test_one_who_does_not_read_holds_up_nobody(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*messages.text_stream(pieces=["x" * 2**14] * 300)))
    async with quick_gateway(key(upstream.base_url)) as running, raw_client(running) as client:
        http = running.http()
        response = await begun(http)
        client.write(f"GET {PATH}/{response['id']}?stream=true HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        last = await ended(http, response["id"])
        await until(lambda: not background_of(running))
        await client.head()
        late = b"".join(await client.chunks())

    assert len(text_of(last)) == 300 * 2**14
    assert stream_violations(late) == []
    assert events_of(late)[-1]["response"] == last


async def test_a_stream_too_long_to_be_kept_still_ends_as_it_ended(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "MOST_BYTES", 20_000)
    upstream.always(stream_answer(*messages.text_stream(pieces=["x" * 1000] * 100)))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        live = (await http.post(PATH, json=wanting(stream=True))).content
        name = events_of(live)[0]["response"]["id"]
        replay = await replayed(http, name)
        response = await found(http, name)

    assert stream_violations(live) == []
    assert len(replay) < len(live)
    assert numbers(replay) == [*range(len(numbers(replay)))]
    assert events_of(replay)[-1]["response"] == response


async def test_a_reload_lets_it_run(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        response = await begun(http)
        await upstream.wait_for_requests(1)
        running.gateway.reload(limited(upstream, 1))
        refused = await http.post(PATH, json=wanting())
        meanwhile = await found(http, response["id"])
        gate.set()
        last = await ended(http, response["id"])

    assert refused.status_code == 429
    assert meanwhile["status"] == "in_progress"
    assert text_of(last) == "Hello, world."


async def test_within_the_grace_of_a_shutdown_it_is_completed(
    upstream: ScriptedUpstream, gate: asyncio.Event, tmp_path: Any
) -> None:
    config = with_settings(
        config_for(key(upstream.base_url)),
        store=StoreConfig(kind="sqlite", path=str(tmp_path / "store.db")),
        server=ServerConfig(port=0, shutdown_grace_seconds=60),
    )
    async with running_gateway(config=config) as running:
        response = await begun(running.http())
        await upstream.wait_for_requests(1)
        running.begin_shutdown()
        gate.set()
    async with quick_gateway(config=config) as running:
        last = await found(running.http(), response["id"])

    assert text_of(last) == "Hello, world."


@pytest.mark.parametrize("is_hurried", [False, True])
async def test_what_outlives_the_grace_has_failed_and_says_why(
    upstream: ScriptedUpstream, tmp_path: Any, is_hurried: bool
) -> None:
    config = with_settings(
        config_for(key(upstream.base_url)),
        store=StoreConfig(kind="sqlite", path=str(tmp_path / "store.db")),
        server=ServerConfig(port=0, shutdown_grace_seconds=600 if is_hurried else 0.05),
    )
    with never_ending(upstream):
        async with running_gateway(config=config) as running:
            response = await begun(running.http())
            await upstream.wait_for_requests(1)
            # What a second Ctrl-C does.
            running.server.force_exit = is_hurried
        async with quick_gateway(config=config) as running:
            last = await found(running.http(), response["id"])
            stream = await replayed(running.http(), response["id"])

    assert (last["status"], last["error"]["message"]) == ("failed", "The gateway is shutting down.")
    assert stream_violations(stream) == []


async def test_other_requests_go_on_beside_it(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        await begun(http)
        upstream.script(stream_answer(*EVENTS))
        await upstream.wait_for_requests(1)
        upstream.script(stream_answer(*EVENTS))
        answer = await http.post("/v1/chat/completions", json=asking(stream=True))

    assert "world" in answer.text


async def test_the_failure_of_openai_is_raised_by_its_client(upstream: ScriptedUpstream) -> None:
    upstream.always(error_answer(400, "invalid_request_error", "messages: no"))
    async with quick_gateway(key(upstream.base_url)) as running:
        client = running.openai()
        with pytest.raises(openai.APIError):
            async for _ in await client.responses.create(model=MODEL, input="Hi", background=True, stream=True):
                pass
