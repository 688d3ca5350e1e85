"""The models that callers can name."""

import asyncio
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import orjson
import pytest
from anthropic.types import ModelInfo

from gateway.config import ModelsConfig
from gateway.service.catalogue import Catalogue, ModelEntry
from gateway.service.routing import Aliases
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support.codex import NEEDED_OF_AN_ENTRY, VERSION
from tests.support.gateway import config_for, key, with_settings
from tests.support.scripted import (
    Answer,
    Reset,
    ScriptedUpstream,
    Silence,
    json_answer,
    refusing_upstream,
    scripted_upstream,
)
from translators.codex_card import codex_entry
from translators.models import model_table

# The dateless names come behind all ids.
BUILT_IN = [row.id for row in model_table().rows] + [name for row in model_table().rows for name in row.aliases]


def info(model: str, created_at: str = "2026-10-07T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {"type": "model", "id": model, "display_name": model.title(), "created_at": created_at, **more}


def page(*infos: dict[str, Any], has_more: bool = False) -> Answer:
    ids = [entry["id"] for entry in infos]
    ends = {"first_id": ids[0], "last_id": ids[-1]} if ids else {"first_id": None, "last_id": None}
    return json_answer(200, {"data": list(infos), "has_more": has_more, **ends})


async def listed(running: Any) -> list[str]:
    return [entry["id"] for entry in (await running.http().get("/v1/models")).json()["data"]]


async def until_listed(running: Any, model: str) -> list[str]:
    """The list as soon as this model is on it."""
    async with asyncio.timeout(60):
        while model not in (ids := await listed(running)):
            pass
        return ids


def test_before_upstream_was_asked_the_built_in_table_is_known() -> None:
    catalogue = Catalogue(Aliases({}), model_table())

    assert [entry.id for entry in catalogue.all()] == BUILT_IN
    entry = catalogue.find("claude-sonnet-5-5")
    assert entry is not None
    assert entry.created > 1_700_000_000


def test_a_dateless_spelling_is_found_under_the_name_asked_for() -> None:
    entry = Catalogue(Aliases({}), model_table()).find("claude-opus-4-5")

    assert entry is not None
    assert entry.id == "claude-opus-4-5"
    assert entry.target == "claude-opus-4-5-20251101"


@pytest.mark.parametrize("model", ["claude-nonsense-9", "", "llama-4", "claude", "claude-sonnet-5-5 "])
def test_what_nobody_knows_is_not_found(model: str) -> None:
    assert Catalogue(Aliases({}), model_table()).find(model) is None


def test_an_alias_is_listed_with_what_it_stands_for() -> None:
    catalogue = Catalogue(Aliases({"mine": "claude-haiku-5-5", "gpt-9*": "claude-opus-5-5"}), model_table())

    mine = next(entry.as_openai() for entry in catalogue.all() if entry.id == "mine")
    assert mine["root"] == "claude-haiku-5-5"
    assert mine["object"] == "model"
    assert not [entry.id for entry in catalogue.all() if "*" in entry.id]
    pattern = catalogue.find("gpt-9-mini")
    assert pattern is not None
    assert (pattern.id, pattern.target) == ("gpt-9-mini", "claude-opus-5-5")


def test_a_list_tells_what_chat_applications_ask_of_a_model() -> None:
    model = Catalogue(Aliases({}), model_table()).find("claude-haiku-4-5")

    assert model is not None
    shown = model.as_openai()
    assert (shown["name"], shown["root"]) == ("Claude Haiku 4.5", "claude-haiku-4-5-20251001")
    assert (shown["context_length"], shown["max_completion_tokens"]) == (200_000, 64_000)
    assert shown["architecture"]["input_modalities"] == ["text", "image", "file"]  # type: ignore[index]
    assert {"tools", "structured_outputs", "reasoning", "temperature"} <= set(shown["supported_parameters"])  # type: ignore[call-overload]
    assert shown["pricing"] == {
        "prompt": "0.000001",
        "completion": "0.000005",
        "input_cache_read": "0.0000001",
        "input_cache_write": "0.00000125",
    }


def test_a_model_whose_price_grows_with_the_prompt_is_listed_with_the_price_of_any_length() -> None:
    model = Catalogue(Aliases({}), model_table()).find("claude-haiku-5-5")

    assert model is not None
    assert model.as_openai()["pricing"]["prompt"] == "0.0000005"  # type: ignore[index]


def test_an_alias_is_listed_under_its_own_name() -> None:
    mine = Catalogue(Aliases({"mine": "claude-haiku-5-5"}), model_table()).find("mine")

    assert mine is not None
    assert mine.as_openai()["name"] == "mine"


def test_an_alias_for_an_unknown_model_is_not_offered() -> None:
    catalogue = Catalogue(Aliases({"mine": "claude-nonsense-9"}), model_table())

    assert catalogue.find("mine") is None
    assert "mine" not in [entry.id for entry in catalogue.all()]


async def test_upstreams_list_replaces_the_table_and_is_asked_for_with_the_key(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-sonnet-5-5"), info("claude-of-tomorrow-7", "2027-01-02T03:04:05Z")))
    async with quick_gateway(key(upstream.base_url, api_key="sk-ant-lister")) as running:
        ids = await until_listed(running, "claude-of-tomorrow-7")
        model = (await running.http().get("/v1/models/claude-of-tomorrow-7")).json()

    assert ids == ["claude-sonnet-5-5", "claude-of-tomorrow-7"]
    assert model == {
        "id": "claude-of-tomorrow-7",
        "object": "model",
        "created": 1798859045,
        "owned_by": "anthropic",
        "name": "Claude-Of-Tomorrow-7",
        # What upstream says of a model that the table does not list refines the row of the newest generation.
        "context_length": 1_000_000,
        "max_completion_tokens": 128_000,
        "architecture": ANY,
        "top_provider": ANY,
        "supported_parameters": ANY,
    }
    assert upstream.model_requests[0].headers["x-api-key"] == "sk-ant-lister"
    assert upstream.model_requests[0].headers["anthropic-version"]


async def test_a_list_of_several_pages_is_read_to_its_end(upstream: ScriptedUpstream) -> None:
    def pages(request: Any) -> Answer:
        if "after_id=b" in request.path:
            return page(info("c"))
        return page(info("a"), info("b"), has_more=True)

    upstream.models(pages)
    async with quick_gateway(key(upstream.base_url)) as running:
        assert await until_listed(running, "c") == ["a", "b", "c"]


async def test_a_list_that_never_ends_is_left(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-loop-1"), has_more=True))
    async with quick_gateway(key(upstream.base_url)) as running:
        await until_listed(running, "claude-loop-1")

    assert len(upstream.model_requests) <= 3


async def test_a_list_whose_pages_have_ever_new_ends_is_left_after_five(upstream: ScriptedUpstream) -> None:
    upstream.models(lambda _request: page(info(f"claude-x-{len(upstream.model_requests)}"), has_more=True))
    async with quick_gateway(key(upstream.base_url)) as running:
        assert len(await until_listed(running, "claude-x-2")) == 5

    assert len(upstream.model_requests) == 5


async def test_where_the_next_page_begins_is_quoted(upstream: ScriptedUpstream) -> None:
    upstream.models(
        lambda request: page(info("claude-b")) if "after_id" in request.path else page(info("a &\r\né"), has_more=True)
    )
    async with quick_gateway(key(upstream.base_url)) as running:
        await until_listed(running, "claude-b")

    assert upstream.model_requests[1].path == "/v1/models?limit=1000&after_id=a%20%26%0D%0A%C3%A9"


@pytest.mark.parametrize("value", ["1e400", "9" * 400, "[" * 300 + "]" * 300, '"\\u00e9"'])
def test_what_upstream_says_of_a_model_is_shown_as_it_is_written_also_under_another_name(value: str) -> None:
    said = f'{{"id":"claude-a","more":{value}}}'.encode()
    catalogue = Catalogue(Aliases({"mine": "claude-a"}), model_table())
    catalogue.update([ModelEntry("claude-a", 0, said)])
    mine = catalogue.find("mine")

    assert mine is not None
    assert orjson.dumps(mine.as_anthropic()) == said.replace(b'"claude-a"', b'"mine"')


@pytest.mark.parametrize(
    "model",
    [b'{"id":""}', b'{"id":"a","more":"\xff"}', b'{"id":"a","more":' + b"[" * 2000 + b"]" * 2000 + b"}", b"5"],
    ids=["no-name", "broken-text", "too-deep", "no-model"],
)
async def test_a_list_that_cannot_be_shown_is_none(upstream: ScriptedUpstream, model: bytes) -> None:
    upstream.models(json_answer(200, b'{"data":[%b]}' % model))
    async with quick_gateway(key(upstream.base_url)) as running:
        assert await listed(running) == BUILT_IN


@pytest.mark.parametrize(
    ("more", "problem"),
    [(b'"\xff"', "a text that is not valid Unicode"), (b"[" * 2000 + b"]" * 2000, "nested too deeply")],
    ids=["broken-text", "too-deep"],
)
async def test_the_log_says_in_words_why_a_list_cannot_be_read(
    upstream: ScriptedUpstream, read_log: Callable[[], str], more: bytes, problem: str
) -> None:
    upstream.models(json_answer(200, b'{"data":[{"id":"a","more":%b}]}' % more))
    async with quick_gateway(key(upstream.base_url)) as running, asyncio.timeout(60):
        while "could not be fetched" not in read_log():
            await listed(running)

    assert f"Upstream's list of models cannot be read: {problem}" in read_log()


async def test_the_lists_of_all_hosts_are_put_together(upstream: ScriptedUpstream) -> None:
    async with scripted_upstream() as other:
        upstream.models(page(info("here-1")))
        other.models(page(info("there-1")))
        async with quick_gateway(key(upstream.base_url, "a"), key(other.base_url, "b")) as running:
            ids = await until_listed(running, "there-1")

    assert sorted(ids) == ["here-1", "there-1"]


async def test_one_host_is_asked_once_whatever_the_number_of_its_keys(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-one-1")))
    async with quick_gateway(*(key(upstream.base_url, str(number)) for number in range(5))) as running:
        await until_listed(running, "claude-one-1")

    # What a key is asked to tell whose it is, is one model.
    assert len([request for request in upstream.model_requests if "limit=1000" in request.path]) == 1


BROKEN: dict[str, Answer] = {
    "refused": json_answer(401, {"type": "error", "error": {"type": "authentication_error", "message": "No."}}),
    "html": json_answer(200, b"<html>"),
    "of-another-shape": json_answer(200, {"models": []}),
    "entries-without-id": json_answer(200, {"data": [{"type": "model"}], "has_more": False}),
    "reset": Answer((Reset(),)),
    "silent": Answer((Silence(),)),
    "empty": page(),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_while_upstream_cannot_list_the_table_stands_in(upstream: ScriptedUpstream, how: str) -> None:
    upstream.models(BROKEN[how])
    async with quick_gateway(key(upstream.base_url)) as running:
        async with asyncio.timeout(60):
            while not upstream.model_requests:
                await listed(running)
        for _ in range(3):
            ids = await listed(running)

    assert ids == BUILT_IN


async def test_a_dead_upstream_does_not_keep_the_gateway_from_starting() -> None:
    with refusing_upstream() as base_url:
        async with quick_gateway(key(base_url)) as running:
            assert "claude-sonnet-5-5" in await listed(running)


async def test_the_list_is_fetched_again_and_what_was_known_stays_while_it_fails(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-first-1")))
    config = with_settings(config_for(key(upstream.base_url)), models=ModelsConfig(refresh_seconds=0.02))
    async with quick_gateway(config=config) as running:
        await until_listed(running, "claude-first-1")
        upstream.models(BROKEN["html"])
        failed = len(upstream.model_requests) + 2
        async with asyncio.timeout(60):
            while len(upstream.model_requests) < failed:
                during = await listed(running)
        upstream.models(page(info("claude-second-2")))
        after = await until_listed(running, "claude-second-2")

    assert during == ["claude-first-1"]
    assert after == ["claude-second-2"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("anthropic%2Fclaude-sonnet-5-5", "anthropic/claude-sonnet-5-5"),
        ("anthropic/claude-sonnet-5-5", "anthropic/claude-sonnet-5-5"),
        ("anthropic%2Fclaude-sonnet-4.5", "anthropic/claude-sonnet-4.5"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("my%20model:1", "my model:1"),
        ("M%C3%B6del", "Mödel"),
    ],
)
async def test_ids_may_be_percent_encoded_and_have_slashes(upstream: ScriptedUpstream, path: str, found: str) -> None:
    aliases = {"my model:1": "claude-haiku-5-5", "Mödel": "claude-haiku-5-5"}
    config = with_settings(config_for(key(upstream.base_url)), models=ModelsConfig(aliases=aliases))
    async with quick_gateway(config=config) as running:
        response = await running.http().get(f"/v1/models/{path}")

    assert response.status_code == 200
    assert response.json()["id"] == found
    assert isinstance(response.json()["created"], int)


@pytest.mark.parametrize("path", ["claude-nonsense-9", "anthropic%2Fnothing", "a/b/c", "%00", "%FF"])
async def test_an_unknown_model_is_404_in_openais_words(upstream: ScriptedUpstream, path: str) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        response = await running.http().get(f"/v1/models/{path}")

    error = assert_error(response, 404, "invalid_request_error", "model_not_found")
    assert "does not exist" in error["message"]


async def test_an_anthropic_client_gets_anthropics_shape(upstream: ScriptedUpstream) -> None:
    described = info("claude-sonnet-5-5", max_input_tokens=1_000_000, capabilities={"batch": {"supported": True}})
    upstream.models(page(described))
    config = with_settings(
        config_for(key(upstream.base_url)), models=ModelsConfig(aliases={"mine": "claude-sonnet-5-5"})
    )
    async with quick_gateway(config=config) as running:
        # The table has this model under an alias as well; only upstream's list has nothing else.
        async with asyncio.timeout(60):
            while await listed(running) != ["claude-sonnet-5-5", "mine"]:
                pass
        http = running.http()
        shown = (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
        one = (await http.get("/v1/models/mine", headers={"anthropic-version": "2023-06-01"})).json()

    assert shown["data"] == [described, {**described, "id": "mine"}]
    assert (shown["first_id"], shown["last_id"], shown["has_more"]) == ("claude-sonnet-5-5", "mine", False)
    assert one == {**described, "id": "mine"}


async def test_openais_list_has_openais_fields(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        shown = (await running.http().get("/v1/models")).json()

    assert shown["object"] == "list"
    for entry in shown["data"]:
        assert entry["object"] == "model"
        assert isinstance(entry["created"], int)
        assert entry["owned_by"]


@pytest.mark.parametrize("created_at", ["", "soon", "2026-10-07", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"])
async def test_a_date_that_cannot_be_read_does_no_harm(upstream: ScriptedUpstream, created_at: str) -> None:
    upstream.models(page(info("claude-dated-1", created_at)))
    async with quick_gateway(key(upstream.base_url)) as running:
        await until_listed(running, "claude-dated-1")
        model = (await running.http().get("/v1/models/claude-dated-1")).json()

    assert isinstance(model["created"], int)


def test_the_built_in_list_is_one_that_anthropics_sdk_takes() -> None:
    entries = Catalogue(Aliases({}), model_table()).all()
    infos = {entry.id: ModelInfo.model_validate(orjson.loads(orjson.dumps(entry.as_anthropic()))) for entry in entries}

    assert infos["claude-sonnet-5-5"].lifecycle == "active"
    retiring = infos["claude-sonnet-4-5-20250929"]
    assert (retiring.lifecycle, str(retiring.retires_at)) == ("deprecated", "2026-11-30 00:00:00+00:00")


async def test_why_the_list_could_not_be_fetched_is_told_in_words(read_log: Callable[[], str]) -> None:
    with refusing_upstream() as base_url:
        async with quick_gateway(key(base_url)) as running, asyncio.timeout(60):
            while "could not be fetched" not in read_log():
                await listed(running)

    assert 'The list of models could not be fetched key=main why="connection refused"\n' in read_log()


async def test_codex_gets_its_own_list_beside_openais(upstream: ScriptedUpstream) -> None:
    upstream.models(page(info("claude-opus-4-5-20251101"), info("claude-of-tomorrow-7", max_input_tokens=300_000)))
    config = with_settings(
        config_for(key(upstream.base_url)), models=ModelsConfig(aliases={"mine": "claude-haiku-5-5"})
    )
    async with quick_gateway(config=config) as running:
        await until_listed(running, "claude-of-tomorrow-7")
        usual = (await running.http().get("/v1/models")).json()
        shown = (await running.http().get(f"/v1/models?client_version={VERSION}")).json()

    entries = {entry["slug"]: entry for entry in shown["models"]}
    assert usual == {name: value for name, value in shown.items() if name != "models"}
    assert [*entries] == [entry["id"] for entry in usual["data"]]
    assert all(entry.keys() >= {*NEEDED_OF_AN_ENTRY} for entry in shown["models"])
    assert entries["claude-of-tomorrow-7"]["context_window"] == 300_000
    # The short name of a model that is listed is known, but not offered to choose from.
    assert entries["claude-opus-4-5-20251101"]["visibility"] == "list"
    assert entries["claude-opus-4-5"]["visibility"] == "hide"


def test_each_model_of_the_table_has_levels_of_reasoning_that_it_takes() -> None:
    table = model_table()

    for row in table.rows:
        entry = codex_entry(row.id, row.id, row, 1)
        levels: Any = entry["supported_reasoning_levels"]
        efforts = [level["effort"] for level in levels]
        assert entry["default_reasoning_level"] in efforts
        assert {*efforts} <= {*(row.efforts or ("low", "medium", "high"))}
