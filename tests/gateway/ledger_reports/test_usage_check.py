"""`dragoman usage --check`: the ledger beside Anthropic's account, with a double of its Usage and Cost API."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.cli import main
from gateway.cli.usage_check import DIFFERS
from tests.support.ledgers import DAY, MIDNIGHT, Call, write_ledger
from tests.support.scripted import (
    Answer,
    ReceivedRequest,
    ScriptedUpstream,
    error_answer,
    json_answer,
    scripted_upstream,
)

ADMIN_KEY = "sk-ant-admin01-" + "x" * 40
MONDAY, TUESDAY = "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"
RANGE = ["--since", "2026-11-24", "--until", "2026-11-26"]


def used(model: str, uncached: int, read: int = 0, write_5m: int = 0, write_1h: int = 0, output: int = 0) -> Any:
    return {
        "uncached_input_tokens": uncached,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": write_5m, "ephemeral_1h_input_tokens": write_1h},
        "output_tokens": output,
        "server_tool_use": {"web_search_requests": 0},
        "model": model,
        "api_key_id": None,
        "workspace_id": None,
        "service_tier": None,
        "context_window": None,
    }


def paid(model: str | None, cents: str, workspace: str | None = None) -> Any:
    return {
        "currency": "USD",
        "amount": cents,
        "workspace_id": workspace,
        "description": "Usage",
        "cost_type": "tokens",
        "model": model,
        "token_type": "uncached_input_tokens",
    }


class Account:
    """Anthropic's two reports, one day a page."""

    def __init__(self, usage: dict[str, list[Any]], costs: dict[str, list[Any]]) -> None:
        self._reports = {"usage_report/messages": usage, "cost_report": costs}
        self.asked: list[dict[str, list[str]]] = []

    def __call__(self, request: ReceivedRequest) -> Answer:
        assert request.headers["x-api-key"] == ADMIN_KEY
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert request.method == "GET"
        url = urlsplit(request.path)
        days = sorted((report := self._reports[url.path.removeprefix("/v1/organizations/")]).items())
        query = parse_qs(url.query)
        self.asked.append(query)
        number = int(query.get("page", ["page_0"])[0].removeprefix("page_"))
        has_more = number + 1 < len(report)
        data = [
            {"starting_at": day, "ending_at": day, "results": results} for day, results in days[number : number + 1]
        ]
        next_page = f"page_{number + 1}" if has_more else None
        return json_answer(200, {"data": data, "has_more": has_more, "next_page": next_page})


@pytest.fixture
async def anthropic() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as running:
        yield running


async def checked(folder: Path, anthropic: ScriptedUpstream, *options: str, workspace: str = "") -> int:
    """The exit code, for a gateway with two keys, one of which is at another host."""
    file = folder / "dragoman.yaml"
    at = f"base_url: {anthropic.base_url}"
    named = f", workspace: {workspace}" if workspace else ""
    file.write_text(
        f"""
keys:
  - {{name: main, api_key: sk-ant-1, {at}{named}}}
  - {{name: elsewhere, api_key: sk-ant-2, base_url: "https://claude.example.com"{named}}}
accounts: {{path: accounts.db, anthropic_admin_key: {ADMIN_KEY}}}
"""
    )
    command = ["usage", "--check", "--config", str(file), "--anthropic-url", anthropic.base_url, *RANGE, *options]
    return await asyncio.to_thread(main, command)


def ledger(folder: Path) -> None:
    write_ledger(
        folder / "accounts.db",
        Call(cost=2_000_000_000),
        Call(cost=500_000_000, input=900),
        Call(at=MIDNIGHT + DAY, model="claude-haiku-5-5", cost=10_000_000),
        Call(upstream_key="elsewhere", cost=7),
        Call(upstream_key="caller", cost=7),
    )


def agreeing() -> Account:
    return Account(
        {
            MONDAY: [used("claude-sonnet-5-5-20260901", 1000, 40, 6, 8, 100)],
            TUESDAY: [used("claude-haiku-5-5", 100, 20, 3, 4, 50)],
        },
        {
            MONDAY: [paid("claude-sonnet-5-5", "200.5"), paid("claude-sonnet-5-5", "49.50")],
            TUESDAY: [paid("claude-haiku-5-5", "1")],
        },
    )


