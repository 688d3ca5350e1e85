"""`POST /v1/responses/compact`: a conversation made short, by a summary that the model writes."""

from collections.abc import Generator, Sequence
from typing import Final

from msgspec.structs import replace
from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.doors.generation import Task
from gateway.doors.rendering import Opening, RenderedStream
from gateway.doors.responses import NOTHING_ASKED, ResponseRendering, Responses, reader_of
from gateway.edge.slices import in_slices
from gateway.service.answers import Answered, WholeChoice
from gateway.service.items import shown, with_id
from gateway.service.responses import item_id, new_response_id
from translators.responses.compaction import said_by_others
from translators.responses.request import ResponsesRequest, as_summary
from translators.steps import in_one_go
from translators.usage import Usage

_COMPACTED: Final = b'{"id":"%b","object":"response.compaction","created_at":%d,"output":[%b],"usage":%b}'


class Compact(Responses):
    """Reads a conversation as `/v1/responses` does; what it answers is the input of the next request."""

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        task = await super()._task(scope, body, caller)
        answered = task.rendering
        assert isinstance(answered, ResponseRendering), "the door of responses makes nothing else"
        steps = _compacting(replace(answered.request, intent=task.intents[0]))
        asked, said = await in_slices(steps) if task.is_large else in_one_go(steps)
        intent = asked.intent
        # The answer is no response: it is not kept.
        answered.request = replace(asked, store=False, conversation=None, intent=NOTHING_ASKED)
        summary = replace(task.asked, is_stream=False)
        rendering = CompactRendering(answered, said)
        return Task(summary, [replace(intent, streams=False)], rendering, task.is_large, task.stored)


def _compacting(request: ResponsesRequest) -> Generator[None, None, tuple[ResponsesRequest, Sequence[bytes]]]:
    """The request for the summary, and the items that are kept beside it; in steps."""
    said, made = list[bytes](), new_response_id()
    for index, item in enumerate(said_by_others(request.intent)):
        said.append(bytes(shown(with_id(item, item_id("msg", made, index)))))
        yield
    return request if request.compacts_now else (yield from as_summary(request)), said


class CompactRendering:
    """A conversation made short: what others than the model have said, and one item for all else."""

    choices_per_prompt: int = 1

    def __init__(self, answered: ResponseRendering, said: Sequence[bytes]) -> None:
        self._answered = answered
        self._said = said

    def stream(self, opening: Opening, choices: int) -> RenderedStream:
        raise AssertionError("it is never streamed")

    def folds(self, opening: Opening, choices: int) -> Sequence[WholeChoice]:
        """What collects the summary."""
        return self._answered.folds(opening, choices)

    def body(self, answers: Sequence[Answered], usage: Usage, opening: Opening) -> bytes:
        """The items that stand for the conversation from now on."""
        reader = reader_of(answers[0][0])
        output = b",".join([*self._said, *reader.sealed_items()])
        return _COMPACTED % (reader.id.encode(), opening.created, output, usage.as_responses_json())
