"""The recipes of docs/clients.md: its programs are run as they are printed, its settings are checked for form."""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest
import yaml

from gateway.demo import RunningUpstream
from tests.support.commands import said_by
from tests.support.gateway import RunningGateway, key, running_gateway
from tests.support.preserved import assert_kept, exchanges
from tests.support.upstream_rules import run_strict_upstream

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs/clients.md").read_text("utf-8")
SECTIONS: Final = {part.partition("\n")[0]: part for part in PAGE.split("\n## ")[1:]}
PRINTED_ADDRESS: Final = "http://127.0.0.1:8080"
PINNED: Final[Mapping[str, str]] = json.loads((ROOT / "tests/contract/clients/package.json").read_text("utf-8"))[
    "dependencies"
]
NODE_CLIENTS: Final = os.environ.get("DRAGOMAN_NODE_CLIENTS", "")

# As each client's documentation spells them (looked up on 2026-11-30).
VARIABLES: Final = {
    "openai, both SDKs": {"OPENAI_BASE_URL", "OPENAI_API_KEY"},
    "LangChain and aider": {"OPENAI_API_BASE"},
    "Claude Code": {"ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"},
    "Open WebUI": {"OPENAI_API_BASE_URL", "ENABLE_OLLAMA_API", "ENABLE_PERSISTENT_CONFIG"},
    "of the reader's own choice": {"OPEN_WEBUI_KEY", "DRAGOMAN_KEY"},
    "of this test": {"DRAGOMAN_NODE_CLIENTS"},
}

needs_node = pytest.mark.skipif(
    not (NODE_CLIENTS and shutil.which("node")),
    reason="needs node, and DRAGOMAN_NODE_CLIENTS as the last section of docs/clients.md sets it",
)


@pytest.fixture
async def upstream() -> AsyncIterator[RunningUpstream]:
    async with run_strict_upstream() as running:
        yield running


@pytest.fixture
async def gateway(upstream: RunningUpstream) -> AsyncIterator[RunningGateway]:
    async with running_gateway(key(upstream.base_url)) as running:
        yield running


def blocks(section: str, language: str) -> list[str]:
    """The code of a section, as the page prints it."""
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)


def program(heading: str, language: str, gateway: RunningGateway) -> str:
    """The one program of a recipe, with the address of a running gateway."""
    (code,) = blocks(SECTIONS[heading], language)
    assert code.count(PRINTED_ADDRESS) == 1
    return code.replace(PRINTED_ADDRESS, gateway.url)


async def said_by_node(code: str) -> str:
    """What a program for Node.js prints; it lies where its packages are found."""
    folder = Path(mkdtemp(dir=NODE_CLIENTS))
    try:
        (folder / "program.mjs").write_text(code, "utf-8")
        return await said_by("node", "program.mjs", cwd=folder)
    finally:
        shutil.rmtree(folder)


def assert_thinking_came_back(upstream: RunningUpstream) -> None:
    """Tools were called after some thought, and every thought went back where it was."""
    said = exchanges(upstream.received)
    assert [exchange.calls for exchange in said] == [1, 0]
    assert said[0].thoughts
    assert_kept(said)


async def test_the_openai_sdk_for_python(gateway: RunningGateway, tmp_path: Path) -> None:
    code = program("OpenAI SDK for Python", "python", gateway)

    said = await said_by(sys.executable, "-c", code, cwd=tmp_path)

    assert said.startswith("temperature=dropped:model\n")
    assert said.count("This is the simulated upstream") == 2
    assert re.search(r"\n\d+ tokens\n$", said)


@pytest.mark.parametrize(
    ("heading", "module", "group"),
    [
        ("LangChain", "langchain_openai", "clients"),
        ("Pydantic AI", "pydantic_ai", "clients"),
        ("OpenAI Agents SDK", "agents", "agents"),
    ],
)
async def test_programs_for_python(
    heading: str, module: str, group: str, gateway: RunningGateway, upstream: RunningUpstream, tmp_path: Path
) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs the group `{group}`: python -m pip install --group {group}")
    code = program(heading, "python", gateway)

    said = await said_by(sys.executable, "-c", code, cwd=tmp_path)

    assert "Sunny in Paris" in said
    assert_thinking_came_back(upstream)


@needs_node
@pytest.mark.parametrize("heading", ["OpenAI SDK for Node.js", "AI SDK"])
async def test_programs_for_node(heading: str, gateway: RunningGateway, upstream: RunningUpstream) -> None:
    said = await said_by_node(program(heading, "js", gateway))

    assert "Sunny in Paris" in said
    assert_thinking_came_back(upstream)


@needs_node
async def test_claude_code(gateway: RunningGateway, upstream: RunningUpstream, tmp_path: Path) -> None:
    lines = program("Claude Code", "console", gateway).splitlines()
    variables = dict(line.removeprefix("$ export ").split("=") for line in lines[:-1])
    command = Path(NODE_CLIENTS, "node_modules/.bin", lines[-1].removeprefix("$ "))
    if not command.exists():
        pytest.skip("Claude Code is not installed in DRAGOMAN_NODE_CLIENTS")

    said = await said_by(
        command, "-p", "Hello!", cwd=tmp_path, CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1", **variables
    )

    assert "This is the simulated upstream" in said
    assert exchanges(upstream.received)


def test_the_page_names_the_versions_that_are_run() -> None:
    checked = dict(re.findall(r"(?:Checked with|and) (\S+(?: Code)?) (\d+\.\d+\.\d+)", PAGE))
    named = {name: version for name, version in checked.items() if name in PINNED}

    assert named.keys() == {"ai", "openai", "@ai-sdk/openai"}
    assert all(PINNED[name] == version for name, version in named.items())
    assert checked["Claude Code"] == PINNED["@anthropic-ai/claude-code"]


def test_every_setting_of_other_applications_parses() -> None:
    parsed = [yaml.safe_load(block) for section in SECTIONS.values() for block in blocks(section, "yaml")]

    assert len(parsed) == 3
    assert all(isinstance(document, dict) for document in parsed)


def test_every_variable_on_the_page_is_one_that_a_client_knows() -> None:
    named = set(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", PAGE))

    assert named == set().union(*VARIABLES.values())
