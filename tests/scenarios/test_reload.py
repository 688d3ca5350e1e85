"""Live reload: requests that run go on as they began, new ones are served by the new configuration."""

import asyncio
import dataclasses
import fcntl
import os
import pty
import signal
import sys
import termios
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.config import ModelsConfig, Source, UpstreamConfig
from tests.scenarios.harness import (
    KEY_A,
    KEY_B,
    PATH,
    PATIENCE_SECONDS,
    RawClient,
    asking,
    assert_error,
    assert_whole,
    chat_of,
    no_lease_is_out,
    pool_of,
    quick_gateway,
    raw_client,
    until,
    without_pauses,
)
from tests.scenarios.processes import ask, client_of, serving, streams
from tests.support import messages
from tests.support.commands import environ
from tests.support.gateway import (
    ClientConfig,
    Config,
    KeyConfig,
    RunningGateway,
    Secret,
    ServerConfig,
    TimeoutsConfig,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import Answer, ScriptedUpstream, Wait, error_answer, json_answer, stream_answer

EVENTS = messages.text_stream()
REFUSED = error_answer(401, "authentication_error", "No.")
WHOLE = json_answer(200, messages.message())


async def begun(running: RunningGateway, stack: AsyncExitStack) -> tuple[RawClient, bytes]:
    """A stream that has begun, with its first piece."""
    client = await stack.enter_async_context(raw_client(running))
    client.send(asking(stream=True))
    await client.head()
    return client, await client.chunk()


async def asked(running: RunningGateway, **more: Any) -> int:
    """The status of one request."""
    return (await running.http().post(PATH, json=asking(**more))).status_code


# What goes on, and what is new


async def test_a_key_may_go_while_it_serves_a_stream(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running, AsyncExitStack() as stack:
        client, first = await begun(running, stack)
        upstream.script(WHOLE)
        changes = running.gateway.reload(config_for(key(upstream.base_url, "b", KEY_B)))
        status = await asked(running)
        gate.set()
        rest = await client.chunks()
        await no_lease_is_out(running)

    assert_whole(b"".join([first, *rest]).decode())
    assert (changes.added, changes.removed, changes.renewed, changes.sections) == (("b",), ("a",), (), ("keys",))
    assert status == 200
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]
    assert {*pool_of(running).leaving} == set()


async def test_a_request_whose_key_goes_takes_another_that_is_new(upstream: ScriptedUpstream) -> None:
    gate = asyncio.Event()
    upstream.script(stream_answer(Wait(gate), status=529), WHOLE)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        without_pauses(running)
        request = asyncio.create_task(asked(running))
        await upstream.wait_for_requests(1)
        running.gateway.reload(config_for(key(upstream.base_url, "b", KEY_B)))
        gate.set()

        assert await request == 200
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


async def test_clients_come_and_go(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    first = config_for(key(upstream.base_url))
    async with quick_gateway(config=first) as running, AsyncExitStack() as stack:
        client, piece = await begun(running, stack)
        running.gateway.reload(replace(first, clients=(ClientConfig(name="a", api_key=Secret("key-of-a")),)))
        gate.set()
        stranger = await running.http().post(PATH, json=asking())
        known = await running.http().post(PATH, json=asking(stream=True), headers={"x-api-key": "key-of-a"})
        rest = await client.chunks()

    assert_whole(b"".join([piece, *rest]).decode())
    assert_whole(known.text)
    assert_error(stranger, 401, "invalid_request_error", None)


async def test_limits_for_clients_follow_also_for_connections_that_there_are(upstream: ScriptedUpstream) -> None:
    first = config_for(key(upstream.base_url))
    async with quick_gateway(config=first) as running:
        server = ServerConfig(port=0, max_connections=7, client_write_seconds=3.0)
        running.gateway.reload(with_settings(first, server=server))
        await running.server.on_tick(1)

        assert (running.server.limits.max_connections, running.server.limits.write_seconds) == (7, 3.0)


async def test_a_gateway_without_keys_may_get_one_and_lose_it_again(upstream: ScriptedUpstream) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=config_for()) as running:
        statuses = [await asked(running)]
        running.gateway.reload(config_for(key(upstream.base_url)))
        statuses.append(await asked(running))
        running.gateway.reload(config_for())
        statuses.append(await asked(running))

    assert statuses == [401, 200, 401]


async def test_what_was_learned_of_keys_stays_but_not_of_those_with_another_secret(upstream: ScriptedUpstream) -> None:
    keys = [key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)]
    upstream.script(REFUSED)
    upstream.always(WHOLE)
    async with quick_gateway(*keys) as running:
        without_pauses(running)
        await asked(running)
        running.gateway.reload(with_settings(config_for(*keys), models=ModelsConfig(aliases={"mine": "claude-opus-5"})))
        without_pauses(running)
        for _ in range(4):
            await asked(running, model="mine")
        changes = running.gateway.reload(config_for(key(upstream.base_url, "a", "sk-ant-new"), keys[1]))
        for _ in range(2):
            await asked(running)

    assert [request.api_key for request in upstream.received[:6]] == [KEY_A, *[KEY_B] * 5]
    assert {request.api_key for request in upstream.received[6:]} == {"sk-ant-new", KEY_B}
    assert upstream.received[2].json["model"] == "claude-opus-5"
    assert (changes.renewed, changes.sections) == (("a",), ("keys", "models"))


