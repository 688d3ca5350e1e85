"""What no specification has and the fuzzer found: refused with its place, passed over, or told as it is."""

import json
from typing import Any

import msgspec
import pytest

from tests.fuzz.judging import json_of
from tests.support.conversations import chat, tool, translate
from tests.support.legality import violations
from tests.support.messages import Block, message, message_events, sse, text_block, thinking_block, thinking_stream
from translators.adjustments import Adjustments
from translators.answers.answer import AnswerFold, read_message
from translators.answers.answer_types import State
from translators.answers.recorder import Block as RecordedBlock
from translators.answers.recorder import is_whole
from translators.answers.shape import AnswerShape
from translators.chat.response import completion
from translators.chat.stream import ChatStream, StreamFrame
from translators.errors import FailedError, TranslationError
from translators.intent import Message
from translators.kept.recalling import KnownTurns
from translators.lessons import corrected
from translators.models import ModelInfo, model_table, refined
from translators.native.errors import error_answer, with_answer
from translators.native.stream import NativeStream
from translators.rate_limits import openai_rate_limits
from translators.schema import structured
from translators.upstream_errors import answered_failure
from translators.usage import Usage
from translators.wire.messages import UsageCounts

ROW = model_table().row("claude-sonnet-4-5")
HUGE = 10**30


def refusal(body: bytes) -> TranslationError:
    with pytest.raises(TranslationError) as caught:
        translate(body, "claude-sonnet-4-5")
    return caught.value


# Requests.


@pytest.mark.parametrize("value", ["18446744073709551616", "-18446744073709551616", "1e400", '"5"', "1.5", "{}"])
def test_top_k_has_to_be_a_whole_number_that_every_reader_holds(value: str) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"top_k":%b}' % value.encode()

    assert refusal(body).failure.param == "top_k"


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ("1e400", "tools[0].custom.format"),
        ('"text"', "tools[0].custom.format"),
        ('{"grammar":{"definition":1e400}}', "tools[0].custom.format.grammar.definition"),
        ('{"definition":[[[]]]}', "tools[0].custom.format.definition"),
        ('{"type":"grammar"}', "tools[0].custom.format.definition"),
        ('{"type":"grammar","grammar":{"syntax":"lark"}}', "tools[0].custom.format.grammar.definition"),
        ('{"type":"grammar","syntax":"ebnf","definition":"x"}', "tools[0].custom.format.syntax"),
    ],
)
def test_the_form_of_a_custom_tool_is_refused_with_its_place(form: str, param: str) -> None:
    custom = b'{"type":"custom","custom":{"name":"run","format":%b}}' % form.encode()
    body = b'{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[%b]}' % custom

    assert refusal(body).failure.param == param


@pytest.mark.parametrize("depth", [100, 300, 800])
def test_what_the_form_of_a_custom_tool_holds_besides_does_not_matter(depth: int) -> None:
    form = b'{"type":"grammar","grammar":{"definition":"x"},"more":%b}' % (b"[" * depth + b"1e400" + b"]" * depth)
    custom = b'{"type":"custom","custom":{"name":"run","format":%b}}' % form

    written = translate(b'{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[%b]}' % custom)

    assert "follow this given grammar:\nx" in json.loads(written.body)["tools"][0]["description"]


def test_a_server_tool_without_a_mark_may_say_so() -> None:
    search = {"type": "web_search_20260318", "name": "web_search", "cache_control": None}
    marked = {**tool("look"), "cache_control": {"type": "ephemeral"}}

    written = json.loads(translate(chat(tools=[marked, search])).body)

    assert "cache_control" in written["tools"][0]
    assert "cache_control" not in written["tools"][1]
    assert violations(written, model_table().row("claude-sonnet-5-5")) == []


@pytest.mark.parametrize("format", [{}, [], 1, None, True])
def test_a_format_in_a_schema_that_is_no_text_is_told_in_words(format: Any) -> None:
    found = json.loads(structured(json.dumps({"type": "string", "format": format}).encode()).json)

    assert "format" not in found


# Readers stop somewhere below Python's limit of 1,000 calls, each the earlier the more calls it stands in.
DEPTHS = range(880, 1000, 8)


