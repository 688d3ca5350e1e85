"""What an installed Codex sends and what it makes of answers, seen by a scripted server.

Nothing of the gateway is here; `test_gateway.py` asks the same of it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.contract.codex.driving import Run, need_codex, run_codex
from tests.support.codex import (
    CATALOG_ENTRY,
    COMMAND,
    MODEL,
    NEEDED_OF_AN_ENTRY,
    PATCH,
    VERSION,
    body_of,
    compaction_turn,
    first_turn,
    turn_of_a_known_model,
)
from tests.support.responses_grammar import event_violations
from tests.support.responses_replays import codex, replayed
from tests.support.responses_script import (
    USAGE,
    Event,
    Item,
    answered,
    compaction,
    custom_tool_call,
    failed_stream,
    framed,
    function_call,
    message,
    output_text,
    reasoning,
    refusal,
    response,
    stream,
    url_citation,
    web_search_call,
)
from tests.support.scripted import (
    Answer,
    ReceivedRequest,
    Reset,
    ScriptedUpstream,
    Silence,
    Step,
    json_answer,
    scripted_upstream,
    stream_answer,
)

need_codex()

ONE_MORE = {"request_max_retries": 0, "stream_max_retries": 1}
NO_MORE = {"request_max_retries": 0, "stream_max_retries": 0}
IMPATIENT = {**NO_MORE, "stream_idle_timeout_ms": 1000}
Script = Callable[[ReceivedRequest], Answer]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as upstream:
        upstream.models(json_answer(200, {"models": [CATALOG_ENTRY]}))
        yield upstream


def say(*items: Item) -> Script:
    """An answer of these items."""
    return lambda request: answered(body_of(request), *items)


def play(events: Callable[[Event], list[Event]], *, until: int | None = None, then: tuple[Step, ...] = ()) -> Script:
    """The events of a stream, or those before one of them; they are in order as far as they go."""

    def script(request: ReceivedRequest) -> Answer:
        whole = events(body_of(request))
        assert event_violations(whole) == []
        return stream_answer(*map(framed, whole[:until]), *then)

    return script


def fail(code: str, text: str) -> Script:
    return play(lambda request: failed_stream(code, text, request))


def refuse(status: int, code: str, text: str, **headers: str) -> Answer:
    error = {"message": text, "type": "x", "param": None, "code": code}
    return json_answer(
        status, {"error": error}, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


FINE = say(message(9, "Fine."))


async def against(server: ScriptedUpstream, folder: Path, *answers: Script | Answer, **settings: Any) -> Run:
    """One task, with these answers; at the end none is left over."""
    server.script(*answers)
    return await run_codex(folder, f"{server.base_url}/v1", **settings)


def shape(value: Any) -> Any:
    """The keys of a value and the types behind them; what a list holds several of is there once."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items() if key not in ("parameters", "content", "tools")}
    if isinstance(value, list):
        shapes = {json.dumps(shape(inner), sort_keys=True) for inner in value}
        return sorted(shapes)
    return type(value).__name__


async def test_a_text_turn_is_shown_with_its_thoughts_and_counts(server: ScriptedUpstream, tmp_path: Path) -> None:
    run = await against(server, tmp_path, say(reasoning(1, "Let me see.", sealed="c2VhbGVk"), message(2, "Hello.")))

    assert (run.code, run.said, run.errors) == (0, ["Hello."], [])
    assert [item["text"] for item in run.items("reasoning")] == ["Let me see."]
    assert run.usage == {
        "input_tokens": 11,
        "cached_input_tokens": 3,
        "cache_write_input_tokens": 2,
        "output_tokens": 7,
        "reasoning_output_tokens": 4,
    }


async def test_the_headers_and_the_list_of_models(server: ScriptedUpstream, tmp_path: Path) -> None:
    await against(server, tmp_path, FINE)

    (asked,), (listed,) = server.received, server.model_requests
    assert (asked.method, asked.path) == ("POST", "/v1/responses")
    assert asked.headers["accept"] == "text/event-stream"
    assert asked.headers["accept-encoding"] == "zstd,gzip"
    assert "content-encoding" not in asked.headers
    assert {"session-id", "thread-id", "x-client-request-id", "x-codex-window-id"} <= asked.headers.keys()
    assert listed.path == f"/v1/models?client_version={VERSION}"
    assert listed.headers["authorization"] == asked.headers["authorization"]


