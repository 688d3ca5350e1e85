"""Posts one alert to the operator's URL, and says how it went."""

import asyncio
import ssl
from functools import cache
from typing import Final

import httpx2
from msgspec import Struct

from gateway.alerts.alert import Alert
from gateway.alerts.signing import SIGNATURE_HEADER, signature
from gateway.secret import Secret
from gateway.upstream.dialing import tls_context
from gateway.upstream.failures import in_words

_HEADERS: Final = {"content-type": "application/json", "user-agent": "dragoman"}
# These refuse for now; any other refusal would be repeated.
_PASSING: Final = frozenset({408, 409, 425, 429})


class Target(Struct, frozen=True):
    """Where alerts go, and how they are signed."""

    url: Secret
    secret: Secret | None = None
    timeout_seconds: float = 10.0
    ca_file: str | None = None


class NotPostedError(Exception):
    """The alert was not taken; the text says why, without the URL. `is_passing`: another attempt may succeed."""

    def __init__(self, text: str, *, is_passing: bool) -> None:
        super().__init__(text)
        self.is_passing = is_passing


async def post(target: Target, alert: Alert, now: float) -> None:
    """Post an alert; raises `NotPostedError`. Redirects are not followed: the URL is the operator's choice alone."""
    body = alert.as_json()
    headers = _HEADERS if target.secret is None else {**_HEADERS, SIGNATURE_HEADER: signature(target.secret, body, now)}
    try:
        async with asyncio.timeout(target.timeout_seconds):
            status = await _status(target, body, headers)
    except TimeoutError:
        raise NotPostedError(f"not answered after {target.timeout_seconds:g} s", is_passing=True) from None
    except (httpx2.HTTPError, OSError) as error:
        # Without the cause: its traceback would show the URL.
        raise NotPostedError(in_words(error), is_passing=True) from None
    except (httpx2.InvalidURL, ValueError):
        raise NotPostedError("the URL cannot be used", is_passing=False) from None
    if not 200 <= status < 300:
        raise NotPostedError(f"answered with {status}", is_passing=status >= 500 or status in _PASSING)


async def _status(target: Target, body: bytes, headers: dict[str, str]) -> int:
    url = target.url.reveal()
    verify = await asyncio.to_thread(_tls, target.ca_file) if url.lower().startswith("https:") else False
    async with (
        httpx2.AsyncClient(verify=verify, follow_redirects=False, timeout=target.timeout_seconds) as client,
        # The answer's body is not read: only the status counts, and it may be of any size.
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        return response.status_code


@cache
def _tls(ca_file: str | None) -> ssl.SSLContext:
    """Loading certificates takes tens of milliseconds, so it happens once, and in a thread."""
    return tls_context(ca_file)
