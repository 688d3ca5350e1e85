"""What callers mean by a model's name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translators.model_names import Spelling, spelled
from translators.models import model_table

TABLE = model_table()
ARN = "arn:aws:bedrock:us-east-1:123456789012:"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-opus-4.5", "claude-opus-4-5"),
        ("Claude-Opus-4.5", "claude-opus-4-5"),
        ("anthropic/claude-opus-4.5", "claude-opus-4-5"),
        ("openrouter/anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("anthropic:claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5:beta", "claude-sonnet-4-5"),
        ("claude-opus-5-5@default", "claude-opus-5-5"),
        ("vertex_ai/claude-opus-4-5@20251101", "claude-opus-4-5-20251101"),
        ("claude-haiku-4-5-latest", "claude-haiku-4-5"),
        # Dated forms of ids that have no date.
        ("claude-opus-4-6-20260205", "claude-opus-4-6"),
        ("claude-opus-5-5-20260922", "claude-opus-5-5"),
        ("bedrock/us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
        ("bedrock/converse/global.anthropic.claude-opus-4-6-v1", "claude-opus-4-6"),
        ("us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5-20250929"),
        ("au.anthropic.claude-fable-5-2", "claude-fable-5-2"),
        (f"{ARN}inference-profile/us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6", "claude-sonnet-4-6"),
        # Editors put the number first.
        ("claude-4.5-sonnet", "claude-sonnet-4-5"),
        ("claude-5-sonnet", "claude-sonnet-5"),
        ("claude-4.5-opus-20251101", "claude-opus-4-5-20251101"),
    ],
)
def test_a_spelling_of_others_is_understood(name: str, model: str) -> None:
    assert spelled(name, TABLE.knows) == Spelling(model)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("claude-sonnet-4-5-thinking", Spelling("claude-sonnet-4-5", thinks=True)),
        ("anthropic/claude-sonnet-4.5:thinking", Spelling("claude-sonnet-4-5", thinks=True)),
        ("claude-opus-5-5-high", Spelling("claude-opus-5-5", "high")),
        ("claude-opus-5-5-xhigh", Spelling("claude-opus-5-5", "xhigh")),
        ("claude-4.5-opus-high-thinking", Spelling("claude-opus-4-5", "high", thinks=True)),
        ("claude-opus-4-5-20251101-thinking-low", Spelling("claude-opus-4-5-20251101", "low", thinks=True)),
    ],
)
def test_what_a_name_asks_for_beside_the_model_is_told(name: str, expected: Spelling) -> None:
    assert spelled(name, TABLE.knows) == expected


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-3.5-sonnet", "claude-3-5-sonnet"),
        ("claude-opus-4-1", "claude-opus-4-1"),
        ("us.anthropic.claude-3-5-sonnet-20241022-v2:0", "claude-3-5-sonnet-20241022"),
        ("claude-of-tomorrow-thinking", "claude-of-tomorrow-thinking"),
        ("claude-opus-9-high", "claude-opus-9-high"),
    ],
)
def test_an_unknown_model_keeps_what_may_be_part_of_its_id(name: str, model: str) -> None:
    assert spelled(name, TABLE.knows) == Spelling(model)


@pytest.mark.parametrize(
    "name", ["", "gpt-5", "llama-4", "claude", f"{ARN}application-inference-profile/a1b2c3", "claude-" + "a" * 300]
)
def test_what_is_no_spelling_of_an_id_stands_for_itself(name: str) -> None:
    assert spelled(name, TABLE.knows) == Spelling(name)


def test_an_id_of_the_table_is_never_cut() -> None:
    assert spelled("claude-next-high", {"claude-next-high", "claude-next"}.__contains__) == Spelling("claude-next-high")


@given(name=st.text("claude-opus45.@:/thinkghmx", max_size=300))
def test_what_is_understood_is_understood_again_as_itself(name: str) -> None:
    once = spelled(name, TABLE.knows).id

    assert TABLE.knows(once) is False or spelled(once, TABLE.knows) == Spelling(once)
