"""What callers send: a legal request comes out, or a `TranslationError`."""

import json
from random import Random
from typing import Any, Final

from tests.fuzz.judging import assert_error, assert_header, json_of
from tests.support.conversations import HOSTS
from tests.support.intents import read_intent, read_intent_in_steps
from tests.support.legality import violations
from translators.beginnings import beginnings
from translators.completions.request import read_completions
from translators.errors import TranslationError
from translators.estimate import estimated_tokens
from translators.intent import Intent, SealedTurn
from translators.kept.history import history_in_steps
from translators.messages.extensions import RESTRICTED
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_in_steps, write_request
from translators.models import ModelRow, model_table
from translators.native.allowed import Allowed, check_allowed
from translators.native.request import read_native, with_model
from translators.native.thinking import find_thinking
from translators.native.threads import read_thread
from translators.prefixes import conversation_prefix
from translators.steps import in_one_go
from translators.wire.raw import NULL

ROWS: Final = model_table().rows
# What goes on as the caller wrote it is upstream's to judge.
_PASSED_ON: Final = frozenset({"container", "context_management", "mcp_servers", "speed", "inference_geo"})


def options(random: Random) -> Options:
    """What an operator may have decided."""
    return Options(
        max_output_tokens=random.choice((None, None, 1, 4096)),
        always_show_reasoning=random.random() < 0.2,
        reject_unsupported=random.random() < 0.2,
        show_thinking_blocks=random.random() < 0.2,
        caching=random.choice(("off", "auto", "always")),
        allowed_fields=random.choice((frozenset(), RESTRICTED | {"file_ids"})),
    )


def target(random: Random) -> Target:
    """A model at a host."""
    row = random.choice(ROWS)
    return Target(row.id, row, random.choice(HOSTS))


def chat(data: bytes, random: Random) -> None:
    """A chat request becomes a legal Messages body for any model at any host, or is refused."""
    try:
        read = in_one_go(read_intent_in_steps(data)) if data and random.random() < 0.2 else read_intent(data)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    _look_at(read)
    for _ in range(2):
        check_written(read, target(random), options(random), is_in_steps=random.random() < 0.2)


def _look_at(read: Intent) -> None:
    """What else is made of a request before anybody has said that it can be translated."""
    beginnings(read, "me", 0)
    conversation_prefix("m", read)
    in_one_go(history_in_steps(read, b"me"))


def check_written(read: Intent, to: Target, given: Options, *, is_in_steps: bool = False) -> None:
    """An intent becomes a legal body, or is refused."""
    try:
        write = write_in_steps(read, to, given)
        written = in_one_go(write) if is_in_steps else write_request(read, to, given)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    is_bound = b"block_binding" in bytes(read.native.get("thinking", NULL))
    # What is sealed goes back as upstream has made it.
    is_sealed = any(isinstance(message, SealedTurn) for message in read.messages)
    check_body(written, to.row, is_ours="output_config" not in read.native and not is_bound and not is_sealed)


def check_body(written: MessagesRequest, row: ModelRow, *, is_ours: bool = True) -> None:
    """A body that was written is JSON, and legal where nothing in it is the caller's own words."""
    assert_header(written.adjusted)
    estimated_tokens(written.body)
    body = json_of(written.body)
    if body is None or not is_ours or _passes_on(body):
        return
    assert violations(body, row, written.version, written.betas) == []


def _passes_on(body: dict[str, Any]) -> bool:
    """Whether a body holds what goes on as the caller wrote it."""
    own_tools = all(isinstance(tool.get("input_schema"), dict) and "type" not in tool for tool in body.get("tools", ()))
    return not own_tools or not _PASSED_ON.isdisjoint(body)


def completions(data: bytes, random: Random) -> None:
    """So does each choice of a legacy completion."""
    try:
        read = read_completions(data, 8)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    for one in read.intents[:2]:
        _look_at(one)
        check_written(one, target(random), options(random))


def native(data: bytes, random: Random) -> None:
    """A native request is read, and keeps every byte but its model's, and the thinking that is left out."""
    try:
        asked = read_native(data)
        if asked.thread is not None:
            read_thread(asked.thread)
        check_allowed(data, random.choice((Allowed(), Allowed(RESTRICTED | {"file_ids"}, server_tools=frozenset("*")))))
        changed = with_model(data, "claude-another")
        thinking = find_thinking(data)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    if thinking is not None:
        count = len(thinking.digests)
        left, _ = thinking.without(data, random.randint(0, count))
        bare, _ = thinking.without(data, count)
        assert read_native(left).model == read_native(bare).model == asked.model
        assert find_thinking(bare) is None
    assert read_native(changed).model == "claude-another"
    before, after = json_of(data), json_of(changed)
    if before is not None:
        assert after == {**before, "model": "claude-another"} or _holds_nan(before)


def _holds_nan(value: Any) -> bool:
    return "NaN" in json.dumps(value)
