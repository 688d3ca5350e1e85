"""A ledger's file and a connection to it."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.ledger.files import Opener


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "accounts.db"


@pytest.fixture
def connection(file: Path) -> Iterator[sqlite3.Connection]:
    opened = Opener(file).open().connection
    yield opened
    opened.close()
