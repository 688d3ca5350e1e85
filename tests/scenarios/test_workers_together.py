"""Two workers answer as one: whichever is asked, what all have counted is in the answer, also after one has gone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.scenarios.harness import assert_whole
from tests.scenarios.processes import Fleet, ask, client_of, fleet
from tests.support import messages
from tests.support.commands import PATIENCE_SECONDS
from tests.support.scripted import ScriptedUpstream, stream_answer

ADMIN = "admin-key-of-the-operator"


BREAKS_ON_SIGUSR1 = """
import gc, signal
def break_it(*_):
    from gateway.workers.talk import Talk
    gc.unfreeze()
    for found in gc.get_objects():
        if isinstance(found, Talk):
            found.close()
signal.signal(signal.SIGUSR1, break_it)
"""


@pytest.fixture
def breaks_its_talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers end their talk on a signal."""
    (tmp_path / "sitecustomize.py").write_text(BREAKS_ON_SIGUSR1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.fixture
async def both(upstream: ScriptedUpstream, tmp_path: Path) -> AsyncIterator[Fleet]:
    """Two workers, and an admin who may look into them."""
    upstream.always(stream_answer(*messages.text_stream()))
    file = tmp_path / "administered.yaml"
    # With a ledger, what clients have used is read there.
    file.write_text(f"admin: {{api_key: {ADMIN}}}\naccounts: {{kind: off}}")
    async with fleet(upstream, "--config", str(file)) as found:
        yield found


async def look(client: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(path, headers={"x-api-key": ADMIN})).json()
    return found


async def shown(fleet: Fleet, path: str) -> dict[str, Any]:
    """A view, from whichever worker gets the connection."""
    async with client_of(fleet) as client:
        return await look(client, path)


async def counted(fleet: Fleet) -> int:
    """The requests of all clients since the start."""
    found = await shown(fleet, "/admin/clients")
    return sum(client["requests"] for client in found["clients"])


async def until_counted(fleet: Fleet, requests: int) -> None:
    """An answer's last byte is sent before the request is counted."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await counted(fleet) < requests:
            pass


async def send(fleet: Fleet, requests: int) -> None:
    for answer in await asyncio.gather(*(ask(fleet) for _ in range(requests))):
        assert_whole(answer)


async def test_counts_never_go_back_when_a_worker_is_killed_and_another_is_replaced(
    both: Fleet, upstream: ScriptedUpstream
) -> None:
    first, second = await both.pids()
    await send(both, 20)
    await until_counted(both, 20)
    os.kill(first, signal.SIGKILL)
    await both.said("A worker has died")
    after_death = await counted(both)
    await both.pids(3)
    await send(both, 10)
    # Nobody has looked since: what this worker has counted comes with its goodbye.
    os.kill(second, signal.SIGTERM)
    await both.said("A worker has ended")
    after_replacement = await counted(both)
    found = await shown(both, "/admin/clients")
    both.signal(signal.SIGTERM)
    code = await both.end()

    assert (after_death, after_replacement) == (20, 30)
    assert (found["workers"], found["missing"]) == ([1, 2], [])
    assert len(upstream.received) == 30
    assert code == 0


async def test_a_worker_whose_talk_breaks_is_replaced(breaks_its_talk: None, both: Fleet) -> None:
    pids = await both.pids()
    os.kill(pids[0], signal.SIGUSR1)
    await both.said("error   A worker cannot ask its parent and is being replaced")
    await both.pids(3)
    await both.said("A worker has ended")
    found = await shown(both, "/admin/pool")
    both.signal(signal.SIGTERM)

    assert await both.end() == 0
    assert (found["workers"], found["missing"]) == ([1, 2], [])


async def test_a_worker_that_stands_still_is_named_and_the_others_answer_in_time(both: Fleet) -> None:
    await both.pids()
    await send(both, 4)
    await until_counted(both, 4)
    async with client_of(both) as first, AsyncExitStack() as others:
        own = (await look(first, "/admin/pool"))["worker"]["number"]
        stopped = own
        while stopped == own:
            other = await others.enter_async_context(client_of(both))
            stopped = (await look(other, "/admin/pool"))["worker"]["number"]
        pid = int((await both.said(rf"is ready worker={stopped} pid=(\d+)"))[0])
        os.kill(pid, signal.SIGSTOP)
        try:
            pool, clients = await look(first, "/admin/pool"), await look(first, "/admin/clients")
        finally:
            os.kill(pid, signal.SIGCONT)
        again = await look(first, "/admin/store")
    both.signal(signal.SIGTERM)

    assert await both.end() == 0
    assert (pool["workers"], pool["missing"]) == ([3 - stopped], [stopped])
    assert sum(client["requests"] for client in clients["clients"]) == 4
    assert again["missing"] == []


async def test_a_worker_that_is_replaced_leaves_out_what_was_taken_out(both: Fleet) -> None:
    async with client_of(both) as client:
        await client.post("/admin/pool/default/take_out", headers={"x-api-key": ADMIN})
        first, _ = await both.pids()
        os.kill(first, signal.SIGKILL)
        await both.pids(3)
    async with client_of(both) as client:
        view = await look(client, "/admin/pool")

    (key,) = view["pool"]["keys"]
    assert view["workers"] == [1, 2]
    assert (key["standing"]["state"], key["states"]) == ("taken_out", {})


async def test_a_key_that_is_taken_out_is_out_in_both_workers(both: Fleet) -> None:
    async with client_of(both) as client:
        admin = {"x-api-key": ADMIN}
        out = (await client.post("/admin/pool/default/take_out", headers=admin)).json()
        (taken,) = (await look(client, "/admin/pool"))["pool"]["keys"]
        back = (await client.post("/admin/pool/default/put_back", headers=admin)).json()
        (ready,) = (await look(client, "/admin/pool"))["pool"]["keys"]
        overview = await look(client, "/admin/overview")

    assert (out["workers"], back["workers"], out["missing"]) == (2, 2, [])
    assert (taken["standing"]["state"], taken["states"]) == ("taken_out", {})
    assert ready["standing"]["state"] == "ready"
    assert overview["workers"] == [1, 2]
