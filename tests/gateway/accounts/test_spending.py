"""What rules begin with is what the ledger has of their subject."""

from pathlib import Path

import pytest

from gateway.accounts.rules.rule import EVERYONE, Measure, Subject, What
from gateway.accounts.spending import LedgerSpending
from gateway.ledger.lane import AccountsFile
from gateway.ledger.rows import UserHash
from gateway.ledger.writing import write_rows
from tests.support.ledgers import NOON, row

ANN = UserHash(b"a secret of this gateway").of("ann")


@pytest.mark.parametrize(
    ("what", "subject", "model", "spent"),
    [
        (What.REQUESTS, EVERYONE, "*", 3),
        (What.MONEY, EVERYONE, "*", 111),
        (What.MONEY, Subject(caller="key-a"), "*", 11),
        (What.MONEY, Subject(group="research"), "*", 100),
        (What.MONEY, Subject(caller="key-a", end_user=ANN), "*", 10),
        (What.MONEY, EVERYONE, "claude-opus-*", 100),
        (What.INPUT_TOKENS, Subject(caller="key-a"), "*", 10 + 10 + 3),
        (What.OUTPUT_TOKENS, Subject(caller="key-a"), "*", 10),
    ],
)
async def test_what_was_spent_is_read_for_each_subject(
    tmp_path: Path, what: What, subject: Subject, model: str, spent: int
) -> None:
    file = AccountsFile(tmp_path / "accounts.db")
    rows = [
        row(NOON, caller="key-a", cost=1, cache_read=7, cache_write_1h=3),
        row(NOON + 1, caller="key-a", cost=10, end_user=ANN),
        row(NOON + 2, caller="key-b", cost=100, group_name="research", model="claude-opus-5"),
        row(NOON - 1, caller="key-a", cost=1000),
    ]
    await file.run(lambda connection: write_rows(connection, rows))
    reading = LedgerSpending(file)

    assert await reading.spent(Measure("r", what, 1, "day", True, model, subject), NOON) == spent
    await reading.close()


async def test_a_ledger_that_cannot_be_read_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "accounts.db").mkdir()
    reading = LedgerSpending(AccountsFile(tmp_path / "accounts.db"))

    with pytest.raises(OSError, match="regular file"):
        await reading.spent(Measure("r", What.MONEY, 1, "day", True), NOON)
    await reading.close()
