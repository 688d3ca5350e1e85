"""A scripted server of the Responses API that calls each tool it is offered once and then answers in words.

It keeps what it was asked and has answered, as `store: true` says, and looks at what comes back: sealed reasoning as it
was given out, and each call with its result.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.responses_grammar import event_violations, response_violations
from tests.support.responses_script import Item, answered, function_call, message, reasoning, response, stream
from tests.support.scripted import Answer, ReceivedRequest, ScriptedUpstream, json_answer, scripted_upstream

FINAL_WORDS = "That is all there is to say."


@dataclass(slots=True)
class ResponsesServer:
    """Answers `POST /v1/responses`: `given` are the items of all answers, `faults` what was wrong with the requests."""

    base_url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    given: list[Item] = field(default_factory=list)
    _kept: dict[str, list[Item]] = field(default_factory=dict)
    _sealed: dict[str, str] = field(default_factory=dict)

    def answer(self, request: ReceivedRequest) -> Answer:
        """The next answer, once the conversation so far has been looked at."""
        if request.method != "POST" or not request.path.startswith("/v1/responses"):
            error = {"message": "No such thing here.", "type": "invalid_request_error", "param": None, "code": None}
            return json_answer(404, {"error": error})
        asked = request.json
        self.asked.append(asked)
        said = [*self._kept.get(asked.get("previous_response_id") or "", ()), *_listed(asked["input"])]
        self._look_at(said, asked)
        number = len(self.asked)
        items = self._items(asked, said, number)
        response_id = f"resp_{number}"
        self.given += items
        if asked.get("store") is not False:
            self._kept[response_id] = [*said, *items]
        assert event_violations(stream(*items, request=asked, response_id=response_id)) == []
        assert response_violations(response(*items, request=asked, response_id=response_id)) == []
        return answered(asked, *items, response_id=response_id)

    def _items(self, asked: dict[str, Any], said: list[Item], number: int) -> list[Item]:
        called = {item.get("name") for item in said if item.get("type") == "function_call"}
        tool = next((tool for tool in asked.get("tools") or () if tool.get("name") not in called), None)
        # OpenAI gives the seal only if it is asked for.
        is_sealed = "reasoning.encrypted_content" in (asked.get("include") or ())
        thought = reasoning(number, f"Thought {number}.", sealed=f"c2VhbGVk{number}" if is_sealed else None)
        self._sealed[thought["id"]] = thought.get("encrypted_content", "")
        if tool is None:
            return [thought, message(number, FINAL_WORDS)]
        arguments = dict.fromkeys(tool["parameters"].get("properties", {}), "Paris")
        words = message(number, "Looking it up.", phase="commentary")
        return [thought, words, function_call(number, tool["name"], arguments)]

    def _look_at(self, said: list[Item], asked: dict[str, Any]) -> None:
        calls = {item["call_id"] for item in said if item.get("type") == "function_call"}
        results = {item["call_id"] for item in said if item.get("type") == "function_call_output"}
        if calls != results:
            self.faults.append(f"request {len(self.asked)}: calls {calls}, results {results}")
        if asked.get("previous_response_id") not in (None, *self._kept):
            self.faults.append(f"request {len(self.asked)}: {asked['previous_response_id']} was not given out")
        for item in said:
            if item.get("type") == "reasoning" and (item.get("encrypted_content") or "") != self._sealed.get(
                item["id"]
            ):
                self.faults.append(f"request {len(self.asked)}: the seal of {item['id']} is another one")


@asynccontextmanager
async def responses_server() -> AsyncIterator[tuple[ResponsesServer, ScriptedUpstream]]:
    """The server on a free port, and what it stands on."""
    async with scripted_upstream() as upstream:
        server = ResponsesServer(f"{upstream.base_url}/v1")
        upstream.always(server.answer)
        yield server, upstream


def _listed(given: str | list[Item]) -> list[Item]:
    said = [{"role": "user", "content": given}] if isinstance(given, str) else given
    copied: list[Item] = json.loads(json.dumps(said))
    return copied
