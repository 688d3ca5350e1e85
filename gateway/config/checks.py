"""What types alone do not say of a setting: each function gives the value as it is used, or says what is wrong."""

import ipaddress
import re
import ssl
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

Seconds = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(min_length=1)]

# Paths that people copy from the documentation of an endpoint.
_API_PATH = re.compile(r"/v1(/[a-z_/]+)?$")


def as_base_url(text: str) -> str:
    """The URL without a trailing slash; a `ValueError` says what is wrong with it."""
    url = _http_url(text).rstrip("/")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
    if path := _API_PATH.search(url):
        raise ValueError(f"leave out the {path[0]} at the end, the gateway adds it")
    return url


def as_host(text: str) -> str:
    """An address or a name to listen on, without a port; a `ValueError` says what is wrong with it."""
    host = text.strip()
    if "//" in host or "/" in host:
        raise ValueError("expected an address like 127.0.0.1, without http:// and without a path")
    # An IPv6 address has several colons; a single one precedes a port.
    if re.fullmatch(r"[^:]*:\d*", host):
        raise ValueError("expected an address without a port, which is a setting of its own: server.port")
    return host.removeprefix("[").removesuffix("]")


def as_host_name(text: str) -> str:
    """A name as clients write it in `Host`, without a port; a `ValueError` says what is wrong with it."""
    name = text.strip().lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise ValueError("expected a name like host.docker.internal, without a port and without wildcards")
    return name


def as_origin(text: str) -> str:
    """`*` or an origin as browsers send it; a `ValueError` says what is wrong with it."""
    if text == "*":
        return text
    origin = _http_url(text).rstrip("/")
    if origin.count("/") > 2 or "?" in origin or "#" in origin:
        raise ValueError("an origin is scheme, host and port only, like https://chat.example.com")
    return origin


def as_network(text: str) -> str:
    """An address or a network in its usual spelling; a `ValueError` says what is wrong with it."""
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(
                f"expected an address, or a network like {ipaddress.ip_network(text, strict=False)}"
            ) from None
        raise ValueError("expected an address or a network, like 10.0.0.7 or 10.0.0.0/8") from None


def as_ca_file(path: str) -> str:
    """The path of a file with certificates; a `ValueError` says why it is none."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError("there are no certificates in it, in PEM form") from error
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error
    return path


def as_model_id(text: str) -> str:
    """The name of one model; a `ValueError` says what is wrong with it."""
    if not text.strip():
        raise ValueError("expected the name of a model, got an empty text")
    if "*" in text or "?" in text:
        raise ValueError("this has to be the name of one model; only an alias, on the left, may hold wildcards")
    return text.strip()


def _http_url(text: str) -> str:
    expected = "expected an http:// or https:// URL"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"{expected} with a host")
    if "@" in parts.netloc:
        raise ValueError("a URL holds no user name or password here; keys belong to api_key")
    return text
