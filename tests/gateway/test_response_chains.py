"""Stored responses as the door uses them: chains, ids of items, bounds, and a storage that fails."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.config import AdminConfig, ResponsesConfig, StoreConfig
from gateway.kept_turns.record_memory import RecordMemory
from gateway.kept_turns.records import KeptRecords
from gateway.service import responses as module
from gateway.service import wanted as search
from gateway.service.conversations import Conversations
from gateway.service.items import all_named, id_of, named, shown
from gateway.service.ports import RecordsUnavailableError
from gateway.service.responses import Chain, StoredResponse, StoredResponses, item_id, new_response_id
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support.gateway import Secret, config_for, key, with_settings
from tests.support.stores import MIB, WEEK
from translators.errors import FailedError, TranslationError

OWNER, OTHER = b"client\0alice", b"client\0bob"


class Broken(KeptRecords):
    """Records that cannot be used."""

    def __init__(self) -> None:
        super().__init__(RecordMemory(MIB, WEEK))

    async def fetch(self, keys: object) -> dict[bytes, bytes]:
        raise RecordsUnavailableError("the disk is full")

    async def delete(self, key: object) -> bool:
        raise RecordsUnavailableError("the disk is full")


class Counting(KeptRecords):
    """Records that count what they are asked for."""

    def __init__(self) -> None:
        super().__init__(RecordMemory(64 * MIB, WEEK))
        self.asked: list[int] = []

    async def fetch(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        self.asked.append(len(keys))
        return await super().fetch(keys)


def responses(**more: bool) -> StoredResponses:
    return StoredResponses(KeptRecords(RecordMemory(64 * MIB, WEEK)), **more)


NOTHING = Chain()


def record(before: Chain = NOTHING, *, said: str = "Hi.", asked: str = "Hello", size: int = 0) -> StoredResponse:
    """A response that continues a chain."""
    made = new_response_id()
    output = {"id": item_id("msg", made, 0), "type": "message", "content": [{"type": "output_text", "text": said}]}
    return StoredResponse(
        id=made,
        created_at=1,
        model="claude-opus-5-5",
        response=b"{}",
        input_items=(orjson.dumps({"role": "user", "content": asked + "x" * size}),),
        output_items=(orjson.dumps(output),),
        ancestors=before.ancestors,
        bytes_before=before.bytes_before,
        held_before=before.held_before,
    )


def text_of(item: bytes) -> str:
    content = orjson.loads(item)["content"]
    return content if isinstance(content, str) else content[0]["text"]


async def test_a_chain_is_all_that_was_asked_and_answered_oldest_first() -> None:
    store, chain = responses(), Chain()
    for number in range(5):
        turn = record(chain, asked=f"ask {number}", said=f"say {number}")
        assert await store.keep(OWNER, turn)
        chain = await store.items_before(OWNER, turn.id)

    assert [*map(text_of, chain.items)] == [f"{verb} {number}" for number in range(5) for verb in ("ask", "say")]
    assert len(chain.ancestors) == 5
    # All but the ids that input items got when they were kept.
    assert 0 <= sum(map(len, chain.items)) - chain.bytes_before < 5 * 60


async def test_two_responses_may_continue_the_same_one() -> None:
    store, first = responses(), record()
    await store.keep(OWNER, first)
    chain = await store.items_before(OWNER, first.id)
    one, other = record(chain, asked="this"), record(chain, asked="that")
    await store.keep(OWNER, one)
    await store.keep(OWNER, other)

    assert text_of((await store.items_before(OWNER, one.id)).items[2]) == "this"
    assert text_of((await store.items_before(OWNER, other.id)).items[2]) == "that"


async def test_a_previous_response_that_is_gone_has_openais_error() -> None:
    store, first = responses(), record()
    await store.keep(OWNER, first)
    second = record(await store.items_before(OWNER, first.id))
    await store.keep(OWNER, second)
    await store.delete(OWNER, first.id)
    for owner, wanted, missing in (
        (OWNER, second.id, first.id),
        (OWNER, "resp_none", "resp_none"),
        (OTHER, second.id, second.id),
        (OWNER, "x" * 500, "x" * 128),
    ):
        with pytest.raises(TranslationError) as refusal:
            await store.items_before(owner, wanted)
        failure = refusal.value.failure
        assert failure.message == f"Previous response with id '{missing}' not found."
        assert (failure.param, failure.code) == ("previous_response_id", "previous_response_not_found")
        assert failure.rule.status == 400


async def test_an_item_is_found_by_the_id_that_it_was_given_or_got() -> None:
    store, first = responses(), record()
    await store.keep(OWNER, first)
    found = await store.find(OWNER, first.id)
    assert found is not None
    asked, said = id_of(found.input_items[0]), id_of(found.output_items[0])

    assert asked is not None
    assert said is not None
    assert re.fullmatch(r"msg_[0-9a-f]{36}", asked)
    every = {asked: found.input_items[0], said: found.output_items[0]}
    assert await store.items(OWNER, [asked, said]) == every
    assert await store.items(OTHER, [asked, said]) == {}
    wrong = [said[:-1], f"{said}0", first.id, "msg_1", "", "msg_" + "0" * 36, "x" * 500]
    assert await store.items(OWNER, wrong) == {}
    assert await store.items(OWNER, [*wrong, said]) == {said: found.output_items[0]}


async def test_references_to_many_responses_are_read_a_few_at_a_time_and_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = Counting()
    store, ids = StoredResponses(records), []
    for _ in range(20):
        turn = record(said="x" * 1000)
        await store.keep(OWNER, turn)
        ids.append(item_id("msg", turn.id, 0))
    bogus = [f"msg_{number:032x}0000" for number in range(100_000)]
    found = await store.items(OWNER, [*bogus, *ids])
    monkeypatch.setattr(search, "MOST_BYTES", 12_000)
    with pytest.raises(TranslationError):
        await store.items(OWNER, ids)

    assert found.keys() == {*ids}
    assert max(records.asked) <= 8
    # A bound for what does not exist, too; the refused request ended early.
    assert sum(records.asked) <= search.MOST_RESPONSES + 16


async def test_what_a_client_sends_with_each_request_is_found_in_the_latest_response() -> None:
    records = Counting()
    store, sealed, said = StoredResponses(records), list[bytes](), list[str]()
    for number in range(10):
        turn = record(asked=f"ask {number}")
        thought = {"id": item_id("rs", turn.id, 1), "type": "reasoning", "encrypted_content": f"seal {number}"}
        turn = replace(turn, input_items=tuple(sealed), output_items=(orjson.dumps(thought),))
        await store.keep(OWNER, turn)
        sealed.append(orjson.dumps(thought))
        said.append(thought["id"])

    assert await store.items(OWNER, [], said) == dict(zip(said, sealed, strict=True))
    assert records.asked == [1]


async def test_a_thought_that_was_stored_without_its_seal_is_searched_where_it_was_made() -> None:
    store, first = responses(), record()
    thought: dict[str, Any] = {"id": item_id("rs", first.id, 1), "type": "reasoning", "summary": []}
    sealed = orjson.dumps({**thought, "encrypted_content": "seal"})
    await store.keep(OWNER, replace(first, output_items=(sealed,)))
    second = replace(record(), input_items=(orjson.dumps(thought),))
    other: dict[str, Any] = {"id": item_id("rs", second.id, 1), "type": "reasoning", "encrypted_content": None}
    await store.keep(OWNER, replace(second, output_items=(orjson.dumps(other),)))

    assert await store.items(OWNER, [], [thought["id"], other["id"]]) == {thought["id"]: sealed}
    assert await store.items(OTHER, [], [thought["id"]]) == {}


async def test_thoughts_are_not_searched_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    records = Counting()
    store, ids = StoredResponses(records), []
    for _ in range(20):
        turn = record(said="x" * 1000)
        await store.keep(OWNER, turn)
        ids.append(item_id("rs", turn.id, 7))
    monkeypatch.setattr(search, "MOST_BYTES", 2_000)

    assert await store.items(OWNER, [], ids) == {}
    assert sum(records.asked) == 3


async def test_a_newer_state_takes_the_place_of_an_older_one() -> None:
    store, first = responses(), record()
    await store.keep(OWNER, first)
    await store.keep(OWNER, StoredResponse(id=first.id, created_at=1, model="m", response=b'{"status":"completed"}'))
    found = await store.find(OWNER, first.id)

    assert found is not None
    assert found.response == b'{"status":"completed"}'


async def test_a_chain_has_bounds_and_what_exceeds_them_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ANCESTORS", 3)
    monkeypatch.setattr(module, "MOST_CHAIN_BYTES", 10_000)
    store, chain = responses(), Chain()
    kept = []
    for _ in range(4):
        turn = record(chain)
        kept.append(await store.keep(OWNER, turn))
        chain = await store.items_before(OWNER, turn.id) if kept[-1] else chain
    large = record(size=6_000)
    is_kept = await store.keep(OWNER, large)
    larger = record(await store.items_before(OWNER, large.id), size=6_000)

    assert kept == [True, True, True, False]
    assert (is_kept, await store.keep(OWNER, larger)) == (True, False)


async def test_a_chain_is_bounded_with_what_its_responses_repeat_of_their_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MOST_HELD_BYTES", 25_000)
    store, chain = responses(), Chain()
    kept = []
    for _ in range(3):
        turn = replace(record(chain), response=b'{"instructions":"%b"}' % (b"x" * 10_000))
        kept.append(await store.keep(OWNER, turn))
        chain = await store.items_before(OWNER, turn.id) if kept[-1] else chain

    assert kept == [True, True, False]
    assert len(chain.ancestors) == 2


async def test_references_are_not_searched_for_ever_in_what_responses_repeat_of_their_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    records = Counting()
    store, ids = StoredResponses(records), []
    for _ in range(20):
        turn = replace(record(), response=b'{"instructions":"%b"}' % (b"x" * 10_000))
        await store.keep(OWNER, turn)
        ids.append(item_id("msg", turn.id, 0))
    monkeypatch.setattr(search, "MOST_SEARCHED_BYTES", 25_000)

    with pytest.raises(TranslationError, match="Send the items themselves"):
        await store.items(OWNER, ids)
    assert sum(records.asked) == 3


async def test_where_nothing_may_be_stored_nothing_is() -> None:
    store, first = responses(is_on=False), record()

    assert not await store.keep(OWNER, first)
    assert await store.find(OWNER, first.id) is None
    with pytest.raises(TranslationError, match=r"responses\.store"):
        await Conversations(is_on=False).create(OWNER, created_at=1, metadata={})


@pytest.mark.parametrize("settings", [ResponsesConfig(store=False), None])
async def test_an_operator_can_switch_it_off(settings: ResponsesConfig | None) -> None:
    config = config_for(key("http://127.0.0.1:9"))
    off = (
        with_settings(config, responses=settings) if settings else with_settings(config, store=StoreConfig(kind="off"))
    )
    async with quick_gateway(config=off) as running:
        refusal = await running.http().post("/v1/conversations", json={})
        is_on = running.gateway.services.responses.is_on

    assert_error(refusal, 400, "invalid_request_error", "store_disabled")
    assert not is_on


async def test_while_the_storage_fails_callers_are_told_to_come_back() -> None:
    broken = Broken()
    async with quick_gateway(key("http://127.0.0.1:9")) as running:
        services = running.gateway.services
        services.responses._records = services.conversations._records = services.background._runs._records = broken
        http = running.http()
        answers = [
            await http.get("/v1/responses/resp_1"),
            await http.delete("/v1/responses/resp_1"),
            await http.get("/v1/responses/resp_1/input_items"),
            await http.get("/v1/conversations/conv_1"),
            await http.get("/v1/conversations/conv_1/items"),
        ]

    for answer in answers:
        assert_error(answer, 503, "service_unavailable_error", "store_unavailable")
        assert answer.headers["retry-after"] == "2"
        assert "disk" not in answer.text
    with pytest.raises(FailedError):
        await StoredResponses(broken).items_before(OWNER, "resp_1")


async def test_a_record_that_another_release_wrote_in_another_way_is_not_found() -> None:
    records = KeptRecords(RecordMemory(MIB, WEEK))
    store, first = StoredResponses(records), record()
    await store.keep(OWNER, first)
    [place] = records.memory._records
    records.memory._records[place].value = b"\x93\x01\x02\x03"

    assert await store.find(OWNER, first.id) is None


async def test_the_admin_sees_how_much_is_stored_and_none_of_it() -> None:
    config = with_settings(config_for(key("http://127.0.0.1:9")), admin=AdminConfig(api_key=Secret("a" * 20)))
    async with quick_gateway(config=config) as running:
        seals = running.gateway.services.seals.for_caller(OWNER, "claude-opus-5-5")
        seals.open(seals.seal([b"{}"]))
        seals.open("gAAAAA")
        await running.gateway.services.responses.keep(OWNER, record(asked="Secretly"))
        answer = await running.http().get("/admin/store", headers={"x-api-key": "a" * 20})

    seen = answer.json()
    assert seen["responses"]["place"] == "memory"
    assert seen["responses"]["in_memory"] == 1
    assert seen["responses"]["counts"] == {"kept": 1, "deleted": 0, "refused": 0, "not_written": 0}
    assert seen["seals"] == {"sealed": 1, "opened": 1, "foreign": 1, "unreadable": 0}
    assert "Secretly" not in answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["id", "type", "role", "content", "status", "summary", "encrypted_content"])
KINDS = st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "input_image", "output_text"])
ITEMS = st.dictionaries(NAMES, JSON | KINDS | st.lists(st.dictionaries(NAMES, KINDS | JSON), max_size=2))


@given(item=ITEMS)
def test_any_object_can_be_kept_and_listed(item: dict[str, object]) -> None:
    raw = orjson.dumps(item)
    kept = named(raw, "1")
    listed = orjson.loads(bytes(shown(kept)))

    assert kept == raw if id_of(raw) is not None else id_of(kept) is not None
    assert [name for name, _ in json.loads(kept, object_pairs_hook=list)].count("id") == 1
    assert listed["id"] == id_of(kept)
    assert isinstance(listed["type"], str)
    assert {name: value for name, value in orjson.loads(kept).items() if name != "id"} == {
        name: value for name, value in item.items() if name != "id"
    }


async def test_while_many_items_get_their_ids_other_requests_are_served() -> None:
    served = 0

    async def serve() -> None:
        nonlocal served
        while True:
            served += 1
            await asyncio.sleep(0)

    serving = asyncio.create_task(serve())
    items = await all_named([b'{"role":"user","content":"Hi"}'] * 20_001, str)
    serving.cancel()

    assert served >= 20
    assert [id_of(items[0]), id_of(items[-1])] == ["msg_0", "msg_20000"]
