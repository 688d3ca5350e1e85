"""What the record of a request, which may have had several exchanges, says."""

from typing import Any

from gateway.accounts.auth import Caller
from gateway.doors.records import RequestSummary, answer_headers, note_record
from gateway.edge.notes import Notes
from gateway.service.record import AttemptRecord, Progress, record_of
from tests.support.attempts import attempt_entry
from translators.message_usage import MessageUsage
from translators.usage import Usage
from translators.wire.messages import UsageCounts


def progress(*attempts: AttemptRecord, **fields: Any) -> Progress:
    return Progress("m", attempts=list(attempts), **fields)


def attempt(request_id: str | None = None, *, key: str = "a", model: str = "m", **counts: Any) -> AttemptRecord:
    """One that has ended."""
    usage = Usage()
    usage.update(UsageCounts(**counts), model)
    entry = attempt_entry(*usage.messages, model=model, key=key, upstream_request_id=request_id)
    return AttemptRecord(key, model, request_id, usage, entry=entry)


def headers_of(*exchanges: Progress) -> dict[str, str]:
    return answer_headers(record_of(exchanges))


def test_a_change_for_any_of_them_is_told() -> None:
    changes = (None, "a=dropped:model", "b=dropped:host; a=dropped:model")

    told = headers_of(*(progress(adjusted=adjusted) for adjusted in changes))

    assert told == {"x-gateway-adjusted": "a=dropped:model; b=dropped:host"}


def test_ids_are_told_in_order_each_once_and_whole_up_to_two_kilobytes() -> None:
    few = headers_of(*(progress(attempt(name)) for name in ("req_b", None, "req_a", "req_b")))
    many = headers_of(*(progress(attempt(f"req_{number:032}")) for number in range(128)))

    assert few == {"x-gateway-attempts": "4", "x-upstream-request-id": "req_b,req_a"}
    told = many["x-upstream-request-id"]
    assert 1900 < len(told) <= 2048
    assert told.split(",") == [f"req_{number:032}" for number in range(told.count(",") + 1)]


def test_limits_are_those_of_the_first_that_was_answered() -> None:
    limits = ({}, *({"anthropic-ratelimit-requests-limit": number} for number in ("5", "7")))

    assert headers_of(*(progress(upstream_headers=each) for each in limits)) == {"x-ratelimit-limit-requests": "5"}


def test_the_log_adds_up_what_can_be_added_and_lists_the_rest() -> None:
    notes = Notes()
    first = progress(
        attempt("req_0", output_tokens=1),
        attempt("req_1", input_tokens=3),
        adjusted="x=dropped:model",
        stop_reason="end_turn",
        failures=["a: overloaded"],
        said=["a: Busy."],
    )
    second = progress(attempt("req_2", key="b", output_tokens=4), adjusted="y=dropped:model", stop_reason="end_turn")

    note_record(notes, record_of([first, second]), RequestSummary("alias", is_stream=True), Caller("app"))

    assert notes.fields == {
        "caller": "app",
        "model": "alias->m",
        "stream": True,
        "key": "a,b",
        "attempts": 3,
        "upstream_ms": 3000.0,
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "adjusted": "x=dropped:model; y=dropped:model",
        "upstream_request_id": "req_1,req_2",
        "stop_reason": "end_turn",
        "failures": "a: overloaded",
    }
    assert notes.words == {"said": "a: Busy."}


def test_what_each_attempt_has_used_is_there_with_its_model() -> None:
    first = attempt(input_tokens=5)
    second = attempt(model="n", key="b", output_tokens=7)

    record = record_of([Progress("n", attempts=[first, second])])

    assert [entry.total for entry in record.entries] == [MessageUsage("m", 5), MessageUsage("n", output_tokens=7)]
    assert record.usage == Usage(input_tokens=5, output_tokens=7)
    assert record.entries == [first.entry, second.entry]
    # The headers tell of the answer alone.
    assert record.answer_usage == second.usage


def test_an_attempt_that_still_runs_has_no_entry_yet() -> None:
    assert record_of([progress(AttemptRecord("a", "m"))]).entries == []


def test_one_exchange_is_told_as_it_is() -> None:
    limits = {"anthropic-ratelimit-tokens-limit": "9"}
    one = progress(attempt("r" * 2049), adjusted="x=dropped:model", upstream_headers=limits, stop_reason="")
    notes = Notes()

    note_record(notes, record_of([one]), RequestSummary("m", is_stream=False), Caller("app"))

    # An id that fits into no header is in the log alone.
    assert headers_of(one) == {
        "x-gateway-attempts": "1",
        "x-gateway-adjusted": "x=dropped:model",
        "x-ratelimit-limit-tokens": "9",
    }
    assert notes.fields["upstream_request_id"] == "r" * 2049
    assert notes.fields["stop_reason"] is None
    assert (notes.fields["model"], notes.fields["key"], notes.fields["attempts"]) == ("m", "a", 1)
