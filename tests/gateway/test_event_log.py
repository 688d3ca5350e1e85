"""Events of a response: written in batches, and read from any number on, also while the storage fails."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kept_turns.record_memory import RecordMemory
from gateway.kept_turns.records import KeptRecords
from gateway.service import event_log
from gateway.service.event_log import Batch, EventLog, WrittenEvents, after, count_of
from gateway.service.ports import Appended, RecordsUnavailableError

KEY = b"k" * 16


class Failing(KeptRecords):
    """Memory that fails to append so many times."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(RecordMemory(64 * 2**20, 1000.0))
        self.failures = failures
        self.appends: list[int] = []

    async def append(self, key: bytes, entries: Sequence[tuple[bytes, bytes]]) -> Appended:
        self.appends.append(len(entries))
        if self.failures:
            self.failures -= 1
            raise RecordsUnavailableError("disk full")
        return await super().append(key, entries)


async def record_in(records: KeptRecords) -> KeptRecords:
    await records.put(KEY, b"")
    return records


def events(first: int, count: int, size: int = 0) -> bytes:
    return b"".join(b"data: %d%b\n\n" % (number, b"x" * size) for number in range(first, first + count))


async def all_written(records: KeptRecords, number: int = 0) -> tuple[bytes, bool]:
    """What is read from a number on, batch for batch, and whether that is the end."""
    written, found = WrittenEvents(records, KEY), b""
    while (batch := await written.read(number)) is not None:
        found += batch.events
        number += count_of(batch.events)
        if batch.is_last:
            return found, True
    return found, False


@given(sizes=st.lists(st.integers(1, 5), max_size=20), flushes=st.sets(st.integers(0, 20)), data=st.data())
def test_from_every_number_on_the_rest_is_read_however_it_was_written(
    sizes: list[int], flushes: set[int], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, sum(sizes) + 2))

    async def run() -> None:
        records = await record_in(Failing())
        log, whole = EventLog(records, KEY), b""
        for index, size in enumerate(sizes):
            piece = events(log.next, size)
            whole += piece
            log.add(piece)
            if index in flushes:
                await log.flush()
        await log.end()

        rest = after(whole, number) if number <= count_of(whole) else b""
        assert await all_written(records, number) == (rest, True)
        in_memory = log.read(number)
        assert in_memory == Batch(rest, True)

    asyncio.run(run())


async def test_many_events_are_few_writes() -> None:
    records = Failing()
    await record_in(records)
    log = EventLog(records, KEY)
    for number in range(1000):
        log.add(events(number, 1))
    await log.end()

    assert sum(records.appends) == 1


async def test_what_could_not_be_written_is_written_later() -> None:
    records = Failing(failures=2)
    await record_in(records)
    log = EventLog(records, KEY)
    for number in range(3):
        log.add(events(number, 1))
        await log.flush()
    await log.end()

    assert await all_written(records) == (events(0, 3), True)


async def test_if_the_storage_stays_away_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "MOST_WAITING_BYTES", 10_000)
    records = Failing(failures=1_000)
    await record_in(records)
    log = EventLog(records, KEY)
    # Nothing that can be packed.
    pieces = [b"data: %b\n\n" % random.Random(number).randbytes(1_000).hex().encode() for number in range(100)]
    for piece in pieces:
        log.add(piece)
        await log.flush()
    tail = log.read(99)
    held = (len(log._unwritten), len(log._open), log._tail_bytes <= event_log.TAIL_BYTES)
    await log.end()

    # Those who keep up see it all the same.
    assert tail == Batch(pieces[-1], False)
    assert held == (0, 0, True)
    assert log._timer is None


async def test_no_more_than_the_tail_is_in_memory() -> None:
    records = await record_in(Failing())
    log = EventLog(records, KEY)
    for number in range(400):
        log.add(events(number, 1, 1_000))
    await log.flush()

    assert log._tail_bytes <= event_log.TAIL_BYTES
    assert log.read(0) is None
    assert log.read(399) == Batch(events(399, 1, 1_000))
    assert (await all_written(records))[0] == events(0, 400, 1_000)


async def test_events_are_packed_unless_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "_PACKED_BYTES", 50_000)
    records = await record_in(Failing())
    log = EventLog(records, KEY)
    log.add(events(0, 40, 1_000))
    await log.flush()
    log.add(events(40, 60, 1_000))
    await log.end()
    sizes = [len(value) for value in (await records.entries(KEY)).values()]

    assert sizes[0] < 2_000
    assert sizes[1] > 60_000
    assert await all_written(records) == (events(0, 100, 1_000), True)


async def test_a_record_that_is_gone_gets_no_more() -> None:
    records = Failing()
    log = EventLog(records, KEY)
    log.add(events(0, 1))
    await log.flush()
    log.add(events(1, 1))
    await log.end()

    assert records.appends == [1]
    assert await all_written(records) == (b"", False)


async def test_who_waits_is_woken_by_the_next_event_and_by_the_end() -> None:
    log = EventLog(await record_in(Failing()), KEY)
    waiting = asyncio.create_task(log.news(1000))
    await asyncio.sleep(0)
    log.add(events(0, 1))
    first = await waiting
    waiting = asyncio.create_task(log.news(1000))
    await asyncio.sleep(0)
    await log.end()

    assert (first, await waiting, await log.news(1000)) == (True, True, True)


async def test_hours_fit_into_the_entries_of_a_record() -> None:
    log = EventLog(await record_in(Failing()), KEY)
    now, count = log._began_at, 0
    log._loop = type("Clock", (), {"time": lambda self: now})()
    while now < log._began_at + 10 * 3600:
        now += log._pause()
        count += 1

    assert count < 4_000
