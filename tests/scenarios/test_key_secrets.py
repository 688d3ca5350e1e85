"""Keys of callers at several workers, and where their secrets never appear."""

import sqlite3
from pathlib import Path

from tests.scenarios.harness import PATH, asking
from tests.scenarios.processes import client_of, fleet, serving
from tests.support import messages
from tests.support.commands import outcome
from tests.support.scripted import ScriptedUpstream, json_answer
from tests.support.stored_keys import KeyDesk

ADMIN = "the-admins-own-key-planted"
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
        second = desk.key("second")
        desk.disable("first")
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


def columns(file: Path) -> bytes:
    """Everything in the database and in the files beside it, but for the file of the secret."""
    with sqlite3.connect(file) as connection:
        dumped = "\n".join(connection.iterdump())
    raw = b"".join(path.read_bytes() for path in file.parent.iterdir() if path.suffix != ".key")
    return dumped.encode() + raw


def process_list() -> bytes:
    """The command lines of all processes."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes())
        except OSError:
            continue
    return b"\n".join(found)


async def test_secrets_of_keys_appear_nowhere(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(SERVED)
    folder = tmp_path / "dragoman"
    desk = KeyDesk(folder)
    file = tmp_path / "config.yaml"
    file.write_text("log: {level: debug}\n")
    good, limited, typo = desk.key("good"), desk.key("limited", limits={"models": ["x"]}), desk.key("typo")
    disabled, wrong = desk.key("disabled"), KeyDesk(tmp_path / "another").key()
    desk.disable("disabled")
    typo = typo[:-1] + ("0" if typo[-1] != "0" else "1")
    presented = (good, limited, typo, disabled, wrong)
    more = {"XDG_STATE_HOME": str(tmp_path), "DRAGOMAN_ADMIN_KEY": ADMIN}
    said = b""
    async with serving(upstream, "--config", str(file), **more) as running:
        async with client_of(running) as client:
            for token in presented:
                for headers in ({"authorization": f"Bearer {token}"}, {"x-api-key": token}, {"api-key": token}):
                    for path, body in ((PATH, asking("My key is in the header.", user=token)), ("/v1/messages", {})):
                        answer = await client.post(path, json=body, headers=headers)
                        said += answer.content + str(answer.headers).encode()
            boss = {"authorization": f"Bearer {ADMIN}"}
            made = (await client.post("/admin/keys", json={"name": "new"}, headers=boss)).json()["key"]
            rotated = (await client.post("/admin/keys/new/rotate", headers=boss)).json()["key"]
            for path in ("/admin/keys", "/admin/keys/new", "/admin/audit", "/v1/key"):
                for headers in (boss, {"authorization": f"Bearer {rotated}"}):
                    answer = await client.get(path, headers=headers)
                    said += answer.content + str(answer.headers).encode()
        listed = process_list()
        running.signal(15)
        await running.end()
    _, out, err = await outcome("keys", "list", **more)
    places = {
        "answers": said,
        "log": running.log.encode(),
        "database": columns(folder / "accounts.db"),
        "process list": listed,
        "command line": (out + err).encode(),
        "upstream": str([request.headers for request in upstream.received]).encode(),
    }

    secrets = [*presented, made, rotated, ADMIN]
    assert "POST /v1/chat/completions" in running.log
    assert {place for place, text in places.items() for secret in secrets if secret.encode() in text} == set()
    # Nor the secret parts alone, without prefix, id and checksum.
    assert {place for place, text in places.items() for key in secrets[:-1] if key[16:48].encode() in text} == set()
