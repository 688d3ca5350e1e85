"""How prompts begin: what two requests have in common is found part by part, and read whole."""

import json
from typing import Any

import pytest
from hypothesis import given

from tests.support.conversations import Request, chat, damaged, said, tool
from tests.support.intents import read_intent
from translators import beginnings as beginnings_module
from translators.beginnings import MAX_PARTS, Beginnings, Sharing, beginnings
from translators.errors import TranslationError

LONG = "What does the second section of the contract say? " * 100
MINIMUM = 1024
PARTS = [{"type": "text", "text": text} for text in (LONG, "One", "Two")]


def of(request: Request, scope: object = "", minimum: int = MINIMUM) -> Beginnings:
    return beginnings(read_intent(json.dumps(request).encode()), scope, minimum)


def shared(one: Request, other: Request) -> Sharing:
    """How much of the second request the first one had."""
    known, found = of(one).fingerprints, of(other)
    return found.sharing(sum(fingerprint in known for fingerprint in found.fingerprints))


SYSTEM = said("system", LONG)
QUESTION = chat(SYSTEM, said("user", "Why?"))
LOOK = tool("look", description=LONG)


@pytest.mark.parametrize(
    ("one", "other", "depth"),
    [
        pytest.param(QUESTION, QUESTION, 3, id="the same"),
        pytest.param(QUESTION, chat(SYSTEM, said("user", "How?")), 2, id="the system prompt"),
        pytest.param(QUESTION, chat(said("system", LONG + "."), said("user", "Why?")), 0, id="another at its end"),
        pytest.param(QUESTION, {**QUESTION, "reasoning_effort": "low"}, 0, id="another effort"),
        pytest.param(QUESTION, {**QUESTION, "verbosity": "low"}, 0, id="other words at its end"),
        pytest.param(QUESTION, {**QUESTION, "response_format": {"type": "json_object"}}, 0, id="another format"),
        pytest.param(QUESTION, {**QUESTION, "tool_choice": "none"}, 2, id="another choice of tools"),
        pytest.param(QUESTION, {**QUESTION, "temperature": 0.5, "user": "ann", "stream": True}, 3, id="no part"),
        pytest.param(chat(said("user", [*PARTS[:2]])), chat(said("user", [PARTS[0], PARTS[2]])), 2, id="a document"),
        pytest.param(chat(said("user", LONG), said("user", "a")), chat(said("user", LONG)), 2, id="a message"),
        pytest.param(chat(said("user", PARTS)), chat(said("user", PARTS[:2])), 3, id="a longer first turn"),
        pytest.param(
            chat(SYSTEM, said("system", "a")), chat(SYSTEM, said("system", "b")), 2, id="half a system prompt"
        ),
        pytest.param(chat(SYSTEM, tools=[LOOK]), chat(said("system", "b"), tools=[LOOK]), 1, id="tools"),
        pytest.param(chat(SYSTEM, tools=[LOOK]), chat(SYSTEM, tools=[tool("talk")]), 0, id="other tools"),
        pytest.param(
            chat(*QUESTION["messages"], said("assistant", "So."), said("user", "Oh.")), QUESTION, 3, id="a later turn"
        ),
        # Where a system message stands among users', what is written first is not what comes first.
        pytest.param(
            chat(said("user", LONG), said("system", "a")), chat(said("user", LONG), said("system", "b")), 0, id="mixed"
        ),
    ],
)
def test_what_two_requests_have_in_common_is_found(one: Request, other: Request, depth: int) -> None:
    assert shared(one, other).depth == depth


def test_how_many_parts_there_are_is_told() -> None:
    found = of(chat(SYSTEM, said("developer", "a"), said("user", PARTS), said("assistant", "b"), said("user", "c")))

    assert found.sharing(0) == Sharing(0, 2, 3)
    assert found.depths == (2, 3, 4, 5, 6)
    assert found.sharing(4, is_asked_again=True) == Sharing(5, 2, 3, True)


def test_other_scopes_have_nothing_in_common() -> None:
    assert set(of(QUESTION, "a").fingerprints).isdisjoint(of(QUESTION, "b").fingerprints)


def test_a_boundary_before_which_it_is_too_short_is_none() -> None:
    request = chat(said("system", "Be brief."), said("user", PARTS))

    assert of(request).depths == (3, 4, 5)
    assert of(request, minimum=0).depths == (1, 2, 3, 4, 5)
    assert of(chat(said("user", "Hi"), said("assistant", LONG))) == Beginnings()


def test_of_many_parts_the_first_ones_and_the_end_are_boundaries() -> None:
    parts = [{"type": "text", "text": LONG} for _ in range(30)]

    assert of(chat(said("user", parts))).depths == (*range(2, 2 + MAX_PARTS), 31)


def test_what_is_larger_than_anything_that_is_worth_it_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beginnings_module, "MAX_BYTES", 2 * len(LONG))

    assert of(chat(SYSTEM, said("user", "a"), said("user", LONG), said("user", "b"))).depths == (2, 3)


def test_a_difference_anywhere_in_a_long_document_is_seen() -> None:
    document = "a" * 1_000_000
    changed = document[:600_000] + "b" + document[600_001:]

    assert shared(chat(said("user", document)), chat(said("user", changed))).depth == 0


@given(request=damaged())
def test_what_can_be_read_has_beginnings_and_the_longer_history_those_of_the_shorter(request: Any) -> None:
    try:
        asked = read_intent(json.dumps(request).encode())
    except TranslationError:
        return
    found = beginnings(asked, "", 0)
    asked.messages = [*asked.messages, *read_intent(json.dumps(chat(said("assistant", "a"))).encode()).messages]

    assert beginnings(asked, "", 0) == found
    assert list(found.depths) == sorted(set(found.depths))
