"""`POST /v1/chat/completions`."""

import asyncio
from functools import partial
from typing import Final

from starlette.types import Receive, Scope, Send

from gateway.api.generation import Generator, Task
from gateway.api.requests import header, read_body
from translators.chat.request import read_request
from translators.chat.response import completion
from translators.chat.stream import ChatStream

_LARGE_BYTES: Final = 2**20


class ChatCompletions(Generator):
    """The endpoint: reads the request, and says what its answers look like."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        caller = self._authenticator.caller(scope)
        body = await read_body(scope, receive, self._settings.max_body_bytes)
        request = read_request(body)
        if len(body) > _LARGE_BYTES:
            # Writing it takes milliseconds as well: others have their turn in between.
            await asyncio.sleep(0)
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
        )
        await self._answer(scope, receive, caller, task)
