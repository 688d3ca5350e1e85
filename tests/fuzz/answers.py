"""What upstream answers: JSON in whole events and one honest end, or a `FailedError`; streamed as whole."""

import json
from random import Random
from typing import Any, Final

import msgspec

from tests.fuzz.judging import assembled, assert_error, assert_native_error, events_of, json_of
from tests.fuzz.mutations import mutated_bytes, mutated_json
from tests.fuzz.requests import check_body
from tests.fuzz.trees import Literal, Members, parsed, written
from tests.support.conversations import chat, said, tool
from tests.support.intents import read_intent
from translators.answers.answer import AnswerFold, read_message
from translators.answers.answer_types import State
from translators.answers.shape import PLAIN, AnswerShape, TextCall
from translators.chat.response import completion
from translators.chat.stream import ChatStream, StreamFrame
from translators.completions.response import text_completion
from translators.completions.stream import CompletionStream
from translators.errors import FailedError, Failure, TranslationError
from translators.kept.history import history_in_steps
from translators.kept.recalling import KnownTurns, keys_in_steps, recall_in_steps
from translators.kept.turns import Origin, Past, kept_turn
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table
from translators.native.answer import told_by
from translators.native.errors import error_answer, error_event
from translators.native.made import made_in
from translators.native.stream import NativeStream
from translators.sse import EventDecoder
from translators.steps import in_one_go

SHAPES: Final = (
    PLAIN,
    PLAIN,
    AnswerShape(counts_text=True, shows_thinking_blocks=True),
    AnswerShape(shows_thinking_blocks=True, keeps_blocks=True),
    AnswerShape(custom_tools=frozenset({"run"}), wrapped_tools=frozenset({"flat"}), tool_names={"look": "a.look"}),
    AnswerShape(is_legacy=True),
    AnswerShape(strips_fences=True, counts_text=True),
    AnswerShape(only_json=True, shows_reasoning_twice=True),
    AnswerShape(stops=("\n", " \n"), keeps_blocks=True),
    AnswerShape(text_call=TextCall()),
    AnswerShape(text_call=TextCall("look"), wrapped_tools=frozenset({"look"})),
    AnswerShape(text_call=TextCall("look"), is_legacy=True),
)
_FRAMES: Final = (StreamFrame(1, include_usage=True), StreamFrame(1), StreamFrame(1, True, reports=True))


def cut(data: bytes, random: Random) -> list[bytes]:
    """The bytes as a network may deliver them."""
    if random.random() < 0.4:
        return [data]
    places = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((1, 3, 12))))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True) if start < end]


def _streamed(stream: ChatStream | CompletionStream, pieces: list[bytes]) -> bytes:
    """Everything a client gets of a stream; behind the end of it nothing comes."""
    output = b"".join([stream.feed(piece) for piece in pieces])
    output += stream.end() if not stream.is_over else b""
    assert stream.is_over
    assert not stream.feed(b"event: ping\n")
    return output


def folded(fold: AnswerFold, pieces: list[bytes]) -> Failure | None:
    try:
        for piece in pieces:
            fold.feed(piece)
            if fold.is_over:
                return None
        fold.end()
    except FailedError as error:
        return error.failure
    return None


def chat_stream(data: bytes, random: Random) -> None:
    """A stream becomes chunks with one honest end, and says what its fold says."""
    shape = random.choice(SHAPES)
    stream = ChatStream(random.choice(_FRAMES), shape)
    output = _streamed(stream, cut(data, random))
    _assert_honest(stream, output)
    fold = AnswerFold(shape)
    failure = folded(fold, cut(data, random))
    assert (failure and failure.kind) == (stream.failure and stream.failure.kind)
    if failure is None:
        _assert_same(assembled(output), fold, shape)


def _assert_honest(stream: ChatStream | CompletionStream, output: bytes) -> None:
    events = events_of(output)
    if stream.failure is None:
        assert stream.state is State.DONE
        assert events.count("[DONE]") == 1
        assert events[-1] == "[DONE]"
    else:
        assert "[DONE]" not in events
        assert_error(stream.failure.as_json())
        events_of(stream.failure.as_event())
        assert_native_error(error_answer(stream.failure, "req").body)


