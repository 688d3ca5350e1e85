"""Conversations with real workers and restarts: what one process has answered, every other one knows."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

from tests.scenarios.processes import Fleet, client_of, fleet, serving
from tests.support import messages
from tests.support.scripted import ReceivedRequest, ScriptedUpstream, stream_answer

CONVERSATIONS, RESPONSES = "/v1/conversations", "/v1/responses"
MODEL = "claude-opus-5-5"
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
THOUGHT = {"type": "thinking", "thinking": "Look there.", "signature": "EqQBsigned"}
CALLING = stream_answer(
    messages.sse(
        *messages.message_events(
            messages.thinking_block("Look there.", "EqQBsigned"),
            messages.tool_block("toolu_1", "look", "{}"),
            stop_reason="tool_use",
        )
    )
)


def settings(folder: Path, kind: str = "sqlite") -> str:
    """A configuration file with a store in this folder."""
    file = folder / "dragoman.yaml"
    path = f", path: {folder / 'store.db'}" if kind == "sqlite" else ""
    file.write_text(f"store: {{kind: {kind}{path}}}")
    return str(file)


async def sent(fleet: Fleet, method: str, path: str, body: object = None) -> tuple[str, dict[str, object]]:
    """One request on a connection of its own; gives what was answered, and by whom the log says that it was."""
    async with client_of(fleet) as client:
        answer = await client.request(method, path, json=body)
    return answer.headers["x-request-id"], answer.json()


async def add(fleet: Fleet, conversation: str, number: int) -> str:
    item = {"role": "user", "content": str(number)}
    request_id, answer = await sent(fleet, "POST", f"{CONVERSATIONS}/{conversation}/items", {"items": [item]})
    assert answer["object"] == "list", answer
    return request_id


def texts(page: dict[str, object]) -> list[str]:
    data = page["data"]
    assert isinstance(data, list)
    return [item["content"][0]["text"] for item in data]


async def stopped(fleet: Fleet) -> None:
    fleet.signal(signal.SIGTERM)
    assert await fleet.end() == 0, fleet.log


async def test_items_that_come_by_several_workers_at_once_are_all_there_for_each_and_after_a_restart(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    config = settings(tmp_path)
    async with fleet(upstream, "--config", config) as both:
        _, made = await sent(both, "POST", CONVERSATIONS, {"metadata": {"topic": "tides"}})
        name = str(made["id"])
        await asyncio.gather(*(add(both, name, number) for number in range(40)))
        pages = [(await sent(both, "GET", f"{CONVERSATIONS}/{name}/items?limit=100"))[1] for _ in range(4)]
        await stopped(both)
    async with serving(upstream, "--config", config) as again:
        _, found = await sent(again, "GET", f"{CONVERSATIONS}/{name}")
        _, page = await sent(again, "GET", f"{CONVERSATIONS}/{name}/items?limit=100")
        await stopped(again)

    # Both of them have written.
    writers = Counter(line.rsplit("worker=", 1)[1][0] for line in both.log.splitlines() if f"{name}/items 200" in line)
    assert len(writers) == 2, both.log
    assert sorted(map(int, texts(page))) == [*range(40)]
    assert all(texts(other) == texts(page) for other in pages)
    assert found["metadata"] == {"topic": "tides"}


async def test_what_one_worker_has_deleted_is_gone_for_all(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with fleet(upstream, "--config", settings(tmp_path)) as both:
        _, made = await sent(both, "POST", CONVERSATIONS, {"items": [{"role": "user", "content": "One"}]})
        name = str(made["id"])
        before = [(await sent(both, "GET", f"{CONVERSATIONS}/{name}/items"))[1] for _ in range(4)]
        await sent(both, "DELETE", f"{CONVERSATIONS}/{name}")
        after = [(await sent(both, "GET", f"{CONVERSATIONS}/{name}/items"))[1] for _ in range(4)]
        await stopped(both)

    assert [texts(page) for page in before] == [["One"]] * 4
    assert ["error" in page for page in after] == [True] * 4


def workers_of(fleet: Fleet, path: str) -> set[str]:
    """Which workers have answered at a path, as the log says."""
    return {line.rsplit("worker=", 1)[1][0] for line in fleet.log.splitlines() if f"POST {path} 200" in line}


def thought_in(request: ReceivedRequest) -> bool:
    """Whether upstream got the thinking that it had signed."""
    turns = [turn["content"] for turn in request.json["messages"] if turn["role"] == "assistant"]
    return any(block == THOUGHT for content in turns for block in content)


async def test_a_chain_of_responses_goes_on_in_any_worker(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(CALLING)
    previous: object = None
    call = ""
    async with fleet(upstream, "--config", settings(tmp_path)) as both:
        for number in range(6):
            items: list[object] = [{"role": "user", "content": str(number)}]
            if number:
                items.insert(0, {"type": "function_call_output", "call_id": call, "output": "nothing"})
            body = {"model": MODEL, "input": items, "tools": [LOOK], "previous_response_id": previous}
            _, answer = await sent(both, "POST", RESPONSES, body)
            assert answer.get("status") == "completed", answer
            previous, call = answer["id"], call_of(answer)
        await stopped(both)

    assert workers_of(both, RESPONSES) == {"1", "2"}
    assert [thought_in(request) for request in upstream.received if request.path == "/v1/messages"][1:] == [True] * 5


async def test_sealed_reasoning_is_opened_by_any_worker_without_a_store_that_they_share(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(CALLING)
    items: list[object] = [{"role": "user", "content": "Where?"}]
    async with fleet(upstream, "--config", settings(tmp_path, "memory")) as both:
        for _ in range(6):
            more = {"store": False, "include": ["reasoning.encrypted_content"]}
            _, answer = await sent(both, "POST", RESPONSES, {"model": MODEL, "input": items, "tools": [LOOK], **more})
            output = answer["output"]
            assert isinstance(output, list), answer
            items += [*output, {"type": "function_call_output", "call_id": call_of(answer), "output": "nothing"}]
        await stopped(both)

    assert workers_of(both, RESPONSES) == {"1", "2"}
    assert [thought_in(request) for request in upstream.received if request.path == "/v1/messages"][1:] == [True] * 5


def call_of(answer: dict[str, object]) -> str:
    output = answer["output"]
    assert isinstance(output, list)
    [call_id] = [item["call_id"] for item in output if item["type"] == "function_call"]
    return str(call_id)


async def test_workers_that_share_nothing_are_warned_of(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with fleet(upstream, "--config", settings(tmp_path, "memory")) as both:
        await both.pids()
        await stopped(both)

    assert "Workers do not share kept turns and stored responses: each has its own in memory" in both.log
