"""An intent is written for whichever door it came by: errors and reports have that door's names of fields."""

import json
from typing import Any

import pytest
from msgspec import Raw

from translators.errors import TranslationError
from translators.intent import AnswerFormat, CacheWish, Intent, Message, ReasoningWish
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import ModelRow, model_table

NAMES = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "format": "text.format",
    "stops": "halts",
    "parallel_calls": "parallel_tool_calls",
    "verbosity": "text.verbosity",
    "user": "safety_identifier",
    "service_tier": "tier",
}
SAID = [Message("user", Raw(b'"Hi"'))]
MODEL = "claude-sonnet-5-5"
OLD = "claude-haiku-4-5-20251001"


def row_of(model: str) -> ModelRow:
    return model_table().row(model)


def written(model: str = MODEL, options: Options | None = None, **fields: Any) -> MessagesRequest:
    intent = Intent(**{"messages": SAID, "field_names": NAMES, **fields})
    return write_request(intent, Target(model, row_of(model)), options or Options())


def refused(**fields: Any) -> tuple[str | None, str]:
    with pytest.raises(TranslationError) as raised:
        written(**fields)
    return raised.value.failure.param, raised.value.failure.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "input"),
        ({"max_tokens": -1}, "max_output_tokens"),
        ({"format": AnswerFormat("xml")}, "text.format.type"),
        ({"format": AnswerFormat("json_schema", path="text.format.schema")}, "text.format.schema"),
        ({"stops": ["a"] * 100_000}, "halts"),
        ({"verbosity": "loud"}, "text.verbosity"),
        ({"user": "u" * 100_000}, "safety_identifier"),
        ({"service_tier": "first"}, "tier"),
        ({"reasoning": ReasoningWish("reasoning.effort", "huge")}, "reasoning.effort"),
        ({"reasoning": ReasoningWish("reasoning", "huge")}, "reasoning.effort"),
    ],
)
def test_errors_name_the_callers_own_fields(fields: dict[str, Any], param: str) -> None:
    told, message = refused(**fields)

    assert told == param
    assert "Supported values" in message or param in message


def test_reports_name_the_callers_own_fields() -> None:
    row = row_of(MODEL)
    pattern = Raw(b'{"type":"object","patternProperties":{"a":{"type":"string"}}}')
    form = AnswerFormat("json_schema", "x", pattern, path="text.format.schema")

    found = [
        written(max_tokens=10**6).adjusted,
        written(format=form, tools=[Raw(b'{"type":"function","name":"f"}')]).adjusted,
        written(stops=[" ", ""]).adjusted,
        written(lost=["truncation"], blank=["user"]).adjusted,
        written(OLD, reasoning=ReasoningWish("reasoning.effort", "none", overruled=["thought"])).adjusted,
    ]

    assert found == [
        f"max_output_tokens=1000000->{row.max_output}:model",
        "text.format=json_schema->instructions:schema",
        "halts=dropped:blank",
        "user=dropped:blank; truncation=dropped:unsupported",
        "thought=dropped:reasoning.effort",
    ]


@pytest.mark.parametrize("fields", [{"lost": ["truncation"]}, {"blank": ["user"]}])
def test_what_is_lost_refuses_a_request_that_may_not_be_adjusted(fields: dict[str, Any]) -> None:
    (name,) = next(iter(fields.values()))

    assert refused(options=Options(reject_unsupported=True), **fields)[0] == name


@pytest.mark.parametrize(
    ("fields", "always", "display"),
    [
        ({"reasoning": ReasoningWish("reasoning.effort", "high")}, False, "summarized"),
        ({"reasoning": ReasoningWish("reasoning.effort", "high", display="omitted")}, False, "omitted"),
        ({"reasoning": ReasoningWish("reasoning.effort", "high", display="omitted")}, True, "summarized"),
        ({"reasoning": ReasoningWish("reasoning.effort", "high"), "hides_reasoning": True}, False, "omitted"),
        ({"reasoning": ReasoningWish("reasoning.effort", "high"), "hides_reasoning": True}, True, "summarized"),
    ],
)
def test_whether_thinking_is_shown(fields: dict[str, Any], always: bool, display: str) -> None:
    body = json.loads(written(options=Options(always_show_reasoning=always), **fields).body)

    assert body["thinking"] == {"type": "adaptive", "display": display}
    assert body["output_config"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("wish", "mark"),
    [
        (None, None),
        (CacheWish("k"), None),
        (CacheWish(lifetime="24h"), {"type": "ephemeral", "ttl": "1h"}),
        (CacheWish(mode="implicit"), {"type": "ephemeral"}),
        (CacheWish(mode="explicit", lifetime="24h"), None),
        (CacheWish(mark=Raw(b'{"type":"ephemeral"}')), {"type": "ephemeral"}),
    ],
)
def test_a_wish_for_caching_marks_the_request_unless_only_own_marks_count(
    wish: CacheWish | None, mark: dict[str, str] | None
) -> None:
    content = json.loads(written(cache=wish).body)["messages"][-1]["content"]

    assert (content[-1].get("cache_control") if isinstance(content, list) else None) == mark
