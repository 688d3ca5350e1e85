"""The judge of the Responses API finds recordings in order, and each way of breaking a stream that is in order."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.recordings import NOT_FOUND, Recording
from tests.support.responses_fields import EVENTS, ITEMS, WITH_LOGPROBS
from tests.support.responses_framing import read_stream
from tests.support.responses_grammar import event_violations, response_violations, stream_violations
from tests.support.responses_oracle import sdk_response, sdk_violations
from tests.support.responses_recordings import recorded_requests, recorded_responses
from tests.support.responses_script import (
    Event,
    compaction,
    custom_tool_call,
    failed_stream,
    framed,
    function_call,
    message,
    numbered,
    output_text,
    reasoning,
    refusal,
    response,
    stream,
    url_citation,
    web_search_call,
)

ITEMS_OF_ALL_KINDS = (
    reasoning(1, "First this,", "then that.", sealed="c2VhbGVk"),
    message(2, "Looking it up.", phase="commentary"),
    web_search_call(3, "the weather"),
    function_call(4, "get_weather", {"city": "Paris"}, namespace="weather"),
    custom_tool_call(5, "apply_patch", "*** Begin Patch"),
    compaction(6, "c2VhbGVk"),
    message(7, output_text("Rain.", url_citation("https://example.org/", 0, 4)), refusal("No more.")),
)
# What the sources themselves have shortened before they published it.
SHORTENED = {
    "agentgateway--responses-stream-image--0": "`output` is not what the done items are",
    "ai--fixtures__-openai-shell-container.1.chunks--0": "`text` is not what the deltas add up to",
}


def good() -> list[Event]:
    """A stream of all kinds of items that the judge has no fault to find with; a copy of its own."""
    return copy.deepcopy(stream(*ITEMS_OF_ALL_KINDS))


def raw(events: list[Event]) -> bytes:
    return b"".join(map(framed, events))


def params(recordings: list[Recording]) -> list[pytest.ParameterSet]:
    found = [pytest.param(recording, id=recording.name) for recording in recordings]
    return found or [pytest.param(None, id="no-recordings", marks=pytest.mark.skip(reason=NOT_FOUND))]


@pytest.mark.parametrize("recording", params(recorded_responses(streamed=True)))
def test_every_recorded_stream_is_in_order(recording: Recording) -> None:
    violations = stream_violations(recording.response, strict=False)

    known = SHORTENED.get(recording.name)
    assert [violation.partition(": ")[2] for violation in violations] == ([known] if known else [])


@pytest.mark.parametrize("recording", params(recorded_responses(streamed=False)))
def test_every_recorded_response_is_in_order(recording: Recording) -> None:
    assert response_violations(json.loads(recording.response), strict=False) == []


def test_the_kept_requests_are_bodies_of_requests() -> None:
    requests = [*recorded_requests()]
    if not requests:
        pytest.skip(NOT_FOUND)

    assert all({"model", "input"} <= recording.request.keys() for recording in requests)


def test_a_scripted_stream_is_in_order_for_both_judges() -> None:
    assert stream_violations(raw(good())) == []
    assert sdk_violations(good()) == []


def test_a_scripted_response_is_in_order_for_both_judges() -> None:
    whole = response(*ITEMS_OF_ALL_KINDS)

    assert response_violations(whole) == []
    assert len(sdk_response(whole).output) == len(ITEMS_OF_ALL_KINDS)


def cut_off() -> list[Event]:
    half = message(1, "Half a") | {"status": "incomplete"}
    return stream(half, end="incomplete", incomplete_details={"reason": "max_output_tokens"})


def with_keep_alive() -> list[Event]:
    events = good()
    return numbered([*events[:2], events[1], {"type": "keepalive"}, *events[2:9], events[1], *events[9:]])


def error_first() -> list[Event]:
    *events, failed, error = failed_stream("server_error", "It broke.")
    return numbered([*events, error, failed])


@pytest.mark.parametrize(
    "events",
    [
        stream(),
        cut_off(),
        with_keep_alive(),
        failed_stream("rate_limit_exceeded", "Please try again in 1s.", None, message(1, "Half")),
        error_first(),
    ],
    ids=["empty", "cut off", "keep-alive", "failed", "error before failed"],
)
def test_other_endings_and_fillings_are_in_order(events: list[Event]) -> None:
    assert stream_violations(raw(events)) == []


@pytest.mark.parametrize("number", range(len(good())))
def test_an_event_that_is_missing_is_noticed(number: int) -> None:
    events = good()
    del events[number]

    assert event_violations(numbered(events))


@pytest.mark.parametrize("number", range(len(good())))
def test_an_event_that_comes_twice_is_noticed(number: int) -> None:
    events = good()
    events.insert(number, events[number])

    # Silence may be filled with this one.
    is_keep_alive = events[number]["type"] == "response.in_progress"
    assert bool(event_violations(numbered(events))) != is_keep_alive
    assert event_violations(events)


@pytest.mark.parametrize("number", range(len(good()) - 1))
def test_events_in_another_order_are_noticed(number: int) -> None:
    events = good()
    events[number], events[number + 1] = events[number + 1], events[number]

    # An annotation may come at any time while its text grows.
    pair = {event["type"].removeprefix("response.output_text.") for event in events[number : number + 2]}
    assert bool(event_violations(numbered(events))) != (pair == {"delta", "annotation.added"})


@pytest.mark.parametrize("number", range(len(good())))
def test_a_stream_that_ends_early_is_noticed(number: int) -> None:
    assert event_violations(good()[:number])


def fields_of(event: Event) -> Iterator[tuple[dict[str, Any], str]]:
    """Where each field stands that an event has to have, its item and part included."""
    names = [*EVENTS[event["type"]], "sequence_number", *(["logprobs"] if event["type"] in WITH_LOGPROBS else [])]
    yield from ((event, name) for name in names)
    if item := event.get("item"):
        yield from ((item, name) for name in (*ITEMS[item["type"]], "type"))
    if part := event.get("part"):
        yield from ((part, name) for name in part)


@pytest.mark.parametrize("number", range(len(good())))
def test_each_field_that_is_missing_or_of_another_type_is_noticed(number: int) -> None:
    event = good()[number]
    unnoticed = []
    for place, _ in enumerate(fields_of(event)):
        for change in (_delete, _set_to_an_object_of_its_own):
            events = good()
            holder, name = [*fields_of(events[number])][place]
            change(holder, name)
            if not event_violations(events):
                unnoticed.append((change.__name__, name))

    assert unnoticed == []


def _delete(holder: dict[str, Any], name: str) -> None:
    del holder[name]


def _set_to_an_object_of_its_own(holder: dict[str, Any], name: str) -> None:
    holder[name] = {"no": "such"}


KEYS = ("output_index", "content_index", "summary_index", "annotation_index", "sequence_number", "item_id")
TEXTS = ("delta", "text", "refusal", "arguments", "input")


@pytest.mark.parametrize("key", [*KEYS, *TEXTS])
def test_each_index_id_or_text_that_is_another_one_is_noticed(key: str) -> None:
    numbers = [number for number, event in enumerate(good()) if key in event]
    assert numbers
    for number in numbers:
        events = good()
        events[number][key] = events[number][key] + 1 if isinstance(events[number][key], int) else "another"

        assert event_violations(events), events[number]


@pytest.mark.parametrize("key", sorted(response()))
def test_each_setting_that_is_missing_is_noticed_in_every_event_that_has_a_response(key: str) -> None:
    for number in (0, 1, -1):
        events = good()
        del events[number]["response"][key]

        assert event_violations(events)
    whole = response()
    del whole[key]
    assert response_violations(whole)


def changed(**values: object) -> Callable[[Event], None]:
    return lambda holder: holder.update(values)


@pytest.mark.parametrize(
    "change",
    [
        changed(id="resp_other"),
        changed(model="another"),
        changed(created_at=1),
        changed(object="list"),
        changed(status="failed"),
        changed(status="incomplete"),
        changed(error={"code": "server_error", "message": "What?"}),
        changed(incomplete_details={"reason": "max_output_tokens"}),
        changed(output=[]),
        changed(usage=None),
        changed(usage={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}),
        changed(service_tier="best"),
        changed(truncation="maybe"),
        changed(completed_at=None),
        changed(text={}),
        changed(tools=None),
        changed(tool_choice=None),
        changed(temperature="1"),
    ],
)
def test_each_last_response_that_does_not_fit_is_noticed(change: Callable[[Event], None]) -> None:
    events = good()
    change(events[-1]["response"])

    assert event_violations(events)


@pytest.mark.parametrize(
    ("count", "value"),
    [
        (("input_tokens",), 99),
        (("total_tokens",), True),
        (("input_tokens_details", "cached_tokens"), 99),
        (("input_tokens_details", "cache_write_tokens"), None),
        (("output_tokens_details", "reasoning_tokens"), -1),
    ],
)
def test_usage_that_does_not_add_up_is_noticed(count: tuple[str, ...], value: object) -> None:
    whole = copy.deepcopy(response())
    holder = whole["usage"]
    for name in count[:-1]:
        holder = holder[name]
    holder[count[-1]] = value

    assert response_violations(whole)


@pytest.mark.parametrize("index", range(len(ITEMS_OF_ALL_KINDS)))
@pytest.mark.parametrize("key", ["id", "call_id", "name", "namespace", "phase", "type", "status"])
def test_a_done_item_that_is_not_the_one_that_began_is_noticed(index: int, key: str) -> None:
    events = good()
    done = next(
        event for event in events if event["type"] == "response.output_item.done" and event["output_index"] == index
    )
    if key not in done["item"]:
        done["item"]["id"] = "another"
    done["item"][key] = "in_progress" if key == "status" else "another"

    assert event_violations(events)


def broken(*, events: list[Event] | None = None, tail: bytes = b"") -> bytes:
    return raw(good() if events is None else events) + tail


AFTER = {"type": "response.in_progress", "response": response(status="in_progress"), "sequence_number": len(good())}
ERROR = {"type": "error", "error": {"type": "x", "code": "x", "message": "x"}, "sequence_number": len(good())}


@pytest.mark.parametrize(
    "stream_of_bytes",
    [
        b"",
        raw(good())[:-1],
        raw(good()).replace(b"event: response.completed\n", b""),
        raw(good()).replace(b"event: response.completed", b"event: message"),
        b"event: ping\n\n" + raw(good()),
        b"id: 1\n" + raw(good()),
        b"data: [DONE]\n\n" + raw(good()),
        b"event: x\ndata: {\n\n" + raw(good()),
        raw([*good(), AFTER]),
        raw([*good(), ERROR]),
        raw([*failed_stream("server_error", "It broke."), AFTER | {"sequence_number": 4}]),
        raw(failed_stream("server_error", "It broke.")).replace(b'"code": "server_error"', b'"code": "other"', 1),
        raw(failed_stream("server_error", "It broke.")[:2]),
    ],
)
def test_each_way_of_framing_or_ending_a_stream_wrongly_is_noticed(stream_of_bytes: bytes) -> None:
    assert stream_violations(stream_of_bytes)


def test_comments_a_done_at_the_end_and_carriage_returns_are_no_fault() -> None:
    stream_of_bytes = b": here\n\n" + raw(good()).replace(b"\n", b"\r\n") + b"data: [DONE]\n\n"

    events, violations = read_stream(stream_of_bytes)

    assert violations == []
    assert events == good()


@pytest.mark.parametrize(
    "part",
    [
        output_text("Rain.", url_citation("https://example.org/", 3, 99)),
        output_text("Rain.", url_citation("https://example.org/", 3, 2)),
        output_text("Rain.", {"type": "no_citation"}),
    ],
)
def test_a_citation_that_points_beside_its_text_is_noticed(part: dict[str, Any]) -> None:
    assert event_violations(stream(message(1, part)))
    assert response_violations(response(message(1, part)))


def test_what_was_not_done_may_stand_in_the_end_of_a_failure_only_as_incomplete() -> None:
    half = message(1, "Half") | {"status": "incomplete"}
    events = stream(half, end="failed", error={"code": "server_error", "message": "It broke."})
    open_still = [event for event in events if event["type"] != "response.output_item.done"]
    as_if_whole = copy.deepcopy(open_still)
    as_if_whole[-1]["response"]["output"][0]["status"] = "completed"

    assert event_violations(numbered(open_still)) == []
    assert event_violations(numbered(as_if_whole))
