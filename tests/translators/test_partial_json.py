"""Values out of JSON that is still arriving: the same ones however it is cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import fragments
from translators.answers.partial_json import JsonExtractor, Piece, StringContent

WANTED = {("call", "name"), ("call", "arguments"), ("input",)}
_keys = st.sampled_from(["call", "name", "arguments", "input", 'a"b', "a\\", "é", "", "}"])
_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_values = st.recursive(
    _scalars | st.sampled_from(['{"input": 1}', "]},:", '\\"', "\U0001f986"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)
_objects = st.dictionaries(_keys, _values, max_size=5)


@st.composite
def spelled(draw: st.DrawFn, value: Any) -> str:
    """A value in one of the ways in which JSON is written."""
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    indent = draw(st.sampled_from([None, None, 1]))
    return json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators, indent=indent)


def extract(pieces: list[str], wanted: set[tuple[str, ...]] = WANTED) -> dict[tuple[str, ...], str]:
    """The whole text of each value."""
    extractor = JsonExtractor(wanted)
    found: dict[tuple[str, ...], str] = {}
    for piece in (found_piece for text in pieces for found_piece in extractor.feed(text)):
        found[piece.path] = found.get(piece.path, "") + piece.text
    return found


@given(value=_objects, data=st.data())
def test_every_wanted_value_is_found_whole_and_nothing_else(value: dict[str, Any], data: st.DataObject) -> None:
    found = extract(data.draw(spelled(value).flatmap(fragments)))

    call = value.get("call")
    inner = call if isinstance(call, dict) else {}
    expected: dict[tuple[str, ...], Any] = {("call", key): inner[key] for key in ("name", "arguments") if key in inner}
    expected |= {("input",): value["input"]} if "input" in value else {}
    # What stands in an array under `call` has its path as well; those are not what is asked about here.
    if not isinstance(call, list):
        assert {path: json.loads(text) for path, text in found.items()} == expected


@given(value=_objects, data=st.data())
def test_the_values_are_the_same_however_the_text_is_cut(value: dict[str, Any], data: st.DataObject) -> None:
    text = data.draw(spelled(value))

    assert extract(data.draw(fragments(text))) == extract([text]) == extract(list(text))


@given(text=st.text('{}[]":,\\ \nabcu01tn'), data=st.data())
def test_broken_json_never_raises_and_never_depends_on_the_cuts(text: str, data: st.DataObject) -> None:
    assert extract(data.draw(fragments(text))) == extract([text])


@given(inside=st.text(), is_ascii=st.booleans(), data=st.data())
def test_a_string_is_decoded_the_same_however_it_is_cut(inside: str, is_ascii: bool, data: st.DataObject) -> None:
    pieces = data.draw(fragments(json.dumps(inside, ensure_ascii=is_ascii)))
    content = StringContent()

    assert "".join(content.feed(piece) for piece in pieces) == inside


def test_pieces_leave_as_soon_as_they_are_there() -> None:
    extractor = JsonExtractor({("value",)})

    assert extractor.feed('{"value": {"a"') == [Piece(("value",), '{"a"', False)]
    assert extractor.feed(": 1}") == [Piece(("value",), ": 1}", True)]
    assert extractor.feed("}") == []


@pytest.mark.parametrize("text", ["5", "null", '"x"', "[1, {}]", "{}"])
def test_a_value_of_any_type_ends_with_its_last_piece(text: str) -> None:
    pieces = JsonExtractor({("value",)}).feed('{"other": 1, "value": ' + text + "}")

    assert [(piece.text, piece.is_last) for piece in pieces] == [(text, True)]


@pytest.mark.parametrize("half", ["\\", "\\u", "\\u00e", "\\ud83e", "\\ud83e\\", "\\ud83e\\udd8"])
def test_half_an_escape_waits_for_its_other_half(half: str) -> None:
    content = StringContent()

    assert content.feed('"ab' + half) == "ab"


def test_a_surrogate_without_its_partner_does_not_swallow_what_follows() -> None:
    content = StringContent()

    assert content.feed('"\\ud83e and more text"').endswith(" and more text")
    assert StringContent().feed('"a\\ud83e"').startswith("a")
