"""`POST /v1/chat/completions`."""

from functools import partial

from starlette.types import Receive, Scope, Send

from gateway.api.generation import Generator, Task
from gateway.api.requests import header, read_body
from gateway.api.turns import LARGE_BYTES, in_turns
from translators.chat.request import read_in_steps, read_request
from translators.chat.response import completion
from translators.chat.stream import ChatStream


class ChatCompletions(Generator):
    """The endpoint: reads the request, and says what its answers look like."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = self._authenticator.caller(scope)
        body = await read_body(scope, receive, self._settings.max_body_bytes)
        is_large = len(body) > LARGE_BYTES
        request = await in_turns(read_in_steps(body)) if is_large else read_request(body)
        # An impossible number is told by the translation, with all that is wrong besides.
        is_possible = request.n is not None and 1 <= request.n <= self._settings.options.max_choices
        count = request.n if is_possible and request.n is not None else 1
        reports = header(scope, b"x-gateway-report") == "1"
        task = Task(
            chats=[request] * count,
            makers=lambda frame: [partial(ChatStream, frame, index=index) for index in range(count)],
            body=lambda answers, usage, created: completion(answers, usage, created=created, reports=reports),
            id_prefix="chatcmpl",
            choices_per_prompt=count,
            reports=reports,
            is_large=is_large,
        )
        # Whoever sends it holds it for as long as it is needed: a stream may go on for minutes.
        del body, request
        await self._answer(scope, receive, caller, task)
