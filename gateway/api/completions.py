"""`POST /v1/completions`, the legacy endpoint."""

from functools import partial

from starlette.types import Receive, Scope, Send

from gateway.api.generation import Generator, Task
from gateway.api.requests import read_body
from gateway.api.turns import LARGE_BYTES, in_turns
from translators.completions.request import read_completions, read_completions_in_steps
from translators.completions.response import text_completion
from translators.completions.stream import CompletionStream


class Completions(Generator):
    """The endpoint: reads the request, and says what its answers look like."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = self._authenticator.caller(scope)
        body = await read_body(scope, receive, self._settings.max_body_bytes)
        is_large, max_choices = len(body) > LARGE_BYTES, self._settings.options.max_choices
        if is_large:
            asked = await in_turns(read_completions_in_steps(body, max_choices))
        else:
            asked = read_completions(body, max_choices)
        task = Task(
            chats=asked.chats,
            makers=lambda frame: [
                partial(CompletionStream, frame, index=index, echo=echo) for index, echo in enumerate(asked.echoes)
            ],
            body=lambda answers, usage, created: text_completion(
                [answer for answer, _ in answers], asked.echoes, usage, created=created
            ),
            id_prefix="cmpl",
            choices_per_prompt=asked.request.n or 1,
            is_large=is_large,
            param_names={"messages": "prompt"},
        )
        # Whoever sends it holds it for as long as it is needed.
        del body
        await self._answer(scope, receive, caller, task)
