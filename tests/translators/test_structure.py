"""What a body is made of, told without building it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.costs import exhaust, growth, peak_bytes
from translators.errors import TranslationError
from translators.limits import MAX_VALUES
from translators.members import MAX_MEMBERS, Members
from translators.structure import check_values

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['"}', "]},:", '\\"', "\\"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
_names = st.sampled_from(["a", "b", "model", 'x"y', "é", "\\", "", "\U0001f680"])


def members(count: int, filler: int = 0) -> bytes:
    """A body with so many members, and a text that makes it large."""
    return b'{%b"a":"%b"}' % (b'"x":1,' * (count - 1), b"a" * filler)


def values(count: int, text: bytes = b"") -> bytes:
    """A body with so many values, and a text."""
    return b'{"a":"%b","b":[%b]}' % (text, b",".join([b'""'] * (count - 2)))


@given(
    pairs=st.lists(st.tuples(_names, _values), max_size=6),
    is_ascii=st.booleans(),
    separators=st.sampled_from([(",", ":"), (" ,\n ", " :\t")]),
)
def test_members_are_found_where_they_stand_even_if_their_names_repeat(
    pairs: list[tuple[str, Any]], is_ascii: bool, separators: tuple[str, str]
) -> None:
    comma, colon = separators
    written = [(json.dumps(name, ensure_ascii=is_ascii), json.dumps(value)) for name, value in pairs]
    body = (" {" + comma.join(f"{name}{colon}{value}" for name, value in written) + " } ").encode()
    found = Members(body)

    assert found.names == [name for name, _ in pairs]
    assert {name: json.loads(bytes(value)) for name, value in found.values.items()} == dict(pairs)
    for name in dict(pairs):
        start, end = found.span(name)
        assert json.loads(body[start:end]) == next(value for other, value in pairs if other == name)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"a":1} x', b'{"a":' + b"[" * 100_000, b'{"\\ud83d":1}'])
def test_what_has_no_members_is_a_mistake(body: bytes) -> None:
    with pytest.raises(TranslationError):
        Members(body)


@pytest.mark.parametrize("filler", [0, 100_000], ids=["small", "large"])
def test_members_have_a_bound(filler: int) -> None:
    assert len(Members(members(MAX_MEMBERS, filler)).names) == MAX_MEMBERS
    with pytest.raises(TranslationError, match="too many fields"):
        Members(members(MAX_MEMBERS + 1, filler))


def test_no_more_members_are_read_than_the_bound_allows() -> None:
    body = members(500_000)

    def read() -> None:
        with pytest.raises(TranslationError):
            Members(body)

    assert peak_bytes(read) < len(body) / 2


def test_values_have_a_bound_and_what_stands_in_texts_does_not_count() -> None:
    exhaust(check_values(values(MAX_VALUES, b',:[{\\"' * 100)))
    with pytest.raises(TranslationError, match="too many values"):
        exhaust(check_values(values(MAX_VALUES + 1, b',:[{\\"' * 100)))


@pytest.mark.parametrize(
    "body",
    [b'{"a":"' + b"\\n," * 1_000_000 + b'"}', b'{"a":"' + b'\\",' * 600_000, b'"' * 1_000_000],
    ids=["escapes", "no end", "quotes"],
)
def test_values_are_counted_in_small_steps_and_without_memory(body: bytes) -> None:
    steps, _ = exhaust(check_values(body))

    assert steps >= len(body) // 262_144
    assert peak_bytes(lambda: exhaust(check_values(body))) < 5_000_000


def test_counting_is_linear() -> None:
    def count(size: int) -> None:
        exhaust(check_values(b'{"a":"' + b'\\",' * size + b'"}'))

    # Both are above the bound, so that strings are told from what stands around them.
    assert growth(count, MAX_VALUES + 1) < 9
