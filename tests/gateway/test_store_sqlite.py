"""The store in SQLite: what a restart, other processes, another key, a broken file and a full disk do to it."""

import asyncio
import base64
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.kept_turns.backing import OTHER_KEY
from gateway.kept_turns.database import Database
from gateway.kept_turns.files import MOVED_ASIDE, DatabaseFiles
from gateway.kept_turns.memory import USE_SECONDS
from gateway.kept_turns.sealing import OVERHEAD_BYTES, CannotOpenError, Sealer
from gateway.kept_turns.sqlite_file import Bounds
from gateway.secret import Secret
from tests.support.stores import MIB, SECRET, WEEK, Clocks, key, on_disk

Log = Callable[[], str]
CONTENT = b"what the model thought, which is nobody's business"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "dragoman" / "store.db"


async def kept(file: Path, *numbers: int, secret: Secret | None = SECRET, clocks: Clocks | None = None) -> list[int]:
    """Which of these a gateway finds that has just been started."""
    store = on_disk(file, clocks, secret=secret)
    found = await store.fetch([key(number) for number in numbers])
    await store.close()
    return [number for number in numbers if key(number) in found]


async def keep(file: Path, *numbers: int, secret: Secret | None = SECRET, clocks: Clocks | None = None) -> None:
    """What a gateway does that is stopped afterwards."""
    store = on_disk(file, clocks, secret=secret)
    await asyncio.gather(*(store.put(key(number), CONTENT) for number in numbers))
    await store.close()


def size_of(file: Path) -> int:
    """What a database takes on the disk, with all files beside it."""
    return sum(path.stat().st_size for path in file.parent.iterdir())


# Sealing


@given(key=st.binary(max_size=40), value=st.binary(max_size=2000), moment=st.floats(0, 1e11))
def test_what_is_sealed_comes_back_byte_for_byte(key: bytes, value: bytes, moment: float) -> None:
    sealer = Sealer(SECRET)
    sealed = sealer.seal(key, value, moment)

    assert Sealer(SECRET).open(key, sealed) == (value, moment)
    assert len(sealed) == len(value) + OVERHEAD_BYTES
    assert sealed != sealer.seal(key, value, moment)


@given(value=st.binary(max_size=50), place=st.integers(0), bit=st.integers(0, 7), cut=st.integers(1))
def test_what_was_changed_cut_or_moved_is_not_opened(value: bytes, place: int, bit: int, cut: int) -> None:
    sealer = Sealer(SECRET)
    sealed = sealer.seal(b"key", value, 1.0)
    flipped = bytearray(sealed)
    flipped[place % len(sealed)] ^= 1 << bit

    for name, wrong in [
        (b"key", bytes(flipped)),
        (b"key", sealed[: -(cut % len(sealed)) or -1]),
        (b"key", sealed + b"\0"),
        (b"yek", sealed),
    ]:
        with pytest.raises(CannotOpenError):
            sealer.open(name, wrong)
    with pytest.raises(CannotOpenError):
        Sealer(Secret("another secret, as long")).open(b"key", sealed)


def test_places_tell_neither_the_key_nor_are_they_the_same_for_another_secret() -> None:
    ours, theirs = Sealer(SECRET), Sealer(Secret("another secret, as long"))

    assert ours.place(key(1)) == Sealer(SECRET).place(key(1))
    assert len({ours.place(key(1)), ours.place(key(2)), theirs.place(key(1)), key(1)}) == 4
    assert not theirs.has_sealed(ours.probe(1.0))


# What lasts


async def test_a_restart_finds_all(file: Path) -> None:
    numbers = range(1200)
    await keep(file, *numbers)

    assert await kept(file, *numbers) == [*numbers]


async def test_what_was_forgotten_is_gone_after_a_restart(file: Path) -> None:
    store = on_disk(file)
    await store.put(key(1), CONTENT)
    await store.put(key(2), CONTENT)
    store.forget([key(1)])
    await store.close()

    assert await kept(file, 1, 2) == [2]


async def test_a_value_put_again_is_the_new_one(file: Path) -> None:
    await keep(file, 1)
    store = on_disk(file)
    await store.put(key(1), b"new")
    await store.close()
    again = on_disk(file)

    assert await again.fetch([key(1)]) == {key(1): b"new"}
    await again.close()


