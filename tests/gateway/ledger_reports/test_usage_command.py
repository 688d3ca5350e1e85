"""`dragoman usage`: a table, CSV or JSON, from the file or from a running gateway."""

import asyncio
import csv
import io
import json
import time
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.ledger_reports.conftest import ADMIN, Kept
from tests.support.ledgers import DAY, MIDNIGHT, Call, write_ledger

RANGE = ["--since", "2026-11-24", "--until", "2026-11-26"]


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    file = tmp_path / "dragoman.yaml"
    file.write_text(
        f"keys: [{{name: a, api_key: sk-ant-1}}]\nadmin: {{api_key: {ADMIN}}}\naccounts: {{path: used.db}}\n"
    )
    return str(file)


@pytest.fixture
def ledger(tmp_path: Path) -> None:
    write_ledger(
        tmp_path / "used.db",
        Call(caller="k1", input=1_234_567, cost=1_234_567_891),
        Call(caller="k1", at=MIDNIGHT + DAY, model="claude-haiku-5-5", error="cut_off", cost=500_000_000),
        Call(caller="shop", group_name="", cost=1),
        keys={"k1": "team-a"},
    )


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


@pytest.mark.usefixtures("ledger")
def test_a_table_for_people(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file, *RANGE]) == 0

    assert said(capsys).splitlines() == [
        "2026-11-24T00:00:00Z to 2026-11-26T00:00:00Z",
        "",
        "key     model              requests  errors      input  cache read  cache write  output          USD",
        "team-a  claude-sonnet-5-5         1       0  1,234,567          20            7      50  1.234567891",
        "team-a  claude-haiku-5-5          1       1        100          20            7      50         0.50",
        "shop    claude-sonnet-5-5         1       0        100          20            7      50  0.000000001",
        "total                             3       1  1,234,767          60           21     150  1.734567892",
    ]


@pytest.mark.usefixtures("ledger")
def test_csv_has_everything_exactly(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file, *RANGE, "--by", "day", "--by", "key", "--csv"]) == 0

    rows = list(csv.DictReader(io.StringIO(said(capsys))))
    assert list(rows[0]) == [
        *("day", "key", "key_name", "requests", "attempts", "errors", "input_tokens", "cache_read_tokens"),
        *("cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "thinking_tokens", "server_tool_uses"),
        *("cost_usd", "cache_saved_usd"),
    ]
    assert [(row["day"][:10], row["key"], row["key_name"], row["cost_usd"]) for row in rows] == [
        ("2026-11-24", "k1", "team-a", "1.234567891"),
        ("2026-11-24", "shop", "shop", "0.000000001"),
        ("2026-11-25", "k1", "team-a", "0.50"),
    ]


@pytest.mark.usefixtures("ledger")
def test_json_is_that_of_admin_usage(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file, *RANGE, "--by", "group", "--key", "team-a", "--json"]) == 0

    report = json.loads(said(capsys))
    assert report["by"] == ["group"]
    assert [(entry["group"], entry["requests"]) for entry in report["data"]] == [("research", 2)]
    assert report["total"]["cost_usd"] == "1.734567891"


async def test_a_running_gateway_tells_the_same(
    kept: Kept, config_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept.write(Call(caller="k1"), Call(caller="k2"), keys={"k1": "team a", "k2": "team-b"})
    asked = ["usage", "--config", config_file, *RANGE, "--by", "key", "--key", "team a", "--url", kept.running.url]

    assert await asyncio.to_thread(main, [*asked, "--json"]) == 0

    assert [entry["key_name"] for entry in json.loads(said(capsys))["data"]] == ["team a"]
    assert await asyncio.to_thread(main, asked) == 0
    assert "team a" in said(capsys)
    assert await asyncio.to_thread(main, [*asked, "--since", "soon"]) == 1
    assert "Invalid 'since'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--since", "soon"], "--since: expected a time like 7d"),
        (["--by", "colour"], "--by: expected names of key"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("ledger")
def test_a_mistake_is_named(
    config_file: str, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["usage", "--config", config_file, *arguments]) == 1

    assert text in capsys.readouterr().err


def test_without_a_ledger_it_says_where_it_would_be(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file]) == 1

    assert "used.db" in capsys.readouterr().err
    assert not (Path(config_file).parent / "used.db").exists()


@pytest.mark.usefixtures("ledger")
def test_a_range_without_use_is_said(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file, "--since", "2026-11-01", "--until", "2026-11-02"]) == 0

    assert said(capsys) == "2026-11-01T00:00:00Z to 2026-11-02T00:00:00Z: nothing was used.\n"


@pytest.mark.usefixtures("ledger")
def test_the_last_week_is_the_default(config_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--config", config_file, "--json"]) == 0

    report = json.loads(said(capsys))
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 3600))
    assert report["until"] >= today
    assert report["by"] == ["key", "model"]
