"""What a reload reads, what it says has changed, and when it looks."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.config import (
    Changes,
    ClientConfig,
    Config,
    ConfigError,
    KeyConfig,
    Loaded,
    LogConfig,
    ServerConfig,
    Source,
    changes_between,
    keep_fixed,
    load,
)
from gateway.process.reloading import Reloader, reloading
from gateway.process.rotation import PAUSE_SECONDS, Rotation
from gateway.secret import Secret

A, B = KeyConfig(name="a", api_key=Secret("1")), KeyConfig(name="b", api_key=Secret("2"))
SOURCE = Source(file="/nowhere", shown='"nowhere"')


# Where a configuration comes from


def test_a_configuration_knows_its_files_and_where_its_keys_come_from(tmp_path: Path) -> None:
    for name in ("secret", "client"):
        (tmp_path / name).write_text("sk-1")
    file = tmp_path / "config.yaml"
    file.write_text(
        """
        keys:
          - {name: text, api_key: sk-0}
          - {name: file, api_key: {file: secret}}
          - {name: command, api_key: {command: [printenv, KEY]}}
          - {name: env, api_key: {env: KEY}}
        clients: [{name: file, api_key: {file: client}}]
        """
    )
    loaded = load(str(file), {"KEY": "sk-2", **os.environ})
    (tmp_path / "secret").write_text("sk-3\n")

    assert {*loaded.files} == {str(file), str(tmp_path / "secret"), str(tmp_path / "client")}
    assert {*loaded.key_sources} == {"file", "command"}
    assert loaded.key_sources["file"].read({}).reveal() == "sk-3"
    assert loaded.key_sources["command"].read({"KEY": "sk-4", **os.environ}).reveal() == "sk-4"


def test_a_wrong_configuration_knows_the_files_that_were_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("keys: [{name: a, api_key: {file: none}}]")
    with pytest.raises(ConfigError) as raised:
        load(str(file), {})

    assert raised.value.files[str(tmp_path / "none")] is None
    assert raised.value.files[str(file)] is not None


def test_a_secret_that_cannot_be_read_again_is_named_as_it_was_written() -> None:
    with pytest.raises(ValueError, match='the file "nowhere" cannot be read: No such file'):
        SOURCE.read({})


# What has changed


def test_changes_name_keys_and_sections_but_no_secret() -> None:
    old = Config(keys=(A, B), log=LogConfig(level="debug"))
    new = Config(
        keys=(replace(A, api_key=Secret("3")), replace(A, name="c")),
        clients=(ClientConfig(name="x", api_key=Secret("4")),),
    )
    changes = changes_between(old, new)

    assert changes == Changes(added=("c",), removed=("b",), renewed=("a",), sections=("keys", "clients", "log"))
    assert changes.as_fields() == {
        "sections": "keys,clients,log",
        "keys_added": "c",
        "keys_removed": "b",
        "keys_renewed": "a",
    }


def test_another_weight_is_a_change_but_no_renewal_and_another_host_is_both() -> None:
    heavier, elsewhere = replace(A, weight=2), replace(A, base_url="http://up")

    assert changes_between(Config(keys=(A,)), Config(keys=(heavier,))) == Changes(sections=("keys",))
    assert changes_between(Config(keys=(A,)), Config(keys=(elsewhere,))).renewed == ("a",)
    assert not changes_between(Config(keys=(A,)), Config(keys=(A,)))


def test_what_a_process_cannot_change_stays_and_is_named() -> None:
    running = Config(server=ServerConfig(port=1, workers=2))
    config, fixed = keep_fixed(running, Config(server=ServerConfig(host="::", port=3, max_body_bytes=4)))

    assert config.server == ServerConfig(port=1, workers=2, max_body_bytes=4)
    assert fixed == ("server.host", "server.port", "server.workers")


# When it is read


class Operator:
    """Writes configurations, and waits until they are used."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.used: list[Config] = []
        self.news = asyncio.Event()
        file.write_text("")
        self.reloader = Reloader(self.load(), self.load, self.apply)

    def load(self) -> Loaded:
        return load(str(self.file), {"ANTHROPIC_API_KEY": "sk-1"})

    def apply(self, config: Config, key_sources: Mapping[str, Source]) -> None:
        self.used.append(config)
        self.news.set()
        if config.log.level == "error":
            raise RuntimeError("a mistake of our own")

    async def next(self) -> Config:
        async with asyncio.timeout(60):
            await self.news.wait()
        self.news.clear()
        return self.used[-1]


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setattr("gateway.process.reloading._LOOK_SECONDS", 0.01)
    return Operator(tmp_path / "config.yaml")


async def test_a_file_that_is_being_written_is_not_read_before_it_is_at_rest(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = iter(["server: {max_body_bytes: 2", "server: {max_body_bytes: 22}", None])
    pause = asyncio.sleep

    async def write_on(_seconds: float) -> None:
        if text := next(steps, None):
            operator.file.write_text(text)
        await pause(0)

    monkeypatch.setattr("gateway.process.reloading._pause", write_on)
    async with reloading(operator.reloader):
        operator.file.write_text("server: {")
        config = await operator.next()

    assert config.server.max_body_bytes == 22
    assert len(operator.used) == 1


async def test_a_failure_of_our_own_does_not_end_the_watch(operator: Operator, read_log: Callable[[], str]) -> None:
    async with reloading(operator.reloader):
        operator.file.write_text("log: {level: error}")
        await operator.next()
        operator.file.write_text("log: {level: warning}")
        config = await operator.next()

    assert config.log.level == "warning"
    assert "The configuration could not be read again" in read_log()
    assert "a mistake of our own" in read_log()


# Rotated secrets


async def test_a_secret_is_read_again_but_not_all_the_time(tmp_path: Path) -> None:
    now = 100.0
    read: asyncio.Queue[str] = asyncio.Queue()

    def use(key: str, source: Source, secret: Secret) -> bool:
        read.put_nowait(f"{key} {secret.reveal()}")
        return True

    rotation = Rotation(use, lambda: now)
    file = tmp_path / "key"
    source = Source(file=str(file))
    for moment, text in ((100.0, "1"), (100.0 + PAUSE_SECONDS - 0.1, "2"), (100.0 + PAUSE_SECONDS, "3")):
        now = moment
        file.write_text(text)
        rotation.ask("a", source)
        if text != "2":
            async with asyncio.timeout(60):
                assert await read.get() == f"a {text}"
    rotation.ask("b", source)
    assert await read.get() == "b 3"
    rotation.keep_only({"b"})
    rotation.ask("a", source)

    assert await read.get() == "a 3"
    assert read.empty()
