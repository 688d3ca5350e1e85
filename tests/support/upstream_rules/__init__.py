"""The rules of the Messages API, with its messages where these are known.

`run_strict_upstream` serves the demo's upstream with these rules: the strict double of all tests.
"""

from tests.support.upstream_rules.reader import StrictReader, StrictUpstream, run_strict_upstream

__all__ = ["StrictReader", "StrictUpstream", "run_strict_upstream"]
