"""Hosts of the Messages API: their address, how a key is sent to them, which API versions they accept."""

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from gateway.secret import Redactor, Secret, redact
from gateway.service.ports import Call, HttpCall
from translators.hosts import CURRENT_VERSION, SAMPLING_VERSION, HostProfile

# Tokens from OAuth go into `Authorization` and need a beta header (section 1.3 of the Messages reference).
_OAUTH_PREFIX: Final = "sk-ant-oat"
_OAUTH_BETA: Final = "oauth-2025-04-20"
_USER_AGENT: Final = "dragoman"
_HIDES_NOTHING: Final = Redactor(())

_PROFILES: Final = {
    "auto": HostProfile(),
    CURRENT_VERSION: HostProfile(CURRENT_VERSION, None),
    SAMPLING_VERSION: HostProfile(SAMPLING_VERSION, SAMPLING_VERSION),
}


@lru_cache(maxsize=64)
def profile_for(api_version: str, name: str = "") -> HostProfile:
    """The profile of a host, with the API version of the operator or of our choice (`auto`); one object per host."""
    return replace(_PROFILES[api_version], name=name)


@dataclass(frozen=True, slots=True)
class HostEndpoint:
    """One key at one host. `headers` are built once; they contain the key, so `repr` leaves them out."""

    name: str
    base_url: str
    profile: HostProfile
    is_callers_own: bool
    secret: Secret
    betas: tuple[str, ...]
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    hide_others: Redactor = field(repr=False, compare=False)

    def prepare(self, call: Call) -> HttpCall:
        """The call as an Anthropic host takes it: the version and the betas in headers, the model in the body."""
        headers = (*self.headers, ("anthropic-version", call.version), *call.headers)
        if self.betas or call.betas:
            headers += (("anthropic-beta", ",".join(dict.fromkeys((*self.betas, *call.betas)))),)
        is_known = not self.is_callers_own
        if call.trace:
            headers, is_known = headers + call.trace, False
        return HttpCall(self.base_url, call.path, headers, call.body, call.method, call.spent_seconds, is_known)

    def redact(self, text: str) -> str:
        """The text with this key, however it is quoted, and all other configured keys masked."""
        return redact(self.hide_others(text), (self.secret,))


def endpoint(
    name: str,
    secret: Secret,
    base_url: str,
    *,
    api_version: str = "auto",
    is_callers_own: bool = False,
    hide_others: Redactor = _HIDES_NOTHING,
) -> HostEndpoint:
    """The endpoint for a key; `base_url` is the part before `/v1/messages`.

    `hide_others` masks other secrets in the host's texts.
    """
    key = secret.reveal()
    return HostEndpoint(
        name=name,
        base_url=base_url,
        profile=profile_for(api_version, base_url),
        is_callers_own=is_callers_own,
        secret=secret,
        betas=(_OAUTH_BETA,) if _is_oauth(key) else (),
        headers=(
            _credentials(key),
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", _USER_AGENT),
        ),
        hide_others=hide_others,
    )


def _credentials(key: str) -> tuple[str, str]:
    # Every Messages host accepts `x-api-key`, and the official examples for the newest version use it.
    return ("authorization", f"Bearer {key}") if _is_oauth(key) else ("x-api-key", key)


def _is_oauth(key: str) -> bool:
    return key.startswith(_OAUTH_PREFIX)
