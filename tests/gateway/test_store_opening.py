"""Which store a configuration means, what is wrong with one, and how a gateway lives with it."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app import Gateway
from gateway.config import ConfigError, StoreConfig, load_config
from gateway.kept_turns import database_file, is_shared, kind_of, open_store, place_in_words
from gateway.secret import Secret
from tests.support.commands import outcome, started
from tests.support.gateway import config_for, running_gateway, with_settings
from tests.support.stores import key

Log = Callable[[], str]
CONTENT = b"what the model thought"
# The database of turns, its key, and the database of responses.
FILES = ["store.db", "store.db.key", "store.db.lock", "store.db.responses", "store.db.responses.lock"]
SERVER = Secret("valkey://:password-of-it@cache.example.com:6379/2")
PASSPHRASE = Secret("sixteen or more characters")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway without extras: nobody can import them."""
    for module in ("cryptography", "redis"):
        monkeypatch.setitem(sys.modules, module, None)


def mistakes(folder: Path, text: str, **environ: str) -> list[str]:
    file = folder / "dragoman.yaml"
    file.write_text(f"store: {text}")
    with pytest.raises(ConfigError) as raised:
        load_config(str(file), environ)
    return [f"{mistake.path}: {mistake.text}" for mistake in raised.value.mistakes]


# What a configuration means


def test_auto_is_sqlite_where_it_can_be_encrypted() -> None:
    assert kind_of(StoreConfig()) == "sqlite"
    assert is_shared(StoreConfig())


@pytest.mark.usefixtures("bare")
def test_auto_is_memory_where_nothing_can_be_encrypted_and_says_how_to_change_that() -> None:
    assert kind_of(StoreConfig()) == "memory"
    assert not is_shared(StoreConfig())
    assert place_in_words(StoreConfig()) == (
        "in memory, 32 MiB, gone with the process; to keep it: pip install cryptography"
    )


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"XDG_STATE_HOME": "/var/state"}, "/var/state/dragoman/store.db"),
        ({"XDG_STATE_HOME": "relative"}, "~/.local/state/dragoman/store.db"),
        ({}, "~/.local/state/dragoman/store.db"),
    ],
)
def test_the_database_is_where_state_belongs(environ: dict[str, str], file: str) -> None:
    assert database_file(StoreConfig(), environ) == Path(file).expanduser()


def test_a_path_starts_at_the_configurations_folder(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("store: {path: state/turns.db}")
    relative = load_config(str(file), {}).store
    file.write_text("store: {path: ~/turns.db}")
    at_home = load_config(str(file), {}).store

    assert database_file(relative, {}) == tmp_path / "state" / "turns.db"
    assert database_file(at_home, {}) == Path("~/turns.db").expanduser()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (StoreConfig(kind="off"), "off: nothing is kept between requests"),
        (StoreConfig(kind="memory", memory_bytes=3 * 2**19), "in memory, 1.5 MiB, gone with the process"),
        (StoreConfig(path="/a/b.db"), "/a/b.db, encrypted with /a/b.db.key"),
        (
            StoreConfig(kind="sqlite", path="/a/b.db", encryption_key=PASSPHRASE),
            "/a/b.db, encrypted with store.encryption_key",
        ),
        (
            StoreConfig(kind="valkey", url=SERVER, encryption_key=PASSPHRASE),
            "valkey://cache.example.com:6379/2, encrypted with store.encryption_key",
        ),
    ],
)
def test_the_operator_is_told_where_the_store_is_and_no_secret(config: StoreConfig, words: str) -> None:
    assert place_in_words(config) == words


# Mistakes


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{kind: valkey, encryption_key: 0123456789abcdef}", "store.url: missing"),
        ("{kind: valkey, url: 'valkey://host'}", "store.encryption_key: missing"),
        ("{url: 'valkey://host'}", "store.url: not used by kind auto"),
        ("{kind: sqlite, encryption_key: 'only fifteen ch'}", "store.encryption_key: expected at least 16 characters"),
        ("{kind: disk}", "store.kind: expected auto, memory, off, sqlite or valkey"),
        ("{memory_bytes: 1000}", "store.memory_bytes: expected a whole number of 1048576 or more"),
        ("{disk_bytes: 1000}", "store.disk_bytes: expected a whole number of 1048576 or more"),
        ("{keep_seconds: 0}", "store.keep_seconds: expected a number above 0"),
    ],
)
def test_a_mistake_names_its_path(tmp_path: Path, text: str, path: str) -> None:
    told = mistakes(tmp_path, text)

    assert len(told) == 1
    assert told[0].startswith(path)


@pytest.mark.parametrize(
    "url",
    ["http://host-secret:1", "valkey:host-secret", "unix://", "redis://host-secret:port", "redis://host-secret/one"],
)
def test_an_address_that_is_none_is_not_shown(tmp_path: Path, url: str) -> None:
    told = mistakes(tmp_path, f"{{kind: valkey, url: '{url}', encryption_key: 0123456789abcdef}}")

    assert [text.partition(",")[0] for text in told] == ["store.url: expected an address like valkey://host:6379/0"]
    assert "secret" not in told[0]


