"""Models under the names that callers have for them, through a running gateway."""

from typing import Any

import pytest

from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import ScriptedUpstream, json_answer


async def sent(upstream: ScriptedUpstream, body: dict[str, Any], path: str = PATH) -> tuple[list[dict[str, Any]], str]:
    """What goes upstream, and what the answer says was adjusted."""
    upstream.script(json_answer(200, messages.message("Hello.")))
    async with quick_gateway(key(upstream.base_url)) as running:
        answer = await running.http().post(path, json=body)
    assert answer.status_code == 200, answer.text
    return [request.json for request in upstream.received], answer.headers.get("x-gateway-adjusted", "")


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("claude-opus-4.5", "claude-opus-4-5"),
        ("claude-opus-5-5@default", "claude-opus-5-5"),
        ("bedrock/us.anthropic.claude-opus-4-5-20251101-v1:0", "claude-opus-4-5-20251101"),
    ],
)
@pytest.mark.parametrize("path", [PATH, "/v1/messages"])
async def test_a_spelling_of_others_is_asked_for_by_its_id(
    upstream: ScriptedUpstream, name: str, model: str, path: str
) -> None:
    bodies, _ = await sent(upstream, asking(model=name), path)

    assert [body["model"] for body in bodies] == [model]


async def test_an_effort_in_the_name_is_the_requests_effort(upstream: ScriptedUpstream) -> None:
    bodies, _ = await sent(upstream, asking(model="claude-opus-5-5-xhigh"))

    assert bodies[0]["model"] == "claude-opus-5-5"
    assert bodies[0]["output_config"] == {"effort": "xhigh"}


async def test_the_requests_own_effort_wins_over_that_of_the_name(upstream: ScriptedUpstream) -> None:
    bodies, _ = await sent(upstream, asking(model="claude-opus-5-5-xhigh", reasoning_effort="low"))

    assert bodies[0]["output_config"] == {"effort": "low"}


async def test_thinking_in_the_name_makes_the_model_think(upstream: ScriptedUpstream) -> None:
    bodies, _ = await sent(upstream, asking(model="claude-sonnet-4-5-thinking", max_tokens=4000))

    assert bodies[0]["model"] == "claude-sonnet-4-5"
    assert bodies[0]["thinking"]["type"] == "enabled"


async def test_a_native_request_says_by_itself_how_much_to_think(upstream: ScriptedUpstream) -> None:
    bodies, adjusted = await sent(upstream, asking(model="claude-opus-5-5-xhigh"), "/v1/messages")

    assert bodies[0]["model"] == "claude-opus-5-5"
    assert "output_config" not in bodies[0]
    assert adjusted == "model=suffix-dropped"
