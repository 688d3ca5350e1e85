"""`/admin/keys`, `/admin/audit` and `/v1/key`: keys made, changed and looked at over HTTP."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway.accounts import pace
from gateway.config import AdminConfig
from tests.scenarios.harness import PATH, asking, assert_error, quick_gateway
from tests.support import messages
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key, with_settings
from tests.support.scripted import ScriptedUpstream, json_answer
from tests.support.stored_keys import KeyDesk

ADMIN, VIEWER, CLIENT = "the admin's own key", "the viewer's own key", "the client's own key"
BOSS = {"authorization": f"Bearer {ADMIN}"}
KEYS = "/admin/keys"


@pytest.fixture
def desk(tmp_path: Path) -> KeyDesk:
    return KeyDesk(tmp_path)


@pytest.fixture
async def running(upstream: ScriptedUpstream, desk: KeyDesk) -> AsyncIterator[RunningGateway]:
    upstream.always(json_answer(200, messages.message()))
    clients = (ClientConfig(name="app", api_key=Secret(CLIENT), group="ops"),)
    config = with_settings(
        desk.within(config_for(key(upstream.base_url), clients=clients)),
        admin=AdminConfig(api_key=Secret(ADMIN), viewer_key=Secret(VIEWER)),
    )
    async with quick_gateway(config=config) as found:
        yield found


async def made(http: httpx2.AsyncClient, **fields: object) -> dict[str, object]:
    answer = await http.post(KEYS, json=fields, headers=BOSS)
    assert answer.status_code == 200, answer.text
    shown: dict[str, object] = answer.json()
    return shown


async def test_a_key_that_was_made_over_http_is_accepted_at_once_and_shown_once(running: RunningGateway) -> None:
    http = running.http()
    limits = {"models": ["claude-*"], "max_tokens": 5000}

    new = await made(http, name="team-a", group="research", limits=limits, tags=["x"], metadata={"owner": "Ann"})
    served = await http.post(PATH, json=asking(), headers={"authorization": f"Bearer {new['key']}"})
    shown = (await http.get(f"{KEYS}/{new['id']}", headers=BOSS)).json()

    assert served.status_code == 200
    assert shown == {name: value for name, value in new.items() if name != "key"}
    assert shown["limits"] == {
        "models": ["claude-*"],
        "endpoints": [],
        "networks": [],
        "max_tokens": 5000,
        "needs_end_user": False,
    }
    assert (shown["state"], shown["source"], shown["group"], shown["tags"]) == ("active", "store", "research", ["x"])


async def test_a_key_is_changed_by_the_fields_that_are_sent(running: RunningGateway) -> None:
    http = running.http()
    new = await made(http, name="team-a", group="g", limits={"models": ["claude-*"], "max_tokens": 10}, tags=["x"])
    place = f"{KEYS}/{new['id']}"

    changed = await http.patch(place, json={"name": "team-b", "limits": {"max_tokens": None}}, headers=BOSS)
    ended = await http.patch(place, json={"group": None, "limits": None, "expires_at": 1}, headers=BOSS)

    one, two = changed.json(), ended.json()
    assert (one["name"], one["group"], one["limits"]["models"], one["limits"]["max_tokens"]) == (
        "team-b",
        "g",
        ["claude-*"],
        None,
    )
    assert (two["group"], two["limits"]["models"], two["tags"], two["state"]) == (None, [], ["x"], "expired")


async def test_a_key_is_rotated_disabled_enabled_and_deleted(running: RunningGateway) -> None:
    http = running.http()
    new = await made(http, name="team-a")
    place = f"{KEYS}/team-a"

    rotated = (await http.post(f"{place}/rotate", json={"grace_seconds": 0}, headers=BOSS)).json()
    statuses = [
        (await http.get("/v1/key", headers={"x-api-key": str(token)})).status_code
        for token in (new["key"], rotated["key"])
    ]
    for action in ("disable", "enable"):
        shown = (await http.post(f"{place}/{action}", headers=BOSS)).json()
        statuses.append(shown["state"])
        statuses.append((await http.get("/v1/key", headers={"x-api-key": rotated["key"]})).status_code)
    deleted = (await http.delete(place, headers=BOSS)).json()
    statuses.append((await http.get("/v1/key", headers={"x-api-key": rotated["key"]})).status_code)
    gone = await http.post(f"{place}/enable", headers=BOSS)

    assert rotated["id"] == new["id"]
    assert statuses == [401, 200, "disabled", 401, "active", 200, 401]
    assert deleted == {"id": new["id"], "object": "key", "deleted": True}
    assert_error(gone, 404, "invalid_request_error", "key_not_found")


async def test_the_name_of_a_deleted_key_is_free_and_others_are_taken(running: RunningGateway) -> None:
    http = running.http()
    first = await made(http, name="team-a")
    twice = await http.post(KEYS, json={"name": "team-a"}, headers=BOSS)
    clients = await http.post(KEYS, json={"name": "app"}, headers=BOSS)
    await http.delete(f"{KEYS}/team-a", headers=BOSS)
    again = await made(http, name="team-a")

    assert_error(twice, 400, "invalid_request_error", "name_taken")
    assert_error(clients, 400, "invalid_request_error", "name_taken")
    assert again["id"] != first["id"]


async def test_keys_are_listed_in_pages_beside_those_of_the_configuration(running: RunningGateway) -> None:
    http = running.http()
    ids = [(await made(http, name=f"k{number}", group="g", tags=["t"]))["id"] for number in range(3)]
    await made(http, name="other")

    first = (await http.get(f"{KEYS}?limit=2&group=g", headers=BOSS)).json()
    second = (await http.get(f"{KEYS}?limit=2&group=g&tag=t&after={first['last_id']}", headers=BOSS)).json()
    named = (await http.get(f"{KEYS}?name=other", headers=BOSS)).json()

    assert [entry["id"] for entry in (*first["data"], *second["data"])] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert first["configured"] == [
        {"object": "key", "name": "app", "group": "ops", "state": "active", "source": "configuration"}
    ]
    assert "configured" not in second
    assert [entry["name"] for entry in named["data"]] == ["other"]


async def test_a_client_of_the_configuration_is_changed_there(running: RunningGateway) -> None:
    answer = await running.http().post(f"{KEYS}/app/disable", headers=BOSS)

    assert_error(answer, 400, "invalid_request_error", "key_of_configuration")


async def test_deleted_keys_are_listed_on_request(running: RunningGateway) -> None:
    http = running.http()
    await made(http, name="team-a")
    await http.delete(f"{KEYS}/team-a", headers=BOSS)

    usual = (await http.get(KEYS, headers=BOSS)).json()["data"]
    (deleted,) = (await http.get(f"{KEYS}?deleted=true", headers=BOSS)).json()["data"]

    assert usual == []
    assert deleted["state"] == "deleted"


async def test_viewers_may_look_and_nobody_else_may(running: RunningGateway) -> None:
    http = running.http()
    new = await made(http, name="team-a")
    looks = [await http.get(path, headers={"x-api-key": VIEWER}) for path in (KEYS, "/admin/audit", "/admin/pool")]
    changes = [
        await http.request(method, path, headers={"x-api-key": VIEWER})
        for method, path in (
            ("POST", KEYS),
            ("PATCH", f"{KEYS}/team-a"),
            ("DELETE", f"{KEYS}/team-a"),
            ("POST", f"{KEYS}/team-a/rotate"),
            ("POST", f"{KEYS}/team-a/disable"),
        )
    ]
    others = [
        await http.get(path, headers={"x-api-key": str(token)})
        for path in (KEYS, f"{KEYS}/team-a", "/admin/audit")
        for token in (CLIENT, new["key"])
    ]

    assert [look.status_code for look in looks] == [200, 200, 200]
    for change in changes:
        assert_error(change, 403, "invalid_request_error", "viewer_only_reads")
    for other in others:
        assert_error(other, 401, "invalid_request_error", "invalid_api_key")
    assert (await http.get(KEYS)).status_code == 401


async def test_each_change_has_its_line_in_the_audit(running: RunningGateway) -> None:
    http = running.http()
    new = await made(http, name="team-a")
    for action in ("disable", "disable", "enable", "rotate"):
        await http.post(f"{KEYS}/team-a/{action}", headers=BOSS)
    await http.patch(f"{KEYS}/team-a", json={"name": "team-b"}, headers=BOSS)
    await http.post(KEYS, json={"name": "team-b"}, headers=BOSS)
    await http.delete(f"{KEYS}/team-b", headers=BOSS)

    audit = (await http.get("/admin/audit?limit=4", headers=BOSS)).json()
    older = (await http.get(f"/admin/audit?after={audit['last_id']}", headers=BOSS)).json()

    lines = [*audit["data"], *older["data"]]
    assert [line["action"] for line in lines] == [
        "key.deleted",
        "key.changed",
        "key.rotated",
        "key.enabled",
        "key.disabled",
        "key.created",
    ]
    assert {line["actor"] for line in lines} == {"admin at 127.0.0.1"}
    assert {line["subject"] for line in lines} == {new["id"]}
    assert lines[1]["details"] == {"name": "team-b"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "dgm-a"}, "name"),
        ({"name": "a", "limits": {"networks": ["10.0.0.300"]}}, "limits"),
        ({"name": "a", "limits": {"endpoints": ["embeddings"]}}, "limits"),
        ({"name": "a", "limits": {"models": ["m"] * 101}}, "limits.models"),
        ({"name": "a", "limits": {"max_tokens": 0}}, "limits.max_tokens"),
        ({"name": "a", "limits": {"model": ["x"]}}, "limits"),
        ({"name": "a", "tags": ["t" * 65]}, "tags[0]"),
        ({"name": "a", "metadata": {"a": "v" * 513}}, "metadata"),
        ({"name": "a", "expires_at": 5, "expires_in": 5}, "expires_in"),
        ({"name": "a", "expires_at": 1e15}, "expires_at"),
    ],
)
async def test_a_key_that_cannot_be_is_refused_with_the_place(
    running: RunningGateway, fields: dict[str, object], param: str
) -> None:
    answer = await running.http().post(KEYS, json=fields, headers=BOSS)

    error = assert_error(answer, 400, "invalid_request_error", answer.json()["error"]["code"])
    assert (error["param"] or "").startswith(param) or not fields, error


async def test_changes_have_a_pace(running: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "PER_SECOND", 1e-9)
    http = running.http()
    answers = [await http.post(f"{KEYS}/none/disable", headers=BOSS) for _ in range(int(pace.BURST) + 1)]
    look = await http.get(KEYS, headers=BOSS)

    assert {answer.status_code for answer in answers[:-1]} == {404}
    assert_error(answers[-1], 429, "rate_limit_error", "rate_limit_exceeded")
    assert look.status_code == 200


async def test_a_caller_sees_its_own_key(running: RunningGateway) -> None:
    http = running.http()
    new = await made(http, name="team-a", group="g", limits={"endpoints": ["messages"]}, expires_at=32_000_000_000)

    own = (await http.get("/v1/key", headers={"x-api-key": str(new["key"])})).json()
    clients = (await http.get("/key", headers={"x-api-key": CLIENT})).json()

    assert own == {
        "object": "key",
        "id": new["id"],
        "name": "team-a",
        "group": "g",
        "prefix": str(new["key"])[:16],
        "expires_at": 32_000_000_000,
        "limits": new["limits"],
        "rules": [],
    }
    assert (clients["id"], clients["name"], clients["group"]) == (None, "app", "ops")
    assert (await http.get("/v1/key")).status_code == 401


async def test_without_accounts_there_are_no_keys_to_administer(upstream: ScriptedUpstream) -> None:
    config = with_settings(config_for(key(upstream.base_url)), admin=AdminConfig(api_key=Secret(ADMIN)))
    async with quick_gateway(config=config) as running:
        answer = await running.http().get(KEYS, headers=BOSS)

    assert_error(answer, 403, "invalid_request_error", "accounts_off")


async def test_no_more_keys_than_fit_into_memory(
    running: RunningGateway, desk: KeyDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.accounts.keys.table.MOST_KEYS", 2)
    http = running.http()
    await made(http, name="a")
    await made(http, name="b")
    refused = await http.post(KEYS, json={"name": "c"}, headers=BOSS)
    await http.delete(f"{KEYS}/a", headers=BOSS)

    assert refused.status_code == 400
    assert (await made(http, name="c"))["name"] == "c"
