"""What a Responses request may hold at most, and that nothing below that is more work than its size."""

import functools
import json
import time
import tracemalloc
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import pytest

from tests.support.costs import small_heap
from tests.support.hostile import repeated
from tests.support.response_requests import SEALER
from translators import limits
from translators.errors import TranslationError
from translators.remembered import Remembered
from translators.responses import tools
from translators.responses.read import read_body, read_body_in_steps
from translators.responses.request import ResponsesRequest, read_request_in_steps
from translators.steps import in_one_go
from translators.weight import count_values
from translators.wire.raw import RAW_LIST_DECODER
from translators.wire.responses import BODY_DECODER

T = TypeVar("T")


@pytest.fixture(autouse=True)
def nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "_REMEMBERED", Remembered[Any](0))


def body(items: str, **fields: str) -> bytes:
    """A request; the items and the fields are JSON."""
    rest = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'{{"model":"m","input":[{items}]{rest}}}'.encode()


USER: Final = '{"role":"user","content":"a"}'
CALL: Final = '{"type":"function_call","call_id":"c#","name":"f","arguments":"{}"}'
OUTPUT: Final = '{"type":"function_call_output","call_id":"c#","output":"r"}'
SEAL: Final = '{"type":"reasoning","summary":[],"encrypted_content":"me:[\\"{}\\"]"}'
COMPACTION: Final = '{"type":"compaction","encrypted_content":"any-me:[\\"{}\\"]"}'
FUNCTION: Final = '{"type":"function","name":"f#"}'


def parallel(count: int) -> bytes:
    return body(f"{USER},{repeated(CALL, count)},{repeated(OUTPUT, count)}")


def namespaces(count: int) -> bytes:
    described = f'"description":"{"d" * 1000}"'
    entry = f'{{"type":"namespace","name":"n#",{described},"tools":[{FUNCTION}]}}'
    return body(USER, tools=f"[{repeated(entry, count)}]")


def one_namespace(count: int) -> bytes:
    entry = f'{{"type":"namespace","name":"n","description":"{"d" * 10_000}","tools":[{repeated(FUNCTION, count)}]}}'
    return body(USER, tools=f"[{entry}]")


SAID: Final = '{"role":"assistant","content":"a"}'
FOREIGN: Final = '{"type":"mcp_call","id":"#"}'
UNKNOWN: Final = '{"role":"user","content":"a","x#":1}'
UPDATE: Final = '{"type":"configuration_update","reasoning":{"effort":"low"}}'
ADDED: Final = '{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"f#"}]}'
PRINTED: Final = '{"stdout":"o","stderr":"e","outcome":{"type":"exit","exit_code":1}}'
SHELL_CALL: Final = '{"type":"shell_call","call_id":"c","action":{"commands":[]}}'
FIELD: Final = '"x#":1'
INCLUDE: Final = '"reasoning.encrypted_content"'


def items(item: str, count: int) -> bytes:
    """A message of the user's, and so many of these."""
    return body(f"{USER},{repeated(item, count)}")


def listed(field: str, entry: str, count: int) -> bytes:
    """A field that is a list of so many of these."""
    return body(USER, **{field: f"[{repeated(entry, count)}]"})


def printed(count: int) -> bytes:
    output = f'{{"type":"shell_call_output","call_id":"c","output":[{repeated(PRINTED, count)}]}}'
    return body(f"{USER},{SHELL_CALL},{output}")


def allowed(count: int) -> bytes:
    return body(USER, tool_choice=f'{{"type":"allowed_tools","mode":"auto","tools":[{repeated(FUNCTION, count)}]}}')


def long_text(count: int) -> bytes:
    text = "\u00e9" * count
    return body(f'{{"role":"user","content":"{text}"}}')


def long_seal(count: int) -> bytes:
    return body(f'{USER},{{"type":"reasoning","encrypted_content":"{"A" * count}"}},{USER}')


# How to make so many of something, and how many make a body whose work can be measured.
KINDS: Final[dict[str, tuple[Callable[[int], bytes], int]]] = {
    "messages": (partial(items, USER), 5_000),
    "rounds": (partial(items, f"{SEAL},{CALL},{OUTPUT}"), 1_500),
    "parallel calls": (parallel, 500),
    "one turn's messages": (partial(items, SAID), 1_200),
    "compactions": (partial(items, f"{USER},{COMPACTION}"), 2_000),
    "compactions at the end": (lambda count: body(f"{repeated(USER, count)},{repeated(COMPACTION, count)}"), 2_000),
    "unsealed reasoning": (partial(items, SEAL.replace("me:", "you:")), 5_000),
    "sealed blocks": (partial(items, SEAL), 3_000),
    "dropped items": (partial(items, FOREIGN), 5_000),
    "unknown fields": (partial(items, UNKNOWN), 4_000),
    "shell outputs": (printed, 400),
    "functions": (partial(listed, "tools", FUNCTION), 1_200),
    "namespaces": (namespaces, 1_000),
    "members": (one_namespace, 1_200),
    "added tools": (partial(items, ADDED), 1_200),
    "updates": (partial(items, UPDATE), 1_200),
    "allowed tools": (allowed, 1_200),
    "includes": (partial(listed, "include", INCLUDE), 5_000),
    "a long text": (long_text, 500_000),
    "a long seal": (long_seal, 1_000_000),
}


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


