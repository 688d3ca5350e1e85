"""`POST /v1/completions`, the legacy endpoint."""

from functools import partial

from starlette.types import Scope

from gateway.doors.generation import Task, TextEndpoint
from gateway.doors.rendering import ChunkRendering
from gateway.edge.slices import LARGE_BYTES, in_slices
from translators.completions.request import read_completions, read_completions_in_steps
from translators.completions.response import text_completion
from translators.completions.stream import CompletionStream


class Completions(TextEndpoint):
    """Reads a legacy completion request, and says how its answers are rendered."""

    async def _task(self, scope: Scope, body: bytes) -> Task:
        is_large, max_choices = len(body) > LARGE_BYTES, self._generation.options.max_choices
        if is_large:
            asked = await in_slices(read_completions_in_steps(body, max_choices))
        else:
            asked = read_completions(body, max_choices)
        echoes = asked.echoes
        rendering = ChunkRendering(
            makers=lambda frame: [
                partial(CompletionStream, frame, index=index, echo=echo) for index, echo in enumerate(echoes)
            ],
            whole=lambda answers, usage, created: text_completion(
                [answer for answer, _ in answers], echoes, usage, created=created
            ),
            id_prefix="cmpl",
            choices_per_prompt=asked.request.n or 1,
            param_names={"messages": "prompt"},
        )
        return Task(asked.chats, rendering, is_large)
