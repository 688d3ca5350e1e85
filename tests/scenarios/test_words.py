"""What upstream says in refusing may repeat keys, which nobody gets to see, and the caller's words, which few do."""

from collections.abc import Callable
from typing import Any

import pytest

from gateway.config import AdminConfig
from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, quick_gateway, without_pauses
from tests.support import messages
from tests.support.gateway import ClientConfig, Config, Secret, config_for, key, with_settings
from tests.support.scripted import Answer, ScriptedUpstream, error_answer, stream_answer

CLIENT, ADMIN = "a-clients-key/0123456789", "the-admins-key-0123456789"
OTHERS = (KEY_B, CLIENT, ADMIN)
WORDS = "Grandmother's recipe"
QUOTING = f"messages.0: Input tag '{WORDS}' is unknown; {' '.join((KEY_A, *OTHERS))}"
NATIVE = {"model": "claude-sonnet-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
Log = Callable[[], str]


def configured(upstream: ScriptedUpstream) -> Config:
    keys = [key(upstream.base_url, "a", KEY_A), key(upstream.base_url, "b", KEY_B)]
    config = config_for(*keys, clients=[ClientConfig(name="app", api_key=Secret(CLIENT))])
    return with_settings(config, admin=AdminConfig(api_key=Secret(ADMIN)))


def refused(status: int, error_type: str) -> Answer:
    return error_answer(status, error_type, QUOTING)


def broken(status: int, error_type: str) -> Answer:
    return stream_answer(*messages.text_stream()[:3], messages.error_event(error_type, QUOTING))


def by_level(log: str) -> tuple[str, str]:
    """What stands in the log at every level, and what only in lines for those who ask for all of them."""
    lines = log.splitlines()
    return tuple("\n".join(x for x in lines if (" debug " in x) is is_debug) for is_debug in (False, True))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("status", "error_type"),
    [(400, "invalid_request_error"), (404, "not_found_error"), (413, "request_too_large"), (500, "api_error")],
)
@pytest.mark.parametrize(("path", "body"), [(PATH, asking()), ("/v1/messages", NATIVE)], ids=["chat", "native"])
@pytest.mark.parametrize("answer", [refused, broken])
async def test_what_upstream_repeats_is_masked_for_the_caller_and_in_the_log(
    upstream: ScriptedUpstream,
    read_log: Log,
    status: int,
    error_type: str,
    path: str,
    body: dict[str, Any],
    answer: Callable[[int, str], Answer],
) -> None:
    upstream.always(answer(status, error_type))
    async with quick_gateway(config=configured(upstream)) as running:
        without_pauses(running)
        request = {**body, "stream": answer is broken}
        told = await running.http().post(path, json=request, headers={"x-api-key": CLIENT})
    for_all, for_debug = by_level(read_log())

    assert "****" in told.text
    for secret in (KEY_A, *OTHERS):
        assert secret not in told.text
        assert secret.replace("/", "\\/") not in told.text
        assert secret not in for_all + for_debug
    assert WORDS not in for_all
    assert WORDS in for_debug
    assert error_type in for_all


async def test_metadata_is_the_callers_and_is_in_no_line_that_all_see(
    upstream: ScriptedUpstream, read_log: Log
) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    async with quick_gateway(config=configured(upstream)) as running:
        body = asking(stream=True, metadata={"recipe": WORDS})
        await running.http().post(PATH, json=body, headers={"x-api-key": CLIENT})
    for_all, for_debug = by_level(read_log())

    assert WORDS not in for_all
    assert WORDS in for_debug
    assert for_all.split("request_id=")[1].split()[0] in for_debug


async def test_a_lesson_is_told_without_the_words_that_taught_it(upstream: ScriptedUpstream, read_log: Log) -> None:
    taught = f"`temperature` is deprecated for this model. {WORDS}"
    upstream.script(error_answer(400, "invalid_request_error", taught), stream_answer(*messages.text_stream()))
    async with quick_gateway(config=configured(upstream)) as running:
        body = asking(stream=True, model="claude-sonnet-4-6", temperature=0.5)
        await running.http().post(PATH, json=body, headers={"x-api-key": CLIENT})
    for_all, for_debug = by_level(read_log())

    assert "An upstream error has corrected a model's abilities model=claude-sonnet-4-6" in for_all
    assert 'failures="a: invalid_request 400 invalid_request_error param=temperature"' in for_all
    assert WORDS not in for_all
    assert WORDS in for_debug
