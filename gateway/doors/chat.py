"""`POST /v1/chat/completions`."""

from collections.abc import Sequence
from functools import partial

from starlette.types import Scope

from gateway.doors.generation import Task, TextEndpoint
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

    async def _task(self, scope: Scope, body: bytes) -> Task:
        is_large = len(body) > LARGE_BYTES
        request = await in_slices(read_in_steps(body)) if is_large else read_request(body)
        # An invalid number is reported by the translation, together with all other mistakes.
        is_possible = request.n is not None and 1 <= request.n <= self._generation.options.max_choices
        count = request.n if is_possible and request.n is not None else 1
        reports = headers_of(scope).get(b"x-gateway-report") == b"1"
        rendering = ChunkRendering(
            makers=partial(_makers, count),
            whole=lambda answers, usage, created: completion(answers, usage, created=created, reports=reports),
            id_prefix="chatcmpl",
            choices_per_prompt=count,
            reports=reports,
        )
        return Task([request] * count, rendering, is_large)


def _makers(count: int, frame: StreamFrame) -> Sequence[StreamMaker]:
    return [partial(ChatStream, frame, index=index) for index in range(count)]
