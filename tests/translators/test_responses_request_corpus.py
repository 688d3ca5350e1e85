"""Responses requests of our own writing: a case is a folder in `tests/corpus/responses/requests`, without any code.

`responses.json` is what the caller sends, `messages.json` what upstream has to get. `case.json`, where something is not
the ordinary: the `adjusted` header, `betas`, `options`, `kinds` (of tool, name and namespace, by the name in the
intent), items that stand `earlier`, `references` by their ids, or the `error` (`param` and `code`) that stands in the
place of `messages.json`. Seals are those of `MarkingSealer`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.conversations import DEFAULT_MODEL
from tests.support.legality import violations
from tests.support.response_requests import SEALER
from tests.translators.test_request_corpus import consumed, in_blocks, sdk_types
from translators.errors import ErrorKind, TranslationError
from translators.hosts import CURRENT_VERSION
from translators.messages.messages_request import MessagesRequest
from translators.messages.options import Options, Target
from translators.messages.request import write_in_steps, write_request
from translators.models import model_table
from translators.responses.read import ReadBody, read_body, read_body_in_steps
from translators.responses.request import ResponsesRequest, read_request, read_request_in_steps
from translators.steps import in_one_go

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "responses" / "requests"
FOLDERS = sorted(path for path in CORPUS.iterdir() if path.is_dir())
NOTES = {"adjusted", "betas", "options", "kinds", "earlier", "references", "error"}
ROW = model_table().row(DEFAULT_MODEL)
TARGET = Target(DEFAULT_MODEL, ROW)


@dataclass(frozen=True, slots=True)
class Case:
    """One folder."""

    body: bytes
    messages: dict[str, Any] | None
    notes: dict[str, Any]

    @property
    def options(self) -> Options:
        """What the operator decided."""
        options = self.notes.get("options", {})
        servers = {"server_tools": frozenset(options["server_tools"])} if "server_tools" in options else {}
        return Options(**{**options, **servers})

    @property
    def earlier(self) -> list[bytes]:
        """The items before those of the body."""
        return [json.dumps(item).encode() for item in self.notes.get("earlier", ())]

    @property
    def references(self) -> dict[str, bytes]:
        """The items that the body refers to."""
        return {name: json.dumps(item).encode() for name, item in self.notes.get("references", {}).items()}

    def read(self, read: ReadBody | None = None) -> ResponsesRequest:
        """The request, in one go."""
        return read_request(read or read_body(self.body), SEALER, self.earlier, self.references)

    def written(self) -> MessagesRequest:
        """The request as upstream gets it."""
        return write_request(self.read().intent, TARGET, self.options)


def read_case(folder: Path) -> Case:
    messages, notes = folder / "messages.json", folder / "case.json"
    return Case(
        (folder / "responses.json").read_bytes(),
        json.loads(messages.read_bytes()) if messages.exists() else None,
        json.loads(notes.read_bytes()) if notes.exists() else {},
    )


def cases(*, refused: bool) -> list[Any]:
    return [
        pytest.param(case, id=folder.name)
        for folder in FOLDERS
        if ("error" in (case := read_case(folder)).notes) == refused
    ]


@pytest.mark.parametrize("case", cases(refused=False))
def test_a_request_becomes_what_the_corpus_says(case: Case) -> None:
    request, written = case.read(), case.written()

    assert case.messages is not None
    assert in_blocks(json.loads(written.body)) == in_blocks(case.messages)
    assert written.adjusted == case.notes.get("adjusted")
    assert list(written.betas) == case.notes.get("betas", [])
    kinds = {name: [tool.kind.value, tool.name, tool.namespace] for name, tool in request.kinds.items()}
    assert kinds == case.notes.get("kinds", {})


@pytest.mark.parametrize("case", cases(refused=False))
def test_in_steps_it_becomes_the_same(case: Case) -> None:
    read = in_one_go(read_body_in_steps(case.body))
    request = in_one_go(read_request_in_steps(read, SEALER, case.earlier, case.references))

    assert in_one_go(write_in_steps(request.intent, TARGET, case.options)).body == case.written().body


@pytest.mark.parametrize("case", cases(refused=True))
def test_a_request_is_refused_as_the_corpus_says(case: Case) -> None:
    with pytest.raises(TranslationError) as caught:
        case.written()

    failure = caught.value.failure
    assert failure.kind is ErrorKind.INVALID_REQUEST
    assert {"param": failure.param, "code": failure.code} == case.notes["error"]


@pytest.mark.parametrize("case", cases(refused=False))
def test_the_corpus_is_legal(case: Case) -> None:
    assert case.messages is not None

    assert violations(case.messages, ROW, CURRENT_VERSION, case.notes.get("betas", ())) == []


@pytest.mark.parametrize("case", cases(refused=False))
def test_the_corpus_fits_the_official_sdks_types(case: Case) -> None:
    assert case.messages is not None

    validated = sdk_types()[case.messages.get("stream", False), "betas" in case.notes].validate_python(case.messages)

    assert consumed(validated) == case.messages


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_case_has_only_the_files_and_notes_that_are_looked_at(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    notes = read_case(folder).notes

    assert names <= {"responses.json", "messages.json", "case.json"}
    assert ("messages.json" in names) != ("error" in notes)
    assert notes.keys() <= NOTES


@pytest.mark.parametrize("case", cases(refused=False))
def test_a_longer_conversation_repeats_the_bytes_of_the_shorter_one(case: Case) -> None:
    body = json.loads(case.body)
    if isinstance(body["input"], str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    # What asks for a summary stands at the end alone.
    body["input"] = [item for item in body["input"] if item.get("type") != "compaction_trigger"]
    more = [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "Go on."}]
    longer = json.dumps({**body, "input": [*body["input"], *more]}).encode()

    read = [case.read(read_body(data)) for data in (json.dumps(body).encode(), longer)]
    written = [write_request(request.intent, TARGET, case.options) for request in read]
    shorter, messages = (json.loads(request.body)["messages"] for request in written)

    assert messages[: len(shorter)] == shorter
