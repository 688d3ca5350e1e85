"""Hosts that speak Messages: where they are, how a key is shown to them, which API versions they take."""

from dataclasses import dataclass, field
from typing import Final

from gateway.secret import Secret
from translators.hosts import CURRENT_VERSION, SAMPLING_VERSION, HostProfile

# Tokens from OAuth go into `Authorization` and need a beta header (section 1.3 of the Messages reference).
_OAUTH_PREFIX: Final = "sk-ant-oat"
_OAUTH_BETA: Final = "oauth-2025-04-20"
_USER_AGENT: Final = "dragoman"

_PROFILES: Final = {
    "auto": HostProfile(),
    CURRENT_VERSION: HostProfile(CURRENT_VERSION, None),
    SAMPLING_VERSION: HostProfile(SAMPLING_VERSION, SAMPLING_VERSION),
}


def profile_for(api_version: str) -> HostProfile:
    """The profile of a host whose versions are left to us (`auto`) or fixed by the operator."""
    return _PROFILES[api_version]


@dataclass(frozen=True, slots=True)
class HostEndpoint:
    """One key at one host; `headers` are made once, and hold the key, so they stay out of `repr`."""

    name: str
    base_url: str
    profile: HostProfile
    is_callers_own: bool = False
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def endpoint(
    name: str, secret: Secret, base_url: str, *, api_version: str = "auto", is_callers_own: bool = False
) -> HostEndpoint:
    """The endpoint for a key; `base_url` is what stands before `/v1/messages`."""
    return HostEndpoint(
        name,
        # A base URL is often copied with the version that the OpenAI SDK wants in it.
        base_url.rstrip("/").removesuffix("/v1"),
        profile_for(api_version),
        is_callers_own,
        (
            *_credentials(secret.reveal()),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", _USER_AGENT),
        ),
    )


def _credentials(key: str) -> tuple[tuple[str, str], ...]:
    if key.startswith(_OAUTH_PREFIX):
        return (("authorization", f"Bearer {key}"), ("anthropic-beta", _OAUTH_BETA))
    # Every Messages host takes this header; the official examples for the newest version use it too.
    return (("x-api-key", key),)
