"""Tool names and call ids that one side refuses."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.messages.names import caller_call_id, upstream_call_id, upstream_tool_name

# Lone surrogates cannot be read from JSON, but a name must not be able to crash anything.
names = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["", "a", "a" * 40, "a" * 41, "a" * 64, "a" * 65, "a.b", "a_b", "tool\n", "\u5929\u6c17", "\ud83d"]
    ),
)


@given(name=names)
def test_every_tool_name_becomes_one_that_messages_takes(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", upstream_tool_name(name))


@given(call_id=names)
def test_every_call_id_becomes_one_that_messages_takes(call_id: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", upstream_call_id(call_id))


@given(name=st.text(st.sampled_from("ab_.-ü天 "), max_size=200))
def test_what_can_be_read_of_a_rewritten_name_is_its_beginning(name: str) -> None:
    readable, _, digest = upstream_tool_name(f"{name}.").rpartition("_")

    assert readable == re.sub(r"[^a-zA-Z0-9_-]+", "_", f"{name}.")[: 64 - len(digest) - 1]


@given(call_id=names)
def test_every_id_given_out_is_one_that_openai_clients_may_send_back(call_id: str) -> None:
    given_out = caller_call_id(call_id)

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,40}", given_out)
    assert upstream_call_id(given_out) == given_out


@given(name=st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True))
def test_a_legal_name_stays_as_it_is(name: str) -> None:
    assert upstream_tool_name(name) == name
    assert upstream_call_id(name) == name


@given(both=st.lists(names, min_size=2, max_size=2, unique=True))
def test_different_names_stay_different(both: list[str]) -> None:
    assert upstream_tool_name(both[0]) != upstream_tool_name(both[1])
    assert upstream_call_id(both[0]) != upstream_call_id(both[1])
    assert caller_call_id(both[0]) != caller_call_id(both[1])


@pytest.mark.parametrize("name", ["mcp::server/tool", "n" * 65, "Model[int]"])
def test_a_rewritten_name_is_the_same_every_time_and_can_be_recognised(name: str) -> None:
    rewritten = upstream_tool_name(name)

    assert rewritten == upstream_tool_name(name)
    assert rewritten[:3] == name[:3]


def test_a_legal_id_that_is_only_long_is_left_alone_upstream_and_shortened_for_the_caller() -> None:
    long_id = "toolu_" + "x" * 60

    assert upstream_call_id(long_id) == long_id
    assert len(caller_call_id(long_id)) <= 40
