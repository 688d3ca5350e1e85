"""The recipes of docs/accounts.md work as they are printed: each configuration loads, each command succeeds."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import Config, load_config
from tests.scenarios.harness import PATH, asking, quick_gateway
from tests.support import messages
from tests.support.gateway import ServerConfig, with_settings
from tests.support.scripted import json_answer, scripted_upstream

PAGE = Path(__file__).resolve().parents[1] / "docs" / "accounts.md"
ANSWER = json_answer(200, messages.message([{"type": "text", "text": "Hello"}]))
ENVIRONMENT = {
    "ANTHROPIC_API_KEY": "sk-ant-api03-of-the-recipes",
    "DRAGOMAN_ADMIN_KEY": "an-admin-key-of-the-recipes",
    "ALERTS_URL": "http://127.0.0.1:9/alerts",
}
# What each key of a recipe can ask for.
FIRST = {**asking(), "model": "claude-haiku-5-5", "user": "customer-4711"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A section of the page with a configuration, and its commands."""

    name: str
    config: str
    commands: tuple[tuple[str, ...], ...]

    def keys(self) -> Iterator[str]:
        """The names of the keys that it makes."""
        return (command[3] for command in self.commands if command[1:3] == ("keys", "create"))


def recipes() -> list[Recipe]:
    sections = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    found = []
    for name, text in zip(sections[1::2], sections[2::2], strict=True):
        configs = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
        lines = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).splitlines()
        quoted = re.findall(r"`(dragoman [a-z]+ [a-z]+ [^`]+)`", text.partition("```yaml")[2])
        commands = [tuple(shlex.split(line)) for line in (*lines, *quoted) if line.startswith("dragoman ")]
        found += [Recipe(name, config, tuple(commands)) for config in configs]
    return found


RECIPES = recipes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, in which the recipe's files are."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def test_there_are_four_recipes() -> None:
    assert [recipe.name for recipe in RECIPES] == [
        "Three teams",
        "One application with end users",
        "A hard cap",
        "From LiteLLM's virtual keys",
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
async def test_a_recipe_works_as_it_is_printed(
    recipe: Recipe, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, str] = {}
    async with scripted_upstream() as upstream:
        upstream.always(ANSWER)
        text = recipe.config.replace("name: main,", f"name: main, base_url: {upstream.base_url},")
        (folder / "dragoman.yaml").write_text(text)
        for command in recipe.commands:
            assert await asyncio.to_thread(main, command[1:]) == 0, command
            if command[1:3] == ("keys", "create"):
                made[command[3]] = capsys.readouterr().out.splitlines()[-1]
        async with quick_gateway(config=running_config()) as running:
            client = running.http()
            for name, key in made.items():
                headers = {"authorization": f"Bearer {key}"}
                answer = await client.post(PATH, json=FIRST, headers=headers)
                # A key that the recipe has disabled or rotated stays so.
                assert answer.status_code == (401 if is_disabled(recipe, name) else 200), answer.text

    assert list(made) == list(recipe.keys())
    assert made


def running_config() -> Config:
    """The recipe's configuration, at any free port."""
    return with_settings(load_config(None, dict(ENVIRONMENT)), server=ServerConfig(port=0))


def is_disabled(recipe: Recipe, name: str) -> bool:
    return any(command[1:4] == ("keys", "disable", name) for command in recipe.commands)