def test_whatever_is_nested_is_taken_or_refused_as_too_deep() -> None:
    refused = 0
    for depth in DEPTHS:
        deep = b'{"allOf":[' * (depth // 2) + b'{"type":"string"}' + b"]}" * (depth // 2)
        schema = b'{"type":"json_schema","json_schema":{"schema":%b}}' % deep
        search = b'{"type":"web_search_20260318","name":"s","x":%b}' % (b"[" * depth + b"]" * depth)
        for field in (b'"response_format":%b' % schema, b'"tools":[%b]' % search):
            body = b'{"model":"m","messages":[{"role":"user","content":"a"}],%b}' % field
            try:
                translate(body)
            except TranslationError as error:
                refused += "nested too deeply" in error.failure.message

    assert 0 < refused < 2 * len(DEPTHS)


@pytest.mark.parametrize("effort", ["é", "a\r\nx-mine: 1", "x" * 5000])
def test_a_callers_own_word_in_the_header_of_adjustments_stays_within_it(effort: str) -> None:
    written = translate(chat(reasoning_effort="low", output_config={"effort": effort}))

    assert written.adjusted is not None
    assert written.adjusted.isascii()
    assert written.adjusted.isprintable()
    assert len(written.adjusted) < 300


def test_a_note_as_it_should_be_is_not_touched() -> None:
    notes = Adjustments()
    notes.add("top_p", "dropped", "temperature")

    assert notes.header == "top_p=dropped:temperature"


# Answers.

SHOWN = AnswerShape(shows_thinking_blocks=True, counts_text=True)


def streamed(body: bytes, shape: AnswerShape = SHOWN) -> list[Any]:
    """The chunks of a stream that ends well, each of them JSON."""
    stream = ChatStream(StreamFrame(1, include_usage=True), shape)
    output = stream.feed(body)
    assert stream.state is State.DONE
    return [json_of(line.removeprefix(b"data: ")) for line in output.split(b"\n\n")[:-2]]


@pytest.mark.parametrize("kind", ["input_json_delta", "text_delta", "signature_delta"])
def test_a_delta_of_another_type_than_its_block_is_not_recorded(kind: str) -> None:
    start, deltas = thinking_block("Hm.")
    foreign = {"type": kind, "partial_json": '{"a', "text": '"', "signature": "c2ln"}
    chunks = streamed(sse(*message_events(Block(start, [foreign, *deltas, foreign]))))

    (blocks,) = (delta["thinking_blocks"] for delta in deltas_of(chunks) if "thinking_blocks" in delta)
    assert blocks[0]["thinking"] == "Hm."
    assert "input" not in blocks[0]


def deltas_of(chunks: list[Any]) -> list[Any]:
    return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


CITATIONS = [
    f'{{"type":"char_location","n":{HUGE}}}',
    '{"type":"char_location","n":1e400}',
    f'{{"type":"char_location","n":{"[" * 300}{"]" * 300}}}',
]


@pytest.mark.parametrize("citation", CITATIONS)
def test_a_citation_goes_on_as_it_is_written(citation: str) -> None:
    start, deltas = text_block("Cited.")
    cited = Block(start, [*deltas, {"type": "citations_delta", "citation": "HERE"}])
    body = sse(*message_events(cited)).replace(b'"HERE"', citation.encode())
    whole = json.dumps(message([{"type": "text", "text": "Cited.", "citations": ["HERE"]}])).replace('"HERE"', citation)

    (told,) = (delta["citations"] for delta in deltas_of(streamed(body)) if "citations" in delta)
    answer = read_message(whole.encode(), SHOWN)
    shown = completion([(answer, SHOWN)], answer.usage, created=1)

    assert told == json_of(citation.encode().join((b"[", b"]")))
    assert json_of(shown)["choices"][0]["message"]["citations"] == told
    assert citation.encode() in shown


@pytest.mark.parametrize("value", ["{}", "[1]", str(HUGE), "null", "true"])
def test_an_address_or_a_title_is_a_text_or_none(value: str) -> None:
    for citation in (f'{{"url":{value}}}', f'{{"url":"https://a.example","title":{value}}}'):
        whole = json.dumps(message([{"type": "text", "text": "a", "citations": ["HERE"]}])).replace('"HERE"', citation)
        answer = read_message(whole.encode(), SHOWN)
        told = json_of(completion([(answer, SHOWN)], answer.usage, created=1))["choices"][0]["message"]

        for annotation in told["annotations"]:
            assert annotation["url_citation"]["url"] == "https://a.example"
            assert annotation["url_citation"]["title"] == ""
        assert len(told["annotations"]) + len(told.get("citations", [])) == 1


@pytest.mark.parametrize("count", [-5, HUGE, 10**4200])
def test_counts_of_tokens_stay_within_what_can_be(count: int) -> None:
    usage = Usage()
    usage.update(UsageCounts(count, count, count, count))
    usage.begin_another()
    usage.update(UsageCounts(count, count, count, count))

    told = json_of(usage.as_json())
    assert 0 <= told["total_tokens"] < 2**53
    assert float(usage.output_tokens) >= 0


def test_a_message_that_only_the_recorder_finds_too_deep_is_a_protocol_error() -> None:
    failed = 0
    for depth in DEPTHS:
        body = json.dumps(message([{"type": "of_tomorrow", "x": "HERE"}])).replace('"HERE"', "[" * depth + "]" * depth)
        try:
            read_message(body.encode(), SHOWN)
        except FailedError:
            failed += 1

    assert 0 < failed < len(DEPTHS)


def test_a_turn_that_pauses_in_a_broken_block_is_not_sent_back() -> None:
    request = translate(chat(web_search_options={}, stream=True))
    broken = Block(
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        [{"type": "input_json_delta", "partial_json": '{"query":'}],
    )
    fold = AnswerFold(request.shape)
    fold.feed(sse(*message_events(broken, stop_reason="pause_turn")))

    with pytest.raises(FailedError):
        request.continued(fold.pause())


@pytest.mark.parametrize("data", [b"{}", b"oops", b'{"error":1}', b'{"type":"error","error":{"type":"a","x":"\xff"}}'])
def test_a_native_streams_error_is_told_in_anthropics_form_whatever_it_was(data: bytes) -> None:
    stream = NativeStream()
    stream.feed(b"".join(thinking_stream()[:3]))
    stream.feed(b"event: error\ndata: %b\n\n" % data)

    assert stream.failure is not None
    assert isinstance(json_of(error_answer(stream.failure, "req").body)["error"]["type"], str)


def test_an_error_with_broken_text_in_it_is_not_passed_on() -> None:
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"no"},"more":"\xff"}'
    failure = with_answer(answered_failure(400, body), 400, body, None)

    assert json_of(error_answer(failure, "req").body)["error"]["message"] == "no"