def read(data: bytes, costs: list[float] | None = None) -> ResponsesRequest:
    costs = [] if costs is None else costs
    return taken(read_request_in_steps(taken(read_body_in_steps(data), costs), SEALER), costs)


def cost(data: bytes) -> float:
    """The least of two runs, in seconds of the processor."""
    found = []
    for _ in range(2):
        costs: list[float] = []
        read(data, costs)
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
    data = make(2 * count)
    tracemalloc.start()
    read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 24 * len(data) + 2**20


@functools.cache
def longest_allowed() -> float:
    """50 ms; more where one call of the decoder, for as many items as fit, shows that the machine is slow."""
    data = at_bound("messages")
    began_at = time.process_time()
    RAW_LIST_DECODER.decode(BODY_DECODER.decode(data).input)
    return max(0.05, 3 * (time.process_time() - began_at))


def at_bound(kind: str) -> bytes:
    """A body of as many as fit into the number of values, or a large one."""
    make = KINDS[kind][0]
    one, two = count_values(make(1)), count_values(make(2))
    return make(15 * 2**20 if one == two else (limits.MAX_VALUES - one) // (two - one) + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_at_the_bound_no_step_holds_others_up(kind: str) -> None:
    data = at_bound(kind)
    small_heap()

    def longest() -> float:
        costs: list[float] = []
        with suppress(TranslationError):
            read(data, costs)
        return max(costs)

    assert any(longest() < longest_allowed() for _ in range(4))


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (body(repeated("{}", limits.MAX_MESSAGES + 1)), "input"),
        (body(USER, tools=f"[{repeated(FUNCTION, limits.MAX_TOOLS + 1)}]"), "tools"),
        (one_namespace(limits.MAX_TOOLS + 1), "tools[0].tools"),
        (namespaces(limits.MAX_TOOLS + 1), "tools"),
        (parallel(limits.MAX_CALLS + 1), "input"),
        (body(f"{USER},{repeated(USER.replace('user', 'assistant'), limits.MAX_PARTS + 1)},{USER}"), "input"),
        (body(USER, metadata=f'{{"a":"{"x" * 70_000}"}}'), "metadata"),
        (body(CALL.replace('"c#"', f'"{"c" * 70_000}"')), "input[0].call_id"),
        (body(CALL.replace('"f"', f'"{"f" * 2_000}"')), "input[0].name"),
        (body(USER, **{f"x{number}": "1" for number in range(1_001)}), None),
        (body(f'{{"role":"user","content":"a",{repeated(FIELD, 1_001)}}}'), None),
        (body('{"role":"user","content":' + "[" * 100_000 + "]" * 100_000 + "}"), None),
        (
            body(
                USER, tools='[{"type":"function","name":"f","parameters":{"a":' + "[0," * 30_000 + "0]" * 30_000 + "}}]"
            ),
            None,
        ),
        (body(USER, tools=f'[{{"type":"function","name":"f","parameters":[{repeated("0", 20_001)}]}}]'), "tools[0]"),
    ],
    ids=[
        *("items", "tools", "members", "namespaces", "calls", "parts", "metadata", "call-id", "name", "fields"),
        *("fields-of-an-item", "depth", "depth-of-a-tool", "values-of-a-tool"),
    ],
)
def test_too_much_is_refused(data: bytes, param: str | None) -> None:
    with pytest.raises(TranslationError) as caught:
        read(data)

    assert caught.value.failure.param == param


@pytest.mark.parametrize("kind", ["item_reference", "reasoning"])
def test_what_references_stand_for_is_bounded_however_often_they_name_it(kind: str) -> None:
    item = json.dumps({"role": "user", "content": "x" * 2**20}).encode()
    reads = read_body(body(repeated(f'{{"type":"{kind}","id":"msg_1"}}', 40)))

    with pytest.raises(TranslationError, match="at most") as caught:
        in_one_go(read_request_in_steps(reads, SEALER, (), {"msg_1": item}))

    assert caught.value.failure.param == "input"


def test_too_many_references_are_refused() -> None:
    with pytest.raises(TranslationError) as caught:
        read_body(body(repeated('{"type":"item_reference","id":"msg_#"}', 5_001)))

    assert caught.value.failure.param == "input"


def test_too_many_values_are_refused_before_they_are_read() -> None:
    data = body(f'{{"role":"user","content":[{repeated("false", limits.MAX_VALUES + 10)}]}}')

    with pytest.raises(TranslationError, match="too many values"):
        read(data)


def test_a_large_body_is_read() -> None:
    text = '{"role":"user","content":"' + "x" * 1_000_000 + '"}'
    data = body(",".join([text] * 30))

    assert len(read(data).intent.messages) == 30
    assert count_values(data) < limits.MAX_VALUES


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'"x"', b"\xff", b'{"model":"m","input":"\\ud800"}', b"null"])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(TranslationError):
        read_body(data)
