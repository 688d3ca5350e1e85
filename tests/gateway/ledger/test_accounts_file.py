"""The file accounts.db: opened, brought to the newest schema, used from one thread."""

import contextlib
import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from gateway.config import AccountsConfig
from gateway.ledger import migrating
from gateway.ledger.lane import AccountsFile
from gateway.ledger.migrating import Migration, migrate, migrations
from gateway.ledger.opening import accounts_file, accounts_path
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.writing import write_rows
from gateway.private_files.sqlite import Transaction
from tests.support.ledgers import row

TABLES = {"alerts", "attempts", "audit", "changes", "days", "hours", "keys", "marks", "used_links", "rules"}
SAVED = ("keys", "rules", "audit")
KEY = "INSERT INTO keys (id, name, hash, prefix, created_at) VALUES (?, ?, ?, 'dgm-', 0)"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "accounts.db"


def tables(connection: sqlite3.Connection) -> set[str]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name for (name,) in names if not name.startswith("sqlite_")}


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_new_file_is_private_durable_and_of_the_newest_schema(file: Path) -> None:
    def look(connection: sqlite3.Connection) -> tuple[object, ...]:
        names = ("journal_mode", "synchronous", "auto_vacuum", "user_version", "application_id")
        return (tables(connection), *(pragma(connection, name) for name in names))

    found = AccountsFile(file).run_now(look)

    assert found == (TABLES, "wal", 2, 2, migrations()[-1].number, migrating.APPLICATION_ID)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_what_is_off_has_no_file(tmp_path: Path) -> None:
    assert accounts_path(AccountsConfig(kind="off"), {}) is None
    assert accounts_file(AccountsConfig(kind="off")) is None
    assert accounts_path(AccountsConfig(), {"XDG_STATE_HOME": "/var/state"}) == Path("/var/state/dragoman/accounts.db")
    assert accounts_path(AccountsConfig(path="/elsewhere/a.db"), {}) == Path("/elsewhere/a.db")


# Migrations


STEPS = (
    *migrations(),
    Migration(migrations()[-1].number + 1, ("CREATE TABLE added (number INTEGER)", "INSERT INTO added VALUES (1)")),
)


def _migrated(file: Path, start: "multiprocessing.synchronize.Barrier", answers: "multiprocessing.Queue[int]") -> None:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, timeout=30)) as connection:
        start.wait(30)
        migrate(connection, STEPS)
        answers.put(connection.execute("SELECT count(*) FROM added").fetchone()[0])


