"""Stored responses and conversations as clients see them: the official SDK, and requests that no client sends."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx2
import openai
import orjson
import pytest

from gateway.accounts.auth import Caller
from gateway.config import ResponsesConfig
from gateway.service.responses import StoredResponse, StoredResponses, item_id, new_response_id
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support.gateway import ClientConfig, Config, RunningGateway, Secret, config_for, key, with_settings

ALICE, BOB = "client-key-of-alice", "client-key-of-bobby"
OWNER = Caller("alice").scope


def two_clients() -> Config:
    """Two callers, who never reach upstream."""
    names = {"alice": ALICE, "bob": BOB}
    clients = [ClientConfig(name=name, api_key=Secret(secret)) for name, secret in names.items()]
    return config_for(key("http://127.0.0.1:9"), clients=clients)


def response(response_id: str, text: str = "Hi.") -> dict[str, Any]:
    """A response object as typed clients accept it."""
    return {
        "id": response_id,
        "object": "response",
        "created_at": 1_800_000_000,
        "status": "completed",
        "model": "claude-opus-5-5",
        "output": [answer(response_id, text)],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "metadata": {"topic": "tides"},
    }


def answer(response_id: str, text: str) -> dict[str, Any]:
    return {
        "id": item_id("msg", response_id, 0),
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}],
    }


async def kept(
    responses: StoredResponses, *inputs: object, before: Sequence[str] = (), text: str = "Hi.", owner: bytes = OWNER
) -> str:
    """Keep a response that was made from these items; gives its id."""
    made = new_response_id()
    record = StoredResponse(
        id=made,
        created_at=1_800_000_000,
        model="claude-opus-5-5",
        response=orjson.dumps(response(made, text)),
        input_items=tuple(map(orjson.dumps, inputs)),
        output_items=(orjson.dumps(answer(made, text)),),
        ancestors=tuple(before),
    )
    assert await responses.keep(owner, record)
    return made


def user(text: str, **more: object) -> dict[str, object]:
    return {"role": "user", "content": text, **more}


def texts(page: Sequence[Any]) -> list[str]:
    return [item.content[0].text for item in page]


def responses_of(running: RunningGateway) -> StoredResponses:
    return running.gateway.services.responses


# Responses.


async def test_a_response_is_retrieved_as_it_was_answered() -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running), user("Hello"))
        found = await running.openai(api_key=ALICE).responses.retrieve(made)

    assert (found.id, found.output_text, found.metadata) == (made, "Hi.", {"topic": "tides"})


async def test_a_response_is_retrieved_and_deleted_without_v1_and_with_a_query() -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running))
        http = running.http()
        http.headers["authorization"] = f"Bearer {ALICE}"
        found = await http.get(f"/responses/{made}?beta=true")
        gone = await http.delete(f"/responses/{made}?beta=true")
        after = await http.get(f"/v1/responses/{made}?beta=true")

    assert found.json()["id"] == made
    assert gone.json() == {"id": made, "object": "response", "deleted": True}
    assert assert_error(after, 404, "invalid_request_error", None)["message"] == f"Response with id '{made}' not found."


async def test_a_deleted_response_is_gone_for_all_that_would_use_it() -> None:
    async with quick_gateway(config=two_clients()) as running:
        responses, client = responses_of(running), running.openai(api_key=ALICE)
        first = await kept(responses, user("One"))
        second = await kept(responses, user("Two"), before=[first])
        await client.responses.delete(first)
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.responses.input_items.list(second)
        with pytest.raises(openai.NotFoundError):
            await client.responses.delete(first)

    assert refusal.value.code == "previous_response_not_found"


async def test_another_callers_response_does_not_exist() -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running), user("Secret"))
        client = running.openai(api_key=BOB)
        for attempt in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
            with pytest.raises(openai.NotFoundError):
                await attempt(made)
        found = await running.openai(api_key=ALICE).responses.retrieve(made)

    assert found.id == made


async def test_input_items_are_those_of_the_whole_chain_newest_first() -> None:
    async with quick_gateway(config=two_clients()) as running:
        responses, client = responses_of(running), running.openai(api_key=ALICE)
        first = await kept(responses, user("One"), text="Uno.")
        second = await kept(responses, user("Two"), user("Three"), before=[first])
        newest = await client.responses.input_items.list(second)
        oldest = await client.responses.input_items.list(second, order="asc")

    assert texts(newest.data) == ["Three", "Two", "Uno.", "One"]
    assert texts(oldest.data) == ["One", "Uno.", "Two", "Three"]
    assert [item.type for item in oldest.data] == ["message"] * 4
    assert [item.status for item in oldest.data if item.type == "message"] == ["completed"] * 4


async def test_input_items_come_in_pages() -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running), *(user(str(number)) for number in range(7)))
        client = running.openai(api_key=ALICE)
        first = await client.responses.input_items.list(made, limit=3, order="asc")
        every = [item async for item in client.responses.input_items.list(made, limit=3, order="asc")]
        last = await client.responses.input_items.list(made, limit=3, order="asc", after=every[-1].id or "")

    assert (texts(first.data), first.has_more) == (["0", "1", "2"], True)
    assert texts(every) == [str(number) for number in range(7)]
    assert len({item.id for item in every}) == 7
    assert (last.data, last.has_more) == ([], False)


async def test_a_list_completes_what_clients_left_out() -> None:
    picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
    inputs = [
        {"role": "user", "content": [picture]},
        {"role": "assistant", "content": "Yes", "phase": "final_answer"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "ok", "id": None},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed"},
    ]
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running), *inputs)
        http = running.http()
        http.headers["authorization"] = f"Bearer {ALICE}"
        url = f"/v1/responses/{made}/input_items?order=asc"
        plain = (await http.get(url)).json()
        sealed = (await http.get(f"{url}&include%5B%5D=reasoning.encrypted_content")).json()

    seen, said, call, result, thought = plain["data"]
    assert seen["content"] == [{**picture, "detail": "auto"}]
    assert said["content"] == [{"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []}]
    assert said["phase"] == "final_answer"
    assert [item["status"] for item in (seen, said, call, result)] == ["completed"] * 4
    assert [item["id"].partition("_")[0] for item in plain["data"]] == ["msg", "msg", "fc", "fco", "rs"]
    assert "encrypted_content" not in thought
    assert sealed["data"][4]["encrypted_content"] == "sealed"
    assert (plain["first_id"], plain["last_id"]) == (seen["id"], "rs_1")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=%D9%A1", "limit"),
        ("order=up", "order"),
        ("&".join(f"a{number}=1" for number in range(200)), None),
    ],
)
async def test_a_wrong_query_is_refused(query: str, param: str | None) -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running), user("One"))
        refusal = await running.http().get(
            f"/v1/responses/{made}/input_items?{query}", headers={"authorization": f"Bearer {ALICE}"}
        )

    assert refusal.status_code == 400
    assert refusal.json()["error"]["param"] == param


async def test_the_stream_of_a_response_that_was_not_made_in_the_background_is_not_replayed() -> None:
    async with quick_gateway(config=two_clients()) as running:
        made = await kept(responses_of(running))
        with pytest.raises(openai.BadRequestError) as refusal:
            await running.openai(api_key=ALICE).responses.retrieve(made, stream=True)

    assert refusal.value.param == "stream"


async def test_a_caller_without_a_key_gets_nothing() -> None:
    async with quick_gateway(config=two_clients()) as running:
        http = running.http()
        answers = [
            await http.get("/v1/responses/resp_1"),
            await http.delete("/v1/responses/resp_1"),
            await http.get("/v1/responses/resp_1/input_items"),
            await http.post("/v1/conversations", json={}),
            await http.get("/v1/conversations/conv_1"),
            await http.get("/v1/conversations/conv_1/items"),
            await http.delete("/v1/conversations/conv_1/items/msg_1"),
        ]

    assert [found.status_code for found in answers] == [401] * 7


@pytest.mark.parametrize("wrong", ["resp_x", "x" * 5000, "%00", "resp_%F0%9F%8C%8A", "..", "resp_" + "0" * 32])
async def test_an_id_of_nothing_that_is_stored_is_not_found(wrong: str) -> None:
    async with quick_gateway(config=two_clients()) as running:
        http = running.http()
        http.headers["authorization"] = f"Bearer {ALICE}"
        answers = [await http.get(f"/v1/{kind}/{wrong}") for kind in ("responses", "conversations")]

    assert [found.status_code for found in answers] == [404, 404]
    assert all(len(found.content) < 2000 for found in answers)


# Conversations.


async def test_a_conversation_is_created_changed_and_deleted() -> None:
    async with quick_gateway(config=two_clients()) as running:
        client = running.openai(api_key=ALICE)
        made = await client.conversations.create(metadata={"a": "1"}, items=[{"role": "user", "content": "Hello"}])
        found = await client.conversations.retrieve(made.id)
        changed = await client.conversations.update(made.id, metadata={"b": "2"})
        again = await client.conversations.retrieve(made.id)
        items = await client.conversations.items.list(made.id)
        gone = await client.conversations.delete(made.id)
        with pytest.raises(openai.NotFoundError) as missing:
            await client.conversations.retrieve(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.conversations.items.list(made.id)

    assert (made.object, made.metadata, found) == ("conversation", {"a": "1"}, made)
    assert changed.metadata == again.metadata == {"b": "2"}
    assert changed.created_at == made.created_at
    assert texts(items.data) == ["Hello"]
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "conversation.deleted")
    assert missing.value.body == {
        "message": f"Conversation with id '{made.id}' not found.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }


async def test_items_are_added_found_listed_and_deleted() -> None:
    async with quick_gateway(config=two_clients()) as running:
        client = running.openai(api_key=ALICE)
        made = await client.conversations.create()
        added = await client.conversations.items.create(
            made.id,
            items=[
                {"role": "user", "content": "One"},
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}", "id": "fc_mine"},
            ],
        )
        more = await client.conversations.items.create(made.id, items=[{"role": "user", "content": "Two"}])
        one = await client.conversations.items.retrieve("fc_mine", conversation_id=made.id)
        rest = await client.conversations.items.delete("fc_mine", conversation_id=made.id)
        with pytest.raises(openai.NotFoundError):
            await client.conversations.items.retrieve("fc_mine", conversation_id=made.id)
        with pytest.raises(openai.NotFoundError):
            await client.conversations.items.delete("fc_mine", conversation_id=made.id)
        every = [item async for item in client.conversations.items.list(made.id, limit=1, order="asc")]
        newest = await client.conversations.items.list(made.id, limit=1)

    assert [item.id for item in added.data] == [added.first_id, "fc_mine"]
    assert added.last_id == "fc_mine"
    assert (one.type, rest.id) == ("function_call", made.id)
    assert [item.id for item in every] == [added.first_id, more.first_id]
    assert (texts(newest.data), newest.has_more) == (["Two"], True)


async def test_an_item_that_is_added_again_stays_where_it_is() -> None:
    async with quick_gateway(config=two_clients()) as running:
        client = running.openai(api_key=ALICE)
        made = await client.conversations.create(items=[{"role": "user", "content": "One"}])
        [first] = (await client.conversations.items.list(made.id)).data
        again: Any = first.to_dict()
        await client.conversations.items.create(made.id, items=[{"role": "user", "content": "Two"}, again])
        items = await client.conversations.items.list(made.id, order="asc")

    assert texts(items.data) == ["One", "Two"]


async def test_items_that_are_added_at_the_same_time_are_all_kept() -> None:
    async with quick_gateway(config=two_clients()) as running:
        client = running.openai(api_key=ALICE)
        made = await client.conversations.create()
        await asyncio.gather(
            *(client.conversations.items.create(made.id, items=[user(str(number))]) for number in range(30))  # type: ignore[list-item]
        )
        items = await client.conversations.items.list(made.id, limit=100)

    assert sorted(texts(items.data), key=int) == [str(number) for number in range(30)]


async def test_another_callers_conversation_does_not_exist() -> None:
    async with quick_gateway(config=two_clients()) as running:
        alice, bob = running.openai(api_key=ALICE).conversations, running.openai(api_key=BOB).conversations
        made = await alice.create(items=[{"role": "user", "content": "Secret"}])
        [item] = (await alice.items.list(made.id)).data
        assert item.id
        for attempt in (
            bob.retrieve(made.id),
            bob.update(made.id, metadata={}),
            bob.delete(made.id),
            bob.items.create(made.id, items=[{"role": "user", "content": "Mine"}]),
            bob.items.retrieve(item.id, conversation_id=made.id),
            bob.items.delete(item.id, conversation_id=made.id),
        ):
            with pytest.raises(openai.NotFoundError):
                await attempt
        found = await alice.items.list(made.id)

    assert texts(found.data) == ["Secret"]


def test_the_synchronous_client_sees_the_same() -> None:
    """In a thread, since the gateway runs in this test's loop."""

    def use(base_url: str) -> list[str]:
        with openai.OpenAI(base_url=base_url, api_key=ALICE, max_retries=0) as client:
            made = client.conversations.create(items=[{"role": "user", "content": "One"}])
            client.conversations.items.create(made.id, items=[{"role": "user", "content": "Two"}])
            found = [*client.conversations.items.list(made.id, limit=1, order="asc")]
            client.conversations.delete(made.id)
            return texts(found)

    async def serve() -> list[str]:
        async with quick_gateway(config=two_clients()) as running:
            return await asyncio.to_thread(use, running.base_url)

    assert asyncio.run(serve()) == ["One", "Two"]


