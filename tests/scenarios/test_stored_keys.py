"""Stored keys at a running gateway: who is let in, at once and without a restart, and who no longer is."""

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import httpx2
import pytest
from msgspec.structs import replace

from gateway.accounts import stored_rules
from gateway.accounts.keys import service as keys
from gateway.accounts.keys.form import new_id, new_key
from gateway.accounts.opening import has_stored_keys
from gateway.app import Gateway
from gateway.cli.banner import banner
from gateway.config import ModelsConfig, NativeConfig, TranslationConfig, keep_fixed
from gateway.ledger.lane import AccountsFile
from gateway.process.serving import CannotListenError, check_exposure
from tests.scenarios.harness import PATH, asking, assert_error, quick_gateway, until
from tests.support import messages
from tests.support.gateway import (
    ClientConfig,
    RetriesConfig,
    RunningGateway,
    Secret,
    config_for,
    key,
    with_settings,
)
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer
from tests.support.stored_keys import KeyDesk

SERVED = json_answer(200, messages.message())


@pytest.fixture
def desk(tmp_path: Path) -> KeyDesk:
    return KeyDesk(tmp_path)


@pytest.fixture
def only_the_test_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway looks for no changes by itself, since a look makes a database where there is none."""
    monkeypatch.setattr(keys, "POLL_SECONDS", 3600.0)
    monkeypatch.setattr(stored_rules, "POLL_SECONDS", 3600.0)


async def ask(http: httpx2.AsyncClient, token: str | None = None, path: str = PATH) -> httpx2.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return await http.post(path, json=asking(), headers=headers)


async def look(running: RunningGateway) -> None:
    """What a gateway does four times a second: look whether a key has changed."""
    assert running.gateway.keys.stored is not None
    await running.gateway.keys.stored.refresh()


async def test_the_first_key_closes_a_running_gateway(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        before = await ask(http)
        made = desk.key()
        await look(running)
        nobody, anybody, owner = await ask(http), await ask(http, "any"), await ask(http, made)

    assert before.status_code == 200
    assert_error(nobody, 401, "invalid_request_error", None)
    assert_error(anybody, 401, "invalid_request_error", "invalid_api_key")
    assert owner.status_code == 200
    assert made not in str(upstream.received)


async def test_a_key_that_is_disabled_is_refused_at_once_and_accepted_when_it_is_enabled_again(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    made = desk.key()
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        served = await ask(http, made)
        desk.disable("team-a")
        await look(running)
        refused = await ask(http, made)
        desk.run(lambda table: table.set_enabled("team-a", "test", is_enabled=True))
        await look(running)
        again = await ask(http, made)

    assert (served.status_code, again.status_code) == (200, 200)
    error = assert_error(refused, 401, "invalid_request_error", "invalid_api_key")
    assert error["message"] == "This API key is disabled. Ask whoever runs this gateway to enable it again."


async def test_a_key_ends_when_it_expires(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    made = desk.key(expires_at=2_000_000_000)
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        running.time.now = lambda: 1_999_999_999.0
        served = await ask(http, made)
        running.time.now = lambda: 2_000_000_000.0
        refused = await ask(http, made)

    assert served.status_code == 200
    error = assert_error(refused, 401, "invalid_request_error", "invalid_api_key")
    assert error["message"] == "This API key expired on 2033-05-18 at 03:33 UTC. Ask for a new one."


async def test_the_old_secret_of_a_rotated_key_lives_for_its_grace_time(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    now = 1_000_000.0
    desk.now = lambda: now
    old = desk.key()
    new = desk.run(lambda table: table.rotate("team-a", "test", 60)).key.reveal()
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        running.time.now = lambda: now + 59
        during = [await ask(http, token) for token in (old, new)]
        running.time.now = lambda: now + 60
        after = [await ask(http, token) for token in (old, new)]

    assert [answer.status_code for answer in (*during, *after)] == [200, 200, 401, 200]
    assert after[0].json()["error"]["message"].startswith("This API key was replaced by a newer one")


async def test_a_rotation_without_grace_and_a_deletion_end_a_secret_at_once(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    first, second = desk.key("a"), desk.key("b")
    new = desk.run(lambda table: table.rotate("a", "test", 0)).key.reveal()
    desk.run(lambda table: table.delete("b", "test"))
    again = desk.key("b")
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        answers = [await ask(http, token) for token in (first, second, new, again)]

    assert [answer.status_code for answer in answers] == [401, 401, 200, 200]


async def test_the_last_key_that_is_deleted_does_not_open_the_gateway(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    desk.key()
    desk.run(lambda table: table.delete("team-a", "test"))
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answer = await ask(running.http(), "any")

    assert_error(answer, 401, "invalid_request_error", "invalid_api_key")


async def test_a_typo_is_told_and_no_other_wrong_key_is(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    made = desk.key()
    wrong = KeyDesk(desk.file.parent / "another").key()
    typo = made[:20] + made[21] + made[20] + made[22:] if made[20] != made[21] else made[:-1]
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        answers = [await ask(http, token) for token in (typo, made[:-1], wrong)]

    messages_ = [assert_error(one, 401, "invalid_request_error", "invalid_api_key")["message"] for one in answers]
    assert ["It has a typo" in message for message in messages_] == [True, True, False]
    assert all(message.startswith("Incorrect API key provided: dgm-***") for message in messages_)
    assert upstream.received == []


async def test_clients_of_the_configuration_go_on_working_beside_stored_keys(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    made = desk.key()
    clients = (ClientConfig(name="app", api_key=Secret("key of the app")),)
    config = desk.within(config_for(key(upstream.base_url), clients=clients))
    async with quick_gateway(config=config) as running:
        http = running.http()
        answers = [await ask(http, token) for token in ("key of the app", made, "another")]

    assert [answer.status_code for answer in answers] == [200, 200, 401]


@pytest.mark.usefixtures("only_the_test_looks")
async def test_known_keys_go_on_working_while_the_database_is_away(
    upstream: ScriptedUpstream, desk: KeyDesk, read_log: Callable[[], str]
) -> None:
    upstream.always(SERVED)
    made = desk.key()
    away = desk.file.with_name("away.db")
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        desk.file.rename(away)
        desk.file.mkdir()
        await look(running)
        served, refused = await ask(http, made), await ask(http, "any")
        desk.file.rmdir()
        away.rename(desk.file)
        other = desk.key("other")
        await look(running)
        again = [await ask(http, made), await ask(http, other)]

    assert [answer.status_code for answer in (served, refused, *again)] == [200, 401, 200, 200]
    assert "The keys of callers can be read again" in read_log()


async def test_a_key_whose_limits_cannot_be_read_is_not_accepted(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    good, broken = desk.key("good"), desk.key("broken", limits={"models": ["claude-*"]})
    AccountsFile(desk.file).run_now(
        lambda connection: connection.execute("UPDATE keys SET limits = '{\"modles\": []}' WHERE name = 'broken'")
    )
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answers = [await ask(running.http(), token) for token in (good, broken)]

    assert [answer.status_code for answer in answers] == [200, 401]


@pytest.mark.usefixtures("only_the_test_looks")
async def test_an_empty_database_in_the_place_of_the_old_one_takes_no_key_away(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    made = desk.key()
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        for suffix in ("", "-wal", "-shm"):
            desk.file.with_name(f"{desk.file.name}{suffix}").unlink(missing_ok=True)
        await look(running)
        answers = [await ask(http, made), await ask(http, "any")]

    assert [answer.status_code for answer in answers] == [200, 401]


async def test_a_database_that_was_never_read_lets_nobody_in(
    upstream: ScriptedUpstream, desk: KeyDesk, read_log: Callable[[], str]
) -> None:
    made = KeyDesk(desk.file.parent / "another").key()
    desk.file.mkdir()
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        nobody, somebody = await ask(http), await ask(http, made)

    assert_error(nobody, 401, "invalid_request_error", None)
    assert_error(somebody, 503, "service_unavailable_error", "store_unavailable")
    assert "The keys of callers cannot be read, so none of them is accepted" in read_log()
    assert upstream.received == []


async def test_where_no_database_can_be_made_there_are_no_keys_and_nothing_closes(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.always(SERVED)
    (tmp_path / "file").write_text("in the way")
    desk = KeyDesk(tmp_path / "file")
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answer = await ask(running.http())

    assert answer.status_code == 200
    assert not has_stored_keys(desk.config)


async def test_a_corrupt_database_does_not_open_the_gateway(
    upstream: ScriptedUpstream, desk: KeyDesk, read_log: Callable[[], str]
) -> None:
    desk.key()
    desk.file.write_bytes(b"no database" * 1000)
    for suffix in ("-wal", "-shm"):
        desk.file.with_name(f"{desk.file.name}{suffix}").unlink(missing_ok=True)
    answers = []
    # The second one finds a new database, which is sound and empty.
    for _ in range(2):
        async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
            answers.append(await ask(running.http()))

    assert [answer.status_code for answer in answers] == [401, 401]
    assert "an earlier database of accounts was corrupt" in read_log()


async def test_another_secret_than_the_keys_were_made_with_is_told(
    upstream: ScriptedUpstream, desk: KeyDesk, read_log: Callable[[], str]
) -> None:
    made = desk.key()
    desk.file.with_name("accounts.db.key").unlink()
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answer = await ask(running.http(), made)

    assert_error(answer, 503, "service_unavailable_error", "store_unavailable")
    assert "the keys were made with another secret: restore the one that" in read_log()


@pytest.mark.usefixtures("only_the_test_looks")
async def test_wrong_keys_of_the_right_form_cost_no_look_up_in_the_database(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    desk.key()
    wrong = new_key(new_id())
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        parts = running.gateway.ledger._parts
        assert parts is not None
        await until(lambda: parts.writer.has_begun)
        rmtree(desk.file.parent)
        found = {running.gateway.keys.book.find(new_key(new_id())) for _ in range(10_000)}
        answer = await ask(running.http(), wrong)

        assert not desk.file.parent.exists()
    assert found == {None}
    assert answer.status_code == 401


def asking_of(running: RunningGateway, made: str) -> httpx2.AsyncClient:
    http = running.http()
    http.headers["authorization"] = f"Bearer {made}"
    return http


NATIVE = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}]}
BODIES = {
    "/v1/chat/completions": asking(),
    "/v1/completions": {"model": "claude-sonnet-5-5", "prompt": "Hi"},
    "/v1/responses": {"model": "claude-sonnet-5-5", "input": "Hi"},
    "/v1/responses/compact": {"model": "claude-sonnet-5-5", "input": "Hi"},
    "/v1/responses/input_tokens": {"model": "claude-sonnet-5-5", "input": "Hi"},
    "/v1/messages": NATIVE,
    "/v1/messages/count_tokens": NATIVE,
}


@pytest.mark.parametrize("path", BODIES)
async def test_a_model_that_a_key_is_not_for_does_not_exist_for_it(
    upstream: ScriptedUpstream, desk: KeyDesk, path: str
) -> None:
    made = desk.key(limits={"models": ["claude-haiku-*", "gpt-5"]})
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answer = await asking_of(running, made).post(path, json=BODIES[path])

    error = answer.json()["error"]
    assert answer.status_code == 404
    assert error["type"] == ("not_found_error" if "/messages" in path else "invalid_request_error")
    assert error["message"].endswith("The model `claude-sonnet-5-5` does not exist or you do not have access to it.")
    assert upstream.received == []


async def test_a_key_for_an_alias_may_use_the_alias_only(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    made = desk.key(limits={"models": ["gpt-5"]})
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = asking_of(running, made)
        answers = [
            await http.post(PATH, json=asking() | {"model": model})
            for model in ("gpt-5", "gpt-5-mini", "claude-sonnet-5-5")
        ]

    assert [answer.status_code for answer in answers] == [200, 404, 404]


async def test_the_list_of_models_has_those_that_a_key_may_use(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    made = desk.key(limits={"models": ["claude-haiku-5-5"]})
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = asking_of(running, made)
        listed = (await http.get("/v1/models?client_version=1")).json()
        native = (await http.get("/v1/models", headers={"anthropic-version": "2023-06-01"})).json()
        one, other = await http.get("/v1/models/claude-haiku-5-5"), await http.get("/v1/models/claude-sonnet-5-5")

    assert {model.get("root", model["id"]) for model in listed["data"]} == {"claude-haiku-5-5"}
    assert len(listed["models"]) == len(listed["data"])
    assert native["first_id"] == "claude-haiku-5-5"
    assert len(native["data"]) == len(listed["data"])
    assert (one.status_code, other.status_code) == (200, 404)


@pytest.mark.parametrize("path", [*BODIES, "/v1/models", "/v1/conversations", "/v1/responses/resp_1"])
async def test_an_endpoint_that_a_key_is_not_for_is_forbidden(
    upstream: ScriptedUpstream, desk: KeyDesk, path: str
) -> None:
    others = sorted(
        {"chat/completions", "completions", "responses", "messages", "models", "conversations"}
        - {path.removeprefix("/v1/"), path.removeprefix("/v1/").partition("/")[0]}
    )
    made = desk.key(limits={"endpoints": others})
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = asking_of(running, made)
        answer = await (http.get(path) if path not in BODIES and "conv" not in path else http.post(path, json={}))

    assert answer.status_code == 403
    assert "You have insufficient permissions for this operation." in answer.json()["error"]["message"]


async def test_an_address_that_a_key_is_not_for_is_forbidden_also_behind_a_proxy(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    made = desk.key(limits={"networks": ["10.1.0.0/16", "::1"]})
    config = desk.within(config_for(key(upstream.base_url)))
    async with quick_gateway(config=config) as running:
        direct = await asking_of(running, made).post(PATH, json=asking(), headers={"x-forwarded-for": "10.1.2.3"})
    config = replace(config, server=replace(config.server, trusted_proxies=("127.0.0.1/32",)))
    async with quick_gateway(config=config) as running:
        http = asking_of(running, made)
        inside = await http.post(PATH, json=asking(), headers={"x-forwarded-for": "10.1.2.3"})
        outside = await http.post(PATH, json=asking(), headers={"x-forwarded-for": "10.2.2.3"})
        native = await http.post("/v1/messages", json=NATIVE, headers={"x-forwarded-for": "10.2.2.3"})

    assert_error(direct, 403, "invalid_request_error", "ip_not_authorized")
    assert inside.status_code == 200
    assert_error(outside, 403, "invalid_request_error", "ip_not_authorized")
    assert (native.status_code, native.json()["error"]["type"]) == (403, "permission_error")


CAPPED = {
    "/v1/chat/completions": (asking(max_tokens=50), "max_tokens=50->20:key"),
    "/v1/responses": (BODIES["/v1/responses"] | {"max_output_tokens": 50}, "max_tokens=50->20:key"),
    "/v1/completions": (BODIES["/v1/completions"] | {"max_tokens": 50}, "max_tokens=50->20:key"),
    "/v1/messages": (NATIVE | {"max_tokens": 50}, "max_tokens=50->20:key"),
}


@pytest.mark.parametrize("path", CAPPED)
async def test_max_tokens_above_that_of_a_key_are_lowered_and_named(
    upstream: ScriptedUpstream, desk: KeyDesk, path: str
) -> None:
    upstream.always(SERVED)
    made = desk.key(limits={"max_tokens": 20})
    body, adjusted = CAPPED[path]
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = asking_of(running, made)
        answer = await http.post(path, json=body)
        refused = await http.post(path, json=body, headers={"x-gateway-on-unsupported": "reject"})

    (received,) = upstream.received
    assert answer.status_code == 200, answer.text
    assert received.json["max_tokens"] == 20
    assert adjusted in answer.headers["x-gateway-adjusted"]
    assert refused.status_code == 400
    assert "'max_tokens' cannot be honoured" in refused.json()["error"]["message"]


async def test_a_request_without_a_limit_gets_that_of_its_key(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    made = desk.key(limits={"max_tokens": 20})
    body = {name: value for name, value in asking().items() if name != "max_tokens"}
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        answer = await asking_of(running, made).post(PATH, json=body, headers={"x-gateway-on-unsupported": "reject"})

    assert upstream.received[0].json["max_tokens"] == 20
    assert "x-gateway-adjusted" not in answer.headers


async def test_a_key_for_named_users_wants_one(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(SERVED)
    made = desk.key(limits={"needs_end_user": True})
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http = asking_of(running, made)
        without, named = await http.post(PATH, json=asking()), await http.post(PATH, json=asking(user="u-1"))
        native = await http.post("/v1/messages", json=NATIVE | {"metadata": {"user_id": "u-1"}})

    assert_error(without, 400, "invalid_request_error", "missing_end_user")
    assert (named.status_code, native.status_code) == (200, 200)


async def test_what_belongs_to_a_key_stays_with_its_id(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    made = desk.key("team-a")
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        conversation = (await asking_of(running, made).post("/v1/conversations", json={})).json()["id"]
        place = f"/v1/conversations/{conversation}"
        rotated = desk.run(lambda table: table.rotate("team-a", "test")).key.reveal()
        desk.edit("team-a", name="team-b")
        other = desk.key("team-a")
        await look(running)
        found = [(await asking_of(running, token).get(place)).status_code for token in (made, rotated, other)]

    assert found == [200, 200, 404]


async def test_a_model_that_a_key_is_not_for_does_not_stand_in(upstream: ScriptedUpstream, desk: KeyDesk) -> None:
    upstream.always(error_answer(529, "overloaded_error", "Overloaded"))
    made = desk.key(limits={"models": ["claude-opus-*"]})
    config = with_settings(
        desk.within(config_for(key(upstream.base_url))),
        models=ModelsConfig(fallbacks={"claude-opus-5-5": ("claude-sonnet-5-5",)}),
        retries=RetriesConfig(max_attempts=1),
    )
    async with quick_gateway(config=config) as running:
        http = asking_of(running, made)
        answers = [
            await http.post(PATH, json=asking() | {"model": "claude-opus-5-5"}),
            await http.post("/v1/messages", json=NATIVE | {"model": "claude-opus-5-5"}),
        ]

    assert {request.json["model"] for request in upstream.received} == {"claude-opus-5-5"}
    assert [answer.status_code for answer in answers] == [503, 529]


OTHER_MODELS: dict[str, dict[str, object]] = {
    "fallbacks": {"fallbacks": [{"model": "claude-opus-5-5"}]},
    "advisor": {"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus-5-5"}]},
}


@pytest.mark.parametrize("what", OTHER_MODELS)
async def test_a_key_for_some_models_names_no_others_in_fields_and_tools(
    upstream: ScriptedUpstream, desk: KeyDesk, what: str
) -> None:
    upstream.always(SERVED)
    limited, free = desk.key("limited", limits={"models": ["claude-sonnet-*"]}), desk.key("free")
    config = with_settings(
        desk.within(config_for(key(upstream.base_url))),
        native=NativeConfig(fields=("*",), server_tools=("*",), betas=("*",)),
        translation=TranslationConfig(allow_native=("fallbacks",)),
    )
    async with quick_gateway(config=config) as running:
        seen = []
        for token in (limited, free):
            http = asking_of(running, token)
            await http.post(PATH, json=asking() | OTHER_MODELS[what])
            native = await http.post("/v1/messages", json=NATIVE | OTHER_MODELS[what])
            seen.append((native.status_code, "claude-opus-5-5" in str([one.json for one in upstream.received])))

    # Chat completions go without it, as without other fields that are not allowed.
    assert seen == [(400, False), (200, True)]


async def test_the_guard_of_an_open_port_and_its_pages_go_with_the_first_key(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    upstream.always(SERVED)
    async with quick_gateway(config=desk.within(config_for(key(upstream.base_url)))) as running:
        http, page = running.http(), {"origin": "http://localhost:3000"}
        before = [
            await http.post(PATH, json=asking(), headers={"host": "gateway.example.com"}),
            await http.post(PATH, json=asking(), headers=page),
        ]
        made = desk.key()
        await look(running)
        http.headers["authorization"] = f"Bearer {made}"
        after = [
            await http.post(PATH, json=asking(), headers={"host": "gateway.example.com"}),
            await http.post(PATH, json=asking(), headers=page),
        ]

    assert [answer.status_code for answer in (*before, *after)] == [403, 200, 200, 200]
    assert ["access-control-allow-origin" in answer.headers for answer in (before[1], after[1])] == [True, False]


def test_an_address_that_others_reach_needs_clients_or_keys(desk: KeyDesk) -> None:
    config = desk.within(config_for(key("http://127.0.0.1:9")))
    config = with_settings(config, server=replace(config.server, host="0.0.0.0"))
    with pytest.raises(CannotListenError, match="dragoman keys create"):
        check_exposure(config)
    assert not desk.file.exists()

    desk.key()
    check_exposure(config)


async def test_the_gateway_is_never_open_on_an_address_that_others_reach(
    upstream: ScriptedUpstream, desk: KeyDesk
) -> None:
    config = desk.within(config_for(key(upstream.base_url)))
    async with quick_gateway(config=with_settings(config, server=replace(config.server, host="0.0.0.0"))) as running:
        answer = await running.http().post(PATH, json=asking())

    assert_error(answer, 401, "invalid_request_error", None)


def test_where_accounts_are_changes_only_with_a_restart(desk: KeyDesk) -> None:
    running = desk.within(config_for(key("http://127.0.0.1:9")))
    wanted = replace(running, accounts=replace(running.accounts, path="/elsewhere.db", keep_days=1.0))

    kept, fixed = keep_fixed(running, wanted)

    assert (kept.accounts.path, kept.accounts.keep_days, fixed) == (running.accounts.path, 1.0, ("accounts.path",))


def test_the_banner_says_that_callers_need_a_key(desk: KeyDesk) -> None:
    gateway = Gateway(desk.within(config_for(key("http://127.0.0.1:9"))), callers_base_url="http://127.0.0.1:9")
    before = banner(gateway, "http://127.0.0.1:8080", "1")
    desk.key()
    after = banner(gateway, "http://127.0.0.1:8080", "1")

    assert "anybody on this machine, until there are clients or keys for callers" in before
    assert "each with a key, see `dragoman keys list`" in after
    assert 'api_key="YOUR_CLIENT_KEY"' in after
