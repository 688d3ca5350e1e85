"""Rules in accounts.db: added and removed by administrators, seen by running gateways, and begun with the ledger."""

import sqlite3
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.accounts.rule_table import add_rule, read_rules, remove_rule
from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.rule import Measure, Subject, What, Window
from gateway.accounts.spending import spent
from gateway.cli import main
from gateway.config import AccountsConfig, AdminConfig
from gateway.ledger.files import set_up
from gateway.ledger.lane import AccountsFile
from gateway.ledger.writing import write_rows
from tests.scenarios.harness import PATH, asking, no_lease_is_out, quick_gateway, until
from tests.support import messages
from tests.support.gateway import Config, RunningGateway, Secret, config_for, key, with_settings
from tests.support.ledgers import row
from tests.support.scripted import ScriptedUpstream, json_answer
from translators.errors import FailedError, TranslationError

NOON = 1_796_040_000.0
DAY = NOON - NOON % 86400
ADMIN = {"authorization": "Bearer admin-key-of-sixteen"}
WHOLE = json_answer(200, messages.message(usage={"input_tokens": 10, "output_tokens": 4}))


def rule(rule_id: str = "r", **more: Any) -> Definition:
    return Definition(**{"id": rule_id, "what": "requests", "amount": 1, "window": "day", **more})


@pytest.fixture
def file(tmp_path: Path) -> AccountsFile:
    return AccountsFile(tmp_path / "accounts.db")


def kept(upstream: ScriptedUpstream, file: AccountsFile, *rules: Definition) -> Config:
    return with_settings(
        config_for(key(upstream.base_url)),
        rules=rules,
        accounts=AccountsConfig(kind="sqlite", path=str(file.file)),
        admin=AdminConfig(api_key=Secret("admin-key-of-sixteen"), viewer_key=Secret("viewer-key-of-sixteen")),
    )


async def ask(running: RunningGateway) -> httpx2.Response:
    response = await running.http().post(PATH, json=asking())
    await no_lease_is_out(running)
    return response


