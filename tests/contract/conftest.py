"""What the tests with unmodified clients have in common."""

from collections.abc import AsyncIterator

import pytest

from gateway.demo import RunningUpstream
from tests.support.upstream_rules import run_strict_upstream


@pytest.fixture
async def simulated() -> AsyncIterator[RunningUpstream]:
    async with run_strict_upstream() as upstream:
        yield upstream
