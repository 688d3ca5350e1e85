"""Who gets the next connection, how soon the dead are replaced, and what a parent and a worker tell each other."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from typing import cast

import pytest

from gateway.config import Config, KeyConfig, Source
from gateway.secret import Secret
from gateway.workers.assignment import Assignment
from gateway.workers.channel import CONNECTION, RELOAD, STOP, Message, ParentsEnd, WorkersEnd
from gateway.workers.load import MOST_ON_THE_WAY, NOTHING, Backoff, Load, Report
from gateway.workers.process import Phase, Worker, restore_environment, worker_environment
from gateway.workers.supervisor import Supervisor


def least(*loads: Load) -> int:
    """The place of the one that gets the next connection."""
    return min(range(len(loads)), key=lambda place: loads[place].weight)


def test_open_requests_count_before_open_connections() -> None:
    busy, idle = Load(Report(9, 2, 2), 9), Load(Report(9, 1, 8), 9)

    assert least(busy, idle) == 1


def test_what_is_on_its_way_counts_as_if_it_were_there() -> None:
    loads = [Load(Report(0, 3, 3)), Load()]
    places = []
    for turn in range(1, 8):
        places.append(least(*loads))
        loads[places[-1]].hand(turn)

    assert places[:3] == [1, 1, 1]
    assert sorted(places[3:]) == [0, 0, 1, 1]


def test_equals_take_turns() -> None:
    first, second = Load(Report(1, 0, 0), 1, last_turn=2), Load(Report(7, 0, 0), 7, last_turn=1)

    assert least(first, second) == 1


def test_a_worker_that_does_not_take_its_connections_gets_no_more() -> None:
    load = Load()
    for turn in range(MOST_ON_THE_WAY):
        assert load.has_room
        load.hand(turn)

    assert not load.has_room


def test_who_shows_no_pulse_comes_behind_all_others() -> None:
    quiet, busy = Load(Report(0, 0, 0)), Load(Report(9, 9, 9), 9)
    for _ in range(3):
        quiet.look(1.0)
        busy.look(1.0)
    busy.hear(busy.report)

    assert quiet.is_quiet
    assert least(quiet, busy) == 1


def test_a_pulse_ends_a_silence() -> None:
    load = Load()
    load.look(0.75)
    silent_seconds = load.silent_seconds
    load.hear(NOTHING)

    assert (silent_seconds, load.silent_seconds) == (0.75, 0)


def test_time_in_which_the_parent_itself_did_not_run_is_no_silence() -> None:
    load = Load()
    for elapsed_seconds in (1, 8 * 3600, 1):
        load.look(elapsed_seconds)

    assert load.silent_seconds == 3


def test_the_dead_are_replaced_at_once_but_not_again_and_again() -> None:
    backoff = Backoff()
    delays = [backoff.delay_seconds(now) for now in (0, 1, 2, 4, 8, 16, 32, 64, 95)]

    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff.delay_seconds(200) == 0


@pytest.fixture
def ends() -> Iterator[tuple[ParentsEnd, WorkersEnd]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ParentsEnd(ours), WorkersEnd(theirs)


def test_connections_arrive_before_the_command_that_follows_them(ends: tuple[ParentsEnd, WorkersEnd]) -> None:
    parent, worker = ends
    client, accepted = socket.socketpair()
    parent.hand(accepted)
    parent.command(STOP)
    command, (taken,), _ = worker.receive()
    with client, taken:
        taken.sendall(b"hello")

        assert client.recv(5) == b"hello"
        assert command == CONNECTION
        assert accepted.fileno() == -1
        assert worker.receive() == Message(STOP)
        assert worker.receive() == Message(b"")


def test_only_news_is_reported(ends: tuple[ParentsEnd, WorkersEnd]) -> None:
    parent, worker = ends
    reports = [Report(1, 1, 1), Report(1, 1, 1), Report(2, 1, 2, wants_to_be_replaced=True)]

    assert all(worker.report(report) for report in reports)
    assert parent.receive() == [reports[0], reports[2]]
    assert parent.receive() == []


def test_a_pulse_is_sent_without_news(ends: tuple[ParentsEnd, WorkersEnd]) -> None:
    parent, worker = ends
    for _ in range(2):
        worker.report(Report(1, 1, 1), is_pulse=True)

    assert parent.receive() == [Report(1, 1, 1)] * 2


def test_both_ends_notice_the_others_end() -> None:
    ours, theirs = socket.socketpair()
    parent, worker = ParentsEnd(ours), WorkersEnd(theirs)
    theirs.close()
    client, accepted = socket.socketpair()
    with client, accepted:
        assert not parent.hand(accepted)
        assert accepted.fileno() != -1
    with pytest.raises(EOFError):
        parent.receive()
    parent.command(STOP)
    parent.close()
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        WorkersEnd(theirs).receive()
    assert not worker.report(Report(1, 1, 1))


def test_an_assignment_arrives_with_its_secrets() -> None:
    config = Config(keys=(KeyConfig(name="main", api_key=Secret("sk-ant-1")),))
    assignment = Assignment(number=2, config=config, callers_base_url="http://up")

    assert Assignment.decode(assignment.encode()) == assignment


@pytest.mark.parametrize("path", ["/mine", None])
def test_a_workers_environment_is_its_parents_once_it_has_started(
    monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    before = dict(os.environ)
    given = worker_environment()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    restore_environment()

    assert os.path.abspath(sys.path[-1]) in given["PYTHONPATH"].split(os.pathsep)
    assert dict(os.environ) == before


def test_there_may_be_no_keys_in_an_assignment() -> None:
    assignment = Assignment(number=1, config=Config(), callers_base_url="http://up")

    assert Assignment.decode(assignment.encode()) == assignment


def test_a_new_assignment_comes_as_a_file_that_nobody_else_can_open(ends: tuple[ParentsEnd, WorkersEnd]) -> None:
    parent, worker = ends
    config = Config(keys=(KeyConfig(name="main", api_key=Secret("sk-ant-1" * 100_000)),))
    sources = {"main": Source(command=("pass", "show"))}
    assignment = Assignment(number=2, config=config, callers_base_url="http://up", key_sources=sources)
    file = assignment.to_file()
    parent.reload(file)
    os.close(file)
    parent.command(STOP)
    message = worker.receive()

    assert (message.command, message.connections) == (RELOAD, ())
    assert Assignment.decode(message.assignment) == assignment
    assert worker.receive() == Message(STOP)


def test_where_there_are_no_files_in_memory_it_is_one_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assignment = Assignment(number=1, config=Config(), callers_base_url="http://up")
    with open(assignment.to_file(), "rb") as file:
        assert Assignment.decode(file.read()) == assignment


def test_a_worker_that_does_not_keep_up_cannot_be_told(ends: tuple[ParentsEnd, WorkersEnd]) -> None:
    parent, _ = ends
    with open(os.devnull, "rb") as file:
        for _ in range(100_000):
            if not parent.reload(file.fileno()):
                return
    pytest.fail("The worker's inbox has no end.")


async def test_a_worker_that_cannot_be_told_of_a_change_is_to_be_replaced() -> None:
    supervisor = Supervisor(Config(), {}, "http://up", socket.socket(), on_ready=lambda: None)
    ours, theirs = socket.socketpair()
    worker = Worker(1, cast(asyncio.subprocess.Process, None), ParentsEnd(ours))
    worker.phase = Phase.SERVING
    supervisor._workers.append(worker)
    with supervisor._acceptor._listener, ours, theirs:
        while not supervisor._line.qsize():
            supervisor.reload(Config(), {})

        assert supervisor._line.get_nowait() is worker
