"""The memory and what lies behind it, together: what is found, what is waited for, and what happens in trouble."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.kept_turns import StoreSwitch, layered, writing
from gateway.kept_turns.breaker import FIRST_PAUSE_SECONDS, TOLERATED
from gateway.kept_turns.memory import ABSENT_SECONDS, USE_SECONDS
from gateway.service.no_store import NO_STORE
from gateway.service.ports import Store
from tests.support.stores import MIB, TROUBLE, WEEK, Clocks, Shelf, key, over

Log = Callable[[], str]
CONTENT = b"what the model thought"


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def turns(count: int = 10) -> None:
    """Let other tasks go on."""
    for _ in range(count):
        await asyncio.sleep(0)


# What is found


async def test_what_was_put_is_found_here_and_by_others(clocks: Clocks, shelf: Shelf) -> None:
    ours, theirs = over(shelf, clocks), over(shelf, clocks)
    await ours.put(key(1), CONTENT)

    assert ours.peek([key(1), key(2)]) == {key(1): CONTENT}
    assert theirs.peek([key(1)]) == {}
    assert await theirs.fetch([key(1), key(2)]) == {key(1): CONTENT}
    assert theirs.peek([key(1)]) == {key(1): CONTENT}


async def test_all_that_is_missing_is_asked_for_at_once(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    await store.fetch([key(1), key(2), key(3), key(2)])

    assert shelf.reads == [[key(2), key(3)]]


async def test_what_is_in_memory_asks_nobody(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    await store.fetch([key(1), key(1)])

    assert shelf.reads == []


async def test_what_was_found_nowhere_is_not_asked_for_again_for_minutes(clocks: Clocks, shelf: Shelf) -> None:
    ours, theirs = over(shelf, clocks), over(shelf, clocks)
    await ours.fetch([key(1)])
    await theirs.put(key(1), CONTENT)
    clocks.pass_by(ABSENT_SECONDS - 1)

    assert await ours.fetch([key(1)]) == {}
    clocks.pass_by(1)
    assert await ours.fetch([key(1)]) == {key(1): CONTENT}
    assert len(shelf.reads) == 2


async def test_a_put_ends_that_a_key_is_known_to_be_nowhere(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.fetch([key(1)])
    await store.put(key(1), CONTENT)
    store.memory.forget(key(1))

    assert await store.fetch([key(1)]) == {key(1): CONTENT}


async def test_a_put_while_it_is_looked_for_is_what_counts(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.readers.clear()
    looking = asyncio.create_task(store.fetch([key(1)]))
    await turns()
    await store.put(key(1), CONTENT)
    shelf.readers.set()

    assert await looking == {key(1): CONTENT}
    store.memory.forget(key(1))
    assert await store.fetch([key(1)]) == {key(1): CONTENT}


async def test_what_is_fetched_is_as_old_as_it_is(clocks: Clocks, shelf: Shelf) -> None:
    await over(shelf, clocks).put(key(1), CONTENT)
    later = over(shelf, clocks)
    clocks.pass_by(WEEK - 1)

    assert await later.fetch([key(1)]) == {key(1): CONTENT}
    clocks.pass_by(1)
    assert later.peek([key(1)]) == {}
    assert await later.fetch([key(1)]) == {}
    assert await over(shelf, clocks).fetch([key(1)]) == {}


async def test_a_value_that_is_too_large_is_refused_everywhere_and_replaces_the_old_one(
    clocks: Clocks, shelf: Shelf
) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    await store.put(key(1), bytes(MIB // 8))
    await turns()

    assert await store.fetch([key(1)]) == {}
    assert shelf.kept == {}
    assert store.counts.refused == 1


async def test_a_value_that_is_too_large_for_what_lies_behind_stays_in_memory(clocks: Clocks, shelf: Shelf) -> None:
    shelf.largest = len(CONTENT) - 1
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)

    assert store.peek([key(1)]) == {key(1): CONTENT}
    assert shelf.kept == {}


async def test_what_is_used_in_memory_is_told_behind_it_now_and_then(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    clocks.pass_by(USE_SECONDS)
    store.peek([key(1)])
    await store.put(key(2), CONTENT)

    assert shelf.uses == [key(1)]


# What is forgotten


async def test_what_is_forgotten_is_gone_at_once_and_behind_the_memory_soon(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    store.forget([key(1), key(2)])

    assert store.peek([key(1)]) == {}
    assert await store.fetch([key(1)]) == {}
    await turns()
    assert shelf.kept == {}


async def test_what_is_forgotten_while_it_is_read_stays_forgotten(clocks: Clocks, shelf: Shelf) -> None:
    await over(shelf, clocks).put(key(1), CONTENT)
    store = over(shelf, clocks)
    shelf.readers.clear()
    reading, other = (asyncio.create_task(store.fetch([key(number)])) for number in (1, 2))
    await turns()
    store.forget([key(1)])
    shelf.readers.set()

    assert await reading == await other == {}
    assert store.peek([key(1)]) == {}


async def test_what_could_not_be_removed_is_not_found_and_is_removed_later(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), CONTENT)
    shelf.why = TROUBLE
    store.forget([key(1)])
    await turns()
    shelf.why = None

    assert await store.fetch([key(1)]) == {}
    assert key(1) in shelf.kept
    await store.put(key(2), CONTENT)
    assert shelf.kept.keys() == {key(2)}


async def test_a_put_after_a_forgetting_stays(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), b"first")
    shelf.writers.clear()
    store.forget([key(1)])
    await turns()
    putting = asyncio.create_task(store.put(key(1), b"second"))
    await turns()
    shelf.writers.set()
    await putting
    store.memory.forget(key(1))

    assert await store.fetch([key(1)]) == {key(1): b"second"}


async def test_what_is_forgotten_while_it_is_written_is_not_found_until_it_is_removed(
    clocks: Clocks, shelf: Shelf
) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = asyncio.create_task(store.put(key(1), CONTENT))
    await turns()
    store.forget([key(1)])
    # The one who waits goes on, the next one waits again.
    shelf.writers.set()
    shelf.writers.clear()
    await turns()

    assert key(1) in shelf.kept
    assert await store.fetch([key(1)]) == {}
    shelf.writers.set()
    await turns()
    assert shelf.kept == {}
    await putting


async def test_a_forgetting_that_a_put_has_overtaken_hides_nothing_even_if_that_fails(
    clocks: Clocks, shelf: Shelf
) -> None:
    store = over(shelf, clocks)
    await store.put(key(1), b"first")
    shelf.why = TROUBLE
    store.forget([key(1)])
    await store.put(key(1), b"second")
    shelf.why = None
    store.memory.forget(key(1))

    assert await store.fetch([key(1)]) == {key(1): b"first"}


# What is written


async def test_a_put_waits_until_it_is_written(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = asyncio.create_task(store.put(key(1), CONTENT))
    await turns()

    assert store.peek([key(1)]) == {key(1): CONTENT}
    assert not putting.done()
    shelf.writers.set()
    await putting
    assert key(1) in shelf.kept


async def test_what_comes_while_something_is_written_is_written_together(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = [asyncio.create_task(store.put(key(1), CONTENT))]
    await turns()
    putting += [asyncio.create_task(store.put(key(number), CONTENT)) for number in range(2, 50)]
    await turns()
    shelf.writers.set()
    await asyncio.gather(*putting)

    assert [len(batch) for batch in shelf.batches] == [1, 48]


async def test_of_several_values_for_one_key_the_last_one_is_written_and_nobody_waits_for_the_others(
    clocks: Clocks, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layered, "PUT_SECONDS", 60)
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = [asyncio.create_task(store.put(key(0), CONTENT))]
    await turns()
    putting += [asyncio.create_task(store.put(key(1), value)) for value in (b"a", b"b", b"c")]
    await turns()
    shelf.writers.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*putting)

    assert [[change.value for change in batch] for batch in shelf.batches] == [[CONTENT], [b"c"]]


async def test_a_large_crowd_is_written_in_pieces(
    clocks: Clocks, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_BATCH_BYTES", 1000)
    store = over(shelf, clocks)
    await asyncio.gather(*(store.put(key(number), bytes(300)) for number in range(10)))

    assert [len(batch) for batch in shelf.batches] == [3, 3, 3, 1]
    assert len(shelf.kept) == 10


async def test_no_put_waits_for_ever(clocks: Clocks, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layered, "PUT_SECONDS", 0.01)
    store = over(shelf, clocks)
    shelf.writers.clear()
    for number in range(TOLERATED + 1):
        await store.put(key(number), CONTENT)

    assert store.peek([key(1)]) == {key(1): CONTENT}
    # What hangs is left alone like what fails.
    assert store.counts.not_written == 1
    shelf.writers.set()
    await turns()
    assert shelf.kept.keys() == {key(number) for number in range(TOLERATED)}


async def test_what_waits_to_be_written_has_a_bound(
    clocks: Clocks, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MOST_WAITING_BYTES", 1000)
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = [asyncio.create_task(store.put(key(0), b""))]
    await turns()
    putting += [asyncio.create_task(store.put(key(number), bytes(300))) for number in range(1, 10)]
    await turns()

    assert [task.done() for task in putting] == [False] * 4 + [True] * 6
    assert store.counts.not_written == 6
    shelf.writers.set()
    await asyncio.gather(*putting)
    assert len(shelf.kept) == 4


async def test_at_the_end_what_waits_is_written(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = [asyncio.create_task(store.put(key(number), CONTENT)) for number in range(5)]
    await turns()
    closing = asyncio.create_task(store.close())
    await turns()
    assert not shelf.is_closed
    shelf.writers.set()
    await closing

    assert len(shelf.kept) == 5
    assert shelf.is_closed
    await asyncio.gather(*putting)


async def test_a_caller_who_leaves_does_not_stop_the_writing(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    leaving = asyncio.create_task(store.put(key(1), CONTENT))
    staying = asyncio.create_task(store.put(key(2), CONTENT))
    await turns()
    leaving.cancel()
    shelf.writers.set()
    await staying

    assert shelf.kept.keys() == {key(1), key(2)}


# Trouble


@pytest.mark.parametrize("why", [TROUBLE, TimeoutError(), RuntimeError(CONTENT)])
async def test_trouble_behind_the_memory_is_a_miss_and_is_told_once(
    why: Exception, clocks: Clocks, shelf: Shelf, read_log: Log
) -> None:
    await over(shelf, clocks).put(key(1), CONTENT)
    store = over(shelf, clocks)
    shelf.why = why
    for _ in range(10):
        assert await store.fetch([key(1)]) == {}
        await store.put(key(2), CONTENT)

    assert store.peek([key(2)]) == {key(2): CONTENT}
    assert read_log().count("warning") == 1
    assert CONTENT.decode() not in read_log()


async def test_trouble_is_no_knowledge_that_a_key_is_nowhere(clocks: Clocks, shelf: Shelf) -> None:
    await over(shelf, clocks).put(key(1), CONTENT)
    store = over(shelf, clocks)
    shelf.why = TROUBLE
    await store.fetch([key(1)])
    shelf.why = None

    assert await store.fetch([key(1)]) == {key(1): CONTENT}


async def test_whoever_waits_behind_what_fails_waits_no_longer(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    shelf.writers.clear()
    putting = [asyncio.create_task(store.put(key(0), CONTENT))]
    await turns()
    putting += [asyncio.create_task(store.put(key(number), CONTENT)) for number in range(1, 10)]
    await turns()
    shelf.why = TROUBLE
    shelf.writers.set()
    await asyncio.gather(*putting)

    assert [len(batch) for batch in shelf.batches] == [1]


async def test_what_is_dead_is_left_alone_until_it_lives_again(clocks: Clocks, shelf: Shelf, read_log: Log) -> None:
    store = over(shelf, clocks)
    shelf.why = TROUBLE
    for number in range(50):
        await store.fetch([key(number)])
        await store.put(key(number), CONTENT)

    assert len(shelf.reads) == len(shelf.batches) == TOLERATED
    shelf.why = None
    clocks.pass_by(FIRST_PAUSE_SECONDS)
    await store.put(key(50), CONTENT)
    assert "works again" not in read_log()
    await store.fetch([key(51)])
    assert key(50) in shelf.kept
    assert read_log().count("The store works again") == 1
    await store.put(key(52), CONTENT)
    assert key(52) in shelf.kept


async def test_trouble_long_after_other_trouble_is_told_again(clocks: Clocks, shelf: Shelf, read_log: Log) -> None:
    store = over(shelf, clocks)
    for seconds in (0, 10, 100):
        clocks.pass_by(seconds)
        shelf.why = TROUBLE
        await store.fetch([key(1)])
        shelf.why = None
        await store.fetch([key(1)])
        clocks.pass_by(ABSENT_SECONDS if seconds else 0)
        store._absent.discard(key(1))

    assert read_log().count("warning") == 2


async def test_a_read_that_takes_too_long_is_a_miss(
    clocks: Clocks, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, read_log: Log
) -> None:
    monkeypatch.setattr(layered, "FETCH_SECONDS", 0.01)
    store = over(shelf, clocks)
    shelf.readers.clear()

    assert await store.fetch([key(1)]) == {}
    assert "no answer in time" in read_log()


async def test_values_that_cannot_be_opened_are_counted_and_told_now_and_then(
    clocks: Clocks, shelf: Shelf, read_log: Log
) -> None:
    store = over(shelf, clocks)
    shelf.unreadable = 2
    for number in range(10):
        await store.fetch([key(number)])

    assert store.counts.unreadable == 20
    assert read_log().count("warning") == 1


async def test_trouble_at_the_start_is_told_before_any_request(clocks: Clocks, shelf: Shelf, read_log: Log) -> None:
    shelf.why = TROUBLE
    await over(shelf, clocks).start()

    assert "the shelf is broken" in read_log()


async def test_the_first_that_is_written_after_trouble_at_the_start_ends_it(
    clocks: Clocks, shelf: Shelf, read_log: Log
) -> None:
    store = over(shelf, clocks)
    shelf.why = TROUBLE
    await store.start()
    shelf.why = None

    await store.put(key(1), CONTENT)
    assert "The store works again" in read_log()


async def test_what_could_not_be_written_is_counted_from_the_first_on(clocks: Clocks, shelf: Shelf) -> None:
    store = over(shelf, clocks)
    await store.put(key(0), CONTENT)
    shelf.why = TROUBLE
    for number in range(1, 11):
        assert await store.put(key(number), CONTENT)

    assert store.counts.not_written == 10


# Others that keep less, or are exchanged


async def test_a_memory_alone_is_a_store(clocks: Clocks) -> None:
    store = over(None, clocks)
    await store.start()
    await store.put(key(1), CONTENT)

    assert await store.fetch([key(1), key(2)]) == {key(1): CONTENT}
    store.forget([key(1)])
    assert await store.fetch([key(1)]) == {}
    await store.close()


async def test_the_store_of_those_who_keep_nothing_keeps_nothing(clocks: Clocks) -> None:
    stores: list[Store] = [NO_STORE, over(None, clocks, memory_bytes=0)]
    for store in stores:
        await store.put(key(1), CONTENT)

        assert store.peek([key(1)]) == await store.fetch([key(1)]) == {}
        store.forget([key(1)])
        await store.close()


async def test_a_store_that_takes_anothers_place_holds_what_was_in_its_memory(clocks: Clocks, shelf: Shelf) -> None:
    first, second = over(None, clocks), over(shelf, clocks)
    switch = StoreSwitch(first)
    store: Store = switch
    await store.put(key(1), CONTENT)

    assert switch.replace(second) is first
    assert store.peek([key(1)]) == await store.fetch([key(1)]) == {key(1): CONTENT}
    await store.put(key(2), CONTENT)
    assert shelf.kept.keys() == {key(2)}
    store.forget([key(1)])
    assert store.peek([key(1)]) == {}
    await store.close()
    assert shelf.is_closed
