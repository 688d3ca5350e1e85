"""The settings of alerts: what is sent to a webhook of the operator's, and when."""

from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from gateway.config.checks import Seconds
from gateway.config.mistakes import Mistakes
from gateway.secret import Secret

_SHORTEST_SECRET: Final = 16

_Percent = Annotated[int, Meta(ge=1, le=100)]


class AlertsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the operator is told by a webhook, each time once over all workers."""

    url: Annotated[
        Secret | None, Meta(description="Where alerts are posted to; null is nowhere. Such URLs often hold a token.")
    ] = None
    secret: Annotated[
        Secret | None,
        Meta(description="Signs them in x-dragoman-signature: 16 characters or more; null leaves the header out."),
    ] = None
    money_percent: Annotated[
        tuple[_Percent, ...], Meta(max_length=10, description="The parts of a money rule's amount that are reported.")
    ] = (50, 80, 100)
    error_percent: Annotated[
        Annotated[float, Meta(gt=0, lt=100)] | None,
        Meta(description="Report when more than this share of a window's requests fails; null is never."),
    ] = None
    first_token_seconds: Annotated[
        Seconds | None,
        Meta(description="Report when more than 5 % of a window's answers begin later than this; null is never."),
    ] = None
    window_seconds: Annotated[
        float, Meta(ge=5, le=86400, description="The length of the window that these two are judged by.")
    ] = 300.0
    min_requests: Annotated[int, Meta(ge=1, description="With fewer requests a window is not judged.")] = 20
    repeat_seconds: Annotated[
        float, Meta(ge=60, description="What lasts is reported again after this time: all but money.")
    ] = 3600.0
    timeout_seconds: Annotated[Seconds, Meta(description="How long one attempt to post an alert may take.")] = 10.0


def check_alerts(alerts: AlertsConfig, mistakes: Mistakes) -> None:
    """Report what cannot work, without quoting the URL."""
    if alerts.url is not None and not _is_url(alerts.url.reveal()):
        mistakes.add("alerts.url", "expected an http:// or https:// URL with a host")
    if alerts.secret is not None:
        if len(alerts.secret.reveal()) < _SHORTEST_SECRET:
            mistakes.add("alerts.secret", f"expected {_SHORTEST_SECRET} characters or more")
        if alerts.url is None:
            mistakes.add("alerts.secret", "not used without alerts.url")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and text.isprintable()
    except ValueError:
        return False
