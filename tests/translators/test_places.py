"""Places in upstream's errors are told as the caller knows them."""

import json
from typing import Any

import pytest

from tests.support.conversations import Request, called, chat, returned, said, tool
from tests.support.intents import read_intent
from translators.errors import Failure
from translators.messages.options import Options, Target
from translators.messages.places import Places, located, names_places
from translators.messages.request import places_in_steps, write_request
from translators.models import model_table
from translators.steps import in_one_go
from translators.upstream_errors import answered_failure

MODEL = "claude-opus-5"
PNG = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
TEXT = {"type": "text", "text": "x"}
BLANK = {"type": "text", "text": " "}


def places_of(request: Request, **options: Any) -> Places:
    target = Target(MODEL, model_table().row(MODEL))
    asked = read_intent(json.dumps(request).encode())
    write_request(asked, target, Options(**options))
    return in_one_go(places_in_steps(asked, target, Options(**options)))


def failure_of(message: str, **details: Any) -> Failure:
    error = {"type": "invalid_request_error", "message": message, "details": details}
    return answered_failure(400, json.dumps({"type": "error", "error": error}).encode())


def told(request: Request, message: str, **options: Any) -> tuple[str | None, str]:
    failure = failure_of(message)
    assert names_places(failure)
    failure = located(failure, places_of(request, **options))
    return failure.param, failure.message


LOOP = chat(
    said("system", "Be brief."),
    said("user", "Look."),
    said("user", [BLANK, TEXT, PNG]),
    called(("c1", "f", "{}"), ("c2", "f", "{}"), content="I look."),
    returned("c2", [PNG]),
    returned("c1", "plain"),
    said("user", "And?"),
    said("assistant", "Fine."),
    said("user", [TEXT]),
)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        # The first two messages are one turn upstream, and blank parts are left out.
        ("messages.0", "messages[1]"),
        ("messages.0.content.0", "messages[1].content"),
        ("messages.0.content.1", "messages[2].content[1]"),
        ("messages.0.content.2", "messages[2].content[2]"),
        ("messages.1.content.0", "messages[3].content"),
        ("messages.1.content.1", "messages[3].tool_calls[0]"),
        ("messages.1.content.2", "messages[3].tool_calls[1]"),
        # Results stand in the order of the calls.
        ("messages.2", "messages[5]"),
        ("messages.2.content.0", "messages[5]"),
        ("messages.2.content.0.content.0", "messages[5].content"),
        ("messages.2.content.1", "messages[4]"),
        ("messages.2.content.1.content.0", "messages[4].content[0]"),
        ("messages.2.content.1.tool_result.content.0", "messages[4].content[0]"),
        ("messages.2.content.2", "messages[6].content"),
        ("messages.3.content.0", "messages[7].content"),
        ("messages.4.content.0", "messages[8].content[0]"),
        ("system.0", "messages[0].content"),
    ],
)
def test_a_place_upstream_is_that_of_the_callers_message(theirs: str, ours: str) -> None:
    assert told(LOOP, f"{theirs}: is wrong: messages.0.content.0") == (ours, f"{ours}: is wrong: messages.0.content.0")


def test_what_follows_a_place_stays() -> None:
    param, message = told(LOOP, "messages.0.content.2.image.source.url: Only HTTPS URLs are supported.")

    assert param == "messages[2].content[2]"
    assert message == "messages[2].content[2].image.source.url: Only HTTPS URLs are supported."


def test_later_system_messages_and_what_stands_in_their_place_are_found() -> None:
    request = chat(said("user", "a"), said("assistant", "b"), said("system", [TEXT]), said("user", "c"))

    assert told(request, "messages.3.content.0: no")[0] == "messages[2].content[0]"
    assert told(request, "messages.2.content.0: no")[0] == "messages[3].content"


def test_shapes_of_anthropics_are_found_in_their_contents() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [TEXT, PNG]}
    request = chat(
        said("user", "go"),
        said("assistant", [TEXT, use]),
        said("user", [TEXT, result]),
        system=[TEXT, TEXT],
        tools=[tool("f")],
    )

    assert told(request, "system.1: no")[0] == "system[1]"
    assert told(request, "messages.1.content.1: no")[0] == "messages[1].content[1]"
    assert told(request, "messages.2.content.0: no")[0] == "messages[2].content[1]"
    assert told(request, "messages.2.content.0.content.1: no")[0] == "messages[2].content[1].content[1]"
    assert told(request, "messages.2.content.1: no")[0] == "messages[2].content[0]"


def test_tools_are_counted_as_the_caller_has_them() -> None:
    search = {"type": "web_search_20260318", "name": "web_search"}
    flat = {"name": "h", "input_schema": {"type": "object", "properties": {}}}
    request = chat(tools=[search, tool("f"), {"type": "function", "name": "g"}, flat], max_tokens=2000)
    allowed: dict[str, Any] = {"server_tools": frozenset()}

    assert told(request, "tools.0.custom.input_schema.type: Field required", **allowed) == (
        "tools[1].function.parameters",
        "tools[1].function.parameters.type: Field required",
    )
    assert told(request, "tools.1.custom.input_schema: no", **allowed)[0] == "tools[2].parameters"
    assert told(request, "tools.2.input_schema: no", **allowed)[0] == "tools[3].input_schema"
    assert told(request, "tools.2.name: no", **allowed) == ("tools[3]", "tools[3].name: no")
    assert told(request, "tools.0.name: no")[0] == "tools[0]"


def test_legacy_functions_and_the_web_search_are_found() -> None:
    request = chat(functions=[{"name": "f"}], web_search_options={}, max_tokens=2000)

    assert told(request, "tools.0.custom.input_schema: no")[0] == "functions[0].parameters"
    assert told(request, "tools.1.user_location: no")[0] == "web_search_options"


def test_every_place_of_images_that_are_too_large_is_told() -> None:
    paths = ["messages.0.content.2", "messages.2.content.1.content.0"]
    failure = failure_of("Images are too large.", error_code="image_dimensions_too_large", paths=paths)

    found = located(failure, places_of(LOOP))

    assert names_places(failure)
    assert found.param == "messages[2].content[2]"
    assert found.message == "Images are too large. (at messages[2].content[2], messages[4].content[0])"


@pytest.mark.parametrize("theirs", ["messages.9", "messages.0.content.9", "system.9", "tools.9", "messages.999999999"])
def test_a_place_that_is_not_there_stays_as_it_was(theirs: str) -> None:
    failure = failure_of(f"{theirs}: no")

    assert located(failure, places_of(LOOP)) == failure


def test_words_of_the_gateways_own_have_no_place() -> None:
    request = chat(said("user", "a"), said("assistant", "b"))

    assert located(failure_of("messages.2.content.0: no"), places_of(request)).param == "messages"


@pytest.mark.parametrize("message", ["messages: no", "max_tokens: no", "'messages.0': no", "prompt: messages.0"])
def test_of_other_messages_no_place_is_asked(message: str) -> None:
    assert not names_places(failure_of(message))
