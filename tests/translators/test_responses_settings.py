"""What a Responses request says besides its conversation and its tools, and what a response repeats of it."""

import json
from typing import Any

import pytest

from tests.support.response_requests import SEALER, read, user
from translators.errors import TranslationError
from translators.intent import CacheWish
from translators.responses.read import read_body
from translators.responses.request import read_request


def settings(**fields: Any) -> dict[str, Any]:
    return {name: json.loads(bytes(value)) for name, value in read(**fields).settings.items()}


def test_a_small_request_asks_for_nothing() -> None:
    request = read()

    assert (request.model, request.stream, request.store, request.background) == ("gpt-5", False, True, False)
    assert (request.intent.lost, request.intent.unknown_fields, request.intent.noted) == ([], 0, [])
    assert (request.intent.format, request.intent.reasoning, request.intent.cache) == (None, None, None)
    assert (request.compacts_now, request.intent.compacts_from, request.include) == (False, None, frozenset())


def test_a_response_repeats_what_the_caller_has_said() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    said = {
        "instructions": "Be brief.",
        "max_output_tokens": 20,
        "max_tool_calls": 3,
        "parallel_tool_calls": False,
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "store": False,
        "temperature": 0.5,
        "text": {"format": schema, "verbosity": "low"},
        "tool_choice": "required",
        "tools": [{"type": "function", "name": "f", "parameters": None, "strict": None}],
        "top_logprobs": 2,
        "top_p": 0.5,
        "truncation": "auto",
        "user": "u",
        "metadata": {"a": "b"},
        "conversation": {"id": "conv_1"},
    }

    assert settings(**said) == said
    assert settings() == {}


def test_settings_become_wishes() -> None:
    request = read(
        stream=True,
        store=False,
        max_output_tokens=5,
        temperature=0.5,
        top_p=0.5,
        parallel_tool_calls=False,
        reasoning={"effort": "high", "generate_summary": "detailed"},
        text={"format": {"type": "json_object"}, "verbosity": "high"},
        include=["reasoning.encrypted_content", "web_search_call.action.sources"],
        service_tier="ultrafast",
        user="u",
        prompt_cache_key="k",
        prompt_cache_options={"mode": "explicit", "ttl": "12h"},
        stream_options={"include_obfuscation": False},
        background_options={"completion_window": "soonest", "continuation_id": "c"},
    )

    intent = request.intent
    assert (request.stream, request.store, intent.streams, intent.max_tokens) == (True, False, True, 5)
    assert (intent.temperature, intent.top_p, intent.parallel_calls, intent.verbosity) == (0.5, 0.5, False, "high")
    assert (intent.service_tier, intent.user) == ("fast", "u")
    assert intent.cache == CacheWish("k", "explicit", "12h")
    assert intent.format is not None
    assert intent.format.type == "json_object"
    assert intent.reasoning is not None
    assert (intent.reasoning.effort, intent.reasoning.display) == ("high", "summarized")
    assert request.include == {"reasoning.encrypted_content", "web_search_call.action.sources"}
    assert (intent.lost, intent.unknown_fields) == ([], 0)


def test_a_flat_schema_is_the_form_of_the_answer() -> None:
    form = {"type": "json_schema", "name": "n", "strict": True, "schema": {"type": "object"}, "description": "d"}

    wanted = read(text={"format": form}).intent.format

    assert wanted is not None
    assert (wanted.name, bytes(wanted.schema), wanted.strict, wanted.description, wanted.path) == (
        "n",
        b'{"type": "object"}',
        True,
        "d",
        "text.format.schema",
    )


@pytest.mark.parametrize(
    ("reasoning", "display"),
    [
        (None, None),
        ({}, None),
        ({"effort": "low"}, "omitted"),
        ({"summary": "auto"}, "summarized"),
        ({"effort": "low", "summary": "concise"}, "summarized"),
    ],
)
def test_thinking_is_shown_to_those_who_ask_for_summaries(reasoning: Any, display: str | None) -> None:
    wish = read(reasoning=reasoning).intent.reasoning

    assert (wish.display if wish else None) == display


@pytest.mark.parametrize(
    ("fields", "user_id"),
    [
        ({"user": "u", "safety_identifier": "s"}, "s"),
        ({"user": "u", "safety_identifier": " "}, "u"),
        ({"user": ""}, None),
    ],
)
def test_the_first_field_that_names_somebody_says_who_the_user_is(fields: Any, user_id: str | None) -> None:
    assert read(**fields).intent.user == user_id


