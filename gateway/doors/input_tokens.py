"""`POST /v1/responses/input_tokens`: how many tokens a request of the Responses API has, by upstream's count."""

from collections.abc import Mapping, Sequence

from starlette.types import Scope

from gateway.accounts.auth import Caller
from gateway.accounts.visits import Visit
from gateway.doors.door import Job
from gateway.doors.records import RequestSummary, answer_headers
from gateway.doors.responses import Responses
from gateway.doors.wishes import NO_TEXT
from gateway.edge.responder import Responder
from gateway.service.answers import TextExchange
from gateway.service.counting import count_tokens, counting, counting_services
from gateway.service.exchange import Exchange
from gateway.service.record import Progress, Record
from translators.errors import Failure


class InputTokens(Responses):
    """Reads and writes a request as `/v1/responses` does, and has it counted."""

    async def _read(self, scope: Scope, body: bytes, visit: Visit) -> Job:
        caller = visit.caller
        task = await self._task(scope, body, caller)
        (intent,) = task.intents
        # Counting is free, however long the text is.
        admitted, options = await self._admitted(task, self._options(scope, caller), visit, NO_TEXT, generates=False)
        candidates = await self._candidates(intent, task, options, admitted.understood, visit)
        services = counting_services(self._services_for(caller))
        exchange = Exchange(services, [counting(candidate) for candidate in candidates], caller=caller.name)
        return _CountJob(task.asked.model, exchange, caller, is_large=task.is_large)


class _CountJob:
    """One request that is counted."""

    def __init__(self, model: str, exchange: TextExchange, caller: Caller, *, is_large: bool) -> None:
        self.asked = RequestSummary(model, is_stream=False, is_counted=False)
        self.progress: Sequence[Progress] = (exchange.progress,)
        self._exchange = exchange
        self._names_key = caller.sees_key
        self._is_large = is_large

    def headers(self, record: Record) -> Mapping[str, str]:
        """How the count was obtained, and the rate limits of the key that gave it."""
        return answer_headers(record, names_key=self._names_key)

    async def deliver(self, responder: Responder) -> None:
        """Send the count."""
        if self._is_large:
            await self._exchange.forms.prepare_in_slices()
        tokens = await count_tokens(self._exchange)
        await responder.send_json(200, b'{"object":"response.input_tokens","input_tokens":%d}' % tokens)

    async def explained(self, failure: Failure) -> Failure:
        """The failure with the paths of the caller's own body."""
        return await self._exchange.forms.explained(failure)
