"""`POST /v1/responses/compact`: a conversation made short, by a summary that the model writes."""

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace
from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.doors.generation import Task
from gateway.doors.rendering import Opening, RenderedStream
from gateway.doors.responses import ResponseRendering, Responses, reader_of
from gateway.service.answers import Answered, WholeChoice
from gateway.service.items import shown, with_id
from gateway.service.responses import item_id
from translators.responses.compaction import said_by_others, summarizing
from translators.usage import Usage

_COMPACTED: Final = b'{"id":"%b","object":"response.compaction","created_at":%d,"output":[%b],"usage":%b}'


class Compact(Responses):
    """Reads a conversation as `/v1/responses` does; what it answers is the input of the next request."""

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        task = await super()._task(scope, body, caller)
        answered = task.rendering
        assert isinstance(answered, ResponseRendering), "the door of responses makes nothing else"
        asked = answered.request
        intent = asked.intent
        said = said_by_others(intent)
        if not asked.compacts_now:
            intent = summarizing(intent)
        # The answer is no response: it is not kept.
        answered.request = replace(asked, intent=intent, store=False, conversation=None, compacts_now=True)
        summary = replace(task.asked, is_stream=False)
        return Task(summary, [replace(intent, streams=False)], CompactRendering(answered, said), task.is_large)


class CompactRendering:
    """A conversation made short: what others than the model have said, and one item for all else."""

    choices_per_prompt: int = 1

    def __init__(self, answered: ResponseRendering, said: Sequence[bytes]) -> None:
        self._answered = answered
        self._said = said
        self.param_names: Mapping[str, str] = answered.param_names

    def stream(self, opening: Opening, choices: int) -> RenderedStream:
        raise AssertionError("it is never streamed")

    def folds(self, opening: Opening, choices: int) -> Sequence[WholeChoice]:
        """What collects the summary."""
        return self._answered.folds(opening, choices)

    def body(self, answers: Sequence[Answered], usage: Usage, opening: Opening) -> bytes:
        """The items that stand for the conversation from now on."""
        reader = reader_of(answers[0][0])
        # Index 0 is that of the summary.
        said = [
            bytes(shown(with_id(item, item_id("msg", reader.id, index)))) for index, item in enumerate(self._said, 1)
        ]
        output = b",".join([*said, *reader.sealed_items()])
        return _COMPACTED % (reader.id.encode(), opening.created, output, usage.as_responses_json())
