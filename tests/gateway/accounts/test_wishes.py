"""What the accounts are told of a request before it is sent."""

import pytest

from gateway.accounts.auth import Caller
from gateway.accounts.keys.limits import Limits
from gateway.accounts.visits import AS_ASKED, Admission, Visit, Wish, check_limits
from gateway.doors.wishes import NO_TEXT, asked_size, named, native_wish, wish_of
from gateway.service.routing import Aliases
from translators.chat.read import read_request
from translators.native.request import read_native
from translators.text_size import TextSize

SIZE = TextSize(100, False)
ALIASES = Aliases({})


def test_a_chat_completion_says_what_it_wants() -> None:
    body = b"""{"model": "gpt-5-mini", "n": 2, "max_completion_tokens": 50, "user": "u-1",
        "messages": [{"role": "user", "content": "Hi"}]}"""
    read = read_request(body, 8)

    wish = wish_of(named(read.model, ALIASES), [read.intent] * read.choices, SIZE)

    assert wish == Wish("claude-haiku-5-5", "gpt-5-mini", 50, 100, False, "u-1", 2, True)


def test_a_native_request_says_what_it_wants() -> None:
    body = b'{"model": "claude-sonnet-5-5", "max_tokens": 50, "metadata": {"user_id": "u-1"}, "messages": []}'

    asked = read_native(body)
    wish = native_wish(named(asked.model, ALIASES), asked, SIZE, generates=True)

    assert wish == Wish("claude-sonnet-5-5", "claude-sonnet-5-5", 50, 100, False, "u-1")


def test_the_end_user_of_a_coding_agent_is_the_same_in_each_session() -> None:
    forms = ('"user_ab_account_cd_session_%s"', '"{\\"device_id\\":\\"ab\\",\\"session_id\\":\\"%s\\"}"')
    for form in forms:
        users = {
            read_native(b'{"model": "m", "metadata": {"user_id": %b}}' % (form % session).encode()).user
            for session in ("11", "22")
        }

        assert len(users) == 1
        assert None not in users


def test_counting_generates_nothing() -> None:
    asked = read_native(b'{"model": "claude-sonnet-5-5", "max_tokens": 50}')

    assert native_wish(named(asked.model, ALIASES), asked, SIZE, generates=False).max_tokens == 0


@pytest.mark.parametrize("limit", [0, -5, -(10**15)])
def test_whoever_asks_for_no_tokens_or_less_is_admitted_like_everybody(limit: int) -> None:
    asked = read_native(b'{"model": "claude-sonnet-5-5", "max_tokens": %d}' % limit)

    # Nothing is held of a wish for 0 tokens, which only counts, and less than nothing would make room for others.
    assert native_wish(named(asked.model, ALIASES), asked, SIZE, generates=True).max_tokens == 1


def test_a_name_that_only_begins_like_an_allowed_model_is_judged_by_the_model_it_means() -> None:
    limits = Limits(models=("claude-haiku-*",))
    named = "claude-haiku-5-5/claude-sonnet-5-5"

    assert ALIASES.resolve(named).id == "claude-sonnet-5-5"
    assert not ALIASES.is_alias(named)
    assert not limits.allows_model(ALIASES.resolve(named).id)


def test_a_limit_lowers_what_was_asked_and_says_so() -> None:
    caller = Caller("a", limits=Limits(max_tokens=10))

    lowered = check_limits(caller, Wish("m", "m", 50))
    silent = check_limits(caller, Wish("m", "m"))

    assert lowered == Admission(max_tokens=10, adjusted="max_tokens=50->10:key")
    assert silent == Admission(max_tokens=10)
    assert check_limits(caller, Wish("m", "m", 0)) is AS_ASKED
    assert check_limits(Caller("b"), Wish("m", "m", 50)) is AS_ASKED


async def test_without_rules_nobody_looks_how_much_text_a_body_has() -> None:
    visit = Visit(Caller("app"), "/v1/chat/completions")

    assert await asked_size(b'{"messages":[]}', visit, TextSize(1_000, True)) is NO_TEXT
