"""`/console`: the files of the console, with the headers that keep everything else out of its pages."""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from gateway.edge.requests import header
from gateway.edge.responder import responder_of
from translators.errors import ErrorKind, FailedError, Failure

_FOLDER: Final = Path(__file__).resolve().parents[1] / "web"
_INDEX: Final = "index.html"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
# The only policy that the pages may make is lit-html's, which takes nothing but the templates in our own files.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types lit-html"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_FOREVER: Final = {"cache-control": "public, max-age=31536000, immutable"}
_ASK_AGAIN: Final = {"cache-control": "no-cache"}


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    body: bytes
    packed: bytes


class WebFiles:
    """The files of the console, read when somebody asks for the first one.

    Their addresses contain a digest of them all, so that browsers may keep them for ever.
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}
        self.mark = ""

    def find(self, name: str) -> _File | None:
        """The file with a name as `pages/keys.js`; names that were not read lead nowhere."""
        if not self._files:
            self._read()
        return self._files.get(name)

    def _read(self) -> None:
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in _TYPES)
        bodies = {path.relative_to(self._folder).as_posix(): path.read_bytes() for path in paths}
        digest = hashlib.sha256(b"\0".join(name.encode() + b"\0" + body for name, body in bodies.items()))
        self.mark = digest.hexdigest()[:16]
        bodies[_INDEX] = bodies[_INDEX].replace(b"{assets}", f"/console/assets/{self.mark}".encode())
        self._files = {
            name: _File(_TYPES[Path(name).suffix], body, gzip.compress(body, mtime=0)) for name, body in bodies.items()
        }


class ConsoleIndex:
    """The one page, whatever the path below /console: the page itself knows what to show."""

    def __init__(self, files: WebFiles) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _send(scope, self._files, _INDEX, _ASK_AGAIN)


class ConsoleFile:
    """A file of the console; one of another version is not there, and is not to be kept."""

    def __init__(self, files: WebFiles) -> None:
        self._files = files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name, mark = scope["path_params"]["name"], scope["path_params"]["mark"]
        if self._files.find(name) is None or mark != self._files.mark:
            raise FailedError(Failure(ErrorKind.UNKNOWN_URL, "There is no such file: reload the console."))
        await _send(scope, self._files, name, _FOREVER)


def console_routes(files: WebFiles) -> list[BaseRoute]:
    """The routes of the console's files."""
    index = ConsoleIndex(files)
    return [
        Route("/console/assets/{mark}/{name:path}", ConsoleFile(files), methods=["GET"]),
        Route("/console", index, methods=["GET"]),
        Route("/console/{page:path}", index, methods=["GET"]),
    ]


async def _send(scope: Scope, files: WebFiles, name: str, caching: dict[str, str]) -> None:
    file = files.find(name)
    assert file is not None, "it was looked up, or is the index"
    is_packed = "gzip" in (header(scope, b"accept-encoding") or "")
    tag = f'"{files.mark}-gzip"' if is_packed else f'"{files.mark}"'
    headers = {**_HEADERS, **caching, "etag": tag, "vary": "accept-encoding"}
    responder = responder_of(scope)
    if tag in (header(scope, b"if-none-match") or ""):
        await responder.send_body(304, b"", file.content_type, headers)
        return
    if is_packed:
        headers["content-encoding"] = "gzip"
    await responder.send_body(200, file.packed if is_packed else file.body, file.content_type, headers)
