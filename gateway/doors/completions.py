"""`POST /v1/completions`, the legacy endpoint."""

from functools import partial

from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.doors.generation import Task, TextEndpoint
from gateway.doors.records import RequestSummary
from gateway.doors.rendering import ChunkRendering
from gateway.edge.slices import LARGE_BYTES, in_slices
from translators.completions.request import read_completions, read_completions_in_steps
from translators.completions.response import text_completion
from translators.completions.stream import CompletionStream


class Completions(TextEndpoint):
    """Reads a legacy completion request, and says how its answers are rendered."""

    async def _task(self, scope: Scope, body: bytes, caller: Caller) -> Task:
        is_large, max_choices = len(body) > LARGE_BYTES, self._generation.options.max_choices
        if is_large:
            read = await in_slices(read_completions_in_steps(body, max_choices))
        else:
            read = read_completions(body, max_choices)
        echoes = read.echoes
        rendering = ChunkRendering(
            makers=lambda frame: [
                partial(CompletionStream, frame, index=index, echo=echo) for index, echo in enumerate(echoes)
            ],
            whole=lambda answers, usage, created: text_completion(
                [answer for answer, _ in answers], echoes, usage, created=created
            ),
            id_prefix="cmpl",
            choices_per_prompt=read.request.n or 1,
        )
        request, options = read.request, read.request.stream_options
        asked = RequestSummary(request.model, bool(request.stream), bool(options and options.include_usage))
        return Task(asked, read.intents, rendering, is_large)
