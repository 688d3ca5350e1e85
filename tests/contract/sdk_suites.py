"""Runs the tests that come with the official SDKs against a gateway: `make test-contract`.

The source distributions of the installed versions are fetched from PyPI into the virtual environment and never
committed. Their tests only look at whether answers fit the SDK's types, so what they ask does not matter much.
"""

import asyncio
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from gateway.config import NativeConfig, TranslationConfig
from tests.contract.responses_offered import RESPONSES_ARE_OFFERED
from tests.support.gateway import Config, RunningGateway, StoreConfig, config_for, key, running_gateway, with_settings
from tests.support.messages import message, text_stream
from tests.support.scripted import Answer, ReceivedRequest, json_answer, scripted_upstream, stream_answer
from tests.support.upstream_rules import run_strict_upstream

CACHE = Path(sys.prefix) / "sdk-suites"
PLUGINS = Path(__file__).parent / "sdk_plugin"
FETCH_SECONDS = 180
SUITE_SECONDS = 600

_STORED = "not offered: the gateway stores no completions"
_FINE_TUNED = "not offered: there are no models of one's own to delete"
_SUFFIX = "not offered: a suffix is refused (its body has one)"
_EXCLUSIVE = "names a response and a conversation, which exclude each other, and a prompt of the dashboard"
_NO_PAGE = "asks for no items (limit 0) after one that does not exist"
_USERS = "gets back what a user has said, as OpenAI documents; the SDK's type knows messages of the assistant's alone"
_CALLS = ("test_method", "test_raw_response", "test_streaming_response")

# By file and name; both classes of a file, the blocking and the asynchronous one, use the same names.
NOT_OFFERED = {
    "chat/test_completions.py": {
        **{f"{call}_{verb}": _STORED for call in _CALLS for verb in ("retrieve", "update", "list", "delete")},
        "test_method_list_with_all_params": _STORED,
    },
    # The same names for create(stream=False) and create(stream=True); the other tests create without a suffix.
    "test_completions.py": {f"test_method_create_with_all_params_overload_{number}": _SUFFIX for number in (1, 2)},
    "test_models.py": {f"{call}_delete": _FINE_TUNED for call in _CALLS},
}

RESPONSES_NOT_OFFERED = {
    "test_responses.py": {
        **{f"test_method_create_with_all_params_overload_{number}": _EXCLUSIVE for number in (1, 2)},
        "test_method_compact_with_all_params": _USERS,
    },
    "responses/test_input_items.py": {"test_method_list_with_all_params": _NO_PAGE},
    "responses/test_input_tokens.py": {"test_method_count_with_all_params": _EXCLUSIVE},
}


class UnavailableError(Exception):
    """A suite cannot be had; the text says why."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The part of an SDK's own tests that a gateway has to pass; `files` gives the classes of each file.

    One that is not offered yet runs only if it is named.
    """

    name: str
    package: str
    base_path: str
    upstream: Callable[[], AbstractAsyncContextManager[str]]
    files: dict[str, tuple[str, ...]]
    arguments: tuple[str, ...] = ()
    deselected: dict[str, dict[str, str]] = field(default_factory=dict)
    is_offered: bool = True

    def pytest_arguments(self) -> list[str]:
        """What pytest is called with, inside the unpacked distribution."""
        folder = "tests/api_resources"
        skipped = [
            f"--deselect={folder}/{file}::{group}::{name}"
            for file, names in self.deselected.items()
            for group in self.files[file]
            for name in names
        ]
        return ["-o", "addopts=", "--tb=short", *self.arguments, *skipped, *(f"{folder}/{file}" for file in self.files)]


@asynccontextmanager
async def simulated() -> AsyncIterator[str]:
    """The upstream of the demo, with the rules of the real one; gives its address."""
    async with run_strict_upstream() as upstream:
        yield upstream.base_url


@asynccontextmanager
async def lenient() -> AsyncIterator[str]:
    """An upstream that takes anything, as Anthropic's SDK sends made-up schemas and ids; gives its address."""
    async with scripted_upstream() as upstream:
        upstream.always(canned_answer)
        yield upstream.base_url


def canned_answer(request: ReceivedRequest) -> Answer:
    """A well-formed answer to whatever was asked."""
    if request.path.partition("?")[0].endswith("/count_tokens"):
        return json_answer(200, {"input_tokens": 12})
    if request.json.get("stream"):
        return stream_answer(*text_stream())
    return json_answer(200, message([{"type": "text", "text": "Hello, world.", "citations": None}]))


