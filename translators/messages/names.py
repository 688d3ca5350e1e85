"""Names and ids that one side refuses, rewritten the same way every time."""

import hashlib
import re
from itertools import islice
from typing import Final

# Section 3.6 of the Messages reference: documented are 64 characters of this set.
MAX_TOOL_NAME: Final = 64
# Section 2.2 of the OpenAI reference: longer ids are refused when a client sends them back.
MAX_CALL_ID: Final = 40

_LEGAL_NAME: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_TOOL_NAME}}}")
_LEGAL_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
# What Messages says of the names of a tool's properties: "Property keys should match pattern ...".
MAX_PROPERTY: Final = 64
_LEGAL_PROPERTY: Final = re.compile(rf"[a-zA-Z0-9_.-]{{1,{MAX_PROPERTY}}}")
# What becomes one character: itself, or all that is illegal in a row.
_LEGAL_OR_ILLEGAL: Final = re.compile(r"[a-zA-Z0-9_-]|[^a-zA-Z0-9_-]+")


def upstream_tool_name(name: str) -> str:
    """A name that Messages accepts: the same one where it is legal, else readable with a hash of the original."""
    return name if _LEGAL_NAME.fullmatch(name) else _rewritten(name, MAX_TOOL_NAME)


def is_legal_property(name: str) -> bool:
    """Whether Messages accepts the name of a tool's property."""
    return _LEGAL_PROPERTY.fullmatch(name) is not None


def upstream_property_name(name: str) -> str:
    """A name of a property that Messages accepts."""
    return name if is_legal_property(name) else _rewritten(name, MAX_PROPERTY)


def upstream_call_id(call_id: str) -> str:
    """An id that Messages accepts for a call and its result."""
    return call_id if _LEGAL_ID.fullmatch(call_id) else _rewritten(call_id, MAX_CALL_ID)


def caller_call_id(call_id: str) -> str:
    """An id that OpenAI clients can send back: at most 40 characters."""
    legal = len(call_id) <= MAX_CALL_ID and _LEGAL_ID.fullmatch(call_id)
    return call_id if legal else _rewritten(call_id, MAX_CALL_ID)


def _rewritten(name: str, limit: int) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    found = islice(_LEGAL_OR_ILLEGAL.finditer(name), limit - len(digest) - 1)
    readable = "".join(_readable(match[0]) for match in found)
    return f"{readable}_{digest}"


def _readable(piece: str) -> str:
    return piece if _LEGAL_ID.match(piece) else "_"
