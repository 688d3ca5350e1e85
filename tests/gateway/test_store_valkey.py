"""The store on a server that machines share: a real one, which is killed as well."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from gateway.kept_turns.backing import OTHER_KEY
from gateway.kept_turns.breaker import FIRST_PAUSE_SECONDS
from gateway.kept_turns.layered import LayeredStore
from gateway.kept_turns.sealing import Sealer
from gateway.kept_turns.valkey import PREFIX, ValkeyBacking
from gateway.secret import Secret
from tests.support.stores import MIB, SECRET, WEEK, Clocks, key, over
from tests.support.valkey import PROGRAM, Server, server, server_on_a_port

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is on PATH")

Log = Callable[[], str]
CONTENT = b"what the model thought, which is nobody's business"
NAME = PREFIX + Sealer(SECRET).place(key(1)).hex().encode()


@pytest.fixture
async def running() -> AsyncIterator[Server]:
    async with server() as it:
        yield it


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def machine(server: Server, clocks: Clocks, *, secret: Secret = SECRET, keep_seconds: float = WEEK) -> LayeredStore:
    """A gateway's store, on a machine of its own."""
    backing = ValkeyBacking(Secret(server.url), secret, keep_seconds, clocks.wall)
    return over(backing, clocks, keep_seconds=keep_seconds)


async def asked(server: Server, command: str, *arguments: str | bytes) -> Any:
    """What the server answers to somebody else."""
    async with Redis.from_url(server.url.replace("valkey://", "redis://")) as client:
        return await client.execute_command(command, *arguments)  # type: ignore[no-untyped-call]


async def test_what_one_machine_has_put_another_one_finds(running: Server, clocks: Clocks) -> None:
    ours, theirs = machine(running, clocks), machine(running, clocks)
    await ours.put(key(1), CONTENT)
    await ours.put(key(2), b"")
    await ours.put(key(3), bytes(100_000))

    assert await theirs.fetch([key(number) for number in range(5)]) == {
        key(1): CONTENT,
        key(2): b"",
        key(3): bytes(100_000),
    }
    await ours.close()
    await theirs.close()


