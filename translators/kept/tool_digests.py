"""A digest of a request's tools, which are sent with every turn of a conversation and rarely change."""

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from translators.intent import Intent
from translators.marks import without_marks
from translators.remembered import Remembered

if TYPE_CHECKING:
    from hashlib import _Hash

_END: Final = b"\0"
# The digest and its key, in addition to the text itself.
_OBJECT_BYTES: Final = 1_000
_REMEMBERED: "Final[Remembered[_Hash]]" = Remembered(4 * 2**20)


def digest_of_tools(intent: Intent) -> "_Hash":
    """The hash object over a request's tools without cache marks; copy it before adding to it."""
    text = intent.tools_text()
    hasher = _REMEMBERED.get(text)
    if hasher is None:
        hasher = sha256(without_marks(_END.join(intent.tools or ())))
        _REMEMBERED.put(text, hasher, len(text) + _OBJECT_BYTES)
    return hasher