async def test_what_is_too_old_is_not_found_and_leaves_the_disk(file: Path) -> None:
    clocks = Clocks()
    await keep(file, 1, clocks=clocks)
    clocks.pass_by(WEEK)
    await keep(file, 2, clocks=clocks)

    assert await kept(file, 1, 2, clocks=clocks) == [2]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM turns").fetchone() == (1,)


async def test_a_store_that_was_closed_opens_again_for_a_late_request(file: Path) -> None:
    store = on_disk(file)
    await store.close()
    await store.put(key(1), CONTENT)
    await store.close()

    assert await kept(file, 1) == [1]


_WORKER = """
import asyncio, sys
from pathlib import Path
from tests.support.stores import key, on_disk

async def main(file, begin):
    store = on_disk(Path(file), secret=None)
    print("ready", flush=True)
    sys.stdin.readline()
    mine = range(begin, begin + 200)
    await asyncio.gather(*(store.put(key(number), b"%d" % number) for number in mine))
    print("written", flush=True)
    sys.stdin.readline()
    everything = [key(number) for number in range(400)]
    found = await store.fetch(everything)
    print(sum(found.get(key(number)) == b"%d" % number for number in range(400)), flush=True)
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_two_processes_that_begin_at_once_agree_on_the_key_and_find_what_either_has_put(file: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, str(file), begin],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for begin in ("0", "200")
    ]
    said = []
    for _ in range(2):
        for worker in workers:
            assert worker.stdout is not None
            said.append(worker.stdout.readline().strip())
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
    ends = [worker.communicate(timeout=20) for worker in workers]

    assert said == ["ready", "ready", "written", "written"]
    assert ends == [("400\n", "")] * 2


async def test_what_another_store_has_removed_from_the_disk_is_begun_anew(file: Path) -> None:
    store = on_disk(file)
    await store.put(key(1), CONTENT)
    for path in file.parent.iterdir():
        path.unlink()
    await store.put(key(2), CONTENT)
    await store.close()

    assert await kept(file, 1, 2) == [2]


# What others may see


async def test_nothing_of_it_can_be_read_in_the_files_and_only_the_owner_may_try(file: Path) -> None:
    store = on_disk(file, secret=None)
    before = os.umask(0)
    try:
        await store.put(b"0123456789abcdef", CONTENT)
    finally:
        os.umask(before)
    await asyncio.to_thread(_assert_sealed, file)
    await store.close()
    await asyncio.to_thread(_assert_sealed, file)


def _assert_sealed(file: Path) -> None:
    # From another process: to close one of these files would end the locks that this one has on it.
    found = subprocess.run(["cat", *sorted(map(str, file.parent.iterdir()))], capture_output=True, check=True).stdout
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    made = file.with_name("store.db.key").read_text().strip()

    assert len(found) > len(CONTENT)
    for secret in (CONTENT, CONTENT[:12], b"0123456789abcdef", base64.b64decode(made)):
        assert secret not in found
        assert secret.hex().encode() not in found
    assert {"store.db", "store.db.key"} <= modes.keys()
    assert set(modes.values()) == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (file.parent, file.parent.parent)} == {0o700}


async def test_a_database_that_others_could_read_is_closed_to_them(file: Path) -> None:
    await keep(file, 1, secret=None)
    file.chmod(0o644)
    file.with_name("store.db.key").chmod(0o644)
    await keep(file, 2, secret=None)

    assert {stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()} == {0o600}
    assert await kept(file, 1, 2, secret=None) == [1, 2]


# Keys


async def test_a_key_is_made_once_and_is_as_strong_as_the_cipher(file: Path) -> None:
    await keep(file, 1, secret=None)
    made = file.with_name("store.db.key").read_bytes()
    await keep(file, 2, secret=None)

    assert len(base64.b64decode(made)) == 32
    assert file.with_name("store.db.key").read_bytes() == made
    assert await kept(file, 1, 2, secret=None) == [1, 2]


async def test_with_another_key_nothing_is_found_nothing_is_lost_and_it_is_told_once(file: Path, read_log: Log) -> None:
    await keep(file, 1)
    other = Secret("the operator's next secret")

    assert await kept(file, 1, secret=other) == []
    await keep(file, 2, secret=other)
    assert await kept(file, 1, 2, secret=other) == [2]
    assert await kept(file, 1, 2) == [1]
    assert read_log().count(OTHER_KEY) == read_log().count("warning") == 1


async def test_a_key_file_that_was_lost_means_another_key(file: Path, read_log: Log) -> None:
    await keep(file, 1, secret=None)
    file.with_name("store.db.key").unlink()

    assert await kept(file, 1, secret=None) == []
    assert OTHER_KEY in read_log()


async def test_a_key_file_without_a_key_is_told_and_left_alone(file: Path, read_log: Log) -> None:
    file.parent.mkdir(parents=True)
    made = file.with_name("store.db.key")
    made.write_text("short")

    assert await kept(file, 1, secret=None) == []
    assert "holds no key" in read_log()
    assert made.read_text() == "short"


async def test_a_value_that_was_changed_on_the_disk_is_a_miss_and_counted(file: Path, read_log: Log) -> None:
    await keep(file, 1, 2)
    with closing(sqlite3.connect(file)) as database, database:
        place = Sealer(SECRET).place(key(1))
        (sealed,) = database.execute("SELECT sealed FROM turns WHERE place = ?", (place,)).fetchone()
        database.execute("UPDATE turns SET sealed = ? WHERE place = ?", (sealed[:-1] + b"?", place))
    store = on_disk(file)

    assert await store.fetch([key(1), key(2)]) == {key(2): CONTENT}
    assert store.counts.unreadable == 1
    assert "cannot be decrypted" in read_log()
    await store.close()


# Trouble


async def test_a_file_that_is_no_database_is_moved_aside_and_a_new_one_begun(file: Path, read_log: Log) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database at all" * 1000)
    await keep(file, 1)

    assert await kept(file, 1) == [1]
    assert file.with_name("store.db.corrupt").read_bytes().startswith(b"no database")
    assert read_log().count(MOVED_ASIDE) == read_log().count("warning") == 1


async def test_a_database_that_is_found_broken_while_it_is_used_is_replaced(file: Path, read_log: Log) -> None:
    await keep(file, *range(300))
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    first, second = on_disk(file), on_disk(file)

    assert await first.fetch([key(number) for number in range(300)]) == {}
    await first.put(key(300), CONTENT)
    assert await second.fetch([key(1), key(300)]) == {key(300): CONTENT}
    await second.put(key(301), CONTENT)
    await first.close()
    await second.close()
    assert await kept(file, 1, 300, 301) == [300, 301]
    assert read_log().count(MOVED_ASIDE) == read_log().count("warning") == 1


def test_a_broken_database_that_another_process_has_replaced_is_not_moved_aside_again(file: Path) -> None:
    files = DatabaseFiles(Database, file, Bounds(MIB, WEEK), SECRET)
    opened = files.open()
    opened.database.close()
    files.replace(opened.identity)
    new = files.identity()
    files.replace(opened.identity)

    assert new == files.identity() != opened.identity


@pytest.mark.parametrize(
    ("pragma", "why"),
    [("user_version = 99", "made by a newer Dragoman"), ("application_id = 7", "another program's")],
)
async def test_a_database_that_is_not_ours_to_write_is_left_alone(
    file: Path, read_log: Log, pragma: str, why: str
) -> None:
    await keep(file, 1)
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"PRAGMA {pragma}")
        before = database.execute("SELECT * FROM turns").fetchall()
    store = on_disk(file)
    await store.start()
    for _ in range(5):
        await store.put(key(2), CONTENT)
        assert await store.fetch([key(1), key(2)]) == {key(2): CONTENT}
    await store.close()

    assert why in read_log()
    assert read_log().count("warning") == 1
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT * FROM turns").fetchall() == before


async def test_a_place_where_nothing_can_be_made_leaves_the_memory(tmp_path: Path, read_log: Log) -> None:
    (tmp_path / "file").write_text("in the way")
    store = on_disk(tmp_path / "file" / "store.db")
    await store.start()
    await store.put(key(1), CONTENT)

    assert await store.fetch([key(1), key(2)]) == {key(1): CONTENT}
    assert "Not a directory" in read_log()
    assert read_log().count("warning") == 1
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_only_be_read_leaves_the_memory(tmp_path: Path, read_log: Log) -> None:
    tmp_path.chmod(0o500)
    store = on_disk(tmp_path / "store.db")
    await store.put(key(1), CONTENT)

    assert await store.fetch([key(1), key(2)]) == {key(1): CONTENT}
    assert "Permission denied" in read_log()
    await store.close()
    tmp_path.chmod(0o700)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A block in which no file may grow beyond a size, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_leaves_the_memory_and_what_was_written_before(file: Path, read_log: Log) -> None:
    clocks = Clocks()
    store = on_disk(file, clocks)
    await store.put(key(1), CONTENT)
    with files_up_to(64 * 1024):
        for number in range(2, 20):
            await store.put(key(number), CONTENT * 1000)
    store.memory.forget(key(1))

    assert len(await store.fetch([key(number) for number in range(1, 20)])) == 19
    assert read_log().count("warning") == 1
    clocks.pass_by(60)
    await store.put(key(20), CONTENT)
    assert "works again" in read_log()
    await store.close()
    assert await kept(file, 1, 19, 20) == [1, 20]


# Bounds


async def test_a_flood_stays_within_the_bound_and_drives_out_what_was_used_longest_ago(file: Path) -> None:
    clocks = Clocks()
    store = on_disk(file, clocks, disk_bytes=4 * MIB)
    most = 0
    for begin in range(0, 2000, 20):
        clocks.pass_by(1)
        await asyncio.gather(*(store.put(key(number), os.urandom(10_000)) for number in range(begin, begin + 20)))
        most = max(most, size_of(file))
    await store.close()
    found = await kept(file, *range(2000), clocks=clocks)

    assert 2 * MIB < most <= 4 * MIB
    assert found == [*range(found[0], 2000)]
    assert len(found) > 200


async def test_what_is_used_stays_when_room_has_to_be_made(file: Path) -> None:
    clocks = Clocks()
    writer = on_disk(file, clocks, disk_bytes=4 * MIB)
    await writer.put(key(0), CONTENT)
    await writer.put(key(1), CONTENT)
    await writer.put(key(2), CONTENT)
    for number in range(3, 1000):
        if number % 100 == 0:
            clocks.pass_by(USE_SECONDS + 1)
            # One is read from the disk, the other from memory.
            reader = on_disk(file, clocks, disk_bytes=4 * MIB)
            await reader.fetch([key(0)])
            await reader.close()
            writer.peek([key(1)])
        await writer.put(key(number), os.urandom(10_000))
    await writer.close()

    assert await kept(file, 0, 1, 2, 3, clocks=clocks) == [0, 1]


async def test_a_smaller_bound_makes_the_file_smaller(file: Path) -> None:
    store = on_disk(file, disk_bytes=16 * MIB)
    await asyncio.gather(*(store.put(key(number), os.urandom(10_000)) for number in range(1000)))
    await store.close()
    assert size_of(file) > 9 * MIB
    store = on_disk(file, disk_bytes=4 * MIB)
    for number in range(20):
        await store.put(key(number), CONTENT)
    await store.close()

    assert size_of(file) < 4 * MIB


async def test_a_value_too_large_for_the_file_stays_in_memory(file: Path) -> None:
    store = on_disk(file, disk_bytes=MIB, memory_bytes=8 * MIB)
    await store.put(key(1), bytes(MIB // 8))
    await store.close()

    assert store.peek([key(1)]) == {key(1): bytes(MIB // 8)}
    assert await kept(file, 1) == []


async def test_the_event_loop_never_opens_the_database(file: Path) -> None:
    opened: list[int] = []

    def note(event: str, _: object) -> None:
        if event == "sqlite3.connect" and watches:
            opened.append(threading.get_ident())

    watches = True
    sys.addaudithook(note)
    store = on_disk(file)
    await store.put(key(1), CONTENT)
    store.memory.forget(key(1))
    await store.fetch([key(1)])
    await store.close()
    watches = False

    # SQLite's own check sees that a connection is used only by the thread that has opened it.
    assert len(set(opened)) == 2
    assert threading.get_ident() not in opened
