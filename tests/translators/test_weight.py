"""Counting the values of JSON without reading it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators import weight
from translators.steps import in_one_go
from translators.weight import count_values, fields_in_steps, has_more_values, values_in_steps

TEXTS = st.text(st.sampled_from('a,{}[]"\\:ü\n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def weight_of(value: Any) -> int:
    """Commas and opening brackets, by the value itself."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(0, len(value) - 1) + sum(map(weight_of, inner))
    return 0


@given(value=VALUES, piece=st.integers(1, 12), escapes=st.booleans())
def test_values_are_counted_wherever_the_pieces_are_cut(value: Any, piece: int, escapes: bool) -> None:
    text = json.dumps(value, ensure_ascii=escapes).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "_PIECE_BYTES", piece)

        assert count_values(text) == weight_of(value)


@given(value=st.dictionaries(TEXTS, VALUES, min_size=1, max_size=6), piece=st.integers(1, 12))
def test_fields_of_the_outermost_object_are_counted_alone(value: dict[str, Any], piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight, "_PIECE_BYTES", piece)

        assert in_one_go(fields_in_steps(json.dumps(value).encode())) == len(value) - 1


def test_nothing_is_counted_beyond_what_is_enough() -> None:
    assert len(list(values_in_steps(b"[" * 2**20, 10))) == 0
    assert len(list(fields_in_steps(b"{" + b"0," * 2**20, 10))) == 0


def test_a_short_text_is_not_looked_at() -> None:
    assert not has_more_values(b"[[[[", 4)
    assert has_more_values(b"[[[[[", 4)
    assert not has_more_values(b'"[[[["', 4)


@given(value=VALUES, limit=st.integers(0, 60))
def test_the_quick_count_decides_as_the_exact_one_does(value: Any, limit: int) -> None:
    text = json.dumps([value, ',{["' * 3]).encode()

    assert has_more_values(text, limit) == (count_values(text) > limit)