SUITES = (
    Suite(
        "openai",
        "openai",
        "/v1",
        simulated,
        files={
            "chat/test_completions.py": ("TestCompletions", "TestAsyncCompletions"),
            "test_completions.py": ("TestCompletions", "TestAsyncCompletions"),
            "test_models.py": ("TestModels", "TestAsyncModels"),
        },
        deselected=NOT_OFFERED,
    ),
    Suite(
        "responses",
        "openai",
        "/v1",
        simulated,
        files={
            "test_responses.py": ("TestResponses", "TestAsyncResponses"),
            "responses/test_input_items.py": ("TestInputItems", "TestAsyncInputItems"),
            "responses/test_input_tokens.py": ("TestInputTokens", "TestAsyncInputTokens"),
        },
        arguments=("-p", "made_up_ids"),
        deselected=RESPONSES_NOT_OFFERED,
        is_offered=RESPONSES_ARE_OFFERED,
    ),
    Suite(
        "conversations",
        "openai",
        "/v1",
        simulated,
        files={
            "test_conversations.py": ("TestConversations", "TestAsyncConversations"),
            "conversations/test_items.py": ("TestItems", "TestAsyncItems"),
        },
        arguments=("-p", "made_up_ids"),
        deselected={"conversations/test_items.py": {"test_method_list_with_all_params": _NO_PAGE}},
    ),
    Suite(
        "anthropic",
        "anthropic",
        "",
        lenient,
        files={"test_messages.py": ("TestMessages", "TestAsyncMessages")},
        # The SDK's own setting: its plugins mock httpx, it is built on httpx2.
        arguments=("-p", "tests._alias_httpx"),
    ),
)


def main(names: list[str]) -> int:
    """Run the suites (those named, else all); 0 when every one has passed."""
    chosen = [suite for suite in SUITES if suite.name in names or (not names and suite.is_offered)]
    results = {suite.name: _result(suite) for suite in chosen}
    print()
    for suite in chosen:
        print(f"{suite.name} ({suite.package} {version(suite.package)}): {results[suite.name][1]}")
    return 0 if results and all(is_well for is_well, _ in results.values()) else 1


def _result(suite: Suite) -> tuple[bool, str]:
    """Whether all is well, and what to say about it."""
    print(f"\n== {suite.name} ({suite.package} {version(suite.package)}): the SDK's own tests", flush=True)
    try:
        code = asyncio.run(_run(suite, fetched(suite.package, version(suite.package))))
    except UnavailableError as error:
        return False, f"could not be fetched: {error}"
    return code == 0, "passed" if code == 0 else f"failed (exit code {code})"


def fetched(package: str, release: str) -> Path:
    """The unpacked source distribution, downloaded once; raises `UnavailableError`."""
    folder = CACHE / f"{package}-{release}"
    if folder.exists():
        return folder
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        archive = _downloaded(package, release, Path(place))
        with tarfile.open(archive) as tar:
            tar.extractall(place, filter="data")
        unpacked = Path(place) / folder.name
        if not (unpacked / "tests").is_dir():
            raise UnavailableError(f"{archive.name} holds no tests.")
        unpacked.rename(folder)
    return folder


def _downloaded(package: str, release: str, place: Path) -> Path:
    options = ["--no-deps", "--no-binary", package, "--dest", str(place), "--timeout", "15", "--retries", "1"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *options]
    try:
        done = subprocess.run(
            [*command, f"{package}=={release}"], capture_output=True, text=True, timeout=FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"PyPI has not answered within {FETCH_SECONDS} s.") from None
    archives = list(place.glob("*.tar.gz"))
    if done.returncode or not archives:
        raise UnavailableError(f"is PyPI reachable? pip says:\n{done.stderr.strip()[-500:]}")
    return archives[0]


def _config(upstream: str, place: Path) -> Config:
    # The tests use every parameter there is, those too that an operator has to allow.
    translation = TranslationConfig(allow_native=("speed", "inference_geo", "mcp_servers", "container", "file_ids"))
    native = NativeConfig(fields=("*",), betas=("*",), server_tools=("*",))
    # What is made in the background has to outlive its request.
    store = StoreConfig(kind="sqlite", path=str(place / "store.db"))
    return with_settings(config_for(key(upstream)), translation=translation, native=native, store=store)


async def _run(suite: Suite, folder: Path) -> int:
    """pytest's exit code, with a gateway beside it."""
    with tempfile.TemporaryDirectory() as place:
        async with suite.upstream() as upstream, running_gateway(config=_config(upstream, Path(place))) as gateway:
            return await _run_against(gateway, suite, folder)


async def _run_against(gateway: RunningGateway, suite: Suite, folder: Path) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pytest",
        *suite.pytest_arguments(),
        cwd=folder,
        env=_environment() | {"TEST_API_BASE_URL": f"{gateway.url}{suite.base_path}", "PYTHONPATH": str(PLUGINS)},
    )
    try:
        return await asyncio.wait_for(process.wait(), SUITE_SECONDS)
    except TimeoutError:
        print(f"Not done within {SUITE_SECONDS} s.", flush=True)
        return 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _environment() -> dict[str, str]:
    """This environment without what would change how the SDKs or pytest behave."""
    prefixes = ("OPENAI_", "ANTHROPIC_", "PYTEST_", "PYTHONPATH", "PYTHONWARNINGS")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