def _assert_same(streamed: dict[str, Any], fold: AnswerFold, shape: AnswerShape) -> None:
    """What a stream adds up to is the completion of the same message."""
    whole = json_of(completion([(fold, shape)], fold.usage, created=1))
    if whole is None:
        return
    choice = whole["choices"][0]
    assert streamed["finish_reason"] == choice["finish_reason"]
    if streamed["usage"] is not None:
        assert streamed["usage"] == whole["usage"]
    message = {name: value for name, value in choice["message"].items() if value not in (None, [])}
    shown = {name: value for name, value in streamed["message"].items() if value not in (None, [])}
    assert shown == message


def completion_stream(data: bytes, random: Random) -> None:
    """So does the legacy form."""
    stream = CompletionStream(random.choice(_FRAMES), echo=random.choice(("", "é")))
    _assert_honest(stream, _streamed(stream, cut(data, random)))
    fold = AnswerFold()
    if folded(fold, [data]) is None:
        json_of(text_completion([fold], ["é"], fold.usage, created=1))


def whole(data: bytes, random: Random) -> None:
    """A whole answer becomes a completion, the same as if it had been streamed."""
    shape = random.choice(SHAPES)
    made_in(data)
    try:
        json_of(told_by(data).usage.as_json())
    except FailedError as error:
        assert_error(error.failure.as_json())
    try:
        answer = read_message(data, shape)
    except FailedError as error:
        assert_error(error.failure.as_json())
        return
    body = json_of(completion([(answer, shape)], answer.usage, created=1, reports=True))
    json_of(text_completion([answer], [""], answer.usage, created=1))
    try:
        twin = _as_stream(data) if body is not None else None
    except RecursionError:
        return
    if twin is None:
        return
    fold, answer = AnswerFold(shape), read_message(written(parsed(data)), shape)
    body = json_of(completion([(answer, shape)], answer.usage, created=1, reports=True))
    assert folded(fold, [twin]) is None
    assert json_of(completion([(fold, shape)], fold.usage, created=1, reports=True)) == body


def _as_stream(data: bytes) -> bytes | None:
    """The same message as upstream streams it; None for what it would not send in this form."""
    tree = parsed(data)
    fields = dict(tree)
    if len(fields) < len(tree):
        return None
    events = [Members([("type", "message_start"), ("message", Members(tree))])]
    for number, block in enumerate(fields["content"]):
        pieces = _pieces(dict(block))
        if pieces is None or len(dict(block)) < len(block):
            return None
        index = ("index", Literal(str(number)))
        events.append(Members([("type", "content_block_start"), index, ("content_block", pieces[0])]))
        events += (Members([("type", "content_block_delta"), index, ("delta", delta)]) for delta in pieces[1])
        events.append(Members([("type", "content_block_stop"), index]))
    stops = Members((name, fields[name]) for name in ("stop_reason", "stop_sequence", "stop_details") if name in fields)
    usage = [("usage", fields["usage"])] if "usage" in fields else []
    events += [Members([("type", "message_delta"), ("delta", stops), *usage]), Members([("type", "message_stop")])]
    return b"".join(b"event: %b\ndata: %b\n\n" % (event[0][1].encode(), written(event)) for event in events)


_DELTAS: Final = {"text": "text_delta", "thinking": "thinking_delta"}


def _pieces(block: dict[str, Any]) -> tuple[Members, list[Members]] | None:
    """How a block begins, and its deltas."""
    kind = block["type"]
    start = {name: value for name, value in block.items() if name not in ("citations", kind)}
    deltas = []
    if kind in _DELTAS:
        if not isinstance(block.get(kind), str):
            return None
        start[kind] = ""
        deltas.append(Members([("type", _DELTAS[kind]), (kind, block[kind])]))
        cited = block.get("citations") or () if kind == "text" else ()
        deltas += (Members([("type", "citations_delta"), ("citation", citation)]) for citation in cited)
    elif kind == "tool_use":
        start["input"] = Members()
        text = written(block.get("input", Members())).decode()
        deltas.append(Members([("type", "input_json_delta"), ("partial_json", text)]))
    return Members(start.items()), deltas


def native_stream(data: bytes, random: Random) -> None:
    """What a native stream gives out is what came, from its beginning, and ends well or with a failure."""
    stream = NativeStream()
    output = b""
    for piece in cut(data, random):
        output += stream.feed(piece)
        if stream.is_over:
            break
    if not stream.is_over:
        output += stream.end()
    assert data.startswith(output)
    assert stream.is_over
    json_of(stream.usage.as_json())
    if stream.failure is not None:
        _assert_told(stream.failure)


