"""Outages as they are told: once when they begin, once when they are over."""

import pytest

from gateway.keypool import SUCCESS, Key, LeaseRequest
from gateway.service.dispatch import Dispatcher
from gateway.service.outages import Outage, Outages
from tests.support.pools import MODEL, OTHER, fail, failed, pool_of, taken
from translators.errors import ErrorKind

HOSTS = [Key("a", host="https://a"), Key("b", host="https://b")]
UNREACHABLE, OVERLOADED = failed(ErrorKind.UNREACHABLE), failed(ErrorKind.OVERLOADED)


class World:
    """A pool, its clock, and what an operator has been told."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.told: list[Outage] = []
        self.pool = pool_of(*HOSTS)
        dispatcher = Dispatcher(self.pool, clock=lambda: self.now)
        self._outages = Outages(dispatcher, self.told.append)

    def look(self) -> list[Outage]:
        """What is told by one look."""
        self.told.clear()
        self._outages.look()
        return [*self.told]


@pytest.fixture
def world() -> World:
    return World()


def test_a_few_failures_are_no_outage(world: World) -> None:
    for _ in range(4):
        fail(world.pool, world.now, UNREACHABLE, "a")

    assert world.look() == []


def test_a_host_that_is_left_alone_is_told_once_with_the_reason(world: World) -> None:
    for _ in range(5):
        fail(world.pool, world.now, UNREACHABLE, "a")

    assert world.look() == [Outage("https://a", None, "unreachable")]
    assert world.look() == []


def test_it_is_over_with_the_first_request_that_succeeds(world: World) -> None:
    for _ in range(5):
        fail(world.pool, world.now, UNREACHABLE, "a")
    world.look()
    world.now += 30
    trial = taken(world.pool, world.now, only="a")
    world.pool.answered(trial, {}, world.now)
    while_it_is_tried = world.look()
    world.pool.release(trial, SUCCESS, world.now)

    assert while_it_is_tried == []
    assert world.look() == [Outage("https://a", None, "unreachable", 30.0)]
    assert world.look() == []


def test_trials_that_fail_are_no_new_outages(world: World) -> None:
    for _ in range(5):
        fail(world.pool, world.now, UNREACHABLE, "a")
    world.look()
    for _ in range(5):
        world.now += 30
        fail(world.pool, world.now, UNREACHABLE, "a")
        assert world.look() == []


def test_a_class_that_is_overloaded_is_told_apart(world: World) -> None:
    for _ in range(5):
        fail(world.pool, world.now, OVERLOADED, "a")
    begun = world.look()
    fail(world.pool, world.now, SUCCESS, "a", LeaseRequest(OTHER))

    assert begun == [Outage("https://a", begun[0].models, "overloaded")]
    assert begun[0].models
    assert begun[0].models in MODEL
    assert world.look() == []


def test_a_host_that_is_configured_no_longer_is_forgotten(world: World) -> None:
    for _ in range(5):
        fail(world.pool, world.now, UNREACHABLE, "a")
    world.look()
    world.pool.update(HOSTS[1:])

    assert world.look() == []