def test_each_change_of_a_rule_is_in_the_audit(file: AccountsFile) -> None:
    def change(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
        add_rule(connection, rule(), NOON, "ann")
        add_rule(connection, rule(amount=2), NOON, "ben")
        remove_rule(connection, "r", NOON, "cem")
        return list(connection.execute("SELECT actor, action, subject FROM audit ORDER BY number"))

    assert file.run_now(change) == [
        ("ann", "rule.added", "r"),
        ("ben", "rule.changed", "r"),
        ("cem", "rule.removed", "r"),
    ]


def test_what_cannot_be_counted_is_not_stored(file: AccountsFile) -> None:
    with pytest.raises(TranslationError, match="Invalid 'aligned'"):
        file.run_now(lambda connection: add_rule(connection, rule(what="money", aligned=False), NOON, "ann"))
    with pytest.raises(TranslationError, match="is in the configuration"):
        file.run_now(lambda connection: add_rule(connection, rule(), NOON, "ann", ["r"]))
    with pytest.raises(FailedError, match="no rule 'gone'"):
        file.run_now(lambda connection: remove_rule(connection, "gone", NOON, "ann"))

    assert file.run_now(read_rules) == ([], [])


def test_a_rule_of_another_version_is_left_out_and_told(file: AccountsFile) -> None:
    def spoil(connection: sqlite3.Connection) -> None:
        add_rule(connection, rule("good"), NOON, "ann")
        connection.execute("INSERT INTO rules (id, definition, created_at) VALUES ('bad', '{\"id\":\"bad\"}', 1)")

    file.run_now(spoil)
    found, wrong = file.run_now(read_rules)

    assert [each.id for each in found] == ["good"]
    assert wrong[0].startswith("bad: ")


TEXTS = ("caller", "group_name", "endpoint", "model", "upstream_key", "service_tier")
OPUS: dict[str, Any] = {"model": "claude-opus-5"}


def insert_day(connection: sqlite3.Connection, table: str = "days", start: float = DAY, **values: Any) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    row: dict[str, Any] = {name: "" if name in TEXTS else 0 for name in names}
    row |= {"end_user": b"", "start": int(start), **values}
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


def test_what_was_spent_is_read_for_the_subject_the_models_and_the_window_of_a_rule(file: AccountsFile) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        tokens: dict[str, Any] = {"input": 1, "cache_read": 50, "cache_write_5m": 2, "cache_write_1h": 4, "output": 8}
        of_a: dict[str, Any] = {"caller": "a", "group_name": "red"}
        insert_day(connection, **of_a, cost=100, requests=3, **tokens, **OPUS)
        insert_day(connection, **of_a, cost=10, requests=1, model="claude-haiku-5-5", end_user=b"u")
        insert_day(connection, caller="b", group_name="red", cost=1000, requests=7, **OPUS)
        insert_day(connection, start=DAY - 86400, caller="a", cost=5, requests=9, **OPUS)
        insert_day(connection, "hours", start=NOON, caller="a", cost=1, **OPUS)

    def of(what: What, since: float = DAY, window: str = "day", model: str = "*", **subject: Any) -> int:
        measure = Measure("r", what, 1, window, True, model, Subject(**subject))  # type: ignore[arg-type]
        return file.run_now(lambda connection: spent(connection, measure, since))

    file.run_now(fill)

    assert of(What.MONEY) == 1110
    assert of(What.MONEY, since=0, window="total") == 1115
    assert of(What.MONEY, caller="a") == 110
    assert of(What.MONEY, group="red", model="claude-opus-*") == 1100
    assert of(What.MONEY, caller="a", end_user=b"u") == 10
    assert of(What.MONEY, model="claude-[ho]*") == 0
    assert of(What.REQUESTS, caller="a") == 4
    assert of(What.INPUT_TOKENS, caller="a") == 7
    assert of(What.OUTPUT_TOKENS, caller="a") == 8
    assert of(What.MONEY, since=NOON, window="hour") == 1
    assert of(What.MONEY, since=NOON, window="minute") == 0


def test_a_minute_begins_with_its_rows(file: AccountsFile) -> None:
    file.run_now(lambda connection: write_rows(connection, [row(NOON - 1, cost=1), row(NOON, cost=2), row(cost=4)]))
    measure = Measure("r", What.MONEY, 1, "minute", True)

    assert file.run_now(lambda connection: spent(connection, measure, NOON)) == 6


@pytest.mark.parametrize("window", ["hour", "month"])
def test_an_end_users_spending_is_found_without_reading_those_of_others(window: Window) -> None:
    def steps(others: int) -> int:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        set_up(connection)
        users = [b"12345678", *(number.to_bytes(8, "big") for number in range(others))]
        write_rows(connection, [row(NOON, end_user=user, caller="a", cost=7) for user in users])
        counted = list[None]()
        connection.set_progress_handler(lambda: counted.append(None), 1)
        measure = Measure("r", What.MONEY, 1, window, True, subject=Subject("a", None, b"12345678"))
        assert spent(connection, measure, DAY) == 7
        return len(counted)

    assert steps(2_000) < 2 * steps(20)


async def test_a_budget_begins_with_what_the_ledger_has(upstream: ScriptedUpstream, file: AccountsFile) -> None:
    upstream.always(WHOLE)
    file.run_now(lambda connection: insert_day(connection, caller="local", cost=49_990_000_000, model="claude-opus-5"))
    budget = rule(what="money", amount=50)
    async with quick_gateway(config=kept(upstream, file, budget)) as running:
        running.time.now = lambda: NOON
        refused = await ask(running)
        running.time.now = lambda: NOON + 86400
        served = await ask(running)

    assert (refused.status_code, served.status_code) == (429, 200)
    assert "$49.99 spent" in refused.json()["error"]["message"]


async def test_what_was_spent_before_a_restart_still_counts_for_everyone_and_each_end_user(
    upstream: ScriptedUpstream, file: AccountsFile
) -> None:
    upstream.always(WHOLE)
    rules = (rule("all", what="money", amount=5), rule("user", what="money", amount=5, scope="end_user"))

    async def serve(user: str) -> dict[str, int]:
        async with quick_gateway(config=kept(upstream, file, *rules)) as running:
            for _ in range(2):
                await running.http().post(PATH, json=asking(user=user))
            await no_lease_is_out(running)
            book = running.gateway.rules.rules.book
            return {key[0]: meter.state(running.time.now()).spent for key, meter in book._meters.items()}

    first, second, other = await serve("x" * 300), await serve("x" * 300), await serve("y")

    assert first == {"all": 120_000, "user": 120_000}
    assert second == {"all": 240_000, "user": 240_000}
    assert other == {"all": 360_000, "user": 120_000}


async def test_administrators_add_and_remove_rules_of_a_running_gateway(
    upstream: ScriptedUpstream, file: AccountsFile
) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=kept(upstream, file, rule("fixed", amount=100))) as running:
        http = running.http()
        added = await http.post(
            "/admin/rules", json={"id": "one", "what": "requests", "amount": 1, "window": "day"}, headers=ADMIN
        )
        first, second = await ask(running), await ask(running)
        wrong = await http.post("/admin/rules", json={"id": "fixed", "what": "requests", "amount": 1}, headers=ADMIN)
        viewer = {"authorization": "Bearer viewer-key-of-sixteen"}
        refused = await http.post("/admin/rules", json={}, headers=viewer)
        shown = await http.get("/admin/rules", headers=viewer)
        stranger = await http.get("/admin/rules", headers={"authorization": "Bearer x"})
        removed = await http.delete("/admin/rules/one", headers=ADMIN)
        third = await ask(running)
        missing = await http.delete("/admin/rules/one", headers=ADMIN)

    assert (added.status_code, first.status_code, second.status_code, third.status_code) == (200, 200, 429, 200)
    assert [(each["id"], each["source"]) for each in shown.json()["data"]] == [
        ("fixed", "configuration"),
        ("one", "stored"),
    ]
    assert (wrong.status_code, refused.status_code, stranger.status_code) == (400, 403, 401)
    assert (removed.json()["deleted"], missing.status_code) == (True, 404)