@pytest.mark.parametrize(
    ("fields", "lost"),
    [
        ({"truncation": "auto"}, ["truncation"]),
        ({"truncation": "disabled"}, []),
        ({"max_tool_calls": 2}, ["max_tool_calls"]),
        ({"top_logprobs": 0}, []),
        ({"top_logprobs": 3}, ["top_logprobs"]),
        ({"include": ["message.output_text.logprobs"]}, ["include.message.output_text.logprobs"]),
        ({"moderation": {"model": "m"}}, ["moderation"]),
        ({"image": {"context_compression": "enabled"}}, ["image"]),
        ({"image": {"context_compression": "auto"}}, []),
        ({"access_programs": {"cyber": "daybreak_red"}}, ["access_programs"]),
        ({"reasoning": {"context": "all_turns", "mode": "pro"}}, ["reasoning.context", "reasoning.mode"]),
        ({"reasoning": {"context": "auto", "mode": "standard"}}, []),
        ({"prompt_cache_options": {"prewarm": True}}, ["prompt_cache_options.prewarm"]),
        ({"context_management": [{"type": "clear"}]}, ["context_management"]),
        ({"background_options": {"completion_window": "soonest"}}, []),
        ({"background_options": {"completion_window": "8h"}}, ["background_options.completion_window"]),
    ],
)
def test_what_has_no_counterpart_is_named(fields: Any, lost: list[str]) -> None:
    assert read(**fields).intent.lost == lost


@pytest.mark.parametrize(
    ("rules", "threshold"),
    [
        (None, None),
        ([], None),
        ([{"type": "compaction"}], 0),
        ([{"type": "compaction", "compact_threshold": 1000}], 1000),
    ],
)
def test_compaction_is_asked_for_by_a_rule(rules: Any, threshold: int | None) -> None:
    assert read(context_management=rules).intent.compacts_from == threshold


def test_fields_that_nobody_knows_are_counted() -> None:
    request = read(
        user(colour="red"),
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "mood": 1},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
        wish="none",
        text={"format": {"type": "text", "font": "x"}},
        reasoning={"depth": 1},
    )

    assert request.intent.unknown_fields == 5


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "messages", "unsupported_parameter"),
        ({"prompt": "Once upon"}, "prompt", "unsupported_parameter"),
        ({"prompt": {"id": "pmpt_1"}, "input": "x"}, "prompt", "unsupported_parameter"),
        ({}, "input", "missing_required_parameter"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "empty_array"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": {"role": "user"}}, "input", "invalid_type"),
        ({"input": "x", "model": None}, "model", "invalid_type"),
        ({"input": "x", "max_tokens": 5}, "max_tokens", "unsupported_parameter"),
        ({"input": "x", "response_format": {"type": "json_object"}}, "response_format", "unsupported_parameter"),
        ({"input": "x", "previous_response_id": "a", "conversation": "b"}, "previous_response_id", None),
        ({"input": "x", "background": True, "store": False}, "background", "invalid_value"),
        ({"input": "x", "metadata": {"a": 1}}, "metadata", "invalid_type"),
        ({"input": "x", "conversation": {}}, "conversation.id", "missing_required_parameter"),
        ({"input": "x", "stream": "yes"}, "stream", "invalid_type"),
        ({"input": [{"role": "user", "content": "x", "id": 5}]}, "input[0].id", "invalid_type"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_at_once(body: dict[str, Any], param: str, code: str | None) -> None:
    with pytest.raises(TranslationError) as caught:
        read_request(read_body(json.dumps({"model": "m", **body}).encode()), SEALER)

    failure = caught.value.failure
    assert failure.param == param
    assert code in (failure.code, None)


def test_a_body_of_chat_completions_is_told_its_path() -> None:
    with pytest.raises(TranslationError, match="POST /v1/chat/completions"):
        read_body(b'{"model":"m","messages":[]}')


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"include": ["everything"]}, "include[0]"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"truncation": "some"}, "truncation"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"instructions": ["x"]}, "instructions"),
        ({"context_management": [{"type": "compaction", "compact_threshold": -1}]}, None),
    ],
)
def test_wrong_settings_are_refused_by_name(fields: Any, param: str | None) -> None:
    with pytest.raises(TranslationError) as caught:
        read(**fields)

    assert param in (caught.value.failure.param, None)


def test_what_a_body_refers_to_is_known_once_it_is_read() -> None:
    items = [{"type": "item_reference", "id": "a"}, {"id": "b"}, {"type": "item_reference", "id": "a"}, user()]
    body = json.dumps({"model": "m", "input": items, "conversation": {"id": "conv_1"}}).encode()

    found = read_body(body)

    assert list(found.references) == ["a", "b"]
    assert found.conversation == "conv_1"
    assert found.previous_response_id is None
    assert read_body(b'{"model":"m","previous_response_id":"resp_1"}').previous_response_id == "resp_1"


def test_of_several_inputs_the_last_counts() -> None:
    body = b'{"model":"m","input":1,"input":"x","input":[{"role":"user","content":"a"}]}'

    request = read_request(read_body(body), SEALER)

    assert [bytes(item) for item in request.input_items] == [b'{"role":"user","content":"a"}']
    assert len(request.intent.messages) == 1
