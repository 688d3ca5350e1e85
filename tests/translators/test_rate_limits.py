"""Rate limits in OpenAI's headers."""

import pytest

from translators.rate_limits import go_duration, openai_rate_limits

HEADERS = {
    "date": "Sat, 21 Nov 2026 04:00:00 GMT",
    "anthropic-ratelimit-requests-limit": "1000",
    "anthropic-ratelimit-requests-remaining": "999",
    "anthropic-ratelimit-requests-reset": "2026-11-21T04:00:01Z",
    "anthropic-ratelimit-tokens-limit": "2000000",
    "anthropic-ratelimit-tokens-remaining": "1999000",
    "anthropic-ratelimit-tokens-reset": "2026-11-21T04:06:00Z",
    "anthropic-organization-id": "secret",
}


def test_every_limit_has_its_counterpart() -> None:
    assert openai_rate_limits(HEADERS) == {
        "x-ratelimit-limit-requests": "1000",
        "x-ratelimit-remaining-requests": "999",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "2000000",
        "x-ratelimit-remaining-tokens": "1999000",
        "x-ratelimit-reset-tokens": "6m0s",
    }


@pytest.mark.parametrize("broken", ["", "soon", "-5", "1e3"])
def test_what_cannot_be_read_is_left_out(broken: str) -> None:
    headers = {**HEADERS, "anthropic-ratelimit-requests-limit": broken, "anthropic-ratelimit-tokens-reset": broken}
    limits = openai_rate_limits(headers)

    assert "x-ratelimit-limit-requests" not in limits
    assert "x-ratelimit-reset-tokens" not in limits
    assert limits["x-ratelimit-remaining-requests"] == "999"


def test_without_limits_or_a_date_nothing_is_made_up() -> None:
    assert openai_rate_limits({}) == {}
    assert "x-ratelimit-reset-requests" not in openai_rate_limits({**HEADERS, "date": "yesterday"})


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (1, "1s"),
        (1.5, "1.5s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (3723, "1h2m3s"),
        (3600, "1h0m0s"),
    ],
)
def test_durations_are_written_the_way_go_does(seconds: float, shown: str) -> None:
    assert go_duration(seconds) == shown
