"""What the console reads and does besides: an overview, models, settings, standings of rules, keys of the pool."""

from typing import Any

import pytest

from gateway.accounts.rules.definition import Definition
from gateway.config import AdminConfig, Config, check_draft, config_table
from gateway.telemetry.requests.recent import SLICES, Now, Recent, merged
from tests.scenarios.harness import KEY_A, KEY_B, PATH, asking, assert_error, quick_gateway
from tests.support import messages
from tests.support.ended import NOW, ended, entry
from tests.support.gateway import Secret, config_for, key, with_settings
from tests.support.pools import MODEL, pool_of, taken
from tests.support.scripted import ScriptedUpstream, json_answer
from tests.support.stored_keys import KeyDesk

ADMIN = {"authorization": "Bearer admin-key-of-the-operator"}


def administered(config: Config) -> Config:
    return with_settings(config, admin=AdminConfig(api_key=Secret("admin-key-of-the-operator")))


# Keys of the pool


def test_a_key_that_is_taken_out_gets_no_request_until_it_is_put_back() -> None:
    pool = pool_of("a", "b")
    running = taken(pool, 0.0, only="a")

    assert pool.take_out("a", is_out=True)
    assert {taken(pool, 0.0).key.name for _ in range(3)} == {"b"}
    assert pool.usable(0.0) == 1
    assert running.key.name == "a"

    assert pool.take_out("a", is_out=False)
    assert taken(pool, 0.0, only="a").key.name == "a"
    assert not pool.take_out("c", is_out=True)


def test_a_key_that_is_taken_out_stays_out_over_a_reload() -> None:
    pool = pool_of("a", "b")
    pool.take_out("a", is_out=True)

    pool.update([state.key for state in pool.states])

    assert taken(pool, 0.0).key.name == "b"


def test_a_key_is_probed_when_somebody_asks() -> None:
    pool = pool_of("a", "b")
    assert pool.due_probes(0.0) == []

    assert pool.ask_again("a", 5.0)
    assert pool.due_probes(5.0) == ["a"]
    pool.probed("a", is_well=True, now=5.0)

    assert pool.due_probes(1e9) == []


async def test_an_administrator_takes_a_key_out_and_puts_it_back(upstream: ScriptedUpstream, tmp_path: Any) -> None:
    desk = KeyDesk(tmp_path)
    config = config_for(key(upstream.base_url, "first", KEY_A), key(upstream.base_url, "a/b", KEY_B))
    async with quick_gateway(config=desk.within(administered(config))) as running:
        http = running.http()
        out = await http.post("/admin/pool/a%2Fb/take_out", headers=ADMIN)
        states = [each["standing"]["state"] for each in (await _pool(http))["keys"]]
        back = await http.post("/admin/pool/a%2Fb/put_back", headers=ADMIN)
        after = [each["standing"]["state"] for each in (await _pool(http))["keys"]]
        unknown = await http.post("/admin/pool/third/probe", headers=ADMIN)
        wrong = await http.post("/admin/pool/first/delete", headers=ADMIN)
        nobody = await http.post("/admin/pool/first/take_out")

    assert out.json() == {"key": "a/b", "order": "take_out", "workers": 1, "missing": []}
    assert (states, after) == (["ready", "taken_out"], ["ready", "ready"])
    assert back.status_code == 200
    assert_error(unknown, 404, "invalid_request_error", None)
    assert wrong.status_code == 404
    assert nobody.status_code == 401
    audit, _ = desk.run(lambda table: table.audit(None, 10))
    assert [(line.action, line.subject) for line in audit] == [("pool.put_back", "a/b"), ("pool.take_out", "a/b")]


async def _pool(http: Any) -> Any:
    return (await http.get("/admin/pool", headers=ADMIN)).json()["pool"]


# The last fifteen minutes


