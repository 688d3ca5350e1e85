"""Bodies that are costly to read, at every door: refused at a bound, or read in turns and in linear time."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.config import ModelsConfig
from gateway.edge.slices import LARGE_BYTES
from tests.scenarios.harness import PATH as CHAT_PATH
from tests.scenarios.harness import asking, quick_gateway
from tests.scenarios.native_harness import COUNT_PATH, PATH, asking_natively, assert_native_error
from tests.support import messages
from tests.support.costs import exhaust, growth
from tests.support.gateway import config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, json_answer
from translators.completions.request import MAX_PROMPTS, read_completions, read_completions_in_steps
from translators.errors import TranslationError
from translators.limits import MAX_VALUES
from translators.native import request as native
from translators.native.allowed import Allowed, check_allowed_in_steps
from translators.native.request import (
    place_of_file_id,
    place_of_file_id_in_steps,
    read_native,
    read_native_in_steps,
    with_model,
)
from translators.reading import place_of_lone_surrogate

COMPLETIONS_PATH = "/v1/completions"
DOORS = (CHAT_PATH, COMPLETIONS_PATH, PATH, COUNT_PATH)
SERVED = json_answer(200, messages.message())
FILLER = "x" * LARGE_BYTES
IMAGE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}


def native_body(content: Any, **more: Any) -> bytes:
    return json.dumps({"model": "a", "messages": [{"role": "user", "content": content}]} | more).encode()


# Every door.


@pytest.mark.parametrize("size", [0, LARGE_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("path", DOORS)
async def test_a_body_that_is_nested_deeply_is_400(upstream: ScriptedUpstream, path: str, size: int) -> None:
    begin = b'{"model":"claude-sonnet-5-5","x":"%b",' % (b"x" * size)
    ends = (b'"y":' + b"[" * 100_000, b'"messages":' + b'[{"content":' * 50_000, b'"prompt":' + b'{"a":' * 50_000)
    async with quick_gateway(key(upstream.base_url)) as running:
        answers = [await running.http().post(path, content=begin + end) for end in ends]

    assert [answer.status_code for answer in answers] == [400] * 3
    assert not upstream.received


@pytest.mark.parametrize("path", DOORS)
async def test_half_a_surrogate_pair_in_a_large_body_is_400(upstream: ScriptedUpstream, path: str) -> None:
    body = b'{"model":"claude-sonnet-5-5","x":"%b","user":"\\ud83d"}' % FILLER.encode()
    async with quick_gateway(key(upstream.base_url)) as running:
        answer = await running.http().post(path, content=body)

    assert answer.status_code == 400
    assert "half of a surrogate pair" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", [COMPLETIONS_PATH, PATH])
@pytest.mark.parametrize("unit", [b"[],", b'"",', b'{"a":0},'])
async def test_a_body_with_too_many_values_is_400(upstream: ScriptedUpstream, path: str, unit: bytes) -> None:
    body = b'{"x":[%b0],"model":"claude-sonnet-5-5"}' % (unit * MAX_VALUES)
    async with quick_gateway(key(upstream.base_url)) as running:
        answer = await running.http().post(path, content=body)

    assert answer.status_code == 400
    assert "too many values" in answer.json()["error"]["message"]


# A mistake's place.


def test_a_mistake_is_found_behind_much_else() -> None:
    body = json.dumps({"x": [[], {}, "[,\\"] * 1000, "messages": [{"a": 1}, {"é": ["x", {"b": "\ud83d"}]}]}).encode()

    assert place_of_lone_surrogate(body) == "messages[1].é[1].b"


@pytest.mark.parametrize("unit", [b"[],", b'"",', b'"\\"",', b" ", b'{"a":0},'])
def test_a_mistake_too_far_behind_has_no_place_and_costs_no_more(unit: bytes) -> None:
    def search(size: int) -> None:
        body = b'{"x":[%b0],"y":"\\ud83d"}' % (unit * (size // len(unit)))
        assert place_of_lone_surrogate(body) is None

    assert growth(search, 2**21) < 2.5


def test_a_name_that_is_broken_hides_the_place_of_what_is_in_it() -> None:
    assert place_of_lone_surrogate(b'{"\\ud83d":"\\ud83d"}') is None


# Native.


@pytest.mark.parametrize("path", [PATH, COUNT_PATH])
async def test_a_large_native_body_keeps_its_bytes_but_for_its_model(upstream: ScriptedUpstream, path: str) -> None:
    upstream.always(SERVED)
    more = {"diagnostics": ['"model":[{', 1.50], "system": FILLER + "ü"}
    body = json.dumps(more | asking_natively() | {"model": "mine"}, ensure_ascii=False).encode()
    config = with_settings(config_for(key(upstream.base_url)), models=ModelsConfig(aliases={"mine": "claude-opus-5"}))
    async with quick_gateway(config=config) as running:
        answer = await running.http().post(path, content=body)

    assert answer.status_code == 200
    assert upstream.received[0].body == body.replace(b'"model": "mine"', b'"model": "claude-opus-5"')


@pytest.mark.parametrize("path", [PATH, COUNT_PATH])
async def test_a_mistake_in_a_large_native_body_is_told(upstream: ScriptedUpstream, path: str) -> None:
    bodies = [
        native_body([IMAGE], system=FILLER),
        native_body("x", system=FILLER, speed="fast"),
        native_body("x", system=FILLER, model=7),
        native_body("x", system=FILLER).replace(b"xxx", b"\xffxx", 1),
    ]
    async with quick_gateway(key(upstream.base_url)) as running:
        answers = [await running.http().post(path, content=body) for body in bodies]

    for answer in answers:
        assert_native_error(answer, 400, "invalid_request_error")
    assert "messages.0.content.0.source.file_id" in answers[0].json()["error"]["message"]


@pytest.mark.parametrize("unit", [b"[],", b'"",', b'"\\"",', b" ", b'{"a":0},'])
def test_what_stands_before_the_model_is_passed_over_in_linear_time(unit: bytes) -> None:
    def exchange(size: int) -> None:
        with_model(b'{"x":[%b0],"model":"a"}' % (unit * (size // len(unit))), "b")

    assert growth(exchange, 2**19) < 9


def nested(depth: int) -> bytes:
    content: Any = [IMAGE]
    for _ in range(depth):
        content = [{"type": "tool_result", "content": content}]
    return native_body(content)


def test_files_are_looked_for_to_a_depth_that_upstream_does_not_take() -> None:
    deepest = native.MAX_DEPTH - 2

    assert place_of_file_id(nested(deepest)) == f"messages.0.content{'.0.content' * deepest}.0.source.file_id"
    with pytest.raises(TranslationError, match="nested too deeply"):
        place_of_file_id(nested(deepest + 1))


def test_files_are_looked_for_in_so_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MAX_BLOCKS", 100)
    words = {"type": "text", "text": "a file_id"}

    assert place_of_file_id(native_body([words] * 99)) is None
    with pytest.raises(TranslationError, match="more than 100"):
        place_of_file_id(native_body([words] * 100))


def test_many_blocks_that_speak_of_files_are_looked_at_in_linear_time_and_in_steps() -> None:
    body = native_body([{"type": "text", "text": "a file_id"}] * 10_000)
    steps, _ = exhaust(check_allowed_in_steps(body, Allowed()))

    assert steps >= 10_000
    assert growth(lambda size: place_of_file_id(native_body([{"text": "a file_id"}] * size)), 2_000) < 9


def test_what_is_nested_is_read_in_a_step_each_time() -> None:
    """Each level of a body of 31 MB is read four times, and once took 150 ms in one go."""
    shallow, deep = (exhaust(place_of_file_id_in_steps(nested(depth)))[0] for depth in (1, 2))

    assert deep - shallow == 4


def test_a_large_native_body_is_read_as_a_small_one_is() -> None:
    body = native_body("é", stream=True, speed="fast", container=None)

    assert exhaust(read_native_in_steps(body))[1] == read_native(body)


# Legacy completions.


def prompting(prompt: Any, **more: Any) -> bytes:
    return json.dumps({"model": "claude-sonnet-5-5", "prompt": prompt} | more).encode()


READERS: tuple[Callable[[bytes, int], Any], ...] = (
    read_completions,
    lambda body, choices: exhaust(read_completions_in_steps(body, choices))[1],
)
both = pytest.mark.parametrize("read", READERS, ids=["in one go", "in steps"])


@both
def test_prompts_have_openais_bound(read: Callable[[bytes, int], Any]) -> None:
    assert len(read(prompting(["a"] * MAX_PROMPTS), MAX_PROMPTS).intents) == MAX_PROMPTS
    with pytest.raises(TranslationError) as caught:
        read(prompting(["a"] * (MAX_PROMPTS + 1)), MAX_PROMPTS + 1)

    assert caught.value.failure.code == "array_above_max_length"
    assert caught.value.failure.param == "prompt"
    assert str(caught.value) == (
        "Invalid 'prompt': array too long. Expected an array with maximum length 2048, "
        "but got an array with length 2049 instead."
    )


@both
@pytest.mark.parametrize("prompt", [[1] * 100_000, [[1, 2]] * 50_000, ["a", 1], ["a", None]])
def test_tokens_are_no_prompts_however_many(read: Callable[[bytes, int], Any], prompt: Any) -> None:
    with pytest.raises(TranslationError, match="token ids") as caught:
        read(prompting(prompt), 8)

    assert caught.value.failure.code == "invalid_type"


@both
def test_unknown_fields_are_counted_to_a_bound(read: Callable[[bytes, int], Any]) -> None:
    assert read(prompting("a", **{f"x{number}": 1 for number in range(998)}), 8).intents[0].unknown_fields == 998
    with pytest.raises(TranslationError, match="too many fields"):
        read(prompting("a", **{f"x{number}": 1 for number in range(999)}), 8)


@pytest.mark.parametrize("prompt", ["é", ["a", "b"], None])
def test_a_large_body_is_read_as_a_small_one_is(prompt: Any) -> None:
    body = prompting(prompt, n=2, echo=True)

    assert exhaust(read_completions_in_steps(body, 8))[1] == read_completions(body, 8)


async def test_a_large_prompt_arrives_whole(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        answer = await running.http().post(COMPLETIONS_PATH, content=prompting(FILLER, max_tokens=100))

    assert answer.status_code == 200
    assert FILLER.encode() in upstream.received[0].body


async def test_a_large_chat_is_still_answered(upstream: ScriptedUpstream) -> None:
    upstream.always(SERVED)
    async with quick_gateway(key(upstream.base_url)) as running:
        answer = await running.http().post(CHAT_PATH, json=asking(FILLER))

    assert answer.status_code == 200
