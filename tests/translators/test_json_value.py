"""The one JSON value of an answer, cut out of the words around it while it is still arriving."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.costs import growth
from tests.support.messages import fragments
from translators.answers.json_value import MAX_HELD, JsonValue

_scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
_objects = st.dictionaries(st.text(max_size=5), _values, min_size=1, max_size=3)
# Texts in which values, or what looks like the beginning of one, are likely.
_pieces = [*'{}[]":,`1a \n\\é', "```", "```json\n", "true", '{"a":', '["b"', '{"a": 1}', "[1]"]
_valuelike = st.lists(st.sampled_from(_pieces), max_size=12).map("".join)
# Words that say something and hold no value.
_words = st.sampled_from(
    ["", "Here is the JSON:\n", "Here is [the] JSON: ", "Of [1] and [2], for {x}: ", "\n\n", 'He said "so": ', "`a`: "]
)


def through(pieces: Sequence[str]) -> str:
    value = JsonValue()
    return "".join([value.feed(piece) for piece in pieces]) + value.end()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        (' {"a": 1}\n', '{"a": 1}'),
        ('Here is the JSON:\n\n```json\n{"a":1}\n```', '{"a":1}'),
        ('```json\n{"a": "```"}\n```\nThat is it.', '{"a": "```"}'),
        ('Here is [the] JSON: {"a": {"b": "}\\""}} {"c": 2}', '{"a": {"b": "}\\""}}'),
        ('It is like {"a": int}, so: {"a": 1}', '{"a": 1}'),
        ('Sure: [{"a": 1}, {"a": 2}].', '[{"a": 1}, {"a": 2}]'),
        ('As in [1], [2]: ["a", "b"]', '["a", "b"]'),
        ("The primes: [2, 3, 5]", "[2, 3, 5]"),
        ("```\n[1]\n```", "[1]"),
        ("Nothing: {}", "{}"),
        ("```json\n42\n```", "42"),
        ("[1, 2", "[1, 2"),
        ('{"a": "half', '{"a": "half'),
        ('Here:\n```json\n{"a": [1, ', '{"a": [1, '),
        ('"a {\\"b\\": 1}"', '"a {\\"b\\": 1}"'),
        ("I cannot do that [1].", "I cannot do that [1]."),
        ("Replace {x} with {}.", "Replace {x} with {}."),
        ("```python\nprint()\n```", "```python\nprint()\n```"),
        ("", ""),
        (" \n", " \n"),
        ("true", "true"),
    ],
)
def test_the_value_stays_and_the_words_around_it_go(text: str, expected: str) -> None:
    assert through([text]) == expected
    assert through(list(text)) == expected


@given(text=_valuelike, data=st.data())
def test_the_value_is_the_same_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert through(data.draw(fragments(text))) == through([text])


@given(value=_objects, before=_words, fence=st.sampled_from(["", "```json\n", "```\n", "```JSON \r\n"]), data=st.data())
def test_an_object_among_words_comes_out_as_it_was_written(
    value: dict[str, Any], before: str, fence: str, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 2])), ensure_ascii=data.draw(st.booleans()))
    after = "\n```\nIt has [some] {x}." if fence else ' And {"another": 1}.'
    # A key may be longer than a beginning is looked for; here none is.
    assert through(data.draw(fragments(before + fence + text + after))) == text


# Arrays of arrays may hold what looks like the object that was asked for among words.
@given(value=_objects | st.lists(st.text(max_size=8) | st.integers() | st.booleans(), max_size=4), data=st.data())
def test_what_is_json_already_stays_the_same_value(value: Any, data: st.DataObject) -> None:
    assert json.loads(through(data.draw(fragments(json.dumps(value))))) == value


@given(text=_valuelike, data=st.data())
def test_nothing_leaves_before_the_value_and_nothing_behind_it(text: str, data: st.DataObject) -> None:
    value = JsonValue()
    given_out = [value.feed(piece) for piece in data.draw(fragments("Words. " + text))]
    said = "".join(given_out)

    assert said == "" or said[0] in "{["
    assert said in text


def test_a_value_is_streamed_as_soon_as_it_has_begun() -> None:
    value = JsonValue()

    assert value.feed('Here: {"a": "') == '{"a": "'
    assert value.feed("b") == "b"
    assert value.feed('"} done') == '"}'
    assert value.feed("more") == ""


@pytest.mark.parametrize("size", [1, 1000, 2 * MAX_HELD], ids=["letters", "pieces", "whole"])
def test_what_is_held_is_bounded_wherever_the_text_is_cut(size: int) -> None:
    text = "a" * MAX_HELD + '{"a": 1} and more'
    value = JsonValue()
    said = [value.feed(text[place : place + size]) for place in range(0, len(text), size)]

    assert "".join(said) == text
    assert value.end() == ""


def test_a_value_that_begins_just_within_the_bound_is_found_wherever_the_text_is_cut() -> None:
    text = "a" * (MAX_HELD - 7) + '{"a": 1} and more'

    assert through([text]) == '{"a": 1}'
    assert through([text[: MAX_HELD - 3], text[MAX_HELD - 3 :]]) == '{"a": 1}'


def pieces_of(piece: str) -> Callable[[int], None]:
    def work(size: int) -> None:
        through([piece] * size)

    return work


@pytest.mark.parametrize("piece", ["[", "{", '{"', '["a', "`", "```\n", "[1]", '{"a', "a ", '"\\', '[{"a"'])
def test_seeking_takes_time_that_goes_with_the_length_of_the_text(piece: str) -> None:
    assert growth(pieces_of(piece), MAX_HELD // len(piece) // 16) < 8


@pytest.mark.parametrize("piece", ['"', "\\", "[", "]", "a", '"a",'])
def test_following_takes_time_that_goes_with_the_length_of_the_text(piece: str) -> None:
    def work(size: int) -> None:
        through(['{"a": "', *[piece] * size])

    assert growth(work, 4_000) < 8
