"""The rule for the gateway's own cache marks: what pays is marked, and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.messages.marking import LOOK_BACK_BLOCKS, Facts, plan

# A system prompt of one block and a question; with tools before it, and a turn later.
ONE_SHOT = Facts("auto", tools=0, system=1, first_turn=2, end=2)
WITH_TOOLS = Facts("auto", tools=3, system=4, first_turn=5, end=5)
LATER = Facts("auto", tools=0, system=1, first_turn=2, end=4, sent_before=2)
# A document of three parts before the question.
DOCUMENT = Facts("auto", tools=0, system=1, first_turn=5, end=5)


def case(name: str, facts: Facts, places: tuple[int, ...], **more: Any) -> Any:
    return pytest.param(facts._replace(**more), places, id=name)


CASES = [
    case("a question that nobody asked before", ONE_SHOT, ()),
    case("a system prompt that another request had", ONE_SHOT, (1,), shared=1),
    case("the same prompt again", ONE_SHOT, (1, 2), shared=2),
    case("several answers", ONE_SHOT, (1, 2), is_asked_again=True),
    case("tools, from the first turn on", WITH_TOOLS, (4, 5)),
    case("tools that another request had, before another system prompt", WITH_TOOLS, (3, 4, 5), shared=3),
    case("tools and a system prompt that another request had", WITH_TOOLS, (4, 5), shared=4),
    case("tools without a system prompt", Facts("auto", 3, 3, 4, 4), (3, 4)),
    case("neither tools nor system", Facts("auto", 0, 0, 1, 3, sent_before=1), (3,)),
    case("a later turn", LATER, (1, 4)),
    case("a later turn knows its own first turn", LATER, (1, 4), shared=2),
    case("a document before another question", DOCUMENT, (1, 4), shared=4),
    case("a document shared by a later turn", DOCUMENT, (1, 4, 7), end=7, sent_before=5, shared=4),
    case("as many blocks as upstream looks back", LATER, (1, 21), end=21),
    case("more blocks than upstream looks back", LATER, (1, 2, 22), end=22),
    case("all four", DOCUMENT, (1, 4, 5, 40), end=40, sent_before=5, shared=4),
    case("too short", LATER, (), long_enough=5),
    case("long enough at its end only", LATER, (4,), long_enough=4),
    case("a shared beginning that is too short", ONE_SHOT, (), shared=1, long_enough=2),
    case("off", WITH_TOOLS, (), caching="off"),
    case("always", ONE_SHOT, (2,), caching="always"),
]


@pytest.mark.parametrize(("facts", "places"), CASES)
def test_what_pays_is_marked(facts: Facts, places: tuple[int, ...]) -> None:
    assert plan(facts) == places


@st.composite
def all_facts(draw: st.DrawFn) -> Facts:
    """Anything that a prompt may be."""
    tools = draw(st.integers(0, 5))
    system = tools + draw(st.integers(0, 3))
    first_turn = system + draw(st.integers(1, 9))
    end = first_turn + draw(st.sampled_from([0, 0, 2, 5, 19, 20, 21, 60]))
    is_later = end > first_turn
    return Facts(
        "auto",
        tools,
        system,
        first_turn,
        end,
        long_enough=draw(st.integers(0, end + 1)),
        sent_before=draw(st.integers(first_turn, end - 1)) if is_later else 0,
        shared=draw(st.integers(0, first_turn)),
        is_asked_again=draw(st.booleans()),
    )


@given(facts=all_facts())
def test_there_are_at_most_four_marks_in_order_and_none_where_it_is_too_short(facts: Facts) -> None:
    places = plan(facts)

    assert len(places) <= 4
    assert list(places) == sorted(set(places))
    assert all(max(1, facts.long_enough) <= place <= facts.end for place in places)


@given(facts=all_facts())
def test_nothing_is_written_that_nobody_is_expected_to_read(facts: Facts) -> None:
    """The last mark is what is paid for: the end where it comes back, else what another request had."""
    places = plan(facts)

    if facts.tools or facts.sent_before or facts.is_asked_again or facts.shared == facts.end:
        assert not places or places[-1] == facts.end or facts.long_enough > facts.end
    else:
        assert all(place <= facts.shared for place in places)


@given(facts=all_facts())
def test_the_end_of_the_request_before_is_in_sight_of_a_mark(facts: Facts) -> None:
    places = plan(facts)
    if facts.sent_before >= max(1, facts.long_enough):
        assert any(place - LOOK_BACK_BLOCKS < facts.sent_before <= place for place in places)
