"""Where responses and conversations are kept: in memory, in SQLite and on a server, with the same promises."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from redis.asyncio import Redis

from gateway.kept_turns import record_database, record_memory, record_valkey
from gateway.kept_turns.backing import OTHER_KEY
from gateway.kept_turns.breaker import FIRST_PAUSE_SECONDS
from gateway.kept_turns.files import DatabaseFiles
from gateway.kept_turns.record_database import RecordDatabase
from gateway.kept_turns.record_memory import OBJECT_BYTES, RecordMemory
from gateway.kept_turns.record_sqlite import SqliteRecords
from gateway.kept_turns.record_valkey import ValkeyRecords
from gateway.kept_turns.records import KeptRecords
from gateway.kept_turns.sqlite_file import Bounds
from gateway.secret import Secret
from gateway.service.ports import Appended, RecordsUnavailableError
from tests.support.stores import MIB, SECRET, WEEK, Clocks, key
from tests.support.valkey import PROGRAM, Server, server

Log = Callable[[], str]
CONTENT = b"what somebody asked, which is nobody's business"
KINDS = ("memory", "sqlite", "valkey")


def on_disk(
    file: Path, clocks: Clocks, *, secret: Secret | None = SECRET, disk_bytes: int = 64 * MIB, memory_bytes: int = MIB
) -> KeptRecords:
    """A process's records in a file."""
    bounds = Bounds(disk_bytes, WEEK)
    files = DatabaseFiles(RecordDatabase, file, bounds, secret, clocks.wall)
    backing = SqliteRecords(files, bounds, clocks.wall)
    return KeptRecords(RecordMemory(memory_bytes, WEEK), backing, place="here", clock=clocks.monotonic)


def on_server(running: Server, clocks: Clocks) -> KeptRecords:
    """A machine's records on a server."""
    backing = ValkeyRecords(Secret(running.url), SECRET, WEEK, clocks.wall)
    return KeptRecords(RecordMemory(MIB, WEEK), backing, place="here", clock=clocks.monotonic)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "store.db.responses"


