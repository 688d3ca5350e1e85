"""Requests that Anthropic has answered: the strict upstream takes them, and so does the list of what may be used."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from gateway.demo.errors import MessagesError
from tests.support.recordings import Recording, recording_params
from tests.support.upstream_rules.validation import VERSIONS, read_messages_request
from translators.errors import TranslationError
from translators.native.allowed import Allowed, check_allowed

# Models of then, and what stands for them.
OLDER = re.compile(r"claude-(3|sonnet-4-0|sonnet-4-2025|opus-4-0|opus-4-2025)")
# Betas whose header the source has not kept.
BETAS = {
    "mcp_servers": ["mcp-client-2025-11-20"],
    "context_management": ["context-management-2025-06-27", "compact-2026-01-12"],
}
# What makes a thought hold is not the double's to know; media types are looked at since.
NOT_ITS_OWN = re.compile(
    r"$|.*: (Invalid `(signature|data)` in `(redacted_)?thinking` block|The image was specified using)"
)
# These cost more, reach out or belong to a workspace: operators allow them (docs/native.md).
OPERATORS = re.compile(r"$|(container|mcp_servers|fallbacks|tools\.\d+\.type): not allowed with the gateway's own keys")


def betas_of(recording: Recording) -> list[str]:
    headers: dict[str, Any] = recording.meta.get("http", {}).get("request_headers") or {}
    sent = [beta.strip() for beta in str(headers.get("anthropic-beta", "")).split(",")]
    return [*sent, *(beta for field, betas in BETAS.items() if field in recording.request for beta in betas)]


answered = pytest.mark.parametrize(
    "recording",
    [
        param
        for param in recording_params(kind="messages", status=200)
        if not isinstance(param.values[0], Recording) or param.values[0].request_known
    ],
)


def complaint(check: Callable[[], object]) -> str:
    """What is said against a request; "" where nothing is."""
    try:
        check()
    except MessagesError as error:
        return error.message
    except TranslationError as error:
        return error.failure.message
    return ""


@answered
def test_the_strict_upstream_takes_what_anthropic_took(recording: Recording) -> None:
    request = dict(recording.request)
    if OLDER.match(request["model"]):
        request["model"] = "claude-sonnet-4-5"
    body, betas = json.dumps(request).encode(), betas_of(recording)

    assert NOT_ITS_OWN.match(complaint(lambda: read_messages_request(body, VERSIONS[0], betas, "an account")))


@answered
def test_what_anthropic_took_may_be_used_or_is_the_operators_to_allow(recording: Recording) -> None:
    body = json.dumps(recording.request).encode()

    assert OPERATORS.match(complaint(lambda: check_allowed(body, Allowed())))