async def test_a_running_gateway_sees_what_the_command_line_changes(
    upstream: ScriptedUpstream, file: AccountsFile
) -> None:
    upstream.always(WHOLE)
    async with quick_gateway(config=kept(upstream, file)) as running:
        await ask(running)
        file.run_now(lambda connection: add_rule(connection, rule(amount=0), NOON, "ann"))
        await until(lambda: bool(running.gateway.rules.rules.book.setting.rules))
        refused = await ask(running)

    assert refused.status_code == 429


async def test_a_caller_sees_its_rules_with_how_near_they_are(upstream: ScriptedUpstream, file: AccountsFile) -> None:
    upstream.always(WHOLE)
    rules = (
        rule("budget", what="money", amount=5),
        rule("rate", amount=6, window="minute"),
        rule("users", scope="end_user"),
        rule("quiet", shadow=True),
    )
    async with quick_gateway(config=kept(upstream, file, *rules)) as running:
        running.time.now = lambda: NOON
        await ask(running)
        shown = (await running.http().get("/v1/key")).json()["rules"]

    budget, rate = shown
    assert (budget["limit"], budget["spent"], budget["held"], budget["remaining"]) == (5, 0.00006, 0, 4.99994)
    assert budget["resets_at"] == "2026-12-01T00:00:00Z"
    assert (rate["id"], rate["remaining"], rate["resets_at"]) == ("rate", 5, "2026-11-30T12:00:10Z")


def test_the_command_line_adds_lists_and_removes_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-test")
    config = tmp_path / "dragoman.yaml"
    config.write_text(
        f"accounts: {{path: {tmp_path / 'accounts.db'}}}\nrules: [{{id: own, what: in_flight, amount: 3}}]\n"
    )

    def run(*arguments: str) -> int:
        return main(["rules", *arguments, "--config", str(config)])

    assert run("add", "budget", "--what", "money", "--amount", "49.99", "--window", "month", "--scope", "key") == 0
    assert run("list") == 0
    listed = capsys.readouterr().out
    assert run("remove", "budget") == 0
    assert run("list") == 0
    after = capsys.readouterr().out
    wrong = run("add", "budget", "--what", "dollars", "--amount", "1")

    assert "49.99" in listed
    assert "configuration" in listed
    assert "49.99" not in after
    assert wrong != 0
    assert "This is not a rule that can be counted" in capsys.readouterr().err
