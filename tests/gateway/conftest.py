"""The scripted upstream and the log, as in the scenarios."""

from tests.scenarios.conftest import read_json_log, read_log, upstream

__all__ = ["read_json_log", "read_log", "upstream"]
