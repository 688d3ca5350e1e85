"""What a request's line in the log says, to people and to programs."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.service import outages
from tests.scenarios.harness import PATH, asking, quick_gateway, until, without_pauses
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import Answer, Close, ScriptedUpstream, json_answer, stream_answer

Lines = Callable[[], list[dict[str, Any]]]
EVENTS = messages.text_stream()
WHOLE, STREAM = json_answer(200, messages.message()), stream_answer(*EVENTS)


def request_line(lines: list[dict[str, Any]]) -> dict[str, Any]:
    [line] = [line for line in lines if "path" in line]
    return line


@pytest.mark.parametrize("stream", [True, False])
async def test_as_json_a_line_has_all_that_programs_ask_for(
    upstream: ScriptedUpstream, read_json_log: Lines, stream: bool
) -> None:
    upstream.always(STREAM if stream else WHOLE)
    async with quick_gateway(key(upstream.base_url)) as running:
        body = asking(stream=stream) | {"model": "gpt-5"}
        answer = await running.http().post(PATH, json=body, headers={"x-request-id": "mine-1"})
    line = request_line(read_json_log())

    assert (
        line
        | {
            "level": "info",
            "method": "POST",
            "path": PATH,
            "status": 200,
            "model": "claude-sonnet-5-5",
            "requested_model": "gpt-5",
            "address": "127.0.0.1",
            "request_id": answer.headers["x-request-id"],
            "client_request_id": "mine-1",
            "message": f"POST {PATH} 200",
        }
        == line
    )
    assert ("first_token_ms" in line) == stream
    assert 0 <= line.get("first_token_ms", 0) <= line["ms"]


async def test_a_native_stream_tells_its_first_token_as_well(upstream: ScriptedUpstream, read_json_log: Lines) -> None:
    upstream.always(STREAM)
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(NATIVE_PATH, json=asking_natively() | {"stream": True})
    line = request_line(read_json_log())

    assert 0 <= line["first_token_ms"] <= line["ms"]


async def test_as_text_nothing_is_said_twice(upstream: ScriptedUpstream, read_log: Callable[[], str]) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking() | {"model": "gpt-5"})
    [line] = [line for line in read_log().splitlines() if PATH in line]

    assert f" info    POST {PATH} 200 ms=" in line
    assert " model=gpt-5->claude-sonnet-5-5 " in line
    assert not any(f" {name}=" in line for name in ("method", "path", "status", "requested_model", "client_request_id"))


@pytest.mark.parametrize(
    ("sent", "shown"), [("x" * 128, "x" * 128), ("x" * 129, f"{'x' * 128}... (129 characters)"), ("a\tb", "a\\tb")]
)
async def test_a_callers_own_id_is_short_and_printable(
    upstream: ScriptedUpstream, read_json_log: Lines, sent: str, shown: str
) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().get("/v1/models", headers={"x-request-id": sent})

    assert request_line(read_json_log())["client_request_id"] == shown


async def test_health_is_a_line_for_debugging(upstream: ScriptedUpstream, read_json_log: Lines) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().get("/health")

    assert request_line(read_json_log())["level"] == "debug"


@pytest.mark.parametrize("path", [PATH, NATIVE_PATH])
async def test_a_stream_that_breaks_after_its_head_is_a_warning(
    upstream: ScriptedUpstream, read_json_log: Lines, path: str
) -> None:
    upstream.always(stream_answer(*EVENTS[:3], Close()))
    body = asking(stream=True) if path == PATH else asking_natively() | {"stream": True}
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(path, json=body)
    line = request_line(read_json_log())

    assert (line["level"], line["status"], line["error"]) == ("warning", 200, "cut_off")


async def test_what_the_caller_did_wrong_is_no_warning(upstream: ScriptedUpstream, read_json_log: Lines) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json={"model": 3})

    assert request_line(read_json_log())["level"] == "info"


async def test_an_outage_has_lines_of_its_own(
    upstream: ScriptedUpstream, read_json_log: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "_INTERVAL_SECONDS", 0.01)

    def told() -> list[dict[str, Any]]:
        return [line for line in read_json_log() if "host" in line]

    upstream.always(Answer((Close(),)))
    async with quick_gateway(key(upstream.base_url)) as running:
        clock = without_pauses(running)
        http = running.http()
        # Each request counts once, however often it was tried.
        for _ in range(10):
            await http.post(PATH, json=asking())
        await until(lambda: len(told()) == 1)
        upstream.always(WHOLE)
        clock.now += 60
        await http.post(PATH, json=asking())
        await until(lambda: len(told()) == 2)
    begun, over = told()

    assert (begun["level"], begun["host"], begun["why"]) == ("warning", upstream.base_url, "unreachable")
    assert (over["level"], over["host"], over["seconds"] >= 60) == ("info", upstream.base_url, True)