@pytest.fixture(params=KINDS)
async def two(request: pytest.FixtureRequest, file: Path, clocks: Clocks) -> AsyncIterator[tuple[KeptRecords, ...]]:
    """The records of two processes that share them; in memory there is only one."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            alone = KeptRecords(RecordMemory(64 * MIB, WEEK), clock=clocks.monotonic)
            both = (alone, alone)
        elif request.param == "sqlite":
            both = (on_disk(file, clocks), on_disk(file, clocks))
        elif PROGRAM is None:
            pytest.skip("neither valkey-server nor redis-server is on PATH")
        else:
            running = await stack.enter_async_context(server())
            both = (on_server(running, clocks), on_server(running, clocks))
        yield both
        for each in both:
            await each.close()


Two = tuple[KeptRecords, KeptRecords]


async def test_what_one_has_put_the_other_finds(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), CONTENT)
    await ours.put(key(2), b"")
    await ours.put(key(3), bytes(100_000))

    assert await theirs.fetch([key(number) for number in range(5)]) == {
        key(1): CONTENT,
        key(2): b"",
        key(3): bytes(100_000),
    }
    assert await theirs.fetch([]) == {}


async def test_what_one_looked_for_in_vain_it_finds_as_soon_as_it_is_there(two: Two) -> None:
    ours, theirs = two
    before = await theirs.fetch([key(1)])
    await ours.put(key(1), CONTENT)

    assert (before, await theirs.fetch([key(1)])) == ({}, {key(1): CONTENT})


async def test_a_newer_state_and_a_deletion_are_seen_at_once_by_all(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), b"queued")
    await theirs.fetch([key(1)])
    await ours.put(key(1), b"completed")
    newer = await theirs.fetch([key(1)])
    is_deleted = await theirs.delete(key(1))

    assert newer == {key(1): b"completed"}
    assert is_deleted
    assert await ours.fetch([key(1)]) == {}
    assert not await ours.delete(key(1))


async def test_only_what_exists_is_replaced(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), b"old")

    assert await theirs.replace(key(1), b"new")
    assert not await theirs.replace(key(2), b"new")
    assert await ours.fetch([key(1), key(2)]) == {key(1): b"new"}


async def test_entries_are_in_the_order_in_which_they_came(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), CONTENT)
    await ours.append(key(1), [(key(30), b"a"), (key(20), b"b")])
    await theirs.append(key(1), [(key(10), b"c")])

    assert await ours.names(key(1)) == await theirs.names(key(1)) == [key(30), key(20), key(10)]
    assert [*(await theirs.entries(key(1))).items()] == [(key(30), b"a"), (key(20), b"b"), (key(10), b"c")]
    assert await ours.entries(key(1), [key(10), key(99)]) == {key(10): b"c"}
    assert await ours.fetch([key(1)]) == {key(1): CONTENT}


async def test_an_entry_that_is_there_stays_as_it_is(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), CONTENT)
    await ours.append(key(1), [(key(10), b"a"), (key(11), b"b"), (key(10), b"again")])

    assert await theirs.append(key(1), [(key(10), b"other"), (key(12), b"c")]) is Appended.KEPT
    assert await ours.entries(key(1)) == {key(10): b"a", key(11): b"b", key(12): b"c"}
    assert await ours.names(key(1)) == [key(10), key(11), key(12)]


async def test_entries_that_two_append_at_the_same_time_are_all_kept(two: Two) -> None:
    await two[0].put(key(1), CONTENT)
    await asyncio.gather(
        *(
            two[number % 2].append(key(1), [(key(2 * number), b"x"), (key(2 * number + 1), b"y")])
            for number in range(50)
        )
    )
    names = await two[0].names(key(1))

    assert sorted(names) == [key(number) for number in range(100)]
    # What came together stands together.
    assert all(names[place + 1] == key(int.from_bytes(names[place]) + 1) for place in range(0, 100, 2))


async def test_an_entry_can_be_removed_and_what_follows_stays_behind(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), CONTENT)
    await ours.append(key(1), [(key(10), b"a"), (key(11), b"b")])

    assert await theirs.remove(key(1), key(11))
    assert not await ours.remove(key(1), key(11))
    assert not await ours.remove(key(2), key(10))
    await ours.append(key(1), [(key(12), b"c")])
    assert await theirs.names(key(1)) == [key(10), key(12)]


async def test_nothing_is_appended_to_what_does_not_exist_and_a_deletion_takes_the_entries_along(two: Two) -> None:
    ours, theirs = two
    early = await ours.append(key(1), [(key(10), b"a")])
    await ours.put(key(1), CONTENT)
    await ours.append(key(1), [(key(10), b"a")])
    await theirs.delete(key(1))
    late = await ours.append(key(1), [(key(11), b"b")])

    assert (early, late) == (Appended.NO_RECORD, Appended.NO_RECORD)
    assert await theirs.entries(key(1)) == {}
    await ours.put(key(1), CONTENT)
    assert await theirs.names(key(1)) == []


async def test_a_new_value_leaves_the_entries(two: Two) -> None:
    ours, theirs = two
    await ours.put(key(1), b"in progress")
    await ours.append(key(1), [(key(10), b"an event")])
    await ours.put(key(1), b"completed")

    assert await theirs.entries(key(1)) == {key(10): b"an event"}


async def test_a_record_has_a_bound_of_entries_and_of_their_bytes(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = two
    for module in (record_database, record_memory, record_valkey):
        monkeypatch.setattr(module, "MOST_ENTRIES", 3)
        monkeypatch.setattr(module, "MOST_ENTRY_BYTES", 20_000)
    await ours.put(key(1), CONTENT)
    await ours.append(key(1), [(key(10), b"a"), (key(11), b"b")])

    assert await ours.append(key(1), [(key(12), b"c"), (key(13), b"d")]) is Appended.FULL
    assert await ours.append(key(1), [(key(12), bytes(20_000))]) is Appended.FULL
    assert await ours.names(key(1)) == [key(10), key(11)]
    assert await ours.append(key(1), [(key(12), bytes(10_000))]) is Appended.KEPT
    assert await ours.remove(key(1), key(12))
    assert await ours.append(key(1), [(key(13), bytes(10_000))]) is Appended.KEPT


async def test_a_record_expires_unless_it_is_continued(file: Path, clocks: Clocks) -> None:
    stores = [KeptRecords(RecordMemory(MIB, WEEK), clock=clocks.monotonic), on_disk(file, clocks)]
    for store in stores:
        for number in (1, 2, 3):
            await store.put(key(number), CONTENT)
        await store.append(key(3), [(key(10), b"a")])
    clocks.pass_by(WEEK - 1)
    for store in stores:
        # A response continues another one; a conversation is appended to.
        await store.put(key(4), CONTENT, [key(2), key(99)])
        await store.append(key(3), [(key(11), b"b")])
    clocks.pass_by(2)
    for store in stores:
        assert (await store.fetch([key(number) for number in range(9)])).keys() == {key(2), key(3), key(4)}
        assert not await store.delete(key(1))
        assert not await store.replace(key(1), CONTENT)
        assert await store.append(key(1), [(key(10), b"a")]) is Appended.NO_RECORD
        assert await store.names(key(3)) == [key(10), key(11)]
        await store.close()


async def test_what_has_expired_leaves_the_file_with_its_entries(file: Path, clocks: Clocks) -> None:
    store = on_disk(file, clocks)
    await store.put(key(1), CONTENT)
    await store.append(key(1), [(key(10), b"a")])
    clocks.pass_by(WEEK + 1)
    await store.start()
    await store.close()

    with closing(sqlite3.connect(file)) as database:
        counts = [database.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("records", "entries")]
    assert counts == [(0,), (0,)]


async def test_a_file_stays_within_its_bound_and_what_was_continued_last_stays(file: Path, clocks: Clocks) -> None:
    store = on_disk(file, clocks, disk_bytes=2 * MIB)
    await store.put(key(0), CONTENT)
    for number in range(1, 300):
        clocks.pass_by(1)
        await store.put(key(number), bytes(20_000), [key(0)])
    found = await store.fetch([key(number) for number in range(300)])
    await store.close()

    assert sum(path.stat().st_size for path in file.parent.iterdir()) <= 2 * MIB
    assert {key(0), key(299)} <= found.keys()
    assert 30 < len(found) < 200


async def test_entries_push_out_what_is_old_but_not_their_own_record(file: Path, clocks: Clocks) -> None:
    store = on_disk(file, clocks, disk_bytes=2 * MIB)
    await store.put(key(1), CONTENT)
    for number in range(2, 60):
        clocks.pass_by(1)
        await store.put(key(number), bytes(20_000))
    appended = [await store.append(key(1), [(key(100 + number), bytes(20_000))]) for number in range(40)]
    found = await store.fetch([key(1), key(2)])
    entries = await store.entries(key(1))
    await store.close()

    assert set(appended) == {Appended.KEPT}
    assert len(entries) == 40
    assert found.keys() == {key(1)}
    assert sum(path.stat().st_size for path in file.parent.iterdir()) <= 2 * MIB


async def test_what_is_too_large_for_the_file_is_kept_in_memory_and_what_is_too_large_for_that_is_not(
    file: Path, clocks: Clocks
) -> None:
    store = on_disk(file, clocks, disk_bytes=MIB, memory_bytes=4 * MIB)
    is_kept = [await store.put(key(1), bytes(300_000)), await store.put(key(2), bytes(2_000_000))]

    assert is_kept == [True, False]
    assert (await store.fetch([key(1), key(2)])).keys() == {key(1)}
    assert (store.counts.not_written, store.counts.refused) == (1, 1)
    await store.close()


async def test_a_newer_state_that_is_too_large_for_the_file_leaves_no_older_one_behind(
    file: Path, clocks: Clocks
) -> None:
    ours, theirs = (on_disk(file, clocks, disk_bytes=MIB, memory_bytes=4 * MIB) for _ in range(2))
    await ours.put(key(1), b"in progress")
    await ours.put(key(1), bytes(300_000))

    assert await theirs.fetch([key(1)]) == {}
    assert await ours.fetch([key(1)]) == {key(1): bytes(300_000)}
    assert await ours.delete(key(1))
    assert await ours.fetch([key(1)]) == {}
    await ours.close()
    await theirs.close()


async def test_a_restart_finds_all_of_it_and_another_process_too(file: Path, clocks: Clocks) -> None:
    first = on_disk(file, clocks, secret=None)
    await first.put(key(1), CONTENT)
    await first.append(key(1), [(key(10), b"a")])
    await first.close()
    script = f"""