@pytest.mark.parametrize(("kind", "packages"), [("sqlite", "cryptography"), ("valkey", "redis cryptography")])
@pytest.mark.usefixtures("bare")
def test_what_has_to_be_installed_is_a_mistake_with_the_command_that_mends_it(
    tmp_path: Path, kind: str, packages: str
) -> None:
    more = ", url: 'valkey://host', encryption_key: 0123456789abcdef" if kind == "valkey" else ""

    assert mistakes(tmp_path, f"{{kind: {kind}{more}}}") == [
        f"store.kind: {kind} needs packages that are not installed: pip install {packages}"
    ]


def test_a_passphrase_may_be_any_text_from_any_source(tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("drei Wörter, ein Satz\n")
    file = tmp_path / "dragoman.yaml"
    file.write_text("store: {encryption_key: {file: passphrase}}")

    assert load_config(str(file), {}).store.encryption_key == Secret("drei Wörter, ein Satz")


@pytest.mark.parametrize("url", ["valkey://h", "valkeys://h:1/0", "redis://:p@h", "rediss://h", "unix:///tmp/s?db=1"])
def test_addresses_of_every_kind_are_taken(tmp_path: Path, url: str) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text(f"store: {{kind: valkey, url: '{url}', encryption_key: 0123456789abcdef}}")

    assert load_config(str(file), {}).store.url == Secret(url)


# A gateway with its store


@pytest.mark.parametrize(
    "config",
    [
        StoreConfig(kind="sqlite"),
        StoreConfig(kind="valkey", url=Secret("valkey://127.0.0.1:9"), encryption_key=PASSPHRASE),
    ],
)
def test_to_open_a_store_touches_nothing(config: StoreConfig, tmp_path: Path) -> None:
    open_store(config, {"XDG_STATE_HOME": str(tmp_path)})

    assert [*tmp_path.iterdir()] == []


async def test_a_store_that_is_off_keeps_nothing() -> None:
    store = open_store(StoreConfig(kind="off"))
    await store.put(key(1), b"")

    assert await store.fetch([key(1)]) == {}
    await store.close()


async def test_a_gateway_writes_at_its_end_and_another_one_finds_it(tmp_path: Path) -> None:
    config = with_settings(config_for(), store=StoreConfig(path=str(tmp_path / "store.db")))
    async with running_gateway(config=config) as first:
        await first.gateway.services.kept_turns.store.put(key(1), CONTENT)
    async with running_gateway(config=config) as second:
        found = await second.gateway.services.kept_turns.store.fetch([key(1)])

    assert found == {key(1): CONTENT}
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


async def test_a_reload_takes_what_is_in_memory_to_the_new_store_and_closes_the_old_one(tmp_path: Path) -> None:
    config = with_settings(config_for(), store=StoreConfig(path=str(tmp_path / "store.db")))
    async with running_gateway(config=config) as running:
        gateway = running.gateway
        # As a request that runs while the configuration changes.
        store = gateway.services.kept_turns.store
        await store.put(key(1), CONTENT)
        gateway.reload(with_settings(config, store=StoreConfig(kind="memory")))
        closing = [*gateway._kept._work]
        await store.put(key(2), CONTENT)
        await asyncio.gather(*closing)
        left = sorted(path.name for path in tmp_path.iterdir())

        assert gateway.services.kept_turns.store.peek([key(1), key(2)]) == {key(1): CONTENT, key(2): CONTENT}
    # With the last connection SQLite takes its log away.
    assert left == FILES


async def test_a_reload_that_is_about_something_else_leaves_the_store(tmp_path: Path) -> None:
    config = config_for()
    gateway = Gateway(config, callers_base_url="http://127.0.0.1:9")
    before = gateway._kept.store.current
    gateway.reload(with_settings(config, pool=config.pool))

    assert gateway._kept.store.current is before


async def test_trouble_with_the_store_is_told_at_the_start_and_hinders_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with started("serve", XDG_STATE_HOME=str(tmp_path / "file"), ANTHROPIC_API_KEY="sk-ant-test") as running:
        assert running.process.stderr is not None
        line = await running.process.stderr.readuntil(b"continues with its memory")
        line += await running.process.stderr.readuntil(b"Not a directory")
        running.process.send_signal(signal.SIGTERM)
        code, _ = await running.end()

    assert b"continues with its memory" in line
    assert f"store    {tmp_path}/file/dragoman/store.db" in running.said
    assert code == 0


async def test_workers_that_share_nothing_are_told_of(tmp_path: Path) -> None:
    file = tmp_path / "dragoman.yaml"
    file.write_text("store: {kind: memory}")
    arguments = ("serve", "--config", str(file), "--workers", "2")
    async with started(*arguments, ANTHROPIC_API_KEY="sk-ant-test") as running:
        running.process.send_signal(signal.SIGTERM)
        _, log = await running.end()

    assert log.count("Workers do not share") == 1
    assert "set store.kind to sqlite" in log


async def test_the_demo_writes_nothing(tmp_path: Path) -> None:
    async with started("demo", XDG_STATE_HOME=str(tmp_path)) as running:
        running.process.send_signal(signal.SIGTERM)
        await running.end()

    assert "store    in memory, 32 MiB" in running.said
    assert [*tmp_path.iterdir()] == []


async def test_check_says_where_the_store_is_and_makes_none(tmp_path: Path) -> None:
    code, out, _ = await outcome("check", XDG_STATE_HOME=str(tmp_path))

    assert code == 0
    assert f"the store: {tmp_path}/dragoman/store.db, encrypted with {tmp_path}/dragoman/store.db.key" in out
    assert [*tmp_path.iterdir()] == []
