"""Which model a name means."""

import string

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gateway.service.routing import HAIKU, SONNET, Aliases
from translators.model_names import Spelling

BUILTIN = Aliases({})
NONE = Aliases({}, with_builtin=False)
names = st.text(string.ascii_lowercase + string.digits + "-./:@", min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("gpt-4o", SONNET),
        ("gpt-4o-mini", HAIKU),
        ("gpt-4o-mini-2024-07-18", HAIKU),
        ("gpt-4.1-nano", HAIKU),
        ("gpt-5.4-mini", HAIKU),
        ("gpt-6-astra", SONNET),
        ("gpt-6.1-terra", SONNET),
        ("gpt-3.5-turbo", SONNET),
        ("chatgpt-4o-latest", SONNET),
        ("o1", SONNET),
        ("o3", SONNET),
        ("o3-pro", SONNET),
        ("o4-mini", HAIKU),
        ("o4-mini-2025-04-16", HAIKU),
    ],
)
def test_openais_names_work_unmodified(name: str, target: str) -> None:
    assert BUILTIN.resolve(name).id == target


@pytest.mark.parametrize(
    "name", ["claude-sonnet-5-5", "claude-opus-4-5-20251101", "omni-moderation-latest", "olmo", ""]
)
def test_a_name_without_an_alias_stands_for_itself(name: str) -> None:
    assert BUILTIN.resolve(name).id == name


@given(name=names)
def test_without_any_aliases_every_name_stands_for_itself(name: str) -> None:
    assert NONE.resolve(name).id == name


def test_router_spellings_are_understood_as_long_as_the_built_in_names_are() -> None:
    assert BUILTIN.resolve("anthropic/claude-sonnet-4.5").id == "claude-sonnet-4-5"
    assert NONE.resolve("anthropic/claude-sonnet-4.5").id == "anthropic/claude-sonnet-4.5"


def test_what_an_alias_stands_for_may_be_spelled_and_ask_for_an_effort() -> None:
    aliases = Aliases({"fast": "anthropic/claude-haiku-4.5", "careful": "claude-opus-5-5-high"})

    assert aliases.resolve("fast") == Spelling("claude-haiku-4-5")
    assert aliases.resolve("careful") == Spelling("claude-opus-5-5", "high")


def test_an_exact_name_beats_every_pattern() -> None:
    aliases = Aliases({"gpt-5*": "pattern", "gpt-5-turbo": "exact", "*": "everything"})

    assert aliases.resolve("gpt-5-turbo").id == "exact"
    assert aliases.resolve("gpt-5-turbo-2").id == "pattern"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_patterns_the_more_specific_one_counts_in_whatever_order_they_stand(order: int) -> None:
    table = [("gpt-*", "some"), ("gpt-*-mini", "small"), ("*", "all"), ("gpt-5*-mini", "five-small")]
    aliases = Aliases(dict(table[::order]), with_builtin=False)

    resolved = [aliases.resolve(name).id for name in ("gpt-4", "gpt-4-mini", "llama", "gpt-5.1-mini")]

    assert resolved == ["some", "small", "all", "five-small"]


def test_the_operators_pattern_beats_a_built_in_one_that_is_more_specific() -> None:
    assert Aliases({"*": "mine"}).resolve("gpt-4o-mini").id == "mine"
    assert Aliases({"gpt-*": "mine"}).resolve("gpt-4o-mini").id == "mine"


def test_a_pattern_covers_the_whole_name() -> None:
    aliases = Aliases({"gpt-4": "exact", "o?": "two"}, with_builtin=False)

    assert aliases.resolve("gpt-4o").id == "gpt-4o"
    assert aliases.resolve("xgpt-4").id == "xgpt-4"
    assert aliases.resolve("o1").id == "two"
    assert aliases.resolve("o10").id == "o10"


def test_dots_and_brackets_of_a_name_are_only_characters() -> None:
    aliases = Aliases({"gpt-4.1": "dotted", "a.b*": "starred"}, with_builtin=False)

    assert aliases.resolve("gpt-4x1").id == "gpt-4x1"
    assert aliases.resolve("axbc").id == "axbc"
    assert aliases.resolve("a.bc").id == "starred"


def test_case_counts() -> None:
    assert Aliases({"GPT-*": "upper"}, with_builtin=False).resolve("gpt-4").id == "gpt-4"


def test_only_exact_names_can_be_listed() -> None:
    assert list(Aliases({"mine": "claude", "gpt-*": "claude"}).names) == ["mine"]


@given(configured=st.dictionaries(names, names, max_size=5), others=st.lists(names, max_size=5))
def test_an_exact_alias_always_wins_and_nothing_else_changes(configured: dict[str, str], others: list[str]) -> None:
    aliases = Aliases(configured, with_builtin=False)

    assert {name: aliases.resolve(name).id for name in configured} == configured
    assert all(aliases.resolve(name).id == name for name in others if name not in configured)


def test_many_names_of_callers_do_not_pile_up() -> None:
    aliases = Aliases({"a*": "claude"})
    for number in range(10_000):
        aliases.resolve(f"a{number}")

    assert aliases._target.cache_info().currsize < 10_000
