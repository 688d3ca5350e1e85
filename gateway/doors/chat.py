"""`POST /v1/chat/completions`."""

from collections.abc import Sequence
from functools import partial

from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.doors.generation import Task, TextEndpoint
from gateway.doors.records import RequestSummary
from gateway.doors.rendering import ChunkRendering
from gateway.doors.silence import StreamMaker
from gateway.edge.requests import headers_of
from gateway.edge.slices import LARGE_BYTES, in_slices
from translators.chat.chunks import StreamFrame
from translators.chat.read import read_in_steps, read_request
from translators.chat.response import completion
from translators.chat.stream import ChatStream


class ChatCompletions(TextEndpoint):
    """Reads a chat completion request, and says how its answers are rendered."""

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        is_large, max_choices = len(body) > LARGE_BYTES, self._generation.options.max_choices
        read = await in_slices(read_in_steps(body, max_choices)) if is_large else read_request(body, max_choices)
        count = read.choices
        reports = headers_of(scope).get(b"x-gateway-report") == b"1"
        rendering = ChunkRendering(
            makers=partial(_makers, count),
            whole=lambda answers, usage, created: completion(answers, usage, created=created, reports=reports),
            id_prefix="chatcmpl",
            choices_per_prompt=count,
            reports=reports,
        )
        asked = RequestSummary(read.model, read.intent.streams, read.include_usage, read.metadata)
        return Task(asked, [read.intent] * count, rendering, is_large)


def _makers(count: int, frame: StreamFrame) -> Sequence[StreamMaker]:
    return [partial(ChatStream, frame, index=index) for index in range(count)]
