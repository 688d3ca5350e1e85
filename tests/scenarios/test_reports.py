"""What the gateway says about an answer beside the answer."""

import pytest

from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import key
from tests.support.scripted import ScriptedUpstream, json_answer, stream_answer


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_report_is_given_to_those_who_ask_for_it(upstream: ScriptedUpstream, is_streamed: bool) -> None:
    events = [b'event: tomorrow\ndata: {"type":"tomorrow"}\n\n', *messages.text_stream("Hi")]
    for _ in range(2):
        upstream.script(stream_answer(*events) if is_streamed else json_answer(200, messages.message("Hi")))
    async with quick_gateway(key(upstream.base_url)) as running:
        body = asking(stream=is_streamed)
        plain = await running.http().post(PATH, json=body)
        told = await running.http().post(PATH, json=body, headers={"x-gateway-report": "1"})

    assert '"gateway"' not in plain.text
    report = f'"gateway":{{"stop_reason":"end_turn","unknown_events":{int(is_streamed)}}}'
    assert told.text.count(report) == 1


async def test_limits_of_the_key_are_told_in_openais_headers(upstream: ScriptedUpstream) -> None:
    limits = {
        "anthropic-ratelimit-requests-limit": "1000",
        "anthropic-ratelimit-tokens-remaining": "9000",
    }
    upstream.script(json_answer(200, messages.message("Hi"), headers=limits))
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().post(PATH, json=asking())

    told = {name: value for name, value in response.headers.items() if "ratelimit" in name}
    assert told == {"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-tokens": "9000"}
