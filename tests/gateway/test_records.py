"""What the records of several exchanges say together."""

from gateway.api.auth import Caller
from gateway.api.notes import Notes
from gateway.api.records import answer_headers, note_records
from gateway.proxy.exchange import Record


def test_a_change_for_any_of_them_is_told() -> None:
    records = [Record(), Record(adjusted="a=dropped:model"), Record(adjusted="b=dropped:host; a=dropped:model")]

    assert answer_headers(records) == {"x-gateway-adjusted": "a=dropped:model; b=dropped:host"}


def test_ids_are_told_in_order_each_once_and_whole_up_to_two_kilobytes() -> None:
    few = [Record(upstream_request_id=name) for name in ("req_b", None, "req_a", "req_b")]
    many = [Record(upstream_request_id=f"req_{number:032}") for number in range(128)]

    assert answer_headers(few) == {"x-upstream-request-id": "req_b,req_a"}
    told = answer_headers(many)["x-upstream-request-id"]
    assert 1900 < len(told) <= 2048
    assert told.split(",") == [f"req_{number:032}" for number in range(told.count(",") + 1)]


def test_limits_are_those_of_the_first_that_was_answered() -> None:
    limits = [Record(), *(Record(upstream_headers={"anthropic-ratelimit-requests-limit": n}) for n in ("5", "7"))]

    assert answer_headers(limits) == {"x-ratelimit-limit-requests": "5"}


def test_the_log_adds_up_what_can_be_added_and_lists_the_rest() -> None:
    notes = Notes()
    first = Record(
        2, "a", "m", "x=dropped:model", "req_1", stop_reason="end_turn", failures=["a: overloaded"], said=["a: Busy."]
    )
    second = Record(1, "b", "m", "y=dropped:model", "req_2", stop_reason="end_turn")
    first.usage.input_tokens, second.usage.output_tokens = 3, 4

    note_records(notes, [first, second], caller=Caller("app"), model="alias", is_stream=True)

    assert notes.fields == {
        "caller": "app",
        "model": "alias->m",
        "stream": True,
        "key": "a,b",
        "attempts": 3,
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "adjusted": "x=dropped:model; y=dropped:model",
        "upstream_request_id": "req_1,req_2",
        "stop_reason": "end_turn",
        "failures": "a: overloaded",
    }
    assert notes.words == {"said": "a: Busy."}


def test_one_record_is_told_as_it_is() -> None:
    record = Record(1, "a", "m", "x=dropped:model", "r" * 2049, {"anthropic-ratelimit-tokens-limit": "9"}, "")
    notes = Notes()

    note_records(notes, [record], caller=Caller("app"), model="m", is_stream=False)

    # An id that fits into no header is in the log alone.
    assert answer_headers([record]) == {
        "x-gateway-attempts": "1",
        "x-gateway-adjusted": "x=dropped:model",
        "x-ratelimit-limit-tokens": "9",
    }
    assert notes.fields["upstream_request_id"] == "r" * 2049
    assert notes.fields["stop_reason"] is None
    assert (notes.fields["model"], notes.fields["key"], notes.fields["attempts"]) == ("m", "a", 1)
