"""Recordings are found where they lie, and their absence shows as a skipped test."""

import json
from pathlib import Path

import pytest

from tests.support.recordings import (
    NOT_FOUND,
    Recording,
    load_recordings,
    recording_params,
    recordings_root,
)


def write_recording(root: Path, name: str, *, streamed: bool, status: int = 200, kind: str = "messages") -> None:
    folder = root / "recorded" / name
    folder.mkdir(parents=True)
    meta = {"kind": kind, "streamed": streamed, "status": status, "request_known": False}
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "request.json").write_text("{}")
    (folder / ("response.sse" if streamed else "response.json")).write_bytes(name.encode())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRAGOMAN_RECORDINGS", str(tmp_path))
    write_recording(tmp_path, "b-stream", streamed=True)
    write_recording(tmp_path, "a-body", streamed=False)
    write_recording(tmp_path, "c-error", streamed=False, status=429)
    write_recording(tmp_path, "d-batch", streamed=False, kind="batches")
    return tmp_path


def names(recordings: list[Recording]) -> list[str]:
    return [recording.name for recording in recordings]


def test_recordings_are_read_whole_and_in_order(root: Path) -> None:
    recordings = load_recordings()

    assert recordings_root() == root
    assert names(recordings) == ["a-body", "b-stream", "c-error", "d-batch"]
    assert recordings[1].response == b"b-stream"
    assert recordings[1].streamed
    assert not recordings[1].request_known


def test_recordings_are_chosen_by_what_they_are(root: Path) -> None:
    assert names(load_recordings(streamed=True)) == ["b-stream"]
    assert names(load_recordings(streamed=False, status=200, kind="messages")) == ["a-body"]
    assert names(load_recordings(status=429)) == ["c-error"]
    assert names(load_recordings("another_group")) == []


def test_parameters_carry_the_names_of_the_recordings(root: Path) -> None:
    assert [param.id for param in recording_params(kind="messages")] == ["a-body", "b-stream", "c-error"]


def test_missing_recordings_are_one_skipped_parameter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_RECORDINGS", str(tmp_path / "nowhere"))

    (param,) = recording_params()
    (mark,) = param.marks

    assert recordings_root() is None
    assert isinstance(mark, pytest.Mark | pytest.MarkDecorator)
    assert mark.name == "skip"
    assert mark.kwargs == {"reason": NOT_FOUND}


def test_a_choice_that_nothing_fits_is_skipped_with_its_own_reason(root: Path) -> None:
    (param,) = recording_params(status=418)
    (mark,) = param.marks

    assert isinstance(mark, pytest.Mark | pytest.MarkDecorator)
    assert mark.kwargs == {"reason": "no recording in 'recorded' is of this sort"}


@pytest.mark.parametrize("recording", recording_params(streamed=True))
def test_every_recorded_stream_begins_as_a_stream(recording: Recording) -> None:
    assert recording.status == 200
    assert recording.response.startswith((b"event:", b"data:", b":"))


@pytest.mark.parametrize("recording", recording_params())
def test_every_recording_is_as_long_as_it_says(recording: Recording) -> None:
    assert len(recording.response) == recording.meta["bytes"]
