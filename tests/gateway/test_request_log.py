"""The request log stays within its bounds, keeps failed and slow requests longest, and lets contents go in time."""

import gc
import tracemalloc
from itertools import count

import pytest

from gateway.service.listening import MOST_BYTES, Listener
from gateway.service.observers import Ended
from gateway.telemetry.requests.contents import MOST_BYTES_TOGETHER, Contents, Wires
from gateway.telemetry.requests.filtering import Wanted, chosen
from gateway.telemetry.requests.log import RequestLog, RequestLogSettings
from tests.support.ended import NOW, ended, entry, record


def log_of(size: int, max_bytes: int = 2**20) -> RequestLog:
    return RequestLog(RequestLogSettings(size, max_bytes), Contents(lambda: NOW), Wires(lambda: NOW))


def ids(log: RequestLog) -> list[str]:
    return [found.id for found in chosen(log.look(), Wanted(limit=1_000))]


def test_the_last_requests_are_held_the_latest_first() -> None:
    log = log_of(4)
    for number in range(3):
        log.note(ended(number))

    assert ids(log) == ["req_2", "req_1", "req_0"]


def test_what_failed_and_what_was_slow_stays_when_others_go() -> None:
    log = log_of(8)
    log.note(ended(0, error="overloaded", status=503))
    log.note(ended(1, entry(error="overloaded"), entry(), record=record(entry(), failures=("main: overloaded",))))
    log.note(ended(2, seconds=90.0))
    log.note(ended(3, seconds=60.0))
    for number in range(10, 110):
        log.note(ended(number, seconds=1.0))

    assert len(log) == 8 + 4
    assert set(ids(log)) >= {"req_0", "req_1", "req_2", "req_3", *(f"req_{number}" for number in range(102, 110))}


def test_a_slow_request_of_long_ago_makes_room_for_one_of_today() -> None:
    log = log_of(4)
    log.note(ended(0, seconds=60.0))
    hours = 4 * 3600
    for number in range(8):
        log.note(ended(hours + number, seconds=0.1 if number else 10.0))

    assert "req_0" not in ids(log)
    assert f"req_{hours}" in ids(log)


@pytest.mark.parametrize("seconds", [0.1, 600.0])
def test_many_requests_take_no_more_than_the_bytes_that_are_allowed(seconds: float) -> None:
    log = log_of(1_000, max_bytes=200_000)
    for number in range(2_000):
        log.note(ended(number, seconds=seconds, error="overloaded" if number % 3 else None))
        assert log.bytes <= 200_000

    assert 50 < len(log) < 200
    assert "req_1999" in ids(log)


def test_the_size_of_a_request_is_estimated_well() -> None:
    requests = 400

    def fresh(number: int) -> Ended:
        made = entry(id=number.to_bytes(16), host=f"host-{number}", upstream_request_id=f"req_up_{number}")
        return ended(number, made, model=f"claude-model-{number}", trace_id=f"{number:032x}")

    log = log_of(requests)
    gc.collect()
    tracemalloc.start()
    for number in range(requests):
        log.note(fresh(number))
    gc.collect()
    used = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert 0.5 * used < log.bytes < 2 * used


def test_smaller_bounds_hold_at_once() -> None:
    log = log_of(100)
    for number in range(100):
        log.note(ended(number))
    log.use(RequestLogSettings(10, 2**20))

    assert len(log) == 10 + 2
    assert log.bytes < 10_000 * len(log)


async def test_a_content_goes_when_its_time_is_over_and_when_there_are_too_many() -> None:
    now = NOW
    contents = Contents(lambda: now)
    for number in range(100):
        heard = Listener(keep_seconds=60.0)
        heard.take(b"q" * 10 * MOST_BYTES)
        for _ in range(3):
            heard.hear(b"a" * (MOST_BYTES // 2))
        contents.keep(f"req_{number}", heard, ("Busy.",))
    shown = contents.shown()
    now += 61

    assert 25 < len(shown) <= MOST_BYTES_TOGETHER // (2 * MOST_BYTES)
    assert "req_99" in shown
    assert len(shown["req_99"].request) == len(shown["req_99"].answer) == MOST_BYTES
    assert contents.shown() == {}
    contents.close()


def test_a_request_matches_by_name_and_time() -> None:
    log = log_of(10)
    numbers = count()
    for caller, model, seconds in (("shop", "gpt-5", 1.0), ("shop", "gpt-4", 9.0), ("diary", "gpt-5", 9.0)):
        log.note(ended(next(numbers), caller=caller, seconds=seconds, model=model))
    entries = log.look()

    def found(**wanted: str | float | int) -> list[str]:
        return [each.id for each in chosen(entries, Wanted(**wanted))]  # type: ignore[arg-type]

    assert found(caller="shop", slower_than=2.0) == ["req_1"]
    assert found(model="gpt-5") == ["req_2", "req_0"]
    assert found(after=NOW + 5) == ["req_2", "req_1"]
    assert found(limit=1) == ["req_2"]