@pytest.mark.parametrize("client", ["direct", "httpx2"])
async def test_connections_under_old_limits_end_with_their_answers(
    upstream: ScriptedUpstream, gate: asyncio.Event, client: str
) -> None:
    config = with_settings(config_for(key(upstream.base_url)), upstream=UpstreamConfig(client=client))  # type: ignore[arg-type]
    async with quick_gateway(config=config) as running, AsyncExitStack() as stack:
        opened, first = await begun(running, stack)
        upstream.script(WHOLE)
        assert await asked(running) == 200
        # The stream's, and one or more that are idle.
        assert upstream.open_connections >= 2
        running.gateway.reload(with_settings(config, timeouts=TimeoutsConfig(connect_seconds=7)))
        gate.set()
        rest = await opened.chunks()
        await upstream.wait_for_connections(0)
        again = await running.http().post(PATH, json=asking(stream=True))

    assert_whole(b"".join([first, *rest]).decode())
    assert_whole(again.text)


async def test_the_list_of_models_is_kept_with_the_aliases_of_now(upstream: ScriptedUpstream) -> None:
    info = {"type": "model", "id": "claude-x", "display_name": "X", "created_at": "2026-01-01T00:00:00Z"}
    upstream.models(json_answer(200, {"data": [info], "has_more": False}))
    config = config_for(key(upstream.base_url))
    async with quick_gateway(config=config) as running:
        http = running.http()
        while len((await http.get("/v1/models")).json()["data"]) != 1:
            pass  # the list is being fetched
        upstream.models(REFUSED)
        running.gateway.reload(with_settings(config, models=ModelsConfig(aliases={"mine": "claude-x"})))
        listed = (await http.get("/v1/models")).json()["data"]

    assert [entry["id"] for entry in listed] == ["claude-x", "mine"]


# Secrets that were rotated


def sourced(upstream: ScriptedUpstream, file: Path, *more: KeyConfig) -> tuple[Config, dict[str, Source]]:
    """A configuration whose first key, `a`, is KEY_A by now but will be what the file says."""
    file.write_text(KEY_A)
    return config_for(key(upstream.base_url, "a", KEY_A), *more), {"a": Source(file=str(file))}


async def test_a_rotated_secret_is_found_without_a_caller_seeing_it(
    upstream: ScriptedUpstream, tmp_path: Path, read_log: Callable[[], str]
) -> None:
    upstream.always(REFUSED, api_key=KEY_A)
    upstream.always(WHOLE)
    config, sources = sourced(upstream, tmp_path / "key", key(upstream.base_url, "b", KEY_B))
    async with quick_gateway(config=config) as running:
        running.gateway.reload(config, sources)
        (tmp_path / "key").write_text("sk-ant-new")
        statuses = [await asked(running)]
        await until(lambda: "A rejected key has a new secret key=a" in read_log())
        statuses += [await asked(running) for _ in range(4)]

    assert statuses == [200] * 5
    used = [request.api_key for request in upstream.received]
    assert used[0] == KEY_A
    assert used.count(KEY_A) == 1
    assert used.count("sk-ant-new") >= 2
    assert "sk-ant-" not in read_log()