async def test_the_bodies_that_we_have_written_down_have_its_keys(server: ScriptedUpstream, tmp_path: Path) -> None:
    await against(server, tmp_path, FINE)
    await against(server, tmp_path, FINE, model="gpt-6.2-sol", catalog=False)

    for request, written in zip(server.received, (first_turn(), turn_of_a_known_model()), strict=True):
        sent = body_of(request)
        assert sent.keys() == written.keys()
        assert sent["client_metadata"].keys() == written["client_metadata"].keys()
        for field in {"input", "tools"} & written.keys():
            assert {*shape(written[field])} <= {*shape(sent[field])}
            assert {entry["type"] for entry in written[field]} == {entry["type"] for entry in sent[field]}


@pytest.mark.parametrize("missing", NEEDED_OF_AN_ENTRY)
async def test_a_list_of_models_in_which_one_key_is_missing_is_of_no_use(
    server: ScriptedUpstream, tmp_path: Path, missing: str
) -> None:
    entry = {key: value for key, value in CATALOG_ENTRY.items() if key != missing}
    server.models(json_answer(200, {"models": [entry]}))

    run = await against(server, tmp_path, FINE)

    assert run.said == ["Fine."]
    assert [item["message"] for item in run.items("error") if "not found" in item["message"]]


async def test_openais_list_beside_its_own_does_no_harm(server: ScriptedUpstream, tmp_path: Path) -> None:
    usual = [{"id": MODEL, "object": "model", "created": 1, "owned_by": "anthropic"}]
    server.models(json_answer(200, {"models": [CATALOG_ENTRY], "object": "list", "data": usual}))

    run = await against(server, tmp_path, FINE)

    assert (run.said, run.items("error")) == (["Fine."], [])


async def test_a_turn_that_runs_a_command_and_edits_a_file(server: ScriptedUpstream, tmp_path: Path) -> None:
    look = [
        reasoning(1, "First I look.", sealed="c2VhbGVk"),
        message(2, "I look.", phase="commentary"),
        function_call(3, "exec_command", {"cmd": COMMAND}),
    ]
    edit = custom_tool_call(4, "apply_patch", PATCH)

    run = await against(server, tmp_path, say(*look), say(edit), say(message(5, "Done.")))

    assert (run.code, run.said) == (0, ["I look.", "Done."])
    assert run.files == {"made.txt": "hi\n", "notes.txt": "one\ntwo\n"}
    sent = body_of(server.received[-1])["input"]
    back = [item for item in sent if item["type"] != "message" or item["role"] == "assistant"]
    results = [item for item in back if item["type"].endswith("_output")]
    assert [item for item in back if item not in results] == replayed([*look, edit], codex)
    assert [item["call_id"] for item in results] == ["call_3", "call_4"]
    assert "hi\n" in results[0]["output"]
    assert "notes.txt" in results[1]["output"]


async def test_a_call_in_a_namespace_comes_back_with_it(server: ScriptedUpstream, tmp_path: Path) -> None:
    call = function_call(1, "wait_agent", {"targets": ["nobody"]}, namespace="multi_agent_v1")

    await against(server, tmp_path, say(call), FINE)

    assert call in body_of(server.received[-1])["input"]


async def test_a_refusal_is_not_shown_at_all(server: ScriptedUpstream, tmp_path: Path) -> None:
    run = await against(server, tmp_path, say(message(1, refusal("I will not."))))

    assert (run.code, run.said, run.errors) == (0, [], [])


async def test_only_items_that_are_done_count(server: ScriptedUpstream, tmp_path: Path) -> None:
    def without_done(request: ReceivedRequest) -> Answer:
        events = stream(message(1, "Unseen."), request=body_of(request))
        return stream_answer(*(framed(event) for event in events if event["type"] != "response.output_item.done"))

    run = await against(server, tmp_path, without_done)

    assert (run.code, run.said) == (0, [])