def test_processes_that_race_run_each_migration_once(file: Path) -> None:
    AccountsFile(file).run_now(lambda connection: None)
    spawning = multiprocessing.get_context("fork")
    start, answers = spawning.Barrier(4), spawning.Queue()
    processes = [spawning.Process(target=_migrated, args=(file, start, answers)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [answers.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()

    assert found == [1, 1, 1, 1]


def test_a_migration_that_fails_changes_nothing(file: Path) -> None:
    broken = (*migrations(), Migration(2, ("CREATE TABLE added (number INTEGER)", "INSERT INTO nowhere VALUES (1)")))

    def fail(connection: sqlite3.Connection) -> tuple[set[str], object]:
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            migrate(connection, broken)
        return tables(connection), pragma(connection, "user_version")

    assert AccountsFile(file).run_now(fail) == (TABLES, 1)


def test_a_newer_schema_is_refused_with_a_sentence(file: Path) -> None:
    AccountsFile(file).run_now(lambda connection: connection.execute("PRAGMA user_version = 99"))

    with pytest.raises(AccountsFileError, match=r"accounts\.db: the database was made by a newer Dragoman \(schema 99"):
        AccountsFile(file).run_now(lambda connection: None)


def test_another_programs_file_is_refused_and_left_as_it_is(file: Path) -> None:
    file.parent.mkdir()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (number INTEGER)")
    before = file.read_bytes()

    with pytest.raises(AccountsFileError, match=r"another program's, choose another accounts\.path"):
        AccountsFile(file).run_now(lambda connection: None)
    assert file.read_bytes() == before


def test_a_script_is_split_where_its_statements_end() -> None:
    (first,) = migrations()[:1]

    assert sum("TRIGGER" in statement for statement in first.statements) == 8
    assert all(sqlite3.complete_statement(statement) for statement in first.statements)


# The tables


def test_the_audit_can_only_be_added_to(file: Path) -> None:
    def tamper(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO audit (at, actor, action, subject) VALUES (1, 'admin', 'create', 'key a')")
        for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"):
            with pytest.raises(sqlite3.IntegrityError, match="append only"):
                connection.execute(statement)
        return int(connection.execute("SELECT count(*) FROM audit WHERE actor = 'admin'").fetchone()[0])

    assert AccountsFile(file).run_now(tamper) == 1


def test_each_change_of_a_key_gets_the_next_version(file: Path) -> None:
    def change(connection: sqlite3.Connection) -> list[tuple[str, int]]:
        connection.execute(KEY, ("a", "one", b"1"))
        connection.execute(KEY, ("b", "two", b"2"))
        connection.execute("UPDATE keys SET disabled_at = 5 WHERE id = 'a'")
        connection.execute("DELETE FROM keys WHERE id = 'b'")
        return connection.execute("SELECT id, version FROM keys UNION SELECT * FROM changes ORDER BY 1").fetchall()

    assert AccountsFile(file).run_now(change) == [("a", 3), ("keys", 4), ("rules", 0)]


# The thread


async def test_a_deleted_file_is_made_again(file: Path) -> None:
    ours = AccountsFile(file)
    await ours.run(tables)
    for path in file.parent.iterdir():
        path.unlink()

    assert await ours.run(tables) == TABLES
    await ours.close()


async def test_a_corrupt_file_is_moved_aside_and_named_in_the_log(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    ours = AccountsFile(file)
    await ours.run(tables)
    await ours.close()
    file.write_bytes(b"not a database " * 1000)

    assert await ours.run(tables) == TABLES
    await ours.close()
    assert file.with_name("accounts.db.corrupt").read_bytes().startswith(b"not a database")
    assert "accounts' database was corrupt" in caplog.text


async def test_keys_and_rules_outlive_a_corrupt_ledger(file: Path) -> None:
    def fill(connection: sqlite3.Connection) -> int:
        for number in range(3):
            connection.execute(KEY, (f"key-{number}", f"name-{number}", bytes([number])))
        connection.execute("INSERT INTO rules (id, definition, created_at) VALUES ('r', '{}', 0)")
        connection.execute("INSERT INTO audit (at, actor, action, subject) VALUES (1, 'admin', 'create', 'key-0')")
        write_rows(connection, [row() for _ in range(2000)])
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempts'")
        return int(found.fetchone()[0])

    ours = AccountsFile(file)
    page = await ours.run(fill)
    await ours.close()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * 4096)
        opened.write(b"\xff" * 4096)

    assert await ours.run(lambda connection: write_rows(connection, [row()])) == 1
    saved = await ours.run(
        lambda connection: [connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in SAVED]
    )
    await ours.close()
    assert saved == [3, 1, 1]


async def test_what_an_action_did_wrong_is_its_own_affair(file: Path) -> None:
    ours = AccountsFile(file)

    def twice(connection: sqlite3.Connection) -> None:
        with Transaction(connection):
            connection.execute(KEY, ("a", "one", b"1"))
            connection.execute(KEY, ("b", "one", b"2"))

    with pytest.raises(sqlite3.IntegrityError, match=r"keys\.name"):
        await ours.run(twice)

    assert await ours.run(lambda connection: connection.execute("SELECT count(*) FROM keys").fetchone()[0]) == 0
    await ours.close()


async def test_a_file_that_cannot_be_opened_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")

    with pytest.raises(AccountsFileError, match=r"Not a directory|File exists"):
        await (ours := AccountsFile(tmp_path / "state" / "accounts.db")).run(tables)
    await ours.close()
