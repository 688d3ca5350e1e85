"""More than one process: streams are spread, a worker may die or be replaced, and the end is orderly."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from tests.scenarios.harness import assert_whole
from tests.scenarios.processes import ask, fleet, streams, while_waiting_for
from tests.support import messages
from tests.support.commands import outcome
from tests.support.scripted import ScriptedUpstream, error_answer, stream_answer

EVENTS = messages.text_stream()
LOOPS_ON_SIGUSR1 = """
import signal
def loop(*_):
    while True:
        pass
signal.signal(signal.SIGUSR1, loop)
"""


@pytest.fixture
def quick_to_judge(tmp_path: Path) -> str:
    """A configuration under which a worker may be silent for the shortest time that there is."""
    file = tmp_path / "quick.yaml"
    file.write_text("server: {worker_silence_seconds: 3}")
    return str(file)


async def test_long_streams_are_spread_evenly_and_sigterm_lets_them_finish(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(20)
        both.signal(signal.SIGTERM)
        await both.said("Stopping: 20 open requests may finish")
        gate.set()
        bodies = await opened.rest()
        code = await both.end()

    for body in bodies:
        assert_whole(body)
    assert both.served() == {"1": 10, "2": 10}
    assert code == 0
    assert "warning" not in both.log


async def test_a_second_ctrl_c_ends_all_at_once(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(2)
        both.signal(signal.SIGINT)
        await both.said("Ctrl-C again stops at once")
        both.signal(signal.SIGINT)
        code = await both.end()
        bodies = await opened.rest()

    assert code == 1
    assert all("[DONE]" not in body for body in bodies)


async def test_a_worker_that_is_killed_takes_only_its_own_streams_with_it_and_is_replaced(
    upstream: ScriptedUpstream, gate: asyncio.Event
) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(4)
        os.kill((await both.pids())[0], signal.SIGKILL)
        await both.said("A worker has died worker=. pid=.* exit_code=-9")
        await both.pids(3)
        gate.set()
        bodies = sorted(await opened.rest(), key=lambda body: body.endswith("BROKEN"))
        for _ in range(4):
            assert_whole(await ask(both))
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert [body.endswith("BROKEN") for body in bodies] == [False, False, True, True]
    assert set(both.served()) == {"1", "2"}
    assert code == 0


async def test_a_worker_that_stands_still_is_replaced_and_takes_only_its_own_streams_with_it(
    upstream: ScriptedUpstream, gate: asyncio.Event, quick_to_judge: str
) -> None:
    async with fleet(upstream, "--config", quick_to_judge) as both, streams(both) as opened:
        await opened.open(4)
        stopped = (await both.pids())[0]
        os.kill(stopped, signal.SIGSTOP)
        await both.said(
            f"warning A worker is stuck and is being ended worker=. pid={stopped} .*state=stopped requests=2"
        )
        await both.said(f"A worker has died worker=. pid={stopped} exit_code=-9")
        await both.pids(3)
        gate.set()
        bodies = sorted(await opened.rest(), key=lambda body: body.endswith("BROKEN"))
        for _ in range(4):
            assert_whole(await ask(both))
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert [body.endswith("BROKEN") for body in bodies] == [False, False, True, True]
    assert set(both.served()) == {"1", "2"}
    assert code == 0


async def test_a_worker_that_loops_says_where(
    upstream: ScriptedUpstream, quick_to_judge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(LOOPS_ON_SIGUSR1)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with fleet(upstream, "--config", quick_to_judge) as both:
        os.kill((await both.pids())[0], signal.SIGUSR1)
        await both.said("A worker is stuck and is being ended .*state=running")
        await both.said(r'error   The event loop is stuck, .*where=".* > sitecustomize.py:. loop"')
        await both.said("A worker has died .*exit_code=1")
        await both.pids(3)
        both.signal(signal.SIGTERM)

        assert await both.end() == 0


async def test_workers_are_not_blamed_for_the_time_in_which_all_stood_still(
    upstream: ScriptedUpstream, quick_to_judge: str
) -> None:
    upstream.always(stream_answer(*EVENTS))
    async with fleet(upstream, "--config", quick_to_judge) as both:
        processes = [both.running.process.pid, *await both.pids()]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        await asyncio.sleep(4)  # longer than a worker may be silent, and nothing else tells that it is over
        for process in processes:
            os.kill(process, signal.SIGCONT)
        assert_whole(await ask(both))
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert "stuck" not in both.log


async def test_sigterm_twice_does_not_wait_for_a_worker_that_stands_still(upstream: ScriptedUpstream) -> None:
    async with fleet(upstream) as both:
        os.kill((await both.pids())[0], signal.SIGSTOP)
        both.signal(signal.SIGTERM)
        async for _ in while_waiting_for(both.said("A worker is stuck and is being ended")):
            both.signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
        code = await both.end()

    assert code == 0


async def test_a_reload_breaks_no_stream_and_reaches_all_workers_that_there_are_and_come(
    upstream: ScriptedUpstream, gate: asyncio.Event, tmp_path: Path
) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("models: {aliases: {mine: claude-opus-5}}")
    async with fleet(upstream, "--config", str(file)) as both, streams(both) as opened:
        pids = await both.pids()
        await opened.open(2)
        file.write_text("models: {aliases: {mine: claude-haiku-5-5}}\nserver: {workers: 3}\nlog: {format: json}")
        both.signal(signal.SIGHUP)
        told = await both.said('"This worker uses the new configuration","worker":(.)', 2)
        gate.set()
        bodies = await opened.rest()
        await asyncio.gather(*(ask(both, model="mine") for _ in range(2)))
        os.kill(pids[0], signal.SIGKILL)
        await both.said('"A worker is ready"')
        await asyncio.gather(*(ask(both, model="mine") for _ in range(2)))
        both.signal(signal.SIGTERM)
        code = await both.end()

    for body in bodies:
        assert_whole(body)
    assert {*told} == {"1", "2"}
    assert {request.json["model"] for request in upstream.received[2:]} == {"claude-haiku-5-5"}
    assert len(upstream.received) == 6
    assert both.log.count('"The configuration has changed","sections":"models,log"') == 1
    assert code == 0


async def test_a_mistake_in_the_configuration_reaches_no_worker(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("log: {format: text}")
    async with fleet(upstream, "--config", str(file)) as both:
        file.write_text("log: {fromat: json}")
        both.signal(signal.SIGHUP)
        await both.said("The configuration stays what it was.*log.fromat: unknown setting")
        file.write_text("log: {format: text}\n")
        await both.said("The configuration has not changed")
        await both.said("This worker uses the new configuration worker=", 2)
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert both.log.count("is ready") == 2


async def test_a_rotated_secret_reaches_the_worker_whose_key_is_refused(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    secret, file = tmp_path / "secret", tmp_path / "config.yaml"
    secret.write_text("sk-ant-old")
    keys = f"{{name: a, api_key: {{command: [cat, {secret}]}}, base_url: '{upstream.base_url}'}}"
    file.write_text(f"keys: [{keys}]")
    upstream.always(error_answer(401, "authentication_error", "No."), api_key="sk-ant-old")
    upstream.always(stream_answer(*EVENTS), api_key="sk-ant-new")
    async with fleet(upstream, "--config", str(file)) as both:
        secret.write_text("sk-ant-new")
        for worker in range(2):
            await ask(both)
            await both.said("A rejected key has a new secret key=a worker=", worker + 1)
        for _ in range(2):
            assert_whole(await ask(both))


async def test_a_worker_that_is_told_to_go_has_a_successor_first(upstream: ScriptedUpstream) -> None:
    async with fleet(upstream) as both:
        os.kill((await both.pids())[1], signal.SIGTERM)
        await both.said("A worker has ended .*exit_code=0")
        both.signal(signal.SIGTERM)
        code = await both.end()

    assert code == 0
    assert re.findall(r"A worker (is ready|has ended)", both.log)[:4] == ["is ready"] * 3 + ["has ended"]


async def test_workers_without_their_parent_finish_and_end(upstream: ScriptedUpstream, gate: asyncio.Event) -> None:
    async with fleet(upstream) as both, streams(both) as opened:
        await opened.open(2)
        both.signal(signal.SIGKILL)
        await both.said("The parent process has died", 2)
        gate.set()
        bodies = await opened.rest()
        await both.end()

    for body in bodies:
        assert_whole(body)
    assert both.served() == {"1": 1, "2": 1}


async def test_a_number_of_workers_that_cannot_be_is_refused() -> None:
    code, _, err = await outcome("serve", "--workers", "0")

    assert code == 1
    assert "--workers must be a number from 1 to 64, not 0" in err