@pytest.mark.parametrize("then", [(), (Reset(),)], ids=["closed", "reset"])
async def test_a_stream_that_is_cut_is_asked_for_again(
    server: ScriptedUpstream, tmp_path: Path, then: tuple[Step, ...]
) -> None:
    cut = play(lambda request: stream(message(1, "Half"), request=request), until=6, then=then)

    run = await against(server, tmp_path, cut, FINE, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])
    assert len(server.received) == 2
    assert run.errors[0].startswith("Reconnecting... 1/1 (stream disconnected before completion")


async def test_a_429_with_retry_after_is_tried_again_after_it(server: ScriptedUpstream, tmp_path: Path) -> None:
    limited = refuse(429, "rate_limit_exceeded", "Please try again in 1s.", retry_after="1")

    run = await against(server, tmp_path, limited, FINE, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])
    assert run.errors == ["Reconnecting... 1/1 (exceeded retry limit, last status: 429 Too Many Requests)"]


@pytest.mark.parametrize("headers", [{}, {"retry_after_ms": "100"}])
async def test_a_429_without_retry_after_ends_the_turn(
    server: ScriptedUpstream, tmp_path: Path, headers: dict[str, str]
) -> None:
    limited = refuse(429, "rate_limit_exceeded", "Please try again in 1s.", **headers)

    run = await against(server, tmp_path, limited, provider=ONE_MORE)

    assert run.code == 1
    assert run.errors == ["exceeded retry limit, last status: 429 Too Many Requests"]


async def test_a_400_is_shown_as_it_is(server: ScriptedUpstream, tmp_path: Path) -> None:
    run = await against(server, tmp_path, refuse(400, "invalid_value", "tools[3]: no."), provider=ONE_MORE)

    assert run.code == 1
    assert [json.loads(error)["error"]["message"] for error in run.errors] == ["tools[3]: no."]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("rate_limit_exceeded", "Rate limit reached. Please try again in 1.5s."),
        ("rate_limit_exceeded", "Rate limit reached."),
        ("server_error", "Something broke."),
    ],
)
async def test_these_failures_in_a_stream_are_tried_again(
    server: ScriptedUpstream, tmp_path: Path, code: str, text: str
) -> None:
    run = await against(server, tmp_path, fail(code, text), FINE, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])
    assert text in run.errors[0]


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("context_length_exceeded", "Codex ran out of room in the model's context window."),
        ("insufficient_quota", "Quota exceeded."),
        ("invalid_prompt", "As it was said."),
        ("server_is_overloaded", "Selected model is at capacity."),
    ],
)
async def test_these_failures_in_a_stream_end_the_turn(
    server: ScriptedUpstream, tmp_path: Path, code: str, shown: str
) -> None:
    run = await against(server, tmp_path, fail(code, "As it was said."), provider=ONE_MORE)

    assert run.code == 1
    assert run.errors[0].startswith(shown)


async def test_an_answer_that_the_token_limit_cut_ends_the_turn(server: ScriptedUpstream, tmp_path: Path) -> None:
    half = message(1, "Half") | {"status": "incomplete"}
    cut = play(
        lambda request: stream(
            half, end="incomplete", request=request, incomplete_details={"reason": "max_output_tokens"}
        )
    )

    run = await against(server, tmp_path, cut, provider=ONE_MORE)

    assert (run.code, run.said) == (1, ["Half"])
    assert run.errors == ["Incomplete response returned, reason: max_output_tokens"]


async def test_an_answer_that_a_filter_cut_is_asked_for_again(server: ScriptedUpstream, tmp_path: Path) -> None:
    cut = play(
        lambda request: stream(end="incomplete", request=request, incomplete_details={"reason": "content_filter"})
    )

    run = await against(server, tmp_path, cut, FINE, provider=ONE_MORE)

    assert (run.code, run.said) == (0, ["Fine."])


@dataclass(frozen=True, slots=True)
class Pause:
    """Say nothing for a while. Codex goes by the clock on the wall, so that here the test does."""

    seconds: float

    async def play(self, connection: object) -> None:
        await asyncio.sleep(self.seconds)


IN_PROGRESS = {"type": "response.in_progress", "response": response(status="in_progress"), "sequence_number": 2}


