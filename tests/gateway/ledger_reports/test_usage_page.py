"""`/admin/usage`: the report as JSON, with exact amounts."""

from typing import Any

import pytest

from gateway.config import AccountsConfig, AdminConfig
from tests.gateway.ledger_reports.conftest import ADMIN, Kept
from tests.scenarios.harness import assert_error, quick_gateway
from tests.support.gateway import Secret, config_for, key, with_settings
from tests.support.ledgers import DAY, HOUR, MIDNIGHT, Call

HEADERS = {"x-api-key": ADMIN}


async def ask(kept: Kept, **query: Any) -> Any:
    answer = await kept.running.http().get("/admin/usage", params=query, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_report_is_by_key_and_model_of_the_last_week(kept: Kept) -> None:
    kept.write(
        Call(caller="k1", cost=1_234_567_891),
        Call(caller="shop", cost=1),
        Call(at=MIDNIGHT - 8 * DAY),
        keys={"k1": "team-a"},
    )

    report = await ask(kept)

    assert (report["since"], report["until"]) == ("2026-11-18T01:00:00Z", "2026-11-25T02:00:00Z")
    assert report["by"] == ["key", "model"]
    assert report["data"] == [
        {
            "key": "k1",
            "key_name": "team-a",
            "model": "claude-sonnet-5-5",
            "requests": 1,
            "attempts": 1,
            "errors": 0,
            "input_tokens": 100,
            "cache_read_tokens": 20,
            "cache_write_5m_tokens": 3,
            "cache_write_1h_tokens": 4,
            "output_tokens": 50,
            "thinking_tokens": 10,
            "server_tool_uses": 0,
            "cost_usd": "1.234567891",
            "cache_saved_usd": "0.00000025",
        },
        {**report["data"][0], "key": "shop", "key_name": "shop", "cost_usd": "0.000000001"},
    ]
    assert (report["total"]["requests"], report["total"]["cost_usd"]) == (2, "1.234567892")


async def test_it_is_by_day_or_hour_in_the_order_that_was_asked_for(kept: Kept) -> None:
    kept.write(Call(), Call(at=MIDNIGHT + HOUR), Call(at=MIDNIGHT + DAY))

    days = await ask(kept, by="day,group", since="2026-11-24", until="2026-11-26")
    hours = await ask(kept, by="hour", since="2026-11-24", until="2026-11-25")

    assert [(each["day"][:10], each["group"], each["requests"]) for each in days["data"]] == [
        ("2026-11-24", "research", 2),
        ("2026-11-25", "research", 1),
    ]
    assert [each["hour"] for each in hours["data"]] == ["2026-11-24T00:00:00Z", "2026-11-24T01:00:00Z"]


async def test_a_key_is_found_by_its_name_and_by_its_id(kept: Kept) -> None:
    kept.write(Call(caller="k1"), Call(caller="k2"), keys={"k1": "team-a", "k2": "team-b"})

    for wanted in ("team-a", "k1"):
        report = await ask(kept, by="key", key=wanted)
        assert [each["key_name"] for each in report["data"]] == ["team-a"]


@pytest.mark.parametrize("since", ["7d", "168h", "1w", "2026-11-18T01:01:30Z", "2026-11-18T02:01+01:00", "1794963690"])
async def test_times_are_written_in_several_ways(kept: Kept, since: str) -> None:
    report = await ask(kept, since=since)

    assert report["since"] == "2026-11-18T01:00:00Z"
    assert report["total"]["requests"] == 0
    assert report["total"]["cost_usd"] == "0.00"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"by": "key,colour"}, "by"),
        ({"by": "day,hour"}, "by"),
        ({"since": "soon"}, "since"),
        ({"since": "2026-11-20", "until": "2026-11-19"}, "since"),
        ({"until": "99999999999999"}, "until"),
        ({"keys": "a"}, "keys"),
    ],
    ids=str,
)
async def test_a_wrong_query_is_refused_with_its_place(kept: Kept, query: dict[str, str], param: str) -> None:
    answer = await kept.running.http().get("/admin/usage", params=query, headers=HEADERS)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_where_no_ledger_is_kept_it_says_so() -> None:
    config = with_settings(
        config_for(key("http://127.0.0.1:9")),
        admin=AdminConfig(api_key=Secret(ADMIN)),
        accounts=AccountsConfig(kind="off"),
    )
    async with quick_gateway(config=config) as running:
        answer = await running.http().get("/admin/usage", headers=HEADERS)

    assert "accounts.kind" in assert_error(answer, 400, "invalid_request_error", "ledger_off")["message"]
