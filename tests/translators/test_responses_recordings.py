"""Requests of the Responses API that clients have sent to OpenAI: each is understood."""

import json

import pytest

from tests.support.recordings import Recording, recording_params
from tests.support.response_requests import SEALER
from translators.responses.read import read_body
from translators.responses.request import read_request

GROUPS = ("openai_responses_recorded", "openai_recorded", "openai_compat_recorded")
PARAMS = [param for group in GROUPS for param in recording_params(group, kind="responses")]
# What is dropped of them, by the name that is told.
DROPPED = {
    "tools.file_search",
    "tools.mcp",
    "tools.tool_search",
    "tools.defer_loading",
    "tools.web_search",
}


@pytest.mark.parametrize("recording", PARAMS)
def test_a_recorded_request_is_understood(recording: Recording) -> None:
    if not recording.request_known:
        pytest.skip("the source kept only the answer")
    body = json.dumps(recording.request).encode()

    read = read_body(body)
    # What was stored at OpenAI is not there.
    given = recording.request["input"]
    outputs = [item for item in given if item.get("type") == "function_call_output"] if isinstance(given, list) else []
    earlier = [
        json.dumps({"type": "function_call", "call_id": item["call_id"], "name": "f", "arguments": "{}"}).encode()
        for item in outputs
        if read.previous_response_id is not None
    ]
    request = read_request(read, SEALER, earlier)

    assert set(request.intent.lost) <= DROPPED
    assert request.intent.unknown_fields == 0
    assert request.intent.messages
    assert request.intent.noted == []