async def test_accounts_that_agree_are_said_to(
    tmp_path: Path, anthropic: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger(tmp_path)
    account = agreeing()
    anthropic.always(account)

    assert await checked(tmp_path, anthropic) == 0

    said = capsys.readouterr().out
    assert said == "2026-11-24 to 2026-11-26, 12 figures compared: the ledger and Anthropic agree, within 0.5 %.\n"
    assert account.asked[0]["starting_at"] == [MONDAY]
    assert account.asked[0]["ending_at"] == ["2026-11-26T00:00:00Z"]
    assert {query["bucket_width"][0] for query in account.asked} == {"1d"}


async def test_differences_are_named_by_day_and_model_and_have_an_exit_code_of_their_own(
    tmp_path: Path, anthropic: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger(tmp_path)
    anthropic.always(
        Account(
            {MONDAY: [used("claude-sonnet-5-5", 1001, 40, 6, 8, 150), used("claude-opus-5-5", 7)]},
            {MONDAY: [paid("claude-sonnet-5-5", "300"), paid(None, "5")]},
        )
    )

    assert await checked(tmp_path, anthropic) == DIFFERS

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["day", "model", "what", "ledger", "Anthropic", "difference"]
    assert lines[1:5] == [
        ["2026-11-24", "(no", "model)", "USD", "0.00", "0.05", "100.0", "%"],
        ["2026-11-24", "claude-opus-5-5", "input", "0", "7", "100.0", "%"],
        ["2026-11-24", "claude-sonnet-5-5", "output", "100", "150", "33.3", "%"],
        ["2026-11-24", "claude-sonnet-5-5", "USD", "2.50", "3.00", "16.7", "%"],
    ]
    assert ["2026-11-25", "claude-haiku-5-5", "output", "50", "0", "100.0", "%"] in lines
    assert "10 differ by more than 0.5 %." in " ".join(lines[-1])


async def test_what_differs_less_than_the_tolerance_is_let_pass(tmp_path: Path, anthropic: ScriptedUpstream) -> None:
    ledger(tmp_path)
    account = agreeing()
    account._reports["usage_report/messages"][MONDAY][0]["output_tokens"] = 104
    anthropic.always(account)

    assert await checked(tmp_path, anthropic, "--tolerance", "5") == 0
    assert await checked(tmp_path, anthropic, "--tolerance", "3") == DIFFERS


async def test_the_workspaces_of_the_keys_are_asked_for(tmp_path: Path, anthropic: ScriptedUpstream) -> None:
    ledger(tmp_path)
    account = agreeing()
    for bucket in account._reports["cost_report"].values():
        for entry in bucket:
            entry["workspace_id"] = "wrkspc_1"
    account._reports["cost_report"][MONDAY].append(paid("claude-sonnet-5-5", "999", "wrkspc_2"))
    anthropic.always(account)

    assert await checked(tmp_path, anthropic, workspace="wrkspc_1") == 0

    assert [query["workspace_ids[]"] for query in account.asked if "workspace_ids[]" in query] == [["wrkspc_1"]] * 2


async def test_differences_as_json(
    tmp_path: Path, anthropic: ScriptedUpstream, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger(tmp_path)
    anthropic.always(Account({}, {}))

    assert await checked(tmp_path, anthropic, "--json") == DIFFERS

    found = json.loads(capsys.readouterr().out)
    assert found["differences"][0] == {
        "day": "2026-11-24",
        "model": "claude-sonnet-5-5",
        "what": "input",
        "ledger": 1000,
        "anthropic": 0,
    }


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (error_answer(401, "authentication_error", "invalid x-api-key"), "refuses the key (401)"),
        (error_answer(400, "invalid_request_error", "no such group"), "answers with 400: no such group"),
        (json_answer(200, {"data": [{"results": 5}]}), "cannot be read"),
        (json_answer(200, {"data": [], "has_more": True, "next_page": "again"}), "more than 200 pages"),
    ],
    ids=str,
)
async def test_what_cannot_be_compared_is_a_failure_with_its_reason(
    tmp_path: Path, anthropic: ScriptedUpstream, answer: Answer, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger(tmp_path)
    anthropic.always(answer)

    assert await checked(tmp_path, anthropic) == 1

    said = capsys.readouterr().err
    assert text in said
    assert ADMIN_KEY not in said


def test_the_key_is_not_sent_in_the_clear_to_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.setenv("ANTHROPIC_ADMIN_API_KEY", ADMIN_KEY)

    assert main(["usage", "--check", "--anthropic-url", "http://claude.example.com"]) == 1

    assert "--anthropic-url" in capsys.readouterr().err


def test_without_a_key_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")
    monkeypatch.delenv("ANTHROPIC_ADMIN_API_KEY", raising=False)

    assert main(["usage", "--check"]) == 1

    assert "accounts.anthropic_admin_key" in capsys.readouterr().err
