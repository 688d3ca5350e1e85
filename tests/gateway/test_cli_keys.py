"""`dragoman keys`: what it prints, on the database and at a running gateway."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config import AdminConfig
from tests.scenarios.harness import quick_gateway
from tests.support.commands import outcome
from tests.support.gateway import Secret, config_for, key, with_settings
from tests.support.stored_keys import KeyDesk

ADMIN = "the-admins-own-key"


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path)}


async def typed(state: dict[str, str], *arguments: str) -> str:
    code, out, err = await outcome("keys", *arguments, **state)
    assert code == 0, err
    return out


async def as_json(state: dict[str, str], *arguments: str) -> Any:
    return json.loads(await typed(state, *arguments, "--json"))


async def test_a_new_key_stands_alone_on_standard_output(state: dict[str, str]) -> None:
    code, out, err = await outcome("keys", "create", "--name", "team-a", **state)

    assert code == 0
    assert out.startswith("dgm-")
    assert len(out.splitlines()) == 1
    assert "Copy it now" in err
    assert out.strip() not in err


async def test_each_option_of_a_new_key_is_set(state: dict[str, str]) -> None:
    made = await as_json(
        state,
        *("create", "team-a", "--group", "g", "--models", "claude-*, gpt-5", "--endpoints", "/v1/messages,models"),
        *("--networks", "10.0.0.7/8,::1", "--max-tokens", "4000", "--needs-end-user", "--sees-key"),
        *("--expires", "2099-01-31", "--tag", "x", "--tag", "y", "--metadata", "owner=Ann", "--metadata", "q=a=b"),
    )

    assert made["limits"] == {
        "models": ["claude-*", "gpt-5"],
        "endpoints": ["messages", "models"],
        "networks": ["10.0.0.0/8", "::1/128"],
        "max_tokens": 4000,
        "needs_end_user": True,
    }
    assert (made["group"], made["tags"], made["sees_key"]) == ("g", ["x", "y"], True)
    assert made["metadata"] == {"owner": "Ann", "q": "a=b"}
    assert made["expires_at"] == 4_073_500_800


async def test_a_key_is_edited_rotated_switched_and_deleted(state: dict[str, str]) -> None:
    await typed(state, "create", "team-a", "--models", "claude-*", "--max-tokens", "5", "--expires", "90d")
    edited = await as_json(state, "edit", "team-a", "--models", "", "--expires", "never", "--name", "team-b")
    rotated = await as_json(state, "rotate", edited["prefix"], "--grace", "2h")
    disabled = await as_json(state, "disable", edited["id"])
    enabled = await as_json(state, "enable", rotated["key"])
    deleted = await typed(state, "delete", "team-b")
    code, _, err = await outcome("keys", "show", "team-b", **state)

    assert (edited["limits"]["models"], edited["limits"]["max_tokens"], edited["expires_at"]) == ([], 5, None)
    assert rotated["old_secret_until"] is not None
    assert (disabled["state"], enabled["state"]) == ("disabled", "active")
    assert deleted == f"The key {edited['id']} is deleted.\n"
    assert (code, err) == (1, "There is no key 'team-b'.\n")


async def test_the_list_has_the_keys_of_both_sources(state: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("keys: [{name: k, api_key: sk-ant-x}]\nclients: [{name: app, api_key: the-key-of-the-app}]")
    more = state | {"DRAGOMAN_CONFIG": str(file)}
    await typed(more, "create", "team-a", "--group", "g", "--models", "claude-*", "--tag", "t")
    shown = await typed(more, "list")
    listed = await as_json(more, "list", "--tag", "t")
    code, _, err = await outcome("keys", "create", "app", **more)

    heads, stored, configured = (line.split() for line in shown.splitlines())
    assert heads == ["name", "id", "group", "state", "expires", "limits", "tags"]
    assert [stored[0], *stored[2:]] == ["team-a", "g", "active", "models=claude-*", "t"]
    assert configured == ["app", "(configuration)", "active"]
    assert [entry["name"] for entry in (*listed["data"], *listed["configured"])] == ["team-a", "app"]
    assert (code, err) == (1, "The name 'app' belongs to a client of the configuration.\n")


async def test_the_audit_says_who_typed(state: dict[str, str]) -> None:
    await typed(state, "create", "team-a")
    await typed(state, "disable", "team-a")
    shown = await typed(state, "audit")
    listed = await as_json(state, "audit", "--limit", "1")
    older = await as_json(state, "audit", "--after", "2")

    assert "on the command line" in shown
    assert [line["action"] for line in (*listed["data"], *older["data"])] == ["key.disabled", "key.created"]
    assert listed["has_more"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create",), "A key needs a name: dragoman keys create NAME."),
        (("create", "a", "--expires", "soon"), "--expires: expected a time like 90d, a date like 2027-01-31, or never"),
        (("create", "a", "--max-tokens", "many"), "--max-tokens: expected a number, or '' for no limit, got 'many'."),
        (("create", "a", "--max-tokens", "0"), "Expected `int` >= 1"),
        (("create", "a", "--metadata", "x"), "--metadata: expected NAME=VALUE, got 'x'."),
        (("create", "a", "--networks", "10.0.0.300"), "'10.0.0.300' is neither an address nor a network"),
        (("create", "n" * 101), "Expected `str` of length <= 100"),
        (("edit", "a"), "Nothing to change: say what, for instance --max-tokens 4000."),
        (("rotate", "a", "--grace", "x"), "--grace: expected a time like 2h, 1d or 0s, got 'x'."),
        (("audit", "--limit", "0"), "--limit: expected a number from 1 to 100."),
        (("show", "a"), "There is no key 'a'."),
    ],
)
async def test_what_is_wrong_is_told(state: dict[str, str], arguments: tuple[str, ...], said: str) -> None:
    code, out, err = await outcome("keys", *arguments, **state)

    assert (code, out) == (1, "")
    assert said in err


async def test_without_accounts_there_are_no_keys(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("accounts: {kind: off}")
    code, _, err = await outcome("keys", "list", "--config", str(file))

    assert code == 1
    assert err.startswith("accounts.kind is off in this configuration")


async def test_a_running_gateway_is_asked_by_its_url(tmp_path: Path) -> None:
    config = with_settings(
        KeyDesk(tmp_path).within(config_for(key("http://127.0.0.1:9"))), admin=AdminConfig(api_key=Secret(ADMIN))
    )
    async with quick_gateway(config=config) as running:
        more = {"DRAGOMAN_ADMIN_KEY": ADMIN}
        at = ("--url", running.url)
        made = await as_json(more, "create", "team/a b", "--models", "claude-*", *at)
        edited = await as_json(more, "edit", "team/a b", "--group", "g", *at)
        rotated = await as_json(more, "rotate", made["id"], *at)
        states = [(await as_json(more, action, made["id"], *at))["state"] for action in ("disable", "enable")]
        listed = await as_json(more, "list", *at)
        audit = await as_json(more, "audit", *at)
        deleted = await as_json(more, "delete", made["id"], *at)
        gone = await outcome("keys", "show", made["id"], *at, **more)
        wrong = await outcome("keys", "list", *at, DRAGOMAN_ADMIN_KEY="another-key-of-sixteen")
        nobody = await outcome("keys", "list", *at)
    away = await outcome("keys", "list", *at, **more)

    assert (edited["group"], rotated["id"] == made["id"], states) == ("g", True, ["disabled", "active"])
    assert [entry["id"] for entry in listed["data"]] == [made["id"]]
    assert audit["data"][0]["actor"] == "admin at 127.0.0.1"
    assert deleted["deleted"]
    assert (gone[0], "deleted" in gone[1]) == (0, True)
    assert "says 401: This is not the admin key of this gateway." in wrong[2]
    assert nobody[2].startswith("There is no admin key")
    assert away[2].startswith(f"No gateway answers at {running.url}")
