"""The thread that writes the ledger, and what waits while it cannot."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.ledger.batches import Batches
from gateway.ledger.files import Opener
from gateway.ledger.journal import Journal
from gateway.ledger.lane import AccountsFile
from gateway.ledger.pruning import Keep
from gateway.ledger.rows import UserHash
from gateway.ledger.telling import FAILS, LOST, WELL, LedgerLog
from gateway.ledger.writer import LedgerWriter
from tests.support.ledgers import NOON, ended, entry, row, table, unusable, used

KEEP = Keep(90, 1200, 2**31)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "accounts.db"


def secret() -> bytes:
    return b"what end users are hashed with"


@pytest.fixture
def batches(file: Path) -> Iterator[Batches]:
    made = Batches(AccountsFile(file, busy_seconds=0.01), secret)
    yield made
    made.close()


def writer_for(file: Path, *, journal: Journal | None = None, most_ended: int = 100) -> LedgerWriter:
    batches = Batches(AccountsFile(file), secret, journal)
    return LedgerWriter(batches, KEEP, wall=lambda: NOON, most_ended=most_ended)


# The thread


def test_what_was_noted_is_written_by_the_thread_and_at_the_latest_when_it_ends(file: Path) -> None:
    writer = writer_for(file)
    writer.note(ended(entry(used()), end_user="ann"))
    writer.start()
    for _ in range(50):
        writer.note(ended(entry(used())))

    assert writer.close(30)
    assert len(table(file)) == 51
    assert sum(sums["requests"] for sums in table(file, "days")) == 51
    assert "ann" not in str(table(file))


def test_what_was_noted_without_a_start_is_written_too(file: Path) -> None:
    writer = writer_for(file)
    writer.note(ended(entry(used())))

    assert writer.close(30)
    assert len(table(file)) == 1


def test_a_thread_that_cannot_keep_up_counts_what_it_has_no_room_for(file: Path) -> None:
    writer = writer_for(file, most_ended=2)
    for _ in range(5):
        writer.note(ended(entry(used())))

    assert (writer.waiting, writer.lost) == (2, 3)
    assert writer.close(30)
    assert len(table(file)) == 2


def test_a_long_name_of_an_end_user_takes_no_memory_and_has_the_hash_that_others_compute(file: Path) -> None:
    name = "\ud800" + "x" * 60_000
    writer = writer_for(file)
    writer.note(ended(entry(used()), end_user=name))
    assert len(writer._ended[0].end_user or "") < 200
    assert writer.close(30)

    assert [found["end_user"] for found in table(file)] == [UserHash(secret()).of(name)]


def test_a_record_that_cannot_be_read_takes_no_other_with_it(file: Path) -> None:
    writer = writer_for(file)
    writer.note(ended(record=None))
    writer.note(ended(entry(used())))

    assert writer.close(30)
    assert len(table(file)) == 1
    assert writer.lost == 1


# What can be wrong with the file


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process that is stuck in the middle of a transaction."""
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def full(file: Path) -> Iterator[None]:
    """A disk without room, as the kernel tells it."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(file: Path) -> Iterator[None]:
    """A folder in which nothing can be made, as on a file system that became read-only."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    file.parent.chmod(0o500)
    yield
    file.parent.chmod(0o700)


@contextlib.contextmanager
def newer(file: Path) -> Iterator[None]:
    """A file that a newer Dragoman has brought to its schema, which a restore undoes."""
    version = AccountsFile(file)
    version.run_now(lambda connection: connection.execute("PRAGMA user_version = 99") and None)
    yield
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA user_version = 1")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (locked, "locked"),
        (full, "full|I/O"),
        (unusable, "regular file"),
        (read_only, "denied|readonly"),
        (newer, "newer Dragoman"),
    ],
)
def test_rows_wait_while_the_file_cannot_be_written_and_are_written_later(
    file: Path, batches: Batches, broken: Callable[[Path], contextlib.AbstractContextManager[None]], why: str
) -> None:
    batches.add([row(caller="before")])
    batches.close()
    with broken(file):
        batches.add([row(caller="first"), row(caller="second")])
        batches.add([row(caller="third")])
        batches.retry()
        assert re.search(why, batches.trouble), batches.trouble
        assert len(batches.journal) == 3
    batches.retry()

    assert batches.trouble == ""
    assert not batches.journal
    assert sorted(found["caller"] for found in table(file)) == ["before", "first", "second", "third"]
    assert sum(sums["attempts"] for sums in table(file, "hours")) == 4


