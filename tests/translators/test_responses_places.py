"""Errors about a Responses request name places of the caller's own body, whoever finds the mistake."""

import json
from typing import Any

import pytest

from tests.support.conversations import DEFAULT_MODEL
from tests.support.response_requests import assistant, call, output, read, reasoning, user
from translators.errors import ErrorKind, Failure, TranslationError
from translators.messages.options import Options, Target
from translators.messages.places import located
from translators.messages.request import places_in_steps, write_request
from translators.models import model_table
from translators.steps import in_one_go

TARGET = Target(DEFAULT_MODEL, model_table().row(DEFAULT_MODEL))
THINKING = '{"type":"thinking","thinking":"Hm.","signature":"s"}'
FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}
NAMESPACE = {"type": "namespace", "name": "n", "description": "", "tools": [FUNCTION, {**FUNCTION, "name": "find"}]}
IMAGE = {"type": "input_image", "image_url": "https://example.com/a.png"}
# `input[5]` is a turn of its own.
ITEMS = (
    user([{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]),
    reasoning(THINKING),
    assistant("Well."),
    call("c1"),
    output("c1", [{"type": "input_text", "text": "r"}, IMAGE]),
    call("c2"),
    output("c2"),
    {"role": "developer", "content": "Hurry."},
    user("Go."),
)


@pytest.mark.parametrize(
    ("place", "callers"),
    [
        ("messages.0.content.1", "input[0].content[1]"),
        ("messages.1.content.2", "input[3]"),
        ("messages.2.content.0", "input[4].output"),
        ("messages.2.content.0.tool_result.content.0", "input[4].output[0]"),
        ("messages.3.content.0", "input[5]"),
        ("messages.4", "input[6].output"),
        ("system.0", "instructions"),
        ("tools.0", "tools[0]"),
        ("tools.2.input_schema", "tools[1].tools[1].parameters"),
    ],
)
def test_upstreams_places_are_told_in_the_callers_terms(place: str, callers: str) -> None:
    intent = read(*ITEMS, instructions="Be brief.", tools=[FUNCTION, NAMESPACE]).intent
    write_request(intent, TARGET, Options())
    failure = Failure(ErrorKind.INVALID_REQUEST, f"{place}: is wrong.")

    found = located(failure, in_one_go(places_in_steps(intent, TARGET, Options())))

    assert (found.param, found.message) == (callers, f"{callers}: is wrong.")


@pytest.mark.parametrize(
    ("items", "fields", "param"),
    [
        ((user(), call("c1", arguments="x" * 5_000_000), output("c1")), {}, "input[1].arguments"),
        (
            (user(), {"type": "custom_tool_call", "call_id": "c", "name": "n", "input": 5}, output("c")),
            {},
            "input[1].input",
        ),
        ((user([{"type": "input_image"}]),), {}, "input[0].content[0].image_url"),
        ((user(), call("c1"), output("c1", [{"type": "input_audio"}])), {}, "input[2].output[0].type"),
        (
            ({"role": "developer", "content": [{"type": "input_image", "image_url": "x"}]},),
            {},
            "input[0].content[0].type",
        ),
        ((), {"tools": [NAMESPACE, {**FUNCTION, "name": "n__look", "parameters": []}]}, "tools[1].parameters"),
        ((), {"tools": [FUNCTION, FUNCTION]}, "tools[1].name"),
        ((), {"temperature": 3}, "temperature"),
        ((), {"max_output_tokens": -1}, "max_output_tokens"),
        ((), {"text": {"verbosity": "loud"}}, "text.verbosity"),
        ((), {"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ((), {"user": "u" * 70_000}, "user"),
        ((), {"safety_identifier": "u" * 70_000}, "safety_identifier"),
    ],
)
def test_the_writers_mistakes_are_told_in_the_callers_terms(items: Any, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(TranslationError) as caught:
        write_request(read(*items, **fields).intent, TARGET, Options())

    assert caught.value.failure.param == param


@pytest.mark.parametrize(
    ("fields", "adjusted"),
    [
        ({"max_output_tokens": 10**7}, "max_output_tokens=10000000->128000:model"),
        ({"reasoning": {"effort": "minimal"}, "model": "m"}, None),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"not": {}}}}}, "text.format="),
        ({"user": " "}, "user=dropped:blank"),
    ],
)
def test_adjustments_name_the_callers_fields(fields: dict[str, Any], adjusted: str | None) -> None:
    written = write_request(read(**fields).intent, TARGET, Options())

    assert (written.adjusted or "").startswith(adjusted or "")
    assert json.loads(written.body)["messages"]
