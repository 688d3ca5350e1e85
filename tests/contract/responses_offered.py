"""The one switch of everything that drives the gateway over the Responses API with unmodified clients."""

import pytest

RESPONSES_ARE_OFFERED = True
"""Whether the gateway has `/v1/responses`: until then, these tests run against a scripted server only."""


def need_responses() -> None:
    """Skip the module that says so, in one line, while the gateway does not offer them."""
    if not RESPONSES_ARE_OFFERED:
        pytest.skip("the gateway does not offer /v1/responses yet", allow_module_level=True)
