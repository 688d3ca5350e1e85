"""`dragoman alerts test` sends one alert and says how it was taken."""

import asyncio
from pathlib import Path

import pytest

from gateway.cli import main
from tests.support.scripted import ScriptedUpstream, json_answer

CONFIG = """
keys: [{name: a, api_key: sk-ant-1}]
alerts: {url: %s/hook, secret: a-secret-of-16-characters}
"""


@pytest.fixture
def config_file(tmp_path: Path, upstream: ScriptedUpstream) -> str:
    file = tmp_path / "dragoman.yaml"
    file.write_text(CONFIG % upstream.base_url)
    return str(file)


async def test_a_test_alert_is_taken(
    upstream: ScriptedUpstream, config_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.always(json_answer(204, {}))

    assert await asyncio.to_thread(main, ["alerts", "test", "--config", config_file]) == 0

    (request,) = upstream.received
    assert request.json["type"] == "test"
    assert "The alert was taken, signed" in capsys.readouterr().out


async def test_a_refusal_is_said_and_is_a_failure(
    upstream: ScriptedUpstream, config_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.always(json_answer(404, {}))

    assert await asyncio.to_thread(main, ["alerts", "test", "--config", config_file]) == 1

    assert "The alert was not taken: answered with 404" in capsys.readouterr().out


def test_without_a_url_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-1")

    assert main(["alerts", "test"]) == 1

    assert "alerts.url" in capsys.readouterr().err
