"""Two hundred streams at once: all complete, none has anything of another."""

import asyncio

import pytest

from tests.scenarios.harness import PATH, asking, assert_whole, no_lease_is_out, quick_gateway
from tests.support import messages
from tests.support.gateway import RunningGateway, key
from tests.support.scripted import Answer, ReceivedRequest, ScriptedUpstream, Wait, json_answer, stream_answer

COUNT = 200


def words_of(name: str) -> list[str]:
    return [f"{name}:{number} " for number in range(20)]


async def test_interleaved_streams_do_not_mix(upstream: ScriptedUpstream) -> None:
    gates = [asyncio.Event() for _ in range(COUNT)]

    def answer(request: ReceivedRequest) -> Answer:
        name = request.json["messages"][0]["content"]
        first, *rest = messages.text_stream(pieces=words_of(name), message_id=f"msg_{name}")
        number = int(name.removeprefix("s"))
        # Each waits in another place, and all go on at once.
        place = number % (len(rest) - 1)
        return stream_answer(first, *rest[:place], Wait(gates[number]), *rest[place:])

    upstream.always(answer)
    async with quick_gateway(
        key(upstream.base_url),
    ) as running:
        http = running.http()
        asked = [asyncio.create_task(http.post(PATH, json=asking(f"s{number}", stream=True))) for number in range(100)]
        other = running.http()
        asked += [
            asyncio.create_task(other.post(PATH, json=asking(f"s{number}", stream=True)))
            for number in range(100, COUNT)
        ]
        await upstream.wait_for_requests(COUNT)
        for gate in reversed(gates):
            gate.set()
        answers = await asyncio.gather(*asked)
        await no_lease_is_out(running)

    for number, response in enumerate(answers):
        assert_whole(response.text, "".join(words_of(f"s{number}")))
        assert response.text.count(f'"id":"chatcmpl-msg_s{number}"') == len(response.text.split("\n\n")) - 2


async def test_whole_answers_do_not_mix_either(upstream: ScriptedUpstream) -> None:
    upstream.always(lambda request: json_answer(200, messages.message(request.json["messages"][0]["content"])))
    async with quick_gateway(key(upstream.base_url)) as running:
        clients = [running.http() for _ in range(2)]
        answers = await asyncio.gather(
            *(clients[number % 2].post(PATH, json=asking(f"s{number}")) for number in range(COUNT))
        )
        await no_lease_is_out(running)

    said = [response.json()["choices"][0]["message"]["content"] for response in answers]
    assert said == [f"s{number}" for number in range(COUNT)]
    assert len({response.headers["x-request-id"] for response in answers}) == COUNT


@pytest.mark.parametrize("weights", [(1, 1), (3, 1)])
async def test_keys_share_the_streams_by_their_weight(upstream: ScriptedUpstream, weights: tuple[int, int]) -> None:
    upstream.always(stream_answer(*messages.text_stream()))
    keys = [key(upstream.base_url, f"k{n}", f"sk-ant-{n}", weight) for n, weight in enumerate(weights)]
    async with quick_gateway(*keys) as running:
        await _ask_often(running, 40)

    shares = [sum(request.api_key == f"sk-ant-{n}" for request in upstream.received) for n in range(2)]
    assert shares == [40 * weight // sum(weights) for weight in weights]


async def _ask_often(running: RunningGateway, count: int) -> None:
    http = running.http()
    await asyncio.gather(*(http.post(PATH, json=asking(stream=True)) for _ in range(count)))
