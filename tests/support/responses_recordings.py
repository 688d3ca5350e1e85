"""What was recorded of the Responses API: the requests that were kept, and what they ask for that Claude lacks."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.recordings import NOT_FOUND, Recording, load_recordings

GROUP = "openai_responses_recorded"
PATH = "/v1/responses"

# Tools that OpenAI runs and Claude has no counterpart for; `code_interpreter` and `mcp` have one that the operator
# has to allow.
NOT_CLAUDES = {"file_search", "image_generation", "computer", "computer_use_preview", "tool_search"}
IF_ALLOWED = {"code_interpreter", "mcp"}


def recorded_requests() -> Iterator[Recording]:
    """The recordings whose request to `/v1/responses` was kept, by name, each with its answer."""
    for recording in load_recordings(GROUP):
        if recording.request_known and (recording.meta.get("http") or {}).get("path") == PATH:
            yield recording


def request_params() -> list[pytest.ParameterSet]:
    """Recorded requests for `pytest.mark.parametrize`; where there are none, one parameter that is skipped."""
    params = [pytest.param(recording, id=recording.name) for recording in recorded_requests()]
    return params or [pytest.param(None, id="no-recordings", marks=pytest.mark.skip(reason=NOT_FOUND))]


def recorded_responses(*, streamed: bool) -> list[Recording]:
    """Recordings that hold an answer of the API: a stream, or a whole Response object."""
    return [
        recording
        for recording in load_recordings(GROUP, streamed=streamed, status=200)
        if streamed or b'"output"' in recording.response
    ]


def hosted_tools(request: dict[str, Any]) -> set[str]:
    """The types of tools in a request that are no function, custom tool or namespace."""
    return {tool["type"] for tool in request.get("tools") or ()} - {"function", "custom", "namespace"}
