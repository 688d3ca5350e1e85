"""Legacy completions without a network: the request as chats, answers as `text_completion` objects (section 7)."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import messages
from translators.answers.answer import AnswerFold, read_message
from translators.chat.chunks import StreamFrame
from translators.completions.request import Completions, read_completions
from translators.completions.response import text_completion
from translators.completions.stream import CompletionStream
from translators.errors import TranslationError
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table

MODEL = "claude-sonnet-5-5"


def read(prompt: Any = "Say hi", *, max_choices: int = 8, **more: Any) -> Completions:
    return read_completions(json.dumps({"model": MODEL, "prompt": prompt} | more).encode(), max_choices)


def refused(prompt: Any = "Say hi", *, max_choices: int = 8, **more: Any) -> TranslationError:
    with pytest.raises(TranslationError) as caught:
        written(prompt, max_choices=max_choices, **more)
    return caught.value


def written(prompt: Any = "Say hi", *, max_choices: int = 8, model: str = MODEL, **more: Any) -> list[dict[str, Any]]:
    """The Messages bodies, one a choice."""
    target = Target(model, model_table().row(model))
    chats = read(prompt, max_choices=max_choices, model=model, **more).intents
    return [json.loads(write_request(chat, target, Options()).body) for chat in chats]


def adjusted(**more: Any) -> str:
    (chat,) = read(**more).intents
    return write_request(chat, Target(MODEL, model_table().row(MODEL)), Options()).adjusted or ""


def said(body: dict[str, Any]) -> list[str]:
    """What the user says in a body."""
    return [
        message["content"] if isinstance(message["content"], str) else "".join(b["text"] for b in message["content"])
        for message in body["messages"]
        if message["role"] == "user"
    ]


# The request.


@given(prompt=st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_a_prompt_is_what_the_user_says_as_it_is(prompt: str) -> None:
    (body,) = written(prompt)

    assert said(body) == [prompt]


def test_several_prompts_are_answered_n_times_each_prompt_by_prompt() -> None:
    assert [said(body) for body in written(["one", "two"], n=2)] == [["one"], ["one"], ["two"], ["two"]]


def test_echoes_stand_beside_their_prompts() -> None:
    assert read(["a", "b"], n=2, echo=True).echoes == ["a", "a", "b", "b"]
    assert read(["a", "b"], n=2).echoes == [""] * 4


@pytest.mark.parametrize("prompt", [None, "", "  \n"])
def test_without_a_prompt_there_is_still_a_conversation(prompt: str | None) -> None:
    (body,) = written(prompt)

    assert body["messages"]
    assert all(message["content"] for message in body["messages"])


def test_settings_mean_what_they_mean_in_a_chat() -> None:
    (body,) = written(
        model="claude-sonnet-4-6", max_tokens=77, temperature=0.5, stop=["\n", "END"], user="u-1", stream=True
    )

    assert (body["max_tokens"], body["temperature"], body["stop_sequences"]) == (77, 0.5, ["END"])
    assert body["metadata"] == {"user_id": "u-1"}
    assert body["stream"] is True


def test_without_a_limit_an_answer_may_be_as_long_as_the_model_can() -> None:
    assert [written(max_tokens=limit)[0]["max_tokens"] for limit in (None, 0)] == [128_000, 128_000]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 7),
        ("logit_bias", {"50256": -100}),
        ("presence_penalty", 0.5),
        ("frequency_penalty", 1),
        ("logprobs", 3),
        ("logprobs", 0),
        ("best_of", 3),
        ("temperature", 0.5),
    ],
)
def test_what_cannot_be_honoured_is_named(name: str, value: Any) -> None:
    # `logprobs: 0` asks for the chosen token's; `best_of` above `n` for the best of more answers than are shown.
    assert f"{name}=" in adjusted(**{name: value})


@pytest.mark.parametrize(
    "neutral",
    [
        {"logprobs": None},
        {"best_of": 1},
        {"presence_penalty": 0},
        {"frequency_penalty": 0.0},
        {"logit_bias": {}},
        {"suffix": None},
        {"suffix": ""},
        {"temperature": 1},
        {"echo": False},
        {"n": 1},
        {"stream": None, "stream_options": None, "stop": None, "user": None, "max_tokens": None, "top_p": None},
    ],
)
def test_what_asks_for_nothing_is_not_named(neutral: dict[str, Any]) -> None:
    assert adjusted(**neutral) == ""


def test_fields_that_nobody_knows_are_counted() -> None:
    assert adjusted(messages=[], min_p=0.1) == "unknown:2"
    assert adjusted(stream=True, stream_options={"include_obfuscation": False, "chunks": 1}) == "unknown:1"


@pytest.mark.parametrize(
    ("body", "path"),
    [({"messages": []}, "/v1/chat/completions"), ({"input": "hi", "prompt": None}, "/v1/responses")],
    ids=["chat", "responses"],
)
def test_a_body_of_another_endpoint_is_told_so(body: dict[str, Any], path: str) -> None:
    with pytest.raises(TranslationError) as caught:
        read_completions(json.dumps({"model": MODEL, **body}).encode(), 8)

    assert caught.value.failure.code == "unsupported_parameter"
    assert caught.value.failure.param in body
    assert path in caught.value.failure.message


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"suffix": "the end"}, "suffix"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 5}, "prompt"),
        ({"prompt": {"text": "x"}}, "prompt"),
        ({"prompt": True}, "prompt"),
        ({"n": 0}, "n"),
        ({"n": -1}, "n"),
        ({"n": 9}, "n"),
        ({"prompt": ["a", "b"], "n": 5}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -0.5}, "top_p"),
        ({"stop": 5}, "stop"),
        ({"echo": "yes"}, "echo"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(more: dict[str, Any], param: str) -> None:
    failure = refused(**more).failure

    assert failure.param == param
    assert failure.rule.status == 400


@pytest.mark.parametrize("prompt", [["a", 5], ["a", [1]], ["a", None], ["a", {"text": "b"}]])
def test_a_prompt_that_is_no_text_is_told_in_a_list_too(prompt: list[Any]) -> None:
    param = refused(prompt).failure.param

    assert param is not None
    assert param.startswith("prompt")


@pytest.mark.parametrize("prompt", [b'"\\ud83d"', b'["fine", "\\udc00 x"]'])
def test_half_a_character_is_the_callers_mistake(prompt: bytes) -> None:
    with pytest.raises(TranslationError) as caught:
        read_completions(b'{"model":"m","prompt":' + prompt + b"}", 8)

    assert (caught.value.failure.param or "").startswith("prompt")


def test_a_model_has_to_be_named() -> None:
    with pytest.raises(TranslationError) as caught:
        read(model=None)

    assert caught.value.failure.param == "model"


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b'{"model":"m","prompt":"\xff"}', b'{"prompt":"x"}'])
def test_a_body_that_is_none_is_told(body: bytes) -> None:
    with pytest.raises(TranslationError):
        read_completions(body, 8)


@given(body=st.binary(max_size=60) | st.from_regex(rb'\{"model":"m","prompt":[^}]{0,20}\}', fullmatch=True))
def test_whatever_comes_is_read_or_refused(body: bytes) -> None:
    asked = None
    # Nothing else is raised.
    with contextlib.suppress(TranslationError):
        asked = read_completions(body, 8)

    assert asked is None or len(asked.intents) == len(asked.echoes) > 0


def test_as_many_prompts_as_choices_are_allowed_are_taken() -> None:
    assert len(read(["x"] * 8).intents) == 8
    # Without `n` it is not `n` that is wrong.
    assert refused(["x"] * 9).failure.param == "prompt"


@pytest.mark.parametrize("more", [{"best_of": 1, "n": 2}, {"best_of": 3, "stream": True}])
def test_an_impossible_best_of_is_refused(more: dict[str, Any]) -> None:
    # Section 7: at least `n`, and not streamable.
    assert refused(**more).failure.param == "best_of"


def test_the_choices_of_one_prompt_share_a_request() -> None:
    first, second, third, fourth = read(["one", "two"], n=2).intents

    assert first is second
    assert third is fourth
    assert first is not third


# Whole answers.


def answered(**more: Any) -> AnswerFold:
    return read_message(json.dumps(messages.message(**more)).encode())


def completion(*answers: AnswerFold, echoes: tuple[str, ...] | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(
        text_completion(answers, echoes or ("",) * len(answers), answers[0].usage, created=5)
    )
    return shown


def test_an_answer_has_the_legacy_shape() -> None:
    assert completion(answered()) == {
        "id": "cmpl-msg_01",
        "object": "text_completion",
        "created": 5,
        "model": MODEL,
        "choices": [{"text": "Hello, world.", "index": 0, "logprobs": None, "finish_reason": "stop"}],
        "usage": json.loads(answered().usage.as_json()),
        "system_fingerprint": None,
    }


def test_the_prompt_comes_first_where_it_is_echoed() -> None:
    shown = completion(answered(), answered(content=[]), echoes=("Say: ", "Nothing: "))

    assert [choice["text"] for choice in shown["choices"]] == ["Say: Hello, world.", "Nothing: "]
    assert [choice["index"] for choice in shown["choices"]] == [0, 1]


FINISHES = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
    "a_reason_of_tomorrow": "stop",
    "tool_use": "stop",
}


@pytest.mark.parametrize("stop_reason", FINISHES)
def test_an_answer_ends_with_a_reason_that_the_legacy_form_knows(stop_reason: str) -> None:
    (choice,) = completion(answered(stop_reason=stop_reason))["choices"]

    assert choice["finish_reason"] == FINISHES[stop_reason]


def test_thinking_is_not_text() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm.", "signature": "x"}, {"type": "text", "text": "Yes."}]

    assert completion(answered(content=blocks))["choices"][0]["text"] == "Yes."


# Streams.


def streamed(
    events: list[bytes], *, size: int | None = None, include_usage: bool = False, **more: Any
) -> list[dict[str, Any] | str]:
    stream = CompletionStream(StreamFrame(5, include_usage), **more)
    data = b"".join(events)
    pieces = [data[start : start + (size or len(data))] for start in range(0, len(data), size or len(data))]
    output = b"".join(map(stream.feed, pieces)) + stream.end()
    lines = [line.removeprefix("data: ") for line in output.decode().split("\n\n") if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_stream_has_the_same_objects_with_a_reason_in_the_last() -> None:
    first, *_, last = streamed(messages.text_stream())

    assert isinstance(first, dict)
    assert first | {"service_tier": None} == {
        "id": "cmpl-msg_01",
        "object": "text_completion",
        "created": 5,
        "model": MODEL,
        "service_tier": None,
        "system_fingerprint": None,
        "choices": [{"text": "Hello,", "index": 0, "logprobs": None, "finish_reason": None}],
    }
    assert isinstance(last, dict)
    assert last["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}]


def test_a_chunk_has_the_fields_of_a_whole_answer() -> None:
    # Section 7: "streamed or not, same shape".
    chunks: list[Any] = streamed(messages.text_stream(), include_usage=True)

    assert {*chunks[0]} == {*completion(answered())}


@pytest.mark.parametrize("include_usage", [True, False])
def test_usage_comes_last_where_it_was_asked_for(include_usage: bool) -> None:
    chunks: list[Any] = streamed(messages.text_stream(), include_usage=include_usage)

    if include_usage:
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"] == json.loads(answered().usage.as_json())
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
    else:
        assert not [chunk for chunk in chunks if "usage" in chunk]


@pytest.mark.parametrize("size", [1, 7, None])
@pytest.mark.parametrize("text", ["Hello, wörld. 😀", "", 'a "b"\n\\'])
def test_a_stream_says_what_a_whole_answer_says(text: str, size: int | None) -> None:
    events = messages.thinking_stream("Hm.", text)
    chunks: list[Any] = streamed(events, size=size, echo='Say "x": ', index=3)

    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == f'Say "x": {text}'
    assert {chunk["choices"][0]["index"] for chunk in chunks} == {3}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]


@pytest.mark.parametrize("stop_reason", FINISHES)
def test_a_stream_ends_with_a_reason_that_the_legacy_form_knows(stop_reason: str) -> None:
    chunks: list[Any] = streamed(messages.text_stream(stop_reason=stop_reason))

    assert chunks[-1]["choices"][0]["finish_reason"] == FINISHES[stop_reason]


def test_a_stream_that_was_cut_off_does_not_look_finished() -> None:
    stream = CompletionStream(StreamFrame(5), echo="Say: ")
    output = stream.feed(b"".join(messages.text_stream()[:3])) + stream.end()

    assert stream.failure is not None
    assert b"[DONE]" not in output
    assert b'"finish_reason":"' not in output


@given(data=st.data(), events=messages.messages_streams())
def test_every_stream_ends_once_however_it_is_cut(data: st.DataObject, events: list[messages.Event]) -> None:
    stream = CompletionStream(StreamFrame(5))
    output = b"".join(map(stream.feed, data.draw(messages.cuts(messages.encode(events))))) + stream.end()

    assert output.count(b"[DONE]") == 1
    assert output.endswith(b"data: [DONE]\n\n")
    assert output.count(b'"finish_reason":"') == 1
