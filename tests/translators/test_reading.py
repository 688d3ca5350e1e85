"""Reading a caller's bytes, before they are JSON."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from translators.errors import TranslationError
from translators.reading import SPOKEN, checked_body, spoken_text

PIECE_BYTES = 64 * 1024


@given(
    before=st.integers(PIECE_BYTES - 8, PIECE_BYTES + 2),
    middle=st.one_of(st.text(max_size=12).map(str.encode), st.binary(max_size=12)),
    after=st.sampled_from([0, 5, PIECE_BYTES]),
)
def test_broken_utf_8_is_found_where_it_stands_however_large_the_body_is(
    before: int, middle: bytes, after: int
) -> None:
    body = b"x" * before + middle + b"x" * after
    try:
        body.decode()
    except UnicodeDecodeError as error:
        with pytest.raises(TranslationError, match=rf"byte {error.start}\)"):
            checked_body(body)
    else:
        assert checked_body(body) is body


@given(
    value=st.one_of(
        st.text(max_size=4),
        st.sampled_from([None, 1, True, [], ["a"], {}, {"a": "b"}, "\n\t x", "\u3000", "\u00e9", " " * 100 + "x"]),
    ),
    tail=st.sampled_from([0, PIECE_BYTES]),
)
def test_what_is_told_to_be_spoken_by_a_table_is_what_the_pattern_tells(value: object, tail: int) -> None:
    raw = Raw(orjson.dumps(value + "y" * tail if isinstance(value, str) else value))

    assert spoken_text(raw) == (bytes(raw) if SPOKEN.match(raw) else b"")
