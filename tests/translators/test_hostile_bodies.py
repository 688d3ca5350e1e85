"""What a chat request may hold at most, and that nothing below that is more work than its size."""

import functools
import time
import tracemalloc
from collections.abc import Callable, Generator
from typing import Any, Final, TypeVar

import pytest

from tests.support.costs import small_heap
from tests.support.hostile import (
    KINDS,
    answered_calls,
    arguments,
    body,
    called,
    conversation,
    data_url,
    details,
    form,
    in_content,
    repeated,
    text_file,
    tools,
)
from tests.support.intents import read_intent_in_steps
from translators import limits, schema
from translators.beginnings import beginnings_in_steps
from translators.errors import TranslationError
from translators.estimate import estimated_tokens
from translators.kept.history import has_history, history_in_steps
from translators.messages import tools as chat_tools
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_in_steps
from translators.models import model_table
from translators.reading import is_blank
from translators.remembered import Remembered
from translators.weight import count_values
from translators.wire.chat import REQUEST_DECODER

T = TypeVar("T")

MODEL: Final = "claude-sonnet-5-5"
TARGET: Final = Target(MODEL, model_table().row(MODEL))
# One that cannot be forced to call a tool, and is held to a form instead.
UNFORCED: Final = Target("claude-fable-5-2", model_table().row("claude-fable-5-2"))


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (schema, chat_tools):
        monkeypatch.setattr(module, "_REMEMBERED", Remembered[Any](0))


def taken(steps: Generator[None, None, T], costs: list[float]) -> T:
    """What the steps give; what each has cost, in seconds of the processor."""
    while True:
        began_at = time.process_time()
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            costs.append(time.process_time() - began_at)


def translated(data: bytes, costs: list[float] | None = None, target: Target = TARGET) -> MessagesRequest:
    """A request by way of everything that goes through it before it is sent."""
    costs = [] if costs is None else costs
    chat = taken(read_intent_in_steps(data), costs)
    if has_history(chat):
        taken(history_in_steps(chat, b"me"), costs)
    taken(beginnings_in_steps(chat, "", target.row.cache_minimum), costs)
    written = taken(write_in_steps(chat, target, Options(caching="auto")), costs)
    began_at = time.process_time()
    estimated_tokens(written.body)
    costs.append(time.process_time() - began_at)
    return written


def cost(data: bytes) -> float:
    """The least of two runs, in seconds of the processor."""
    found = []
    for _ in range(2):
        costs: list[float] = []
        translated(data, costs, UNFORCED)
        found.append(sum(costs))
    return min(found)


@pytest.mark.parametrize("kind", KINDS)
def test_four_times_as_much_is_about_four_times_the_work(kind: str) -> None:
    make, count = KINDS[kind]
    small, large = make(count), make(4 * count)

    # What is quadratic takes sixteen times as long.
    assert any(cost(large) < 8 * cost(small) + 0.003 for _ in range(5))


