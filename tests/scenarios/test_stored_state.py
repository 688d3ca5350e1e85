"""Conversations with real workers and restarts: what one process has answered, every other one knows."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

from tests.scenarios.processes import Fleet, client_of, fleet, serving
from tests.support.scripted import ScriptedUpstream

CONVERSATIONS = "/v1/conversations"


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


async def test_workers_that_share_nothing_are_warned_of(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    async with fleet(upstream, "--config", settings(tmp_path, "memory")) as both:
        await both.pids()
        await stopped(both)

    assert "Workers do not share kept turns and stored responses: each has its own in memory" in both.log
