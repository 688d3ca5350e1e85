"""A gateway with a ledger, on a real socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import AccountsConfig, AdminConfig
from tests.scenarios.conftest import read_log, upstream
from tests.scenarios.harness import quick_gateway
from tests.support.gateway import ClientConfig, RunningGateway, Secret, config_for, key, with_settings
from tests.support.ledgers import MIDNIGHT, Call, write_ledger

__all__ = ["read_log", "upstream"]

ADMIN = "admin-key-of-the-operator"
VIEWER = "viewer-key-of-a-dashboard"
CLIENT = "client-key-of-an-application"
NOW = MIDNIGHT + 86_400 + 3_600 + 90.0


@dataclass(slots=True)
class Kept:
    """A gateway whose time is `NOW`, and its ledger's file."""

    running: RunningGateway
    file: Path

    def write(self, *calls: Call, keys: dict[str, str] | None = None) -> None:
        write_ledger(self.file, *calls, keys=keys)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    file = tmp_path / "accounts.db"
    config = with_settings(
        config_for(key("http://127.0.0.1:9"), clients=[ClientConfig(name="shop", api_key=Secret(CLIENT))]),
        admin=AdminConfig(api_key=Secret(ADMIN), viewer_key=Secret(VIEWER)),
        accounts=AccountsConfig(path=str(file)),
    )
    async with quick_gateway(config=config) as running:
        running.time.now = lambda: NOW
        yield Kept(running, file)