# What was kept.


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text", b'{"type":"tool_use","id":"t","name":"f","input":{}}'),
        ("tool_use", b'{"type":"text","text":"a"}'),
        ("text", b'{"type":"text","text":"a","more":"\xff"}'),
        ("text", b'{"type":"text"'),
        ("text", b"[]"),
    ],
)
def test_a_kept_block_that_is_not_what_it_is_said_to_be_does_not_go_back(kind: str, text: bytes) -> None:
    shown = Message("assistant", msgspec.Raw(b'"a"'))
    value = msgspec.msgpack.encode((1, b"", b"", ("org", b"key"), [(kind, text)]))

    assert not is_whole(RecordedBlock(kind, text))
    assert KnownTurns(0).turn(value, b"", shown) is None


def test_a_kept_block_goes_back_without_a_mark_that_it_cannot_have_had() -> None:
    value = msgspec.msgpack.encode(
        (1, b"", b"", ("org", b"key"), [("text", b'{"type":"text","text":"a","cache_control":{"a":1}}')])
    )
    turn = KnownTurns(0).turn(value, b"", Message("assistant", msgspec.Raw(b'"a"')))

    assert turn is not None
    assert turn.content[0].keys() == {"type", "text"}


# What is learned, and how long to wait.


@pytest.mark.parametrize("limit", ["0", "000", "9" * 30, "9" * 5000])
def test_no_limit_is_learned_that_cannot_be_one(limit: str) -> None:
    assert corrected(ROW, f"max_tokens: 5 > {limit}, which is the maximum allowed") is None


@pytest.mark.parametrize("limit", [-1, 0, HUGE])
def test_the_models_api_sets_no_limit_that_cannot_be_one(limit: int) -> None:
    better = refined(ROW, ModelInfo(ROW.id, max_input_tokens=limit, max_tokens=limit))

    assert (better.context, better.max_output) == (ROW.context, ROW.max_output)


DATES = ["30 Nov 99999999999 07:00:00 GMT", "30 Nov 2026 07:00:00 +99999999999", "0 Nov 6 7:10000000009", "x", ""]


@pytest.mark.parametrize("date", DATES)
def test_a_date_that_cannot_be_is_none(date: str) -> None:
    headers = {"date": date, "anthropic-ratelimit-requests-reset": "2026-11-30T07:00:00Z", "retry-after": date}

    assert openai_rate_limits(headers) == {}
    assert answered_failure(429, b"", headers).retry_after_seconds is None


@pytest.mark.parametrize("wait", ["1e300", "9" * 300, "1e308"])
def test_nobody_is_told_to_wait_for_longer_than_a_year(wait: str) -> None:
    seconds = answered_failure(429, b"", {"retry-after": wait}).retry_after_seconds

    assert seconds == 366 * 86_400