async def test_a_rotated_secret_of_the_only_key_costs_no_caller_an_answer(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(REFUSED, api_key=KEY_A)
    upstream.always(WHOLE)
    config, sources = sourced(upstream, tmp_path / "key")
    async with quick_gateway(config=config) as running:
        running.gateway.reload(config, sources)
        (tmp_path / "key").write_text("sk-ant-new")
        statuses = await asyncio.gather(*(asked(running) for _ in range(3)))

    assert statuses == [200] * 3
    assert [request.api_key for request in upstream.received].count("sk-ant-new") == 3


async def test_a_request_that_comes_while_the_only_key_is_renewed_waits_for_that(upstream: ScriptedUpstream) -> None:
    upstream.always(REFUSED, api_key=KEY_A)
    upstream.always(WHOLE)
    renewal: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    refused: list[str] = []

    def on_refused(name: str) -> "asyncio.Future[bool]":
        refused.append(name)
        return renewal

    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        endpoint = chat_of(running.gateway)
        endpoint._services = dataclasses.replace(endpoint._services, on_refused=on_refused)
        first = asyncio.create_task(asked(running))
        await until(lambda: len(refused) == 1)
        second = asyncio.create_task(asked(running))
        await until(lambda: len(refused) == 2)
        running.gateway.reload(config_for(key(upstream.base_url, "a", KEY_B)))
        renewal.set_result(True)

        statuses = [await first, await second]

    assert statuses == [200, 200]


async def test_an_old_secrets_refusal_does_not_keep_a_request_from_the_new_one(
    upstream: ScriptedUpstream,
) -> None:
    is_reloaded = asyncio.Event()
    upstream.always(Answer((Wait(is_reloaded), *REFUSED.steps)), api_key=KEY_A)
    upstream.always(WHOLE, api_key=KEY_B)
    async with quick_gateway(key(upstream.base_url, "a", KEY_A)) as running:
        asking_first = asyncio.create_task(asked(running))
        await upstream.wait_for_requests(1)
        running.gateway.reload(config_for(key(upstream.base_url, "a", KEY_B)))
        is_reloaded.set()

        assert await asking_first == 200


async def test_a_secret_that_is_rotated_after_its_key_was_rejected_is_found_by_the_probes(
    upstream: ScriptedUpstream, tmp_path: Path, read_log: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.process.rotation.PAUSE_SECONDS", 0.0)
    upstream.always(REFUSED, api_key=KEY_A)
    upstream.always(WHOLE)
    upstream.models(REFUSED)
    config, sources = sourced(upstream, tmp_path / "key")
    async with quick_gateway(config=config) as running:
        running.gateway.reload(config, sources)
        # The secrets manager has nothing new yet.
        before = await asked(running)
        (tmp_path / "key").write_text("sk-ant-new")
        await until(lambda: "A rejected key has a new secret key=a" in read_log())
        after = await asked(running)

    assert (before, after) == (503, 200)


async def test_a_secret_that_is_the_same_as_before_lets_rest_who_rests(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(REFUSED)
    config, sources = sourced(upstream, tmp_path / "key")
    async with quick_gateway(config=config) as running:
        running.gateway.reload(config, sources)
        await asked(running)
        version = pool_of(running).version
        await running.gateway._rotation._read("a", sources["a"])

        assert pool_of(running).version == version
        assert [state.backoff.until > 0 for state in pool_of(running).states] == [True]


async def test_a_refused_key_without_another_secret_is_not_asked_for_again_and_again(
    upstream: ScriptedUpstream, tmp_path: Path, read_log: Callable[[], str]
) -> None:
    upstream.always(REFUSED)
    config, sources = sourced(upstream, tmp_path / "key")
    async with quick_gateway(config=config) as running:
        running.gateway.reload(config, sources)
        (tmp_path / "key").unlink()
        await asked(running)
        await until(lambda: "could not be read again" in read_log())
        # The moment of the first look counts, also for one that found nothing.
        running.gateway.reload(config_for(key(upstream.base_url, "a", KEY_B)), sources)
        (tmp_path / "key").write_text("sk-ant-new")
        await asked(running)

    assert read_log().count("could not be read again") == 1
    assert "A rejected key has a new secret" not in read_log()


# The process


def written(file: Path, upstream: ScriptedUpstream, secret: str, more: str = "") -> None:
    """A configuration with one key."""
    file.write_text(f"keys: [{{name: a, api_key: {secret}, base_url: '{upstream.base_url}'}}]\n{more}\n")


async def test_sighup_reads_the_configuration_again_and_no_stream_notices(
    upstream: ScriptedUpstream, gate: asyncio.Event, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    written(file, upstream, KEY_A)
    async with serving(upstream, "--config", str(file)) as gateway, streams(gateway) as opened:
        await opened.open(2)
        more = "models: {aliases: {mine: claude-opus-5}}\nserver: {host: localhost, shutdown_grace_seconds: 2}"
        written(file, upstream, KEY_B, more)
        gateway.signal(signal.SIGHUP)
        await gateway.said("The configuration has changed sections=server,keys,models keys_renewed=a")
        gate.set()
        bodies = [*await opened.rest(), await ask(gateway, model="mine")]
        gateway.signal(signal.SIGTERM)
        code = await gateway.end()

    for body in bodies:
        assert_whole(body)
    assert code == 0
    assert (upstream.received[-1].api_key, upstream.received[-1].json["model"]) == (KEY_B, "claude-opus-5")
    assert "warning These settings change only with a restart settings=server.host" in gateway.log
    assert "sk-ant-" not in gateway.log


async def test_a_changed_file_is_noticed_and_a_wrong_one_kept_out(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(stream_answer(*EVENTS))
    file = tmp_path / "config.yaml"
    written(file, upstream, KEY_A)
    async with serving(upstream, "--config", str(file)) as gateway:
        written(file, upstream, "{file: secret}", "log: {level: loud}")
        await gateway.said(
            r"error +The configuration stays what it was.*secret.*No such file.*log.level: expected.*loud"
        )
        before = await ask(gateway)
        written(file, upstream, "{file: secret}")
        await gateway.said("error +The configuration stays", 2)
        # It was not read, but looked for: that it comes is a change as well.
        (tmp_path / "secret").write_text(KEY_B)
        await gateway.said("The configuration has changed sections=keys keys_renewed=a")
        after = await ask(gateway)

    assert_whole(before)
    assert_whole(after)
    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


async def test_a_secret_that_kubernetes_swaps_is_used(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    upstream.always(stream_answer(*EVENTS))
    for name, secret in (("v1", KEY_A), ("v2", KEY_B)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_text(secret)
    (tmp_path / "data").symlink_to("v1")
    file = tmp_path / "config.yaml"
    written(file, upstream, "{file: data/secret}")
    async with serving(upstream, "--config", str(file)) as gateway:
        await ask(gateway)
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "data")
        await gateway.said("The configuration has changed sections=keys keys_renewed=a")
        await ask(gateway)

    assert [request.api_key for request in upstream.received] == [KEY_A, KEY_B]


async def test_a_reload_never_opens_the_gateway_to_others(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    written(file, upstream, KEY_A, "clients: [{name: a, api_key: the-key-of-client-a}]")
    async with serving(upstream, "--config", str(file), "--host", "0.0.0.0") as gateway:
        written(file, upstream, KEY_A)
        gateway.signal(signal.SIGHUP)
        await gateway.said("The configuration stays what it was.*no clients are configured")
        async with client_of(gateway) as client:
            port = gateway.running.url.rpartition(":")[2]
            answer = await client.post(f"http://127.0.0.1:{port}{PATH}", json=asking())

    assert answer.status_code == 401


async def test_a_terminal_that_is_closed_ends_what_was_started_in_it() -> None:
    terminal, its_end = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--port", "0"),
        env=environ(),
        stdin=its_end,
        stdout=its_end,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(its_end)
    said = b""
    while b"Ctrl-C" not in said:
        said += await asyncio.to_thread(os.read, terminal, 4096)
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        process.send_signal(signal.SIGHUP)
        assert b"The configuration has not changed" in await process.stderr.readline()
        os.close(terminal)
        _, log = await process.communicate()

    assert process.returncode == 0, log.decode()


async def test_without_a_file_sighup_changes_nothing(upstream: ScriptedUpstream) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with serving(upstream) as gateway:
        gateway.signal(signal.SIGHUP)
        await gateway.said("The configuration has not changed")

        assert_whole(await ask(gateway))
