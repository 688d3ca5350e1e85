"""Text that is changed piece by piece: fences, wrapped arguments, free text."""

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.messages import fragments
from translators.answers.filters import CustomInput, FenceStripper, RestoredNames, TextFilter, WrappedArguments
from translators.messages.names import upstream_property_name

_objects = st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.integers(), max_size=3)
# Texts in which fences, or what looks like the beginning of one, are likely.
_fencelike = st.lists(
    st.sampled_from(["`", "``", "```", "json", "\n", "\r\n", " ", "\t", "{}", '{"a": "```"}', "x", "é", "5"]),
    max_size=8,
).map("".join)
_OPENED = re.compile(r"\s*```[a-zA-Z]*[ \t]*\r?\n")


def through(text_filter: TextFilter, pieces: Sequence[str]) -> str:
    return "".join(text_filter.feed(piece) for piece in pieces) + text_filter.end()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('```json\n{"a": 1}\n```', '{"a": 1}'),
        ("```\n[]\n```\n", "[]"),
        ("\n  ```JSON \r\n{}\r\n``` \n", "{}"),
        ('{"a": 1}', '{"a": 1}'),
        ("  {}  ", "  {}  "),
        ("", ""),
        ("   ", "   "),
        ("``", "``"),
        ("```json", "```json"),
        ("`x`", "`x`"),
        ('```json\n{"a": "```', '{"a": "'),
        ("```json\n{", "{"),
        ("Here it is:\n```json\n{}\n```", "Here it is:\n```json\n{}\n```"),
        ('```json\n{"a": "\\n```\\n"}\n```', '{"a": "\\n```\\n"}'),
    ],
)
def test_the_fence_around_an_answer_goes_and_everything_else_stays(text: str, expected: str) -> None:
    assert through(FenceStripper(), [text]) == expected
    assert through(FenceStripper(), list(text)) == expected


@given(text=_fencelike, data=st.data())
def test_fences_are_found_however_the_text_is_cut(text: str, data: st.DataObject) -> None:
    assert through(FenceStripper(), data.draw(fragments(text))) == through(FenceStripper(), [text])


@given(text=_fencelike | st.text(), data=st.data())
def test_a_text_without_an_opening_fence_passes_unchanged(text: str, data: st.DataObject) -> None:
    if not _OPENED.match(text):
        assert through(FenceStripper(), data.draw(fragments(text))) == text


@given(text=_fencelike)
def test_of_a_fenced_text_only_the_fence_is_lost(text: str) -> None:
    kept = through(FenceStripper(), ["```json\n" + text])

    assert ("```json\n" + text).removeprefix("```json\n").startswith(kept)
    assert re.fullmatch(r"\s*(```\s*)?", text[len(kept) :])


@given(value=_objects, language=st.sampled_from(["", "json", "JSON"]), data=st.data())
def test_fenced_json_is_the_json_itself(value: dict[str, Any], language: str, data: st.DataObject) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 2])))
    pieces = data.draw(fragments(f"```{language}\n{text}\n```"))

    assert through(FenceStripper(), pieces) == text


def test_text_that_cannot_be_a_fence_leaves_at_once() -> None:
    stripper = FenceStripper()

    assert stripper.feed('{"a"') == '{"a"'
    assert stripper.feed(": 1}") == ": 1}"


@given(value=_objects | st.lists(st.integers()) | st.text(), data=st.data())
def test_wrapped_arguments_come_out_as_they_were_written(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)

    assert through(WrappedArguments(), data.draw(fragments('{"value": ' + text + "}"))).strip() == text


@given(text=st.text(), is_ascii=st.booleans(), data=st.data())
def test_the_free_text_of_a_custom_tool_comes_out_whole(text: str, is_ascii: bool, data: st.DataObject) -> None:
    pieces = data.draw(fragments(json.dumps({"input": text}, ensure_ascii=is_ascii)))

    assert through(CustomInput(), pieces) == text


# Names with all that may stand in a name, and upstream's for them.
_odd_names = st.text(max_size=5) | st.sampled_from(["filter[id]", "$top", "@type", "a b", 'q"\\', "\u540d", "plain"])
_nested = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_odd_names, inner, max_size=3),
    max_leaves=8,
)


@given(arguments=st.dictionaries(_odd_names, _nested, max_size=4), is_ascii=st.booleans(), data=st.data())
def test_names_of_arguments_are_restored_however_they_are_cut(
    arguments: dict[str, Any], is_ascii: bool, data: st.DataObject
) -> None:
    renamed = {upstream_property_name(name): value for name, value in arguments.items()}
    names = {upstream_property_name(name): name for name in arguments}
    text = json.dumps(renamed, ensure_ascii=is_ascii, indent=data.draw(st.sampled_from([None, 1])))

    assert json.loads(through(RestoredNames(names), data.draw(fragments(text)))) == arguments


@given(text=st.text(st.sampled_from(list('{}[]",:\\a 1\n')), max_size=30), data=st.data())
def test_arguments_without_rewritten_names_pass_unchanged_even_where_they_are_no_json(
    text: str, data: st.DataObject
) -> None:
    assert through(RestoredNames({"_top_81bf98e4094e": "$top"}), data.draw(fragments(text))) == text


def test_all_but_a_name_that_has_not_ended_leaves_at_once() -> None:
    restored = RestoredNames({"_top": "$top"})

    assert restored.feed('{"a": "_t') == '{"a": "_t'
    assert restored.feed('op", "_t') == 'op", '
    assert restored.feed('op": {"_top') == '"$top": {"_top'
    assert restored.feed('": 1}, "_to') == '": 1}, '
    assert restored.end() == '"_to'
    assert restored.end() == ""