@pytest.mark.parametrize("kind", KINDS)
def test_memory_goes_by_the_size_of_the_body(kind: str) -> None:
    make, count = KINDS[kind]
    data = make(count)
    tracemalloc.start()
    translated(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 24 * len(data) + 2**20


def most(make: Callable[[int], bytes]) -> bytes:
    """A body of as many as fit into the number of values."""
    one, two = count_values(make(1)), count_values(make(2))
    return make((limits.MAX_VALUES - one) // (two - one) + 1)


@functools.cache
def as_many_messages_as_fit() -> bytes:
    return most(KINDS["messages"][0])


def longest_allowed() -> float:
    """50 ms; more where one call of the decoder, for as many messages as fit, shows that the machine is slow now."""
    data = as_many_messages_as_fit()
    began_at = time.process_time()
    REQUEST_DECODER.decode(data)
    return max(0.05, 4 * (time.process_time() - began_at))


IN_MANY_MESSAGES: Final = tuple(kind for kind in KINDS if "messages" in kind or "answers" in kind or kind == "marks")
AT_BOUND: Final[dict[str, Callable[[], bytes]]] = {
    **{kind: functools.partial(most, KINDS[kind][0]) for kind in IN_MANY_MESSAGES},
    "calls with results": lambda: answered_calls(limits.MAX_CALLS),
    "arguments": lambda: arguments('\\"x#\\":0', limits.MAX_ARGUMENTS // 16),
    "thinking in one piece": lambda: details(limits.MAX_THOUGHTS, "0"),
    "parts": lambda: in_content(repeated('{"type":"text","text":"a"}', limits.MAX_PARTS)),
    "tools": lambda: KINDS["tools"][0](limits.MAX_TOOLS),
    "strict tools": lambda: KINDS["strict tools"][0](limits.MAX_TOOLS),
    "functions": lambda: KINDS["functions"][0](limits.MAX_TOOLS),
    "allowed tools": lambda: KINDS["allowed tools"][0](limits.MAX_TOOLS),
    "values of a tool": lambda: KINDS["one word in a schema"][0](limits.MAX_TOOL_VALUES - 10),
    "properties": lambda: KINDS["properties"][0](limits.MAX_SCHEMA_PLACES - 20),
    "unknown fields": lambda: KINDS["unknown fields"][0](limits.MAX_UNKNOWN_FIELDS),
    "unknown fields of parts": lambda: KINDS["unknown fields of parts"][0](limits.MAX_PARTS),
    "unknown fields of options": lambda: KINDS["unknown fields of options"][0](limits.MAX_UNKNOWN_FIELDS),
    "unknown fields of images": lambda: KINDS["unknown fields of images"][0](limits.MAX_PARTS),
    "calls in Anthropic's form": lambda: KINDS["calls in Anthropic's form"][0](limits.MAX_CALLS),
    "stops": lambda: KINDS["stops"][0](limits.MAX_STOPS),
    "escaped base64": lambda: data_url("A\\n", (limits.MAX_ESCAPED // 12 - 10) * 4),
    "blanks": lambda: KINDS["blanks"][0](16 * 2**20),
}


@pytest.mark.parametrize("kind", AT_BOUND)
def test_at_the_bound_no_step_holds_others_up(kind: str) -> None:
    data = AT_BOUND[kind]()
    small_heap()

    def longest() -> float:
        costs: list[float] = []
        translated(data, costs, UNFORCED)
        return max(costs)

    assert any(longest() < longest_allowed() for _ in range(4))


TOO_LONG: Final = "array_above_max_length"
TOO_LARGE: Final = "string_above_max_length"
TOO_MANY: Final = "object_above_max_properties"
BEYOND: Final[tuple[tuple[Callable[[], bytes], str | None, str], ...]] = (
    (lambda: KINDS["messages with parts"][0](900), None, TOO_LONG),
    (lambda: body("[" + repeated('{"role":""}', limits.MAX_MESSAGES + 1) + "]"), "messages", TOO_LONG),
    (lambda: answered_calls(limits.MAX_CALLS + 1), "messages[1].tool_calls", TOO_LONG),
    (
        lambda: arguments('\\"x#\\":0', limits.MAX_ARGUMENTS // 12),
        "messages[1].tool_calls[0].function.arguments",
        TOO_LARGE,
    ),
    (lambda: details(limits.MAX_THOUGHTS + 1, "0"), "messages[1].reasoning_details", TOO_LONG),
    (
        lambda: in_content(repeated('{"type":"text","text":"a"}', limits.MAX_PARTS + 1)),
        "messages[0].content",
        TOO_LONG,
    ),
    (lambda: KINDS["unknown fields of a message"][0](limits.MAX_UNKNOWN_FIELDS + 1), None, TOO_MANY),
    (lambda: KINDS["calls in Anthropic's form"][0](limits.MAX_PARTS + 1), "messages[1].content", TOO_LONG),
    (lambda: KINDS["tools"][0](limits.MAX_TOOLS + 1), "tools", TOO_LONG),
    (lambda: KINDS["functions"][0](limits.MAX_TOOLS + 1), "functions", TOO_LONG),
    (lambda: KINDS["allowed tools"][0](limits.MAX_TOOLS + 1), "tool_choice.allowed_tools.tools", TOO_LONG),
    (lambda: KINDS["one word in a schema"][0](limits.MAX_TOOL_VALUES + 1), "tools[0]", TOO_LONG),
    (
        lambda: tools('{"type":"function","function":{"name":"' + "f" * (limits.MAX_NAME + 1) + '"}}', 1),
        "tools[0].function.name",
        TOO_LARGE,
    ),
    (lambda: called("f" * (limits.MAX_NAME + 1)), "messages[1].tool_calls[0].function.name", TOO_LARGE),
    (lambda: called("f", "i" * (limits.MAX_ID + 1)), "messages[1].tool_calls[0].id", TOO_LARGE),
    (lambda: body(user=f'"{"u" * (limits.MAX_USER + 1)}"'), "user", TOO_LARGE),
    (
        lambda: body(tool_choice='{"type":"function","function":{"name":"' + "f" * (limits.MAX_NAME + 1) + '"}}'),
        "tool_choice",
        TOO_LARGE,
    ),
    (lambda: KINDS["unknown fields"][0](limits.MAX_UNKNOWN_FIELDS + 1), None, "object_above_max_properties"),
    (lambda: KINDS["unknown fields"][0](100_000), None, "object_above_max_properties"),
    (lambda: KINDS["unknown fields of options"][0](limits.MAX_UNKNOWN_FIELDS + 1), None, TOO_MANY),
    (lambda: KINDS["unknown fields of options"][0](100_000), None, TOO_MANY),
    (lambda: KINDS["stops"][0](limits.MAX_STOPS + 1), "stop", TOO_LONG),
    (
        lambda: body(metadata='{"a":"' + "a" * limits.MAX_METADATA_BYTES + '"}'),
        "metadata",
        "object_above_max_properties",
    ),
    (lambda: data_url("A\\n", limits.MAX_ESCAPED // 3), "messages[0].content[0].image_url.url", TOO_LARGE),
    (lambda: text_file(limits.MAX_TEXT_FILE), "messages[0].content[0].file.file_data", TOO_LARGE),
)


@pytest.mark.parametrize(("make", "param", "code"), BEYOND)
def test_beyond_the_bound_the_caller_is_told(make: Callable[[], bytes], param: str | None, code: str) -> None:
    with pytest.raises(TranslationError) as caught:
        translated(make())

    assert (caught.value.failure.param, caught.value.failure.code) == (param, code)
    assert caught.value.failure.message.startswith("Invalid ")


def test_an_array_that_is_too_long_is_refused_in_the_words_of_openai() -> None:
    with pytest.raises(TranslationError) as caught:
        translated(tools('{"type":"function","function":{"name":"f#"}}', limits.MAX_TOOLS + 1))

    assert str(caught.value) == (
        "Invalid 'tools': array too long. Expected an array with maximum length 5000, "
        "but got an array with length 5001 instead."
    )


def test_a_schema_beyond_the_bound_is_asked_for_in_words() -> None:
    written = translated(KINDS["properties"][0](limits.MAX_SCHEMA_PLACES + 1))

    assert written.adjusted == "response_format=json_schema->instructions:schema"
    assert b"It has to follow this JSON Schema" in written.body


def test_strict_tools_beyond_the_bound_are_not_strict() -> None:
    properties = repeated('"p#":{"type":"null"}', 4_000)
    one = '{"type":"function","function":{"name":"f#","strict":true,"parameters":{"type":"object","properties":{'
    written = translated(tools(f"{one}{properties}}}}}}}}}", 3).replace(b"0000000", b""))

    assert written.adjusted == "tools.strict=dropped:limit"


@pytest.mark.parametrize(
    "text", ['{"format":[]}', '{"type":"string","format":{}}', '{"type":"string","x":' + "[" * 900 + "]" * 900 + "}"]
)
def test_a_schema_is_never_too_odd_to_be_read(text: str) -> None:
    assert translated(form(text)).body


@pytest.mark.parametrize("size", [10, 100, 1_000, 2**20 - 10])
@pytest.mark.parametrize("white", [" ", "\\n", "\\u3000"])
def test_a_text_is_blank_or_not_however_much_white_space_it_begins_with(white: str, size: int) -> None:
    blank = f'"{white * (size // len(white))}"'.encode()

    assert is_blank(blank)
    assert not is_blank(blank[:-1] + b'a"')


def test_a_text_that_is_blank_for_more_than_a_megabyte_is_sent() -> None:
    assert not is_blank(b'"' + b" " * 2**20 + b'"')


def test_what_a_mistake_quotes_is_cut() -> None:
    with pytest.raises(TranslationError) as caught:
        translated(conversation('{"role":"' + "x" * 100_000 + '"}', 1))

    assert len(caught.value.failure.message) < 3_000
