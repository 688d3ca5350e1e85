"""The notes on what was changed."""

import pytest

from translators.adjustments import MAX_HEADER_BYTES, Adjustments, united, without_words
from translators.errors import ErrorKind, TranslationError


def test_nothing_changed_is_no_header() -> None:
    assert Adjustments().header is None


def test_notes_stand_in_the_order_in_which_they_were_made() -> None:
    adjustments = Adjustments()

    adjustments.add("temperature", "dropped", "model")
    adjustments.add("tool_choice", "required->auto", "model")

    assert adjustments.header == "temperature=dropped:model; tool_choice=required->auto:model"


def test_a_field_is_noted_once_however_often_it_was_changed() -> None:
    adjustments = Adjustments()

    for _ in range(3):
        adjustments.add("arguments", "wrapped", "not-an-object")

    assert adjustments.header == "arguments=wrapped:not-an-object"


def test_the_header_is_never_longer_than_two_kilobytes_and_never_cut_within_a_note() -> None:
    adjustments = Adjustments()

    for number in range(500):
        adjustments.add(f"field_{number}", "dropped", "model")

    assert adjustments.header is not None
    notes = adjustments.header.split("; ")
    assert MAX_HEADER_BYTES == 2048
    assert 2000 < len(adjustments.header.encode()) <= 2048
    assert notes == [f"field_{number}=dropped:model" for number in range(len(notes))]


def test_in_strict_mode_the_first_change_refuses_the_request_and_names_the_field() -> None:
    adjustments = Adjustments(reject=True)

    with pytest.raises(TranslationError) as caught:
        adjustments.add("temperature", "dropped", "model")

    failure = caught.value.failure
    assert failure.kind is ErrorKind.INVALID_REQUEST
    assert (failure.param, failure.code) == ("temperature", "unsupported_parameter")
    assert "temperature" in failure.message


def test_the_notes_of_several_requests_are_one_header_each_note_once() -> None:
    assert united([]) is None
    assert united([None, None]) is None
    assert united(["a=dropped:model; b=1->2:range", None, "b=1->2:range; a=dropped:host"]) == (
        "a=dropped:model; b=1->2:range; a=dropped:host"
    )


def test_the_notes_of_many_requests_are_never_longer_than_two_kilobytes() -> None:
    header = united(f"field_{number}=dropped:model" for number in range(500))

    assert header is not None
    assert 2000 < len(header) <= MAX_HEADER_BYTES
    assert header.endswith(":model")


@pytest.mark.parametrize(
    ("header", "logged"),
    [
        (None, None),
        ("stop=dropped:blank", "stop=dropped:blank"),
        ("anthropic-beta.files-api-2025-04-14=dropped:not-allowed; unknown:1",) * 2,
        ("n=dropped:model; anthropic-beta.my-secret=dropped:not-allowed", "n=dropped:model; anthropic-beta.?"),
        (
            "anthropic-beta.a-2025-01-01=dropped:not-allowed; anthropic-beta.s; ecret",
            "anthropic-beta.a-2025-01-01=dropped:not-allowed; anthropic-beta.?",
        ),
        ("anthropic-beta.a-2025-01-01; ecret=dropped:not-allowed", "anthropic-beta.?"),
    ],
)
def test_logs_name_no_beta_that_a_caller_has_made_up(header: str | None, logged: str | None) -> None:
    assert without_words(header) == logged
