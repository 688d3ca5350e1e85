"""Answers of our own writing as responses: a case is a folder in `tests/corpus/responses/answers`, without code.

`messages.sse` becomes `responses.sse`, to the byte. `case.json`, where something is not the ordinary, holds `tools`
(kind, name and namespace by the answer's name), `include`, whether it `summarizes`, and fields of the `AnswerShape`.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.responses_door import events_of, folded, streamed, unstreamed, whole
from tests.support.responses_grammar import response_violations, stream_violations
from tests.support.responses_oracle import sdk_violations
from tests.translators.test_answer_corpus import ANSWERS, CORPUS, STREAMS, notes_of, shape_of
from translators.answers.answer_types import State
from translators.answers.shape import AnswerShape
from translators.errors import FailedError
from translators.responses.kinds import Kind, ToolKind

CASES = sorted((CORPUS / "responses" / "answers").iterdir())
INCLUDES = {"seals": "shows_seals", "sources": "shows_sources", "outputs": "shows_outputs"}

cases = pytest.mark.parametrize("folder", CASES, ids=lambda folder: folder.name)


def settings_of(folder: Path) -> dict[str, Any]:
    """What the frame of a case has beyond the ordinary, which shows nothing that was not asked for."""
    notes = notes_of(folder)
    kinds = {
        name: ToolKind(Kind(tool["kind"]), tool["name"], tool.get("namespace"))
        for name, tool in notes.get("tools", {}).items()
    }
    shown = {member: name in notes.get("include", ()) for name, member in INCLUDES.items()}
    return {"kinds": kinds, "summarizes": notes.get("summarizes", False), **shown}


def shape_of_case(folder: Path) -> AnswerShape:
    notes = notes_of(folder)
    fields = {name: value for name, value in notes.items() if name not in ("tools", "include", "summarizes")}
    for name in {"custom_tools", "wrapped_tools"} & fields.keys():
        fields[name] = frozenset(fields[name])
    return AnswerShape(**fields)


@cases
def test_a_stream_becomes_what_the_corpus_says(folder: Path) -> None:
    output, stream = streamed([(folder / "messages.sse").read_bytes()], shape_of_case(folder), **settings_of(folder))

    assert stream.state is State.DONE
    assert output == (folder / "responses.sse").read_bytes()


@cases
def test_the_corpus_is_such_as_clients_read(folder: Path) -> None:
    expected = (folder / "responses.sse").read_bytes()

    assert stream_violations(expected) == []
    assert sdk_violations(events_of(expected)) == []


@cases
def test_a_case_says_the_same_folded_and_whole(folder: Path) -> None:
    body, shape, more = (folder / "messages.sse").read_bytes(), shape_of_case(folder), settings_of(folder)
    response = events_of((folder / "responses.sse").read_bytes())[-1]["response"]
    message = unstreamed(body)

    assert folded(body, shape, **more) == response
    if message is not None:
        assert whole(message, shape, **more) == response


@pytest.mark.parametrize("folder", STREAMS, ids=lambda folder: folder.name)
def test_what_is_a_chat_stream_is_a_responses_stream_as_well(folder: Path) -> None:
    body, shape = (folder / "messages.sse").read_bytes(), shape_of(folder)
    output, stream = streamed([body], shape)
    response = folded(body, shape)

    assert stream.state is (State.PAUSED if shape.continues_pauses else State.DONE)
    assert stream_violations(output) == []
    assert sdk_violations(events_of(output)) == []
    assert events_of(output)[-1]["response"] == response


@pytest.mark.parametrize("folder", ANSWERS, ids=lambda folder: folder.name)
def test_what_is_a_chat_completion_is_a_response_as_well(folder: Path) -> None:
    try:
        response = whole((folder / "message.json").read_bytes(), shape_of(folder))
    except FailedError:
        pytest.fail("it is a message")

    assert response_violations(response) == []


@cases
def test_a_case_has_only_the_files_and_notes_that_are_looked_at(folder: Path) -> None:
    pair = {"messages.sse", "responses.sse"}

    assert pair <= {path.name for path in folder.iterdir()} <= pair | {"case.json"}
    assert notes_of(folder).keys() <= {*AnswerShape.__struct_fields__, "tools", "include", "summarizes"}
    assert json.dumps(notes_of(folder)) != "{}" or not (folder / "case.json").exists()
