"""The official SDK as a second judge of a Responses stream: its types, strictly, and what its helper assembles."""

from typing import Any

from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_RESPONSES: TypeAdapter[Response] = TypeAdapter(Response)
# Events that are sent and that the SDK has no type for.
NOT_TYPED = ("keepalive", "error")


def sdk_violations(events: list[dict[str, Any]]) -> list[str]:
    """Events that the SDK's types refuse, and what its `responses.stream()` stumbles over."""
    state = ResponseStreamState(text_format=omit, input_tools=omit)
    for number, event in enumerate(events):
        if event.get("type") in NOT_TYPED:
            continue
        try:
            state.handle_event(_EVENTS.validate_python(event, strict=True))
        except (ValidationError, RuntimeError, IndexError, AssertionError) as error:
            return [f"event {number} {event.get('type')}: {error}"]
    return []


def sdk_response(response: dict[str, Any]) -> Response:
    """A whole response as the SDK's type, strictly; raises pydantic's `ValidationError`."""
    return _RESPONSES.validate_python(response, strict=True)