async def test_all_keys_are_asked_for_in_one_command(running: Server, clocks: Clocks) -> None:
    ours, theirs = machine(running, clocks), machine(running, clocks)
    for number in range(20):
        await ours.put(key(number), CONTENT)
    await theirs.fetch([key(number) for number in range(40)])
    statistics = await asked(running, "INFO", "commandstats")

    assert statistics["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in statistics
    await ours.close()
    await theirs.close()


async def test_the_server_holds_nothing_that_can_be_read_and_not_longer_than_it_may(
    running: Server, clocks: Clocks
) -> None:
    store = machine(running, clocks, keep_seconds=1000.5)
    await store.put(key(1), CONTENT)
    kept = await asked(running, "GET", NAME)

    assert sorted(await asked(running, "KEYS", "*")) == [b"dragoman:probes", NAME]
    assert CONTENT not in kept
    assert Sealer(SECRET).open(key(1), kept).value == CONTENT
    assert 990 < await asked(running, "TTL", NAME) <= 1001
    await store.close()


async def test_what_is_forgotten_is_removed(running: Server, clocks: Clocks) -> None:
    ours, theirs = machine(running, clocks), machine(running, clocks)
    await ours.put(key(1), CONTENT)
    await ours.put(key(2), CONTENT)
    ours.forget([key(1)])
    await ours.close()

    assert await theirs.fetch([key(1), key(2)]) == {key(2): CONTENT}
    await theirs.close()


async def test_a_value_that_was_changed_there_is_a_miss_and_counted(running: Server, clocks: Clocks) -> None:
    ours, theirs = machine(running, clocks), machine(running, clocks)
    await ours.put(key(1), CONTENT)
    await asked(running, "APPEND", NAME, b"x")

    assert await theirs.fetch([key(1)]) == {}
    assert theirs.counts.unreadable == 1
    await ours.close()
    await theirs.close()


async def test_with_another_key_nothing_is_found_and_it_is_told_once(
    running: Server, clocks: Clocks, read_log: Log
) -> None:
    ours = machine(running, clocks)
    await ours.put(key(1), CONTENT)
    for _ in range(2):
        theirs = machine(running, clocks, secret=Secret("the secret of others"))
        await theirs.start()

        assert await theirs.fetch([key(1)]) == {}
        await theirs.close()
    assert read_log().count(OTHER_KEY) == read_log().count("warning") == 1
    assert await asked(running, "EXISTS", NAME) == 1
    await ours.close()


async def test_a_server_that_dies_costs_a_few_tries_and_is_found_again(
    running: Server, clocks: Clocks, read_log: Log
) -> None:
    store = machine(running, clocks)
    await store.put(key(1), CONTENT)
    await running.kill()
    for number in range(2, 30):
        await store.put(key(number), CONTENT)
        assert await store.fetch([key(1), key(number), key(99)]) == {key(1): CONTENT, key(number): CONTENT}

    assert store.counts.not_written == 28
    # One for what is read and one for what is written, where the words differ.
    assert 1 <= read_log().count("warning") <= 2
    assert "connection refused" in read_log()
    assert "Error" not in read_log()
    await running.start()
    clocks.pass_by(FIRST_PAUSE_SECONDS)
    await store.put(key(30), CONTENT)
    assert await store.fetch([key(98)]) == {}
    assert "The store works again" in read_log()
    other = machine(running, clocks)
    assert await other.fetch([key(1), key(30)]) == {key(30): CONTENT}
    await store.close()
    await other.close()


async def test_a_server_that_hangs_is_not_waited_for(running: Server, clocks: Clocks, read_log: Log) -> None:
    store = machine(running, clocks)
    await store.put(key(1), CONTENT)
    # It takes connections and commands, and answers nobody but the one who has paused it.
    await asked(running, "CLIENT", "PAUSE", "60000")
    await store.put(key(2), CONTENT)

    assert await store.fetch([key(1), key(2), key(3)]) == {key(1): CONTENT, key(2): CONTENT}
    assert "warning" in read_log()
    await store.close()


async def test_a_server_that_is_full_leaves_the_memory(clocks: Clocks, read_log: Log) -> None:
    async with server("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as full:
        store = machine(full, clocks)
        for number in range(40):
            await store.put(key(number), bytes(100_000))

        assert (await store.fetch([key(39)])).keys() == {key(39)}
        assert "maxmemory" in read_log()
        assert "dragoman:turn" not in read_log()
        assert read_log().count("warning") == 1
        await store.close()


async def test_a_connection_that_the_server_has_closed_is_made_anew(
    running: Server, clocks: Clocks, read_log: Log
) -> None:
    store = machine(running, clocks)
    await store.put(key(1), CONTENT)
    await asked(running, "CLIENT", "KILL", "TYPE", "normal")
    await store.put(key(2), CONTENT)

    assert await asked(running, "DBSIZE") == 3
    assert read_log() == ""
    await store.close()


async def test_a_server_in_the_network_is_used_with_its_password_which_nobody_sees(
    clocks: Clocks, read_log: Log
) -> None:
    async with server_on_a_port("p@ss:word/very-secret") as there:
        store = machine(there, clocks)
        await store.start()
        await store.put(key(1), CONTENT)
        other = machine(there, clocks)
        assert await other.fetch([key(1)]) == {key(1): CONTENT}
        there.url = there.url.replace("very-secret", "wrong-and-secret")
        refused = machine(there, clocks)
        assert await refused.fetch([key(1)]) == {}
        await refused.put(key(2), CONTENT)
        for opened in (store, other, refused):
            await opened.close()

    assert "valkey://127.0.0.1:" in read_log()
    assert "secret" not in read_log()
    assert "p@ss" not in read_log()


async def test_what_is_large_is_kept_in_memory_only(running: Server, clocks: Clocks) -> None:
    backing = ValkeyBacking(Secret(running.url), SECRET, WEEK, clocks.wall)
    store = over(backing, clocks, memory_bytes=128 * MIB)
    await store.put(key(1), bytes(9 * MIB))

    assert store.peek([key(1)]).keys() == {key(1)}
    assert await asked(running, "DBSIZE") == 0
    await store.close()
