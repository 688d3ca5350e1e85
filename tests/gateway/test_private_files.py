"""Files that somebody else has put where the store writes: neither followed nor used, and the gateway goes on."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.private_files import ownership
from gateway.private_files.ownership import check_folder, check_own, check_unread, make_private, open_own
from gateway.private_files.places import state_folder
from tests.support.stores import key, on_disk

Log = Callable[[], str]
NAMES = ("store.db", "store.db-wal", "store.db-shm", "store.db.key", "store.db.lock")
CONTENT = b"what the model thought"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def kept(file: Path) -> bool:
    """Whether what a gateway keeps is there for the next one."""
    for _ in range(2):
        store = on_disk(file, secret=None)
        found = await store.fetch([key(1)])
        await store.put(key(1), CONTENT)
        await store.close()
    return key(1) in found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("is_there", [True, False], ids=["link", "dangling"])
async def test_a_link_in_the_place_of_a_file_is_not_followed(
    file: Path, read_log: Log, name: str, is_there: bool
) -> None:
    target = file.parent / "target" / "of-somebody-else"
    target.parent.mkdir()
    if is_there:
        target.write_bytes(b"precious, sixteen bytes and more")
        target.chmod(0o644)
    (file.parent / name).symlink_to(target)

    assert not await kept(file)
    assert f"{name} is a symbolic link" in read_log()
    assert target.exists() is is_there
    if is_there:
        assert target.read_bytes() == b"precious, sixteen bytes and more"
        assert stat.S_IMODE(target.stat().st_mode) == 0o644


@pytest.mark.parametrize("name", ["store.db-wal", "store.db.key", "store.db.lock"])
async def test_what_is_no_file_is_not_waited_for(file: Path, read_log: Log, name: str) -> None:
    os.mkfifo(file.parent / name)

    assert not await kept(file)
    assert f"{name} is not a regular file" in read_log()


@needs_root
@pytest.mark.parametrize("name", NAMES)
async def test_another_users_file_is_not_used(file: Path, read_log: Log, name: str) -> None:
    theirs = file.parent / name
    theirs.write_bytes(b"")
    os.chown(theirs, 4711, -1)

    assert not await kept(file)
    assert f"{name} belongs to another user (uid 4711)" in read_log()
    assert theirs.stat().st_uid == 4711


@needs_root
async def test_another_users_folder_is_not_used(file: Path, read_log: Log) -> None:
    os.chown(file.parent, 4711, -1)

    assert not await kept(file)
    assert f"{file.parent} belongs to another user (uid 4711)" in read_log()


async def test_a_folder_in_which_everybody_may_exchange_files_is_not_used(file: Path, read_log: Log) -> None:
    file.parent.chmod(0o777)
    refused = await kept(file)
    file.parent.chmod(0o1777)

    assert not refused
    assert f"other users can replace files in {file.parent}" in read_log()
    assert await kept(file)


async def test_a_folder_may_be_a_link_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert await kept(tmp_path / "link" / "store.db")


def test_owners_are_this_user_and_the_superuser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    os.close(open_own(file, os.O_RDONLY))
    check_own(file)
    check_folder(tmp_path)
    monkeypatch.setattr(ownership, "_owners", lambda: (4711,))

    for check in (lambda: open_own(file, os.O_RDONLY), lambda: check_own(file), lambda: check_folder(tmp_path)):
        with pytest.raises(ValueError, match="belongs to another user"):
            check()


def test_what_cannot_be_closed_to_others_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.touch()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chmod", refuse)
    for mode, checks in {0o640: (), 0o644: (check_unread,), 0o660: (make_private,), 0o602: (make_private,)}.items():
        os.fchmod(descriptor := os.open(file, os.O_RDONLY), mode)
        os.close(descriptor)
        for check in (make_private, check_unread):
            if check in checks:
                with pytest.raises(ValueError, match="by other users: chmod 600"):
                    check(file)
            else:
                check(file)


def test_without_a_home_files_are_below_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: path)

    assert state_folder({}) == Path("/.local/state/dragoman")
    assert state_folder({"XDG_STATE_HOME": "/var/lib"}) == Path("/var/lib/dragoman")
