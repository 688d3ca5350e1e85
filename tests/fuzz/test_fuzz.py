"""A minute of fuzzing in every run: the same cases each time, so that it finds what a change has broken.

`make fuzz` goes on with other cases for as long as it is let (CONTRIBUTING.md).
"""

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import answers, requests
from tests.fuzz.finding import Finding, case, shrunk, tried
from tests.fuzz.mutations import mutated_json, mutated_stream
from tests.fuzz.targets import TARGETS, Target
from tests.support.conversations import requests as any_requests
from tests.support.messages import encode, messages_streams
from tests.support.recordings import NOT_FOUND

# So many cases make an item, which is what is spread over processes.
ITEM_CASES = 500
# Of each target's cases that come from recordings, beside those of our own corpus.
RECORDED_SHARE = 4
SEEDS = st.integers(0, 2**32)
drawn_alike = settings(derandomize=True, database=None)


def items(*, is_recorded: bool) -> list[Any]:
    """The cases of each target, in pieces: the target, the first number, how many."""
    params = []
    for target in TARGETS.values():
        cases = target.cases // (RECORDED_SHARE if is_recorded else 1)
        marks = [pytest.mark.skip(reason=NOT_FOUND)] if is_recorded and not target.recorded() else []
        if is_recorded and not target.has_recordings:
            continue
        for first in range(0, cases, ITEM_CASES):
            count = min(ITEM_CASES, cases - first)
            params.append(pytest.param(target, first, count, id=f"{target.name}-{first}", marks=marks))
    return params


def check(target: Target, first: int, count: int, *, is_recorded: bool) -> None:
    for number in range(first, first + count):
        finding = tried(target, number, case(target, number, is_recorded=is_recorded))
        if finding is not None:
            raise AssertionError(shrunk(finding).told()) from finding.error


@pytest.mark.parametrize(("target", "first", "count"), items(is_recorded=False))
def test_whatever_comes_in_is_answered_or_refused(target: Target, first: int, count: int) -> None:
    check(target, first, count, is_recorded=False)


@pytest.mark.parametrize(("target", "first", "count"), items(is_recorded=True))
def test_so_is_what_was_recorded_and_then_damaged(target: Target, first: int, count: int) -> None:
    check(target, first, count, is_recorded=True)


@drawn_alike
@given(request=any_requests(), seed=SEEDS)
def test_any_request_can_be_damaged(request: dict[str, Any], seed: int) -> None:
    random = Random(seed)
    requests.chat(mutated_json(json.dumps(request).encode(), random), random)


@drawn_alike
@given(stream=messages_streams(), seed=SEEDS)
def test_any_stream_can_be_damaged(stream: list[dict[str, Any]], seed: int) -> None:
    random = Random(seed)
    data = mutated_stream(encode(stream), random)

    answers.chat_stream(data, random)
    answers.native_stream(data, random)


# The fuzzer itself.


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
def test_a_case_is_the_same_each_time_and_another_than_the_next(target: Target) -> None:
    cases = [case(target, number) for number in range(20)]

    assert [case(target, number) for number in range(20)] == cases
    assert len(set(cases)) > 10


def test_what_is_found_is_made_small() -> None:
    def refuses_a_word(data: bytes, _random: Random) -> None:
        assert b"temperature" not in data

    target = Target("words", refuses_a_word, lambda: (b"",), mutated_json, 1)
    data = json.dumps({"model": "m", "messages": [{"role": "user"}] * 9, "temperature": 1}).encode()
    finding = tried(target, 1, data)

    assert isinstance(finding, Finding)
    assert len(shrunk(finding).data) <= len("temperature")
