"""Keys of callers at several workers, and where their secrets never appear."""

from pathlib import Path

from tests.scenarios.harness import PATH, asking
from tests.scenarios.processes import client_of, fleet
from tests.support import messages
from tests.support.scripted import ScriptedUpstream, json_answer
from tests.support.stored_keys import KeyDesk

ADMIN = "the admin's own key, planted"
SERVED = json_answer(200, messages.message())


async def test_two_workers_refuse_a_disabled_key_and_know_a_new_one(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(SERVED)
    desk = KeyDesk(tmp_path / "dragoman")
    first = desk.key("first")
    async with fleet(upstream, XDG_STATE_HOME=str(tmp_path)) as running:
        pids = await running.pids()
        clients = [client_of(running) for _ in range(8)]
        for client in clients:
            client.headers["authorization"] = f"Bearer {first}"
        before = [(await client.get("/v1/key")).status_code for client in clients]
        desk.disable("first")
        second = desk.key("second")
        refused = set[int]()
        # Each connection stays with its worker, so all of them together ask both.
        for client in clients:
            while (await client.get("/v1/key")).status_code != 401:
                pass
            client.headers["authorization"] = f"Bearer {second}"
            refused.add((await client.get("/v1/key")).status_code)
        for client in clients:
            await client.post(PATH, json=asking())
            await client.aclose()
        running.signal(15)
        await running.end()

    assert len(set(pids)) == 2
    assert before == [200] * 8
    assert refused == {200}
    assert len(running.served()) == 2
