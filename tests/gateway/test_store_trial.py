"""Whether a store could be used, found out without making or changing anything."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from gateway.config import StoreConfig
from gateway.kept_turns import open_store, try_store
from gateway.secret import Secret
from tests.support.commands import outcome
from tests.support.valkey import PROGRAM, server


def config_at(file: Path) -> StoreConfig:
    return StoreConfig(kind="sqlite", path=str(file))


def everything_in(folder: Path) -> dict[Path, tuple[int, float]]:
    """All files with their sizes and times of change."""
    return {path: (path.stat().st_size, path.stat().st_mtime) for path in folder.rglob("*")}


async def filled(file: Path, turns: int) -> None:
    store = open_store(config_at(file))
    for number in range(turns):
        await store.put(b"key %d" % number, b"value")
    await store.close()


@pytest.mark.parametrize("place", ["store.db", "not/yet/there/store.db"])
async def test_a_database_that_is_not_there_yet_is_well_where_it_can_be_made(tmp_path: Path, place: str) -> None:
    trial = await try_store(config_at(tmp_path / place))

    assert trial.is_well
    assert "no database yet" in trial.words
    assert everything_in(tmp_path) == {}


async def test_one_that_is_there_is_opened_and_stays_as_it_was(tmp_path: Path) -> None:
    await filled(tmp_path / "store.db", 3)
    before = everything_in(tmp_path)
    trial = await try_store(config_at(tmp_path / "store.db"))

    assert (trial.is_well, trial.words) == (True, "the database can be opened, 3 turns are kept")
    assert everything_in(tmp_path) == before


async def test_one_that_a_gateway_has_open_is_read_beside_it(tmp_path: Path) -> None:
    store = open_store(config_at(tmp_path / "store.db"))
    await store.put(b"key", b"value")
    trial = await try_store(config_at(tmp_path / "store.db"))
    await store.close()

    assert (trial.is_well, trial.words) == (True, "the database can be opened, 1 turns are kept")


async def test_what_is_in_the_way_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "broken.db").write_bytes(b"this is no database, and long enough to be looked at" * 10)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE pets (name TEXT)")
    connection.close()
    for file in (tmp_path / "broken.db", tmp_path / "other.db"):
        file.chmod(0o600)
    (tmp_path / "link.db").symlink_to(tmp_path / "other.db")
    before = everything_in(tmp_path)
    trials = [await try_store(config_at(tmp_path / name)) for name in ("file/a.db", "broken.db", "other.db", "link.db")]

    assert [trial.is_well for trial in trials] == [False] * 4
    words = [trial.words for trial in trials]
    assert "is not a folder" in words[0]
    assert "not a database" in words[1]
    assert "another program's" in words[2]
    assert "symbolic link" in words[3]
    assert everything_in(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    trial = await try_store(config_at(tmp_path / "new" / "store.db"))

    assert not trial.is_well
    assert f"{tmp_path} cannot be written" in trial.words


@pytest.mark.parametrize("kind", ["memory", "off"])
async def test_what_opens_nothing_is_well(kind: str) -> None:
    assert (await try_store(StoreConfig(kind=kind))).is_well  # type: ignore[arg-type]


async def test_a_server_that_is_not_there_is_said() -> None:
    secret = Secret("an encryption key of some length")
    trial = await try_store(
        StoreConfig(kind="valkey", url=Secret("valkey://:hush@127.0.0.1:9/0"), encryption_key=secret)
    )

    assert not trial.is_well
    assert trial.words == "valkey://127.0.0.1:9/0: connection refused"


@pytest.mark.skipif(PROGRAM is None, reason="neither valkey-server nor redis-server is on PATH")
async def test_a_server_that_answers_is_well() -> None:
    async with server() as running:
        config = StoreConfig(
            kind="valkey", url=Secret(running.url), encryption_key=Secret("an encryption key of some length")
        )
        trial = await try_store(config)

    assert (trial.is_well, trial.words) == (True, "the server answers")


async def test_the_command_says_what_it_found_and_stays_well(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    well = await outcome("check", XDG_STATE_HOME=str(tmp_path), ANTHROPIC_API_KEY="sk-ant-1")
    ill = await outcome("check", XDG_STATE_HOME=str(tmp_path / "file"), ANTHROPIC_API_KEY="")

    assert (well[0], ill[0]) == (0, 0)
    assert "no database yet" in well[1]
    assert "WARNING" not in well[1]
    assert "WARNING: the store cannot be used now" in ill[1]
    assert "WARNING: ANTHROPIC_API_KEY is set but empty" in ill[1]
    assert "OK: the environment" in ill[1]