# Bodies that no client sends.


async def posted(body: bytes, path: str = "/v1/conversations") -> httpx2.Response:
    async with quick_gateway(config=two_clients()) as running:
        return await running.http().post(path, content=body, headers={"authorization": f"Bearer {ALICE}"})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"items": [1]}', "items[0]"),
        (b'{"items": [{"id": 7}]}', "items[0].id"),
        (b'{"items": [{"id": ""}]}', "items[0].id"),
        (orjson.dumps({"items": [{"id": "x" * 200}]}), "items[0].id"),
        (orjson.dumps({"items": [{}] * 21}), "items"),
        (b'{"items": [{"id": "\\ud800"}]}', "items[0].id"),
        (b'{"items": [{"type": "\\ud800"}]}', "items[0].type"),
        (b'{"items": [{"\\ud800": 1}]}', None),
        (b'{"items": [{"role": "user", "content": "\\ud800"}]}', "items[0].content"),
        (b'{"items": {}}', "items"),
        (b'{"metadata": []}', "metadata"),
        (b'{"metadata": {"a": 1}}', "metadata[...]"),
        (orjson.dumps({"metadata": {str(number): "" for number in range(17)}}), "metadata"),
        (orjson.dumps({"metadata": {"a": "x" * 513}}), "metadata.a"),
        (orjson.dumps({"metadata": {"a" * 65: "x"}}), "metadata"),
        (b"[", None),
        (b'{"items": [{"content": "\xff"}]}', None),
        (b'{"items": [' + b"[" * 5000 + b"]" * 5000 + b"]}", None),
        (b'{"items": [{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}]}", None),
        (b'{"items": [{"a": [' + b"1," * 300_000 + b"1]}]}", None),
    ],
)
async def test_a_body_that_is_wrong_is_refused_with_its_place(body: bytes, param: str | None) -> None:
    refusal = await posted(body)

    assert refusal.status_code == 400, refusal.text
    assert refusal.json()["error"]["param"] == param


