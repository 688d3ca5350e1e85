"""Attacks on what the gateway keeps for its callers: responses, conversations, seals, answers in the background."""

import json
from typing import Any

from tests.scenarios.hostile.bodies import RESPONSES_PATH
from tests.scenarios.hostile.http_attacks import Attack
from tests.scenarios.hostile.target import HONEST_KEY, Target, each, order

MODEL = "claude-sonnet-5-5"
CONVERSATIONS_PATH = "/v1/conversations"
# As much as a conversation takes. Of smaller items the allocator keeps the memory, some 80 MB, for the next ones.
_ITEMS = [{"role": "user", "content": "z" * 1_400_000}] * 20
_MOST_JOBS = 60


def asking_for_response(words: object = "Hi", **more: Any) -> dict[str, Any]:
    """A request of the Responses API."""
    return {"model": MODEL, "input": words, **more}


async def _post(target: Target, body: object, path: str = RESPONSES_PATH, **more: Any) -> tuple[int, Any]:
    status, answer = await target.post(json.dumps(body).encode(), path, **more)
    return status, json.loads(answer) if answer.startswith(b"{") else answer


async def large_conversation(target: Target) -> None:
    """Small requests, all at once, that each make the gateway read and send a conversation of 30 MB."""
    _, made = await _post(target, {}, CONVERSATIONS_PATH)
    path = f"{CONVERSATIONS_PATH}/{made['id']}"
    status, answer = await _post(target, {"items": _ITEMS}, f"{path}/items")
    assert status == 200, answer
    asked = asking_for_response(order("large"), conversation=made["id"], store=False)

    async def go_on() -> None:
        status, answer = await _post(target, asked)
        # The answers belong to the conversation, which is full at some point.
        assert status == 200 or answer["error"]["code"] == "conversation_full", (status, answer)

    await each(go_on() for _ in range(12))
    await target.ask("DELETE", path)


async def long_chain(target: Target) -> None:
    """A small request that continues responses with large instructions, and refers to the items of all of them."""
    before: dict[str, str] = {}
    items = []
    for _ in range(8):
        status, answer = await _post(target, asking_for_response(instructions="i" * 2_000_000, **before))
        assert status == 200, answer
        before = {"previous_response_id": answer["id"]}
        items += [{"type": "item_reference", "id": item["id"]} for item in answer["output"]]

    async def go_on() -> None:
        status, answer = await _post(target, asking_for_response(items, **before))
        assert status in (200, 400), (status, answer)

    await each(go_on() for _ in range(12))


async def others_state(target: Target) -> None:
    """Ids and seals of somebody else: they are those that never were, and nothing of them is told."""
    secret = order("mine")
    sealed = {"include": ["reasoning.encrypted_content"], "store": True}
    _, mine = await _post(target, asking_for_response(secret, **sealed), key=HONEST_KEY)
    _, talk = await _post(target, {"items": [{"role": "user", "content": secret}]}, CONVERSATIONS_PATH, key=HONEST_KEY)
    response, item, conversation = mine["id"], mine["output"][0]["id"], talk["id"]
    one, many = f"{RESPONSES_PATH}/{response}", f"{CONVERSATIONS_PATH}/{conversation}"
    paths = (one, f"{one}/input_items", f"{one}?stream=true", many, f"{many}/items", f"{many}/items/{item}")
    for method, path in [("GET", path) for path in paths] + [("DELETE", one), ("DELETE", many)]:
        status, answer = await target.ask(method, path)
        assert (status, secret.encode() in answer) == (404, False), (method, path, status, answer)
    for path, body in (
        (f"{one}/cancel", {}),
        (many, {"metadata": {"a": "b"}}),
        (f"{many}/items", {"items": [{"role": "user", "content": "x"}]}),
        (RESPONSES_PATH, asking_for_response(previous_response_id=response)),
        (RESPONSES_PATH, asking_for_response(conversation=conversation)),
        (RESPONSES_PATH, asking_for_response([{"type": "item_reference", "id": item}])),
    ):
        status, answer = await _post(target, body, path)
        assert status in (400, 404), (path, status, answer)
        assert secret not in str(answer), (path, answer)
    status, _ = await target.ask("GET", many, key=HONEST_KEY)
    assert status == 200


async def many_in_the_background(target: Target) -> None:
    """As many responses in the background as there may be, which never end, until all are cancelled and deleted."""
    asked = asking_for_response(order("silent_halfway"), background=True)
    made: list[str] = []

    async def start() -> None:
        status, answer = await _post(target, {**asked, "input": order("silent_halfway")})
        assert status in (200, 429), (status, answer)
        made.extend([answer["id"]] if status == 200 else [])

    await each(start() for _ in range(_MOST_JOBS))
    assert 0 < len(made) < _MOST_JOBS
    paths = [f"{RESPONSES_PATH}/{one}" for one in made]
    await each(target.ask("GET", f"{path}?stream=true", seconds=0.2) for path in paths * 2)
    await each(work for path in paths for work in (target.ask("DELETE", path), _post(target, {}, f"{path}/cancel")))


async def odd_ids(target: Target) -> None:
    """Ids that are none: too long, with control characters, with other paths in them."""
    for odd in ("a" * 50_000, "resp_%0d%0a2026 injected=1", "..%2f..%2fadmin", "%00%ff", "%ed%a0%80"):
        for path in (f"{RESPONSES_PATH}/{odd}", f"{CONVERSATIONS_PATH}/{odd}/items?after={odd[:5000]}"):
            for method in ("GET", "DELETE"):
                status, answer = await target.ask(method, path.replace(" ", "%20"))
                assert status in (404, 405), (method, path[:80], status, answer[:200])
    status, _ = await target.ask("GET", f"/v1/models?client_version={'9' * 50_000}")
    assert status == 200
    assert not [line for line in target.log if line.startswith("2026 injected")]


STATE_ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (large_conversation, long_chain, others_state, many_in_the_background, odd_ids)
}