async def test_silence_is_a_cut_stream(server: ScriptedUpstream, tmp_path: Path) -> None:
    silent = play(lambda request: stream(message(1, "Late."), request=request), until=2, then=(Silence(),))

    run = await against(server, tmp_path, silent, provider=IMPATIENT)

    assert (run.code, run.errors) == (
        1,
        ["stream disconnected before completion: idle timeout waiting for SSE"],
    )


@pytest.mark.parametrize(
    ("sign", "counts"),
    [
        (b": keep-alive\n\n", False),
        (framed(IN_PROGRESS), True),
        (framed({"type": "keepalive", "sequence_number": 2}), True),
    ],
    ids=["comment", "response.in_progress", "keepalive"],
)
async def test_events_are_signs_of_life_and_comments_are_not(
    server: ScriptedUpstream, tmp_path: Path, sign: bytes, counts: bool
) -> None:
    def slow(request: ReceivedRequest) -> Answer:
        events = [framed(event) for event in stream(message(1, "Late."), request=body_of(request))]
        return stream_answer(*events[:2], Pause(0.6), sign, Pause(0.6), sign, *events[2:])

    run = await against(server, tmp_path, slow, provider=IMPATIENT)

    assert run.said == (["Late."] if counts else [])


async def test_waiting_for_the_head_of_an_answer_is_no_silence(server: ScriptedUpstream, tmp_path: Path) -> None:
    def late(request: ReceivedRequest) -> Answer:
        return Answer((Pause(1.5), *FINE(request).steps))

    run = await against(server, tmp_path, late, provider=IMPATIENT)

    assert run.said == ["Fine."]


async def test_a_websocket_that_is_refused_with_426_is_tried_once(server: ScriptedUpstream, tmp_path: Path) -> None:
    refused = refuse(426, "websocket_not_offered", "WebSocket is not offered here.")

    run = await against(server, tmp_path, refused, FINE, provider={"supports_websockets": True})

    assert [(request.method, request.headers.get("upgrade")) for request in server.received] == [
        ("GET", "websocket"),
        ("POST", None),
    ]
    assert (run.said, run.errors) == (["Fine."], [])


def full(*items: Item) -> Script:
    """An answer after which the context is full."""
    counts = {**USAGE, "input_tokens": 190_000, "total_tokens": 190_007}
    return play(lambda request: stream(*items, request=request, usage=counts))


@pytest.mark.parametrize("name", ["OpenAI", "Dragoman"])
async def test_a_full_context_is_compacted_by_the_server_only_if_it_is_called_openai(
    server: ScriptedUpstream, tmp_path: Path, name: str
) -> None:
    short = compaction(2, "c2VhbGVk") if name == "OpenAI" else message(2, "So far a command was run.")
    call = function_call(1, "exec_command", {"cmd": COMMAND})

    run = await against(
        server,
        tmp_path,
        full(call),
        say(short),
        FINE,
        provider={"name": name},
        options={"model_auto_compact_token_limit": 100_000},
    )

    assert run.said == ["Fine."]
    asked, later = (body_of(request) for request in server.received[1:])
    if name == "OpenAI":
        assert asked["input"][-1] == {"type": "compaction_trigger"}
        assert compaction_turn()["input"][-1] == asked["input"][-1]
        assert compaction(2, "c2VhbGVk").items() >= later["input"][-1].items() - {("id", None)}
    else:
        # Calls and results are in the input, and there are no tools.
        assert asked["tools"] == []
        assert call in asked["input"]
        assert "So far a command was run." in later["input"][-1]["content"][0]["text"]


async def test_empty_thoughts_searches_and_citations_come_back(server: ScriptedUpstream, tmp_path: Path) -> None:
    cited = output_text("Rain.", url_citation("https://example.org/", 0, 4))
    items = [
        reasoning(1, sealed="b25lLg=="),
        web_search_call(2, "the weather"),
        reasoning(3, sealed="dHdv"),
        message(4, cited, phase="commentary"),
        function_call(5, "exec_command", {"cmd": COMMAND}),
    ]

    run = await against(server, tmp_path, say(*items), FINE)

    assert run.said == ["Rain.", "Fine."]
    back = [item for item in body_of(server.received[-1])["input"] if item.get("role", "assistant") == "assistant"]
    assert back[:-1] == replayed(items, codex)