def test_requests_are_counted_in_the_slice_in_which_they_ended() -> None:
    recent = Recent(lambda: NOW + 60)
    recent.note(ended(1, entry(), at=NOW, seconds=4.0, read_seconds=0.1))
    recent.note(ended(2, entry(), at=NOW - 30, seconds=4.0, error="overloaded", status=529))

    shown: Any = merged([Now(2, 1, 3, recent.slices())], NOW + 60)
    series = shown["series"]

    assert shown["now"] == {"open": 2, "streams": 1, "waiting": 3}
    assert (len(series["requests"]), sum(series["requests"]), sum(series["errors"])) == (SLICES, 2, 1)
    assert series["requests"][(int(NOW) - shown["start"]) // 5] == 1
    assert shown["total"]["first_p50_ms"] == pytest.approx(1000, rel=0.1)
    assert shown["total"]["total_p99_ms"] == pytest.approx(4000, rel=0.1)
    assert series["first_p50_ms"][0] is None


def test_what_workers_have_counted_is_added_up_and_what_is_old_is_forgotten() -> None:
    now = NOW
    recent = Recent(lambda: now)
    for number in range(SLICES + 10):
        recent.note(ended(number, entry(), at=NOW + 5 * number, seconds=1.0))
    now = NOW + 5 * (SLICES + 10)

    shown: Any = merged([Now(1, 0, 0, recent.slices())] * 2, now)

    assert len(recent.slices()) <= SLICES
    assert max(shown["series"]["requests"]) == 2
    assert shown["now"]["open"] == 2


async def test_the_overview_shows_requests_at_once(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        upstream.script(json_answer(200, messages.message()))
        await http.post(PATH, json=asking())
        shown = (await http.get("/admin/overview", headers=ADMIN)).json()

    assert shown["total"]["requests"] == 1
    assert shown["total"]["nano_dollars"] > 0


# Models, rules, settings


async def test_models_are_told_with_prices_aliases_and_lessons(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(config_for(key(upstream.base_url)))) as running:
        shown = (await running.http().get("/admin/models", headers=ADMIN)).json()

    row = next(each for each in shown["models"] if each["id"] == MODEL)
    assert row["prices"][0]["input"] > 0
    assert row["context"] > 0
    assert any(each["name"] == "gpt-*" and each["model"] == MODEL for each in shown["aliases"])
    assert shown["lessons"] == []


async def test_rules_are_told_with_what_is_used_of_them(upstream: ScriptedUpstream) -> None:
    rule = Definition(id="calls", what="requests", amount=10, window="day")
    config = with_settings(config_for(key(upstream.base_url)), rules=(rule,))
    async with quick_gateway(config=administered(config)) as running:
        http = running.http()
        upstream.script(json_answer(200, messages.message()))
        await http.post(PATH, json=asking())
        shown = (await http.get("/admin/rules/standings", headers=ADMIN)).json()["standings"]

    assert [(each["rule"], each["limit"], each["used"], each["subject"]) for each in shown] == [("calls", 10, 1, "")]


async def test_settings_are_told_with_their_meaning_and_without_secrets(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(config_for(key(upstream.base_url, api_key=KEY_A)))) as running:
        answer = await running.http().get("/admin/settings", headers=ADMIN)

    sections = {section["name"]: section for section in answer.json()["sections"]}
    (main,) = ({each["name"]: each for each in entry} for entry in sections["keys"]["entries"])
    assert main["api_key"] == {
        "name": "api_key",
        "value": "set",
        "source": "configuration",
        "meaning": "The key itself: a text, usually ${NAME}, or its source.",
    }
    assert main["weight"]["source"] == "default"
    assert KEY_A not in answer.text
    assert "admin-key-of-the-operator" not in answer.text


def test_every_setting_has_a_meaning() -> None:
    unexplained = [
        (section["name"], each["name"])
        for section in config_table(Config())
        for each in section.get("settings", ())  # type: ignore[attr-defined]
        if not each["meaning"]
    ]

    assert unexplained == []


async def test_a_draft_is_told_its_mistakes(upstream: ScriptedUpstream) -> None:
    async with quick_gateway(config=administered(config_for(key(upstream.base_url)))) as running:
        http = running.http()
        wrong = await http.post("/admin/settings/check", headers=ADMIN, json={"yaml": "server:\n  prot: 1\n"})
        right = await http.post("/admin/settings/check", headers=ADMIN, json={"yaml": "server:\n  port: 1\n"})
        large = await http.post("/admin/settings/check", headers=ADMIN, json={"yaml": "#" * 70_000})

    (mistake,) = wrong.json()["mistakes"]
    assert (mistake["path"], mistake["line"]) == ("server.prot", 2)
    assert "did you mean port?" in mistake["text"]
    assert right.json() == {"mistakes": []}
    assert large.status_code == 413


def test_a_draft_reads_no_file_and_starts_no_program(tmp_path: Any) -> None:
    trace = tmp_path / "trace"
    draft = f"""
keys:
  - {{name: a, api_key: {{command: [touch, {trace}]}}}}
  - {{name: b, api_key: {{file: /nowhere/to/be/found}}}}
admin: {{api_key: {{file: /nowhere/either}}}}
"""

    assert check_draft(draft, {}) == ()
    assert not trace.exists()
