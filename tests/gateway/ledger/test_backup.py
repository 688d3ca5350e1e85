"""A backup is a complete copy of one moment, made while others write."""

import threading
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.ledger.backup import back_up
from gateway.ledger.lane import AccountsFile
from gateway.ledger.trouble import AccountsFileError
from gateway.ledger.writing import write_rows
from tests.support.ledgers import row, table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


def write(file: Path, count: int = 1) -> None:
    AccountsFile(file).run_now(lambda connection: write_rows(connection, [row() for _ in range(count)]))


def test_a_copy_of_a_file_in_use_is_whole_and_of_one_moment(file: Path, tmp_path: Path) -> None:
    write(file, 500)
    is_copied, copied = threading.Event(), tmp_path / "copy.db"

    def keep_writing() -> None:
        ours = AccountsFile(file)
        while not is_copied.is_set():
            ours.run_here(lambda connection: write_rows(connection, [row()]))
        ours.let_go()

    writing = threading.Thread(target=keep_writing)
    writing.start()
    size = back_up(file, copied)
    is_copied.set()
    writing.join()

    assert copied.stat().st_size == size
    assert copied.stat().st_mode & 0o777 == 0o600
    rows = len(table(copied))
    assert rows >= 500
    assert sum(sums["attempts"] for sums in table(copied, "days")) == rows
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy.db"]


def test_a_copy_in_the_place_of_the_file_is_a_restore(file: Path, tmp_path: Path) -> None:
    write(file)
    back_up(file, tmp_path / "copy.db")
    write(file)
    for path in tmp_path.glob("accounts.db*"):
        path.unlink()
    (tmp_path / "copy.db").rename(file)
    write(file)

    assert len(table(file)) == 2
    assert sum(sums["attempts"] for sums in table(file, "days")) == 2


def test_nothing_is_overwritten(file: Path, tmp_path: Path) -> None:
    write(file)
    (tmp_path / "copy.db").write_text("precious")

    with pytest.raises(AccountsFileError, match="exists already"):
        back_up(file, tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_what_is_no_database_of_ours_is_not_copied(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"something else" * 1000)

    with pytest.raises(AccountsFileError, match="could not be copied"):
        back_up(file, tmp_path / "copy.db")
    assert [path.name for path in tmp_path.iterdir()] == ["accounts.db"]


# The command


def configured(tmp_path: Path, kind: str = "auto") -> str:
    file = tmp_path / "dragoman.yaml"
    file.write_text(f"keys: [{{name: a, api_key: sk-ant-1}}]\naccounts: {{path: accounts.db, kind: '{kind}'}}\n")
    return str(file)


def test_the_command_says_what_it_has_copied_and_what_belongs_to_it(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(file)
    copied = tmp_path / "copy.db"

    assert main(["store", "backup", str(copied), "--config", configured(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert f"a copy of {file}" in said
    assert f"{file}.key" in said
    assert len(table(copied)) == 1


@pytest.mark.parametrize(("kind", "why"), [("auto", "does not exist"), ("off", "accounts.kind is off")])
def test_the_command_says_why_there_is_nothing_to_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, why: str
) -> None:
    assert main(["store", "backup", str(tmp_path / "copy.db"), "--config", configured(tmp_path, kind)]) == 1
    assert why in capsys.readouterr().err
    assert not (tmp_path / "copy.db").exists()
