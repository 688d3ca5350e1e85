"""Recorded traffic of others, read where it lies: never copied into the project, and its absence is said aloud."""

import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
BESIDE_THE_REPOSITORY = REPOSITORY.parent / "shared" / "fixtures"
NOT_FOUND = "recordings not found: set DRAGOMAN_RECORDINGS"


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded exchange; the request is empty where the source kept only the response."""

    name: str
    meta: dict[str, Any]
    request: dict[str, Any]
    response: bytes
    streamed: bool
    status: int

    @property
    def kind(self) -> str:
        """Which API was spoken: `messages`, `openai_compat`, `batches`, `count_tokens`; elsewhere also `chat`."""
        return str(self.meta["kind"])

    @property
    def request_known(self) -> bool:
        """Whether the source kept the request."""
        return bool(self.meta["request_known"])


def recordings_root() -> Path | None:
    """The folder that holds the groups: `DRAGOMAN_RECORDINGS` if it is set, else the one beside the repository."""
    named = os.environ.get("DRAGOMAN_RECORDINGS")
    root = Path(named) if named else BESIDE_THE_REPOSITORY
    return root if root.is_dir() else None


def load_recordings(
    group: str = "recorded", *, streamed: bool | None = None, status: int | None = None, kind: str | None = None
) -> list[Recording]:
    """The recordings of a group, by name; `None` takes them all, and a missing group is an empty list."""
    root = recordings_root()
    return [
        recording
        for recording in (_read_group(root / group) if root else ())
        if streamed in (None, recording.streamed)
        and status in (None, recording.status)
        and kind in (None, recording.kind)
    ]


def recording_params(
    group: str = "recorded", *, streamed: bool | None = None, status: int | None = None, kind: str | None = None
) -> list[pytest.ParameterSet]:
    """Recordings for `pytest.mark.parametrize`; where there are none, one parameter that is skipped with the reason."""
    recordings = load_recordings(group, streamed=streamed, status=status, kind=kind)
    if recordings:
        return [pytest.param(recording, id=recording.name) for recording in recordings]
    reason = NOT_FOUND if not load_recordings(group) else f"no recording in {group!r} is of this sort"
    return [pytest.param(None, id="no-recordings", marks=pytest.mark.skip(reason=reason))]


@lru_cache
def _read_group(folder: Path) -> tuple[Recording, ...]:
    return tuple(_read(meta.parent) for meta in sorted(folder.glob("*/meta.json")))


def _read(folder: Path) -> Recording:
    meta = json.loads((folder / "meta.json").read_bytes())
    streamed = bool(meta["streamed"])
    return Recording(
        name=folder.name,
        meta=meta,
        request=json.loads((folder / "request.json").read_bytes()),
        response=(folder / ("response.sse" if streamed else "response.json")).read_bytes(),
        streamed=streamed,
        status=int(meta["status"]),
    )
