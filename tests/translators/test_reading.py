"""Reading a caller's bytes, before they are JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.errors import TranslationError
from translators.reading import checked_body

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