def _assert_told(failure: Failure) -> None:
    """A failure in either API's words, whole and as an event."""
    assert_error(failure.as_json())
    events_of(failure.as_event())
    assert_native_error(error_answer(failure, "req").body)
    event = error_event(failure, "req")
    assert event.startswith(b"event: error\ndata: ")
    assert event.endswith(b"\n\n")
    assert b"\n\n" not in event[:-2]


def events(data: bytes, random: Random) -> None:
    """Events are the same however the network cuts them."""
    decoder = EventDecoder()
    found = [event for piece in cut(data, random) for event in decoder.feed(piece)]
    at_once = EventDecoder()

    assert at_once.feed(data) == found
    assert at_once.end() == decoder.end()


_ASKED: Final = chat(
    said("system", "You look things up."),
    said("user", "What is there?"),
    tools=[tool("look", parameters={"type": "object", "properties": {}}), tool("f")],
)
_MODEL: Final = "claude-sonnet-5-5"


def paused(data: bytes, random: Random) -> None:
    """A turn that pauses goes on with a legal body, and its parts are one answer."""
    asked = {**_ASKED, "web_search_options": {}, "stream": True}
    request = write_request(read_intent(json.dumps(asked).encode()), _target(), Options())
    stream = ChatStream(_FRAMES[0], request.shape)
    output = b""
    for _ in range(3):
        for piece in cut(data, random):
            output += stream.feed(piece)
        if stream.state is not State.PAUSED:
            break
        try:
            request = request.continued(stream.pause())
        except FailedError as error:
            assert_error(error.failure.as_json())
            return
        json_of(request.body)
    if stream.state is State.PAUSED:
        output += stream.give_up()
    output += stream.end() if not stream.is_over else b""
    _assert_honest(stream, output)


def _target() -> Target:
    return Target(_MODEL, model_table().row(_MODEL))


def kept(data: bytes, random: Random) -> None:
    """An answer that is kept goes back as JSON, also where somebody has tampered with what was kept."""
    chat_request = read_intent(json.dumps(_ASKED).encode())
    history = in_one_go(history_in_steps(chat_request, b"me"))
    origin = Origin(history.end, _MODEL, history.ground, is_gap=True)
    request = write_request(chat_request, _target(), Options(), Past(origin=origin))
    fold = AnswerFold(request.shape)
    if folded(fold, cut(data, random)) is not None:
        return
    shown = json_of(completion([(fold, request.shape)], fold.usage, created=1))
    turn = kept_turn(origin, fold.blocks, names=fold.call_names, stop_reason=fold.stop_reason, signer=("org", b"key"))
    if turn is None or shown is None:
        return
    key, value = turn
    _send_back(shown["choices"][0]["message"], key, value)
    for _ in range(3):
        _send_back(shown["choices"][0]["message"], key, _tampered(value, random))


def _send_back(message: dict[str, Any], key: bytes, value: bytes) -> None:
    calls = message.get("tool_calls", [])
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "r"} for call in calls]
    again = {**_ASKED, "messages": [*_ASKED["messages"], message, *results, said("user", "And?")]}
    row = model_table().row(_MODEL)
    try:
        request = read_intent(json.dumps(again).encode())
        history = in_one_go(history_in_steps(request, b"me"))
        keys = in_one_go(keys_in_steps(history, request.messages, _MODEL))
        steps = recall_in_steps(history, request.messages, keys, {key: value}, is_bound=False, known=KnownTurns(0))
        made, left_out = in_one_go(steps)
        past = Past(made.contents if made else {}, left_out=left_out)
        written_again = write_request(request, Target(_MODEL, row), Options(), past)
    except TranslationError as error:
        assert_error(error.failure.as_json())
        return
    if made is None:
        check_body(written_again, row)
    else:
        json_of(written_again.body)


def _tampered(value: bytes, random: Random) -> bytes:
    """What was kept, with something else in it: other bytes, or another turn."""
    if random.random() < 0.3:
        return mutated_bytes(value, random)
    form, ground, parent, signer, blocks = msgspec.msgpack.decode(value)
    for block in blocks:
        if random.random() < 0.5:
            block[random.randrange(2)] = random.choice(
                (mutated_json(block[1], random), "text", "tool_use", "thinking", None)
            )
    if random.random() < 0.2:
        parent = random.choice((b"x", bytes(32), None, "é"))
    if random.random() < 0.2:
        random.shuffle(blocks)
    return msgspec.msgpack.encode((form, ground, parent, signer, blocks))