import asyncio
from pathlib import Path
from tests.gateway.test_kept_records import on_disk
from tests.support.stores import Clocks, key

async def main():
    store = on_disk(Path({str(file)!r}), Clocks(), secret=None)
    assert await store.fetch([key(1)]) == {{key(1): {CONTENT!r}}}
    await store.append(key(1), [(key(11), b"b")])
    await store.close()

asyncio.run(main())
"""
    second = on_disk(file, clocks, secret=None)
    await second.fetch([key(1)])
    await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script], check=True, timeout=60)
    entries = await second.entries(key(1))
    await second.close()

    assert entries == {key(10): b"a", key(11): b"b"}


async def test_the_file_holds_nothing_that_can_be_read_and_nothing_that_was_changed_is_found(
    file: Path, clocks: Clocks
) -> None:
    store = on_disk(file, clocks)
    for number in (1, 2):
        await store.put(key(number), CONTENT)
    await store.append(key(1), [(key(10), CONTENT), (key(11), CONTENT)])
    await store.close()
    held = b"".join(path.read_bytes() for path in file.parent.iterdir())
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        # Somebody swaps values: each is bound to its record, and each entry to its name as well.
        (one,), (other,) = database.execute("SELECT sealed FROM entries ORDER BY number")
        database.execute("UPDATE entries SET sealed = ? WHERE number = 1", (other,))
        database.execute("UPDATE entries SET sealed = ? WHERE number = 2", (one[:-1] + b"?",))
        [(value,), _] = database.execute("SELECT sealed FROM records ORDER BY rowid")
        database.execute("UPDATE records SET sealed = ? WHERE rowid = 2", (value,))
    again = on_disk(file, clocks)
    found, entries = await again.fetch([key(1), key(2)]), await again.entries(key(1))
    await again.close()

    assert b"nobody's business" not in held
    assert key(1) not in held
    assert (found, entries) == ({key(1): CONTENT}, {})


async def test_with_another_key_nothing_is_found_and_it_is_told(file: Path, clocks: Clocks, read_log: Log) -> None:
    first = on_disk(file, clocks)
    await first.put(key(1), CONTENT)
    await first.close()
    other = on_disk(file, clocks, secret=Secret("another secret of an operator"))

    assert await other.fetch([key(1)]) == {}
    assert OTHER_KEY in read_log()
    await other.close()


async def test_while_the_file_cannot_be_used_new_records_are_in_memory_and_old_ones_are_not_denied(
    file: Path, clocks: Clocks, read_log: Log
) -> None:
    first = on_disk(file, clocks)
    await first.put(key(1), CONTENT)
    await first.close()
    file.chmod(0o600)
    content = file.read_bytes()
    file.unlink()
    file.mkdir()
    store = on_disk(file, clocks)
    await store.start()
    is_kept = await store.put(key(2), CONTENT)
    await store.append(key(2), [(key(10), b"a")])
    with pytest.raises(RecordsUnavailableError):
        await store.fetch([key(1)])
    with pytest.raises(RecordsUnavailableError):
        await store.delete(key(1))
    found, entries = await store.fetch([key(2)]), await store.entries(key(2))
    file.rmdir()
    file.write_bytes(content)
    clocks.pass_by(FIRST_PAUSE_SECONDS + 100)
    after = await store.fetch([key(1), key(2)])
    await store.close()

    assert (is_kept, found, entries) == (True, {key(2): CONTENT}, {key(10): b"a"})
    assert after.keys() == {key(1), key(2)}
    assert store.counts.not_written == 1
    assert "The store cannot be used, the gateway continues with its memory" in read_log()


@pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is on PATH")
async def test_a_server_that_dies_leaves_new_records_in_memory_and_says_of_others_that_it_does_not_know(
    clocks: Clocks, read_log: Log
) -> None:
    async with server() as running:
        store = on_server(running, clocks)
        await store.put(key(1), CONTENT)
        await running.kill()
        is_kept = await store.put(key(2), CONTENT)
        with pytest.raises(RecordsUnavailableError):
            await store.fetch([key(1)])
        found = await store.fetch([key(2)])
        await store.close()

    assert (is_kept, found) == (True, {key(2): CONTENT})
    assert "The store cannot be used" in read_log()


COMMANDS = (
    "MGET SET UNLINK HGETALL HSET PING MULTI EXEC EVAL HGET HMGET HEXISTS HKEYS HLEN HSETNX HSTRLEN HINCRBY HDEL EXPIRE"
)


@pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is on PATH")
async def test_a_user_of_the_server_needs_no_more_commands_than_the_page_says(clocks: Clocks) -> None:
    page = (Path(__file__).parents[2] / "docs/store.md").read_text("utf-8")
    async with server() as running:
        async with Redis.from_url(running.url) as client:
            allowed = [f"+{command.lower()}" for command in COMMANDS.split()]
            await client.execute_command(  # type: ignore[no-untyped-call]
                "ACL", "SETUSER", "gateway", "on", ">secret-of-it", "~dragoman:*", "resetchannels", *allowed
            )
        url = running.url.replace("unix://", "unix://gateway:secret-of-it@")
        backing = ValkeyRecords(Secret(url), SECRET, WEEK, clocks.wall)
        store = KeptRecords(RecordMemory(MIB, WEEK), backing, clock=clocks.monotonic)
        await store.put(key(1), CONTENT, [key(2)])
        await store.append(key(1), [(key(10), b"a"), (key(11), b"b")])
        done = [await store.replace(key(1), b"new"), await store.remove(key(1), key(10)), await store.delete(key(1))]
        await store.put(key(2), CONTENT)
        found, names = await store.fetch([key(2)]), await store.names(key(2))
        await store.close()

    assert (done, found, names) == ([True] * 3, {key(2): CONTENT}, [])
    assert store.counts.not_written == 0
    assert all(f"`{command}`" in page for command in COMMANDS.split())


@pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is on PATH")
async def test_the_server_holds_nothing_that_can_be_read_and_not_longer_than_it_may(clocks: Clocks) -> None:
    async with server() as running:
        store = on_server(running, clocks)
        await store.put(key(1), CONTENT)
        await store.append(key(1), [(key(10), CONTENT)])
        async with Redis.from_url(running.url) as client:
            names: list[bytes] = [name async for name in client.scan_iter("dragoman:record:*")]
            held: Any = await client.hgetall(names[0])
            seconds = await client.ttl(names[0])
        await store.close()

    assert len(names) == 1
    assert not any(b"nobody's business" in value for value in held.values())
    assert WEEK - 60 < seconds <= WEEK


async def test_another_store_takes_over_what_is_in_memory(file: Path, clocks: Clocks) -> None:
    store = KeptRecords(RecordMemory(MIB, WEEK), clock=clocks.monotonic)
    await store.put(key(1), CONTENT)
    await store.append(key(1), [(key(10), b"a")])
    old = store.replace_by(on_disk(file, clocks))
    await old.close()
    await store.put(key(2), CONTENT)

    assert await store.fetch([key(1), key(2)]) == {key(1): CONTENT, key(2): CONTENT}
    assert await store.entries(key(1)) == {key(10): b"a"}
    assert store.is_shared
    await store.close()


NUMBERS = st.integers(0, 8).map(key)
BOUND = 20 * OBJECT_BYTES


class MemoryMachine(RuleBasedStateMachine):
    """A memory that counts its bytes, beside the plainest count of them."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = RecordMemory(BOUND, 100.0)
        self.now = 0.0

    @rule(number=NUMBERS, size=st.integers(0, 3 * OBJECT_BYTES), renewed=st.lists(NUMBERS, max_size=2))
    def put(self, number: bytes, size: int, renewed: list[bytes]) -> None:
        if self.memory.put(number, bytes(size), renewed, self.now):
            assert self.memory.fetch([number], self.now) == {number: bytes(size)}

    @rule(number=NUMBERS, names=st.lists(NUMBERS, max_size=3), size=st.integers(0, OBJECT_BYTES))
    def append(self, number: bytes, names: list[bytes], size: int) -> None:
        before = self.memory.entries(number, self.now)
        appended = self.memory.append(number, [(name, bytes(size)) for name in names], self.now)
        after = self.memory.entries(number, self.now)
        if appended is Appended.KEPT:
            assert [*after] == [*dict.fromkeys([*before, *names])]
        else:
            assert after == before

    @rule(number=NUMBERS, name=NUMBERS)
    def remove(self, number: bytes, name: bytes) -> None:
        is_there = name in self.memory.entries(number, self.now)
        assert self.memory.remove(number, name, self.now) == is_there

    @rule(number=NUMBERS)
    def delete(self, number: bytes) -> None:
        is_there = self.memory.has(number, self.now)
        assert self.memory.delete(number, self.now) == is_there
        assert not self.memory.has(number, self.now)

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def is_within_its_bound(self) -> None:
        records = self.memory._records.values()
        sizes = [
            OBJECT_BYTES + len(each.value) + sum(OBJECT_BYTES + len(entry) for entry in each.entries.values())
            for each in records
        ]
        assert self.memory.size == sum(sizes) <= BOUND
        assert all(each.size == size for each, size in zip(records, sizes, strict=True))


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(stateful_step_count=30)
