"""Runs an unmodified Codex without a terminal, in a folder of its own, against any address.

npm install --prefix /tmp/codex @openai/codex@0.171.0
DRAGOMAN_CODEX=/tmp/codex python -m pytest tests/contract/codex
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.codex import MODEL
from tests.support.commands import run_alone

FOLDER: Final = os.environ.get("DRAGOMAN_CODEX", "")
BINARY: Final = Path(FOLDER, "node_modules/.bin/codex")
CLIENT_KEY: Final = "any-text"


def need_codex() -> None:
    """Skip the module that says so, in one line, where Codex is not installed."""
    if not (FOLDER and BINARY.exists()):
        reason = "needs DRAGOMAN_CODEX, a folder that holds Codex (tests/contract/codex/driving.py)"
        pytest.skip(reason, allow_module_level=True)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of Codex came to: its exit code, what it printed as JSON, and the files of its folder."""

    code: int
    events: tuple[dict[str, Any], ...]
    stderr: str
    files: Mapping[str, str]

    def items(self, kind: str) -> list[dict[str, Any]]:
        """The completed items of a kind: `agent_message`, `reasoning`, `command_execution`, `file_change`, `error`."""
        items = [event["item"] for event in self.events if event["type"] == "item.completed"]
        return [item for item in items if item["type"] == kind]

    @property
    def said(self) -> list[str]:
        """The texts of the agent."""
        return [item["text"] for item in self.items("agent_message")]

    @property
    def errors(self) -> list[str]:
        """What Codex shows of failures, those after which it tries again included."""
        return [event["message"] for event in self.events if event["type"] == "error"]

    @property
    def usage(self) -> dict[str, int] | None:
        """The counts of a turn that was completed."""
        return next((event["usage"] for event in self.events if event["type"] == "turn.completed"), None)


async def run_codex(
    folder: Path,
    base_url: str,
    prompt: str = "Say hello.",
    *,
    model: str = MODEL,
    catalog: bool = True,
    provider: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    arguments: tuple[str, ...] = (),
    command: tuple[str, ...] = (),
    config: str | None = None,
) -> Run:
    """Let Codex do one task against the server at `base_url`, which ends with `/v1`.

    `catalog` lets it read what it has to know of the models from there; `provider` are further settings of the server
    (`stream_idle_timeout_ms`), `options` of Codex itself. The command `("resume", "--last")` goes on with the last task
    in the same folder. `config` takes the place of all settings.
    """
    home, work = folder / "home", folder / "work"
    for place in (home, work):
        place.mkdir(exist_ok=True)
    written = config or _config(base_url, model, catalog, provider or {}, options or {})
    (home / "config.toml").write_text(written, "utf-8")
    code, out, err = await run_alone(
        BINARY,
        *("exec", "--json", "--skip-git-repo-check", "--sandbox", "danger-full-access", *arguments, *command, prompt),
        cwd=work,
        HOME=str(home),
        CODEX_HOME=str(home),
        DRAGOMAN_KEY=CLIENT_KEY,
    )
    files = {file.name: file.read_text("utf-8") for file in work.iterdir() if file.is_file()}
    return Run(code, tuple(map(json.loads, out.splitlines())), err, files)


def _config(base_url: str, model: str, catalog: bool, provider: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    server: dict[str, Any] = {"name": "Dragoman", "base_url": base_url, "wire_api": "responses"}
    server |= {"env_key": "DRAGOMAN_KEY", **({"model_catalog_url": f"{base_url}/models"} if catalog else {})}
    codex = {"model": model, "model_provider": "dragoman", **options}
    return f"{_toml(codex)}\n[model_providers.dragoman]\n{_toml(server | dict(provider))}"


def _toml(values: Mapping[str, Any]) -> str:
    # JSON's strings, numbers and words for true and false are TOML's as well.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