def test_a_deleted_file_is_made_again(file: Path, batches: Batches) -> None:
    batches.add([row()])
    for path in file.parent.iterdir():
        path.unlink()
    batches.add([row()])

    assert batches.trouble == ""
    assert len(table(file)) == 1


def test_another_file_in_its_place_is_used(file: Path, batches: Batches, tmp_path: Path) -> None:
    other = Opener(tmp_path / "other.db").open().connection
    other.close()
    batches.add([row()])
    (tmp_path / "other.db").replace(file)
    batches.add([row(caller="later")])

    assert [found["caller"] for found in table(file)] == ["later"]


def test_a_file_that_becomes_corrupt_is_moved_aside_and_nothing_later_is_lost(file: Path) -> None:
    moved: list[Path] = []
    batches = Batches(AccountsFile(file, on_moved=moved.append), secret)
    batches.add([row()])
    batches.close()
    file.write_bytes(b"no database any more" * 1000)
    batches.add([row(caller="later")])
    batches.close()

    assert moved == [file.with_name("accounts.db.corrupt")]
    assert [found["caller"] for found in table(file)] == ["later"]


def test_while_the_secret_cannot_be_read_rows_wait_with_it(file: Path) -> None:
    secrets: list[bytes] = []

    def read() -> bytes:
        if not secrets:
            raise OSError(13, "Permission denied")
        return secrets[0]

    batches = Batches(AccountsFile(file), read)
    batches.add([row(end_user="ann")])
    assert (batches.trouble, len(batches.journal)) == ("Permission denied", 1)
    secrets.append(b"a secret of this gateway")
    batches.retry()
    batches.close()

    (found,) = table(file)
    assert len(found["end_user"]) == 8


def test_a_row_that_no_database_takes_is_counted_and_keeps_no_other_back(file: Path, batches: Batches) -> None:
    batches.add([row(), row(input=2**63), row(caller=None), row()])

    assert (batches.refused, len(batches.journal), batches.trouble) == (2, 0, "")
    assert len(table(file)) == 2


# The journal


def test_a_journal_keeps_the_oldest_and_counts_what_is_lost() -> None:
    journal = Journal(most_rows=3)
    made = [row() for _ in range(5)]
    journal.add(made)

    assert [*journal.first(10)] == made[:3]
    assert (len(journal), journal.lost) == (3, 2)
    journal.drop(2)
    journal.add([made[4]])
    assert [*journal.first(10)] == [made[2], made[4]]


def test_a_journal_is_bounded_in_bytes() -> None:
    journal = Journal(most_bytes=1000)
    journal.add([row() for _ in range(100)])

    assert 0 < len(journal) < 10
    assert journal.bytes <= 1000
    assert len(journal) + journal.lost == 100
    journal.drop(len(journal))
    assert journal.bytes == 0


# The log


def test_trouble_is_told_at_once_then_once_a_minute_and_so_is_its_end(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer, now = writer_for(file, journal=Journal(most_rows=1)), [1000.0]
    log = LedgerLog(writer, file, lambda: now[0], [])
    log.look()
    file.mkdir(parents=True)
    writer.batches.add([row(), row()])
    for seconds in (0, 10, 49, 1, 59, 1):
        now[0] += seconds
        log.look()
    assert [record.message for record in caplog.records] == [FAILS, FAILS, FAILS]
    os.rmdir(file)
    writer.batches.retry()
    log.look()
    log.look()
    writer.batches.close()

    assert [record.message for record in caplog.records][3:] == [WELL]
    assert caplog.records[0].dragoman_fields["waiting"] == 1  # type: ignore[attr-defined]
    assert caplog.records[0].dragoman_fields["lost"] == 1  # type: ignore[attr-defined]


def test_rows_that_are_lost_while_all_is_well_are_told_too(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = writer_for(file, most_ended=0)
    writer.note(ended(entry(used())))
    log = LedgerLog(writer, file, lambda: 1000.0, [])
    log.look()
    log.look()

    assert [record.message for record in caplog.records] == [LOST]
