"""What must always hold of the request side (docs: "What must always hold")."""

import json
from collections.abc import Generator
from typing import Any, TypeVar, cast

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from msgspec import Raw

from tests.support.conversations import (
    Message,
    Request,
    assistant_messages,
    called,
    chat,
    conversations,
    damaged,
    encoded,
    hosts,
    json_values,
    requests,
    returned,
    rows,
    said,
    segments,
    tool,
    translate,
)
from tests.support.intents import read_intent, read_intent_in_steps
from tests.support.legality import violations
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.intent import Intent
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_in_steps, write_request
from translators.models import ModelRow, model_table

T = TypeVar("T")
INTENT_DECODER = msgspec.json.Decoder(Intent)
ROWS = model_table().rows
options = st.builds(
    Options,
    max_output_tokens=st.sampled_from([None, 1, 4096, 10**6]),
    always_show_reasoning=st.booleans(),
    reject_unsupported=st.just(False),
)


def attempt(body: bytes, row: ModelRow) -> MessagesRequest | TranslationError:
    """What comes of a body; any other exception fails the test."""
    try:
        return write_request(read_intent(body), Target(row.id, row), Options())
    except TranslationError as error:
        return error


def finished(steps: Generator[None, None, T]) -> T:
    """What the steps give in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)


def is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


# Anything at all.


@given(body=st.binary(max_size=60), row=rows)
def test_arbitrary_bytes_are_refused_and_nothing_else(body: bytes, row: ModelRow) -> None:
    assert isinstance(attempt(body, row), TranslationError)


@given(value=json_values, row=rows)
def test_arbitrary_json_is_refused_and_nothing_else(value: Any, row: ModelRow) -> None:
    assert isinstance(attempt(json.dumps(value).encode(), row), TranslationError)


@given(request=requests(), row=rows, data=st.data())
def test_a_request_with_bytes_knocked_out_of_it_gives_a_request_or_a_translation_error(
    request: Request, row: ModelRow, data: st.DataObject
) -> None:
    whole = data.draw(encoded(request))
    start = data.draw(st.integers(0, len(whole) - 1))
    end = min(len(whole), start + data.draw(st.integers(0, 8)))
    damage = data.draw(st.one_of(st.binary(max_size=6), st.sampled_from([rb"\ud83d", b"\xff", b"\x00", b"\\", b'"'])))

    outcome = attempt(whole[:start] + damage + whole[end:], row)

    if isinstance(outcome, MessagesRequest):
        assert violations(json.loads(outcome.body), row, outcome.version) == []


@given(request=damaged(), row=rows)
def test_a_request_with_one_wrong_value_is_legal_or_its_param_is_named(request: Request, row: ModelRow) -> None:
    outcome = attempt(json.dumps(request).encode(), row)

    if isinstance(outcome, TranslationError):
        assert outcome.failure.param
        assert outcome.failure.message
    else:
        assert violations(json.loads(outcome.body), row, outcome.version) == []


@pytest.mark.parametrize(
    "place",
    [
        '{"model":"m","messages":[{"role":"user","content":%s}]}',
        '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":%s}]}]}',
        '{"model":%s,"messages":[{"role":"user","content":"a"}]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"stop":[%s]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"seed":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"vendor":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],'
        '"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","title":%s}}}]}',
    ],
    ids=["content", "part", "model", "stop", "seed", "unknown-field", "schema"],
)
@pytest.mark.parametrize(
    "text", [r'"\ud83d"', r'"a\ud83d"', r'"\udc00\ud83d"', r'"\ud83dA"', r'"\ud83d\n"', r'"\ud83d\ud83d\ude00"']
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(place: str, text: str) -> None:
    with pytest.raises(TranslationError) as caught:
        translate((place % text).encode())

    assert caught.value.failure.rule.status == 400


def test_half_a_surrogate_pair_is_refused_with_its_path() -> None:
    body = rb'{"model":"m","messages":[{"role":"user","content":"ok"},{"role":"user","content":"\ud83d"}]}'

    with pytest.raises(TranslationError) as caught:
        translate(body)

    assert caught.value.failure.param == "messages[1].content"


@pytest.mark.parametrize("depth", [500, 100_000])
@pytest.mark.parametrize(
    "place",
    [
        '{"model":"m","messages":[{"role":"user","content":%s}]}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"metadata":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"vendor":%s}',
        '{"model":"m","messages":[{"role":"user","content":"a"}],"tool_choice":%s}',
        '{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":%s}]}]}',
    ],
)
def test_deep_nesting_never_crashes(place: str, depth: int) -> None:
    body = (place % ("[" * depth + "]" * depth)).encode()

    for row in (ROWS[0], ROWS[-1]):
        attempt(body, row)


def test_deeply_nested_arguments_never_crash() -> None:
    arguments = '{"a":' * 100_000 + "1" + "}" * 100_000
    written = translate(chat(said("user", "Go"), called(("c1", "f", arguments)), returned("c1")))

    assert violations(json.loads(written.body), model_table().row("claude-sonnet-5-5")) == []


def test_a_body_that_is_no_object_is_refused_without_a_param() -> None:
    for body in (b"", b"[]", b"null", b'"text"', b"{", b"\xff", b"\xef\xbb\xbf{}"):
        with pytest.raises(TranslationError) as caught:
            translate(body)

        assert caught.value.failure.param is None


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b'{"messages":[]}', "model", "missing_required_parameter"),
        (b'{"model":"m"}', "messages", "missing_required_parameter"),
        (b'{"model":5,"messages":[]}', "model", "invalid_type"),
        (b'{"model":null,"messages":[]}', "model", "invalid_type"),
        (b'{"model":"m","messages":{}}', "messages", "invalid_type"),
        (b'{"model":"m","messages":["hi"]}', "messages[0]", "invalid_type"),
        (b'{"model":"m","messages":[{"content":"a"}]}', "messages[0].role", "missing_required_parameter"),
        (b'{"model":"m","messages":[{"role":"user","content":5}]}', "messages[0].content", "invalid_type"),
        (b'{"model":"m","messages":[{"role":"user","content":["a"]}]}', "messages[0].content[0]", "invalid_type"),
        (
            b'{"model":"m","messages":[{"role":"user","content":[{"text":"a"}]}]}',
            "messages[0].content[0].type",
            "missing_required_parameter",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}',
            "messages[0].content[0].image_url.url",
            "missing_required_parameter",
        ),
        (
            b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","function":{"arguments":"{}"}}]}]}',
            "messages[0].tool_calls[0].function.name",
            "missing_required_parameter",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":"a"},{"role":"tool","content":"a"}]}',
            "messages[1].tool_call_id",
            "missing_required_parameter",
        ),
        (b'{"model":"m","messages":[],"stop":["a",5]}', "stop[1]", "invalid_type"),
        (b'{"model":"m","messages":[],"stream":"yes"}', "stream", "invalid_type"),
        (b'{"model":"m","messages":[],"max_tokens":1.5}', "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[],"max_tokens":2.0}', "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[],"max_tokens":true}', "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[],"max_tokens":1e400}', "max_tokens", "invalid_type"),
        (b'{"model":"m","messages":[],"max_completion_tokens":"5"}', "max_completion_tokens", "invalid_type"),
        (b'{"model":"m","messages":[],"stream_options":{"include_usage":1}}', "stream_options.include_usage", ...),
        (
            b'{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{}}]}',
            "tools[0].function.name",
            "missing_required_parameter",
        ),
        (
            b'{"model":"m","messages":[{"role":"user","content":"a"}],"tools":[{"function":{"name":"f"}}],'
            b'"tool_choice":{"type":"function","function":{"name":5}}}',
            "tool_choice.function.name",
            "invalid_type",
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_in_openais_words(body: bytes, param: str, code: Any) -> None:
    with pytest.raises(TranslationError) as caught:
        translate(body)

    failure = caught.value.failure
    assert failure.param == param
    assert code in (failure.code, ...)
    assert param in failure.message


@pytest.mark.parametrize("limit", [-1, -(10**12), -(10**30), -(10**300)])
def test_a_negative_limit_is_refused_in_few_words(limit: int) -> None:
    with pytest.raises(TranslationError) as caught:
        translate(chat(max_tokens=limit))

    assert (caught.value.failure.param, caught.value.failure.code) == ("max_tokens", "integer_below_min_value")
    assert len(caught.value.failure.message) < 120


# What is written.


@given(request=requests(), row=rows, host=hosts, options=options, data=st.data())
@example(
    request=chat(said("user", "a"), said("assistant", "b"), said("user", " ")),
    row=ROWS[0],
    host=HostProfile(),
    options=Options(),
    data=None,
)
@example(
    request=chat(said("user", "a"), said("assistant", "b"), said("assistant", "")),
    row=ROWS[-1],
    host=HostProfile(),
    options=Options(),
    data=None,
)
@example(
    request=chat(said("user", "a"), said("system", "s"), said("assistant", ""), said("user", "b")),
    row=ROWS[0],
    host=HostProfile(),
    options=Options(),
    data=None,
)
def test_whatever_a_caller_may_send_becomes_a_legal_request_for_every_model(
    request: Request, row: ModelRow, host: HostProfile, options: Options, data: st.DataObject | None
) -> None:
    body = data.draw(encoded(request)) if data else json.dumps(request).encode()

    written = write_request(read_intent(body), Target(row.id, row, host), options)

    assert violations(json.loads(written.body), row, written.version) == []
    assert written.version in (host.version, host.sampling_version)
    assert written.streams == json.loads(written.body).get("stream", False)
    assert written.adjusted is None or (written.adjusted.isascii() and len(written.adjusted) <= 2048)


@given(request=requests(), row=rows)
def test_in_strict_mode_a_request_is_refused_with_a_param_exactly_where_it_would_be_adjusted(
    request: Request, row: ModelRow
) -> None:
    chat_request = read_intent(json.dumps(request).encode())
    adjusted = write_request(chat_request, Target(row.id, row), Options()).adjusted or ""
    # Unknown fields are ignored and counted, in either mode.
    changed: set[str | None] = {
        note.split("=")[0] for note in adjusted.split("; ") if note and not note.startswith("unknown:")
    }

    try:
        write_request(chat_request, Target(row.id, row), Options(reject_unsupported=True))
        refused_for = None
    except TranslationError as error:
        refused_for = error.failure.param

    assert refused_for in changed if changed else refused_for is None


@given(request=st.one_of(requests(), damaged()), row=rows)
def test_what_is_translated_in_steps_is_the_same(request: Request, row: ModelRow) -> None:
    body = json.dumps(request, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert _told(_in_steps(body, row)) == _told(attempt(body, row))


def _in_steps(body: bytes, row: ModelRow) -> MessagesRequest | TranslationError:
    try:
        return finished(write_in_steps(finished(read_intent_in_steps(body)), Target(row.id, row), Options()))
    except TranslationError as error:
        return error


def _told(result: MessagesRequest | TranslationError) -> object:
    return result.failure if isinstance(result, TranslationError) else result


def test_a_long_history_is_written_in_many_steps() -> None:
    count = 500
    calls = [turn for n in range(count) for turn in (called((str(n), "look", "{}")), returned(str(n), "a"))]
    request = read_intent(json.dumps(chat(said("user", "Go"), *calls)).encode())

    steps = list(write_in_steps(request, Target(ROWS[0].id, ROWS[0]), Options()))

    assert len(steps) > count


@given(request=requests(), row=rows)
def test_every_text_of_the_caller_arrives_or_was_blank(request: Request, row: ModelRow) -> None:
    written = json.loads(write_request(read_intent(json.dumps(request).encode()), Target(row.id, row), Options()).body)
    sent = json.dumps([written.get("system"), written["messages"]])

    for text in _texts(request["messages"]):
        if text.strip():
            # The last answer may be continued, and then it is cut at its end.
            assert json.dumps(text.rstrip())[1:-1] in sent


def _texts(messages: list[Message]) -> list[str]:
    contents = [message["content"] for message in messages if message.get("content")]
    contents += [message["refusal"] for message in messages if message.get("refusal")]
    texts = [content for content in contents if isinstance(content, str)]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    return texts + [part.get("text") or part.get("refusal") or "" for part in parts]


@given(request=requests(), row=rows)
def test_tool_names_lead_back_to_the_names_that_the_caller_gave(request: Request, row: ModelRow) -> None:
    written = write_request(read_intent(json.dumps(request).encode()), Target(row.id, row), Options())
    sent = [definition["name"] for definition in json.loads(written.body).get("tools", ())]

    assert [written.shape.tool_names.get(name, name) for name in sent] == [
        definition["function"]["name"] for definition in request.get("tools") or ()
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": None},
        {"type": ["object", "null"], "properties": {}},
        {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "object", "properties": {"b": {}}}]},
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
        {"type": "object", "allOf": [{"properties": {"a": {}}}]},
    ],
)
def test_a_schema_whose_root_is_no_plain_object_becomes_legal_or_is_refused(schema: dict[str, Any]) -> None:
    body = json.dumps(chat(tools=[tool("f", parameters=schema)], max_tokens=2000)).encode()

    outcome = attempt(body, ROWS[0])

    if isinstance(outcome, TranslationError):
        assert outcome.failure.param
        assert outcome.failure.param.startswith("tools[0].function.parameters")
    else:
        assert violations(json.loads(outcome.body), ROWS[0]) == []


def test_a_choice_among_some_of_the_tools_leaves_the_list_as_it_is() -> None:
    allowed = {"mode": "auto", "tools": [{"type": "function", "function": {"name": "b"}}]}
    request = chat(tools=[tool("a"), tool("b")], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})

    written = json.loads(translate(request).body)

    assert [definition["name"] for definition in written["tools"]] == ["a", "b"]
    assert written["tool_choice"] == {"type": "auto"}
    assert "b" in written["messages"][-1]["content"][-1]["text"]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "done"},
    ],
)
def test_a_legacy_call_in_the_history_is_not_lost_in_silence(message: Message) -> None:
    body = json.dumps(chat(said("user", "Go"), message, said("user", "And?"), max_tokens=2000)).encode()

    outcome = attempt(body, ROWS[0])

    assert isinstance(outcome, TranslationError) or b"tool_use" in outcome.body


def test_unknown_fields_are_counted() -> None:
    written = translate(chat(vendor_a=1, vendor_b={"x": 2}, max_tokens=2000))

    assert written.adjusted == "unknown:2"


@given(request=requests())
def test_a_request_is_read_the_same_whether_or_not_there_is_an_unknown_field(request: Request) -> None:
    request.pop("vendor_extension", None)
    known = read_intent(json.dumps(request).encode())
    unknown = read_intent(json.dumps({**request, "vendor_extension": 1}).encode())

    assert unknown.unknown_fields == 1
    unknown.unknown_fields = 0
    # A form that has a place for what clients echo reads that as well; nothing of it is meant for anybody.
    assert INTENT_DECODER.decode(msgspec.json.encode(unknown)) == INTENT_DECODER.decode(msgspec.json.encode(known))


def test_how_many_fields_are_unknown_is_not_for_the_caller_to_say() -> None:
    assert translate(chat(**{"(unknown fields)": 3, "max_tokens": 2000})).adjusted == "unknown:1"


@pytest.mark.parametrize(
    "messages",
    [
        [said("user", "a"), said("assistant", "b"), said("user", "")],
        [said("user", "a"), said("assistant", "b "), said("user", [{"type": "text", "text": " "}])],
        [said("user", "a"), said("assistant", "b "), said("system", "")],
        [said("user", "a"), said("assistant", "b "), said("assistant", None)],
        [said("user", "a"), said("assistant", "b "), said("user", None), said("assistant", " ")],
        [said("user", "a"), said("assistant", "b "), said("assistant", None, refusal=" ")],
        [said("user", "a"), said("assistant", "b", refusal="No. ")],
        [said("user", "a"), said("system", "s"), said("assistant", None), said("user", "b")],
        [said("user", "a"), said("system", "s"), said("assistant", ""), said("system", "t")],
        [said("assistant", "a "), said("user", "")],
        [said("assistant", ""), said("assistant", "")],
    ],
    ids=range(11),
)
def test_messages_of_which_nothing_remains_leave_a_legal_conversation(messages: list[Message]) -> None:
    body = json.dumps(chat(*messages, max_tokens=2000)).encode()

    outcomes = {row: attempt(body, row) for row in ROWS}

    assert {row.id: broken for row, outcome in outcomes.items() if (broken := broken_rules(outcome, row))} == {}


def broken_rules(outcome: MessagesRequest | TranslationError, row: ModelRow) -> list[str]:
    if isinstance(outcome, TranslationError):
        return [f"refused: {outcome}"]
    return violations(json.loads(outcome.body), row, outcome.version)


@pytest.mark.parametrize("following", [[], [said("assistant", "")], [said("assistant", None), said("user", "And?")]])
def test_manual_thinking_stays_off_behind_unsigned_calls_also_where_a_blank_answer_follows(
    following: list[Message],
) -> None:
    history = [said("user", "Go"), called(("c1", "f", "{}")), returned("c1"), *following]

    written = translate(chat(*history, reasoning_effort="high", max_tokens=5000), "claude-haiku-4-5")

    assert violations(json.loads(written.body), model_table().row("claude-haiku-4-5")) == []


# Byte for byte.


class _WrittenMessage(msgspec.Struct):
    role: str
    content: Raw


class _Written(msgspec.Struct):
    messages: list[_WrittenMessage]
    system: list[Raw] = []
    tools: list[Raw] = []


def pieces(body: bytes) -> list[tuple[str, bytes]]:
    """The list of (role, block bytes) over tools, system and messages, which caches are made of."""
    written = msgspec.json.decode(body, type=_Written)
    found = [("tools", bytes(item)) for item in written.tools] + [("system", bytes(item)) for item in written.system]
    for message in written.messages:
        raw = bytes(message.content)
        # A string equals one text block.
        is_text = raw.startswith(b'"')
        blocks = [b'{"type":"text","text":' + raw + b"}"] if is_text else msgspec.json.decode(raw, type=list[Raw])
        found += [(message.role, bytes(block)) for block in blocks]
    return found


@given(request=requests(), row=rows, data=st.data())
def test_the_same_request_gives_the_same_bytes(request: Request, row: ModelRow, data: st.DataObject) -> None:
    body = data.draw(encoded(request))
    target = Target(row.id, row)
    chat_request = read_intent(body)

    first = write_request(chat_request, target, Options())

    assert write_request(chat_request, target, Options()) == first
    assert write_request(read_intent(body), target, Options()) == first


@pytest.mark.parametrize("between", [{}, {"web_search_options": {}}, {"tools": [tool("look"), tool("smell")]}])
def test_what_is_remembered_of_tools_is_not_what_became_of_them_in_one_request(between: dict[str, Any]) -> None:
    marked = [
        {**tool(name, strict=True, parameters={"type": "object", "not": {}}), "cache_control": {"type": "ephemeral"}}
        for name in "abc"
    ]
    request = chat(tools=marked, max_tokens=2000)
    first = translate(request)

    translate({**request, **between})

    assert translate(request) == first
    assert first.adjusted == "tools.strict=dropped:schema; cache_control=dropped:limit"


def test_remembered_tools_are_refused_as_new_ones_are_where_nothing_may_be_adjusted() -> None:
    request = chat(tools=[tool("a", strict=True, parameters={"type": "object", "not": {}})], max_tokens=2000)
    translate(request)

    for _ in range(2):
        with pytest.raises(TranslationError) as caught:
            translate(request, options=Options(reject_unsupported=True))

        assert caught.value.failure.param == "tools.strict"


@given(request=st.one_of(requests(), damaged()), row=rows)
def test_messages_that_are_texts_and_nothing_else_are_written_like_those_that_could_hold_more(
    request: Request, row: ModelRow
) -> None:
    plain = attempt(json.dumps(request).encode(), row)
    looked_into = attempt(json.dumps({**request, "messages": not_plain(request["messages"])}).encode(), row)

    assert comparable(looked_into) == comparable(plain)


@given(request=st.one_of(requests(), damaged()), row=rows)
def test_parts_that_are_texts_and_nothing_else_are_written_like_those_that_could_hold_more(
    request: Request, row: ModelRow
) -> None:
    assume(isinstance(request["messages"], list) and all(isinstance(item, dict) for item in request["messages"]))
    messages = [
        {**message, "content": not_plain(message.get("content"), "cache_control", None)}
        for message in request["messages"]
    ]

    plain = attempt(json.dumps(request).encode(), row)
    looked_into = attempt(json.dumps({**request, "messages": messages}).encode(), row)

    assert comparable(looked_into) == comparable(plain)


def not_plain(items: Any, field: str = "name", value: object = "") -> Any:
    """The same items with a field that says nothing; but an item that has it is not known to be nothing but a text."""
    if not isinstance(items, list):
        return items
    # At the end, so that what is wrong before it is still what is told.
    return [{**item, field: item.get(field, value)} if isinstance(item, dict) else item for item in items]


def comparable(outcome: MessagesRequest | TranslationError) -> object:
    return outcome.failure if isinstance(outcome, TranslationError) else outcome


def is_heard(message: Message) -> bool:
    """Whether something of a message certainly remains."""
    content = message.get("content")
    return message["role"] == "tool" or (isinstance(content, str) and bool(content.strip()))


@given(growing=segments(), settings_of=requests(st.just([said("user", "Hello")])), row=rows, data=st.data())
def test_a_conversation_that_grows_repeats_the_bytes_of_the_shorter_one(
    growing: list[list[Message]], settings_of: Request, row: ModelRow, data: st.DataObject
) -> None:
    # A choice that can only be asked for adds words at the tail, and so does a last message of the assistant.
    settings_of.pop("tool_choice", None)
    # Something is said after the last answer, and then an answer and more follow.
    length = data.draw(st.integers(1, len(growing)))
    shorter = [message for segment in growing[:length] for message in segment]
    if length > 1 and not any(map(is_heard, growing[length - 1][1:])):
        shorter = [*shorter, said("user", "And?")]
    longer = [*shorter, data.draw(assistant_messages()), *data.draw(conversations)]
    bodies = [
        write_request(
            read_intent(json.dumps({**settings_of, "messages": messages}).encode()), Target(row.id, row), Options()
        )
        for messages in (shorter or [said("system", "")], longer)
    ]

    before, after = (pieces(written.body) for written in bodies)

    assert after[: len(before)] == before


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cast(ModelRow, row).id)
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_words_for_one_turn_stand_behind_everything_that_later_turns_repeat(row: ModelRow, choice: Any) -> None:
    history = [said("user", "Look."), said("system", "Be quick.")]
    calling = [called(("c1", "look", "{}")), returned("c1", "A cat.")]
    tools = [tool(parameters={"type": "object"})]
    fields = {"tools": tools, "tool_choice": choice, "max_tokens": 2000}

    shorter = translate(chat(*history, **fields), row.id)
    longer = translate(chat(*history, *calling, tools=tools, max_tokens=2000), row.id)

    before, after = pieces(shorter.body), pieces(longer.body)
    if not row.forced_tools:
        words = before.pop()
        assert b"look" in words[1] or b"tool" in words[1]
    assert after[: len(before)] == before
    assert violations(json.loads(shorter.body), row) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: cast(ModelRow, row).id)
def test_a_request_to_continue_stands_behind_everything_that_later_turns_repeat(row: ModelRow) -> None:
    history = [said("user", "Count."), said("assistant", "One, two,")]

    shorter = translate(chat(*history, max_tokens=2000), row.id)
    longer = translate(chat(*history, said("assistant", "three."), said("user", "Thanks.")), row.id)

    before, after = pieces(shorter.body), pieces(longer.body)
    added = 0 if row.prefill else 1
    assert len(before) == 2 + added
    assert after[:2] == before[:2]
    assert (shorter.adjusted is not None) == bool(added)