async def test_a_body_that_is_too_large_is_refused() -> None:
    config = two_clients()
    small = with_settings(config, server=type(config.server)(port=0, max_body_bytes=1000))
    async with quick_gateway(config=small) as running:
        refusal = await running.http().post(
            "/v1/conversations", content=b" " * 1001, headers={"authorization": f"Bearer {ALICE}"}
        )

    assert_error(refusal, 413, "invalid_request_error", "request_too_large")


@pytest.mark.parametrize(
    "item",
    [
        b'{"role": "user", "content": [7, [], null]}',
        b'{"type": 7, "role": [], "content": {}, "status": false}',
        b'{"type": "reasoning", "summary": 7, "encrypted_content": {}}',
    ],
)
async def test_an_item_that_no_model_would_take_is_kept_and_listed(item: bytes) -> None:
    async with quick_gateway(config=two_clients()) as running:
        http = running.http()
        http.headers["authorization"] = f"Bearer {ALICE}"
        made = (await http.post("/v1/conversations", content=b'{"items": [' + item + b"]}")).json()["id"]
        found = await http.get(f"/v1/conversations/{made}/items")
        one = await http.get(f"/v1/conversations/{made}/items/{found.json()['first_id']}")

    assert found.status_code == one.status_code == 200
    assert len(found.json()["data"]) == 1
    assert one.json() == found.json()["data"][0]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"items": null, "metadata": null, "other": 1}', b'{"items": [{}]}'])
async def test_a_body_may_be_nearly_empty(body: bytes) -> None:
    made = await posted(body)

    assert made.json()["object"] == "conversation"
    assert made.json()["metadata"] == {}


async def test_a_conversation_takes_no_more_than_its_share_of_the_memory() -> None:
    small = with_settings(two_clients(), responses=ResponsesConfig(memory_bytes=1024 * 1024))
    async with quick_gateway(config=small) as running:
        client = running.openai(api_key=ALICE)
        made = await client.conversations.create()
        items: Any = [{"role": "user", "content": "x" * 50_000}]
        for _ in range(4):
            await client.conversations.items.create(made.id, items=items)
        with pytest.raises(openai.BadRequestError) as refusal:
            await client.conversations.items.create(made.id, items=items * 3)
        found = await client.conversations.items.list(made.id, limit=100)

    assert refusal.value.code == "conversation_full"
    assert len(found.data) == 4
