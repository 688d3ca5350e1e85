"""One alert: what it is about, in words and as data, and the name under which it is sent once."""

import json
from collections.abc import Mapping
from typing import Final

import orjson
from msgspec import Struct

from translators.moments import iso_text

# In place of the window in the name of an alert about something without an end.
TOTAL: Final = "total"


class Alert(Struct, frozen=True):
    """`name` is sent once over all workers and restarts; it holds the window that the alert is about.

    If `earlier` was sent at `quiet_since` or later, this one is a repetition, and is not sent. `text` and `data` hold
    no secrets and nothing of requests or answers.
    """

    name: str
    kind: str
    at: float
    text: str
    data: Mapping[str, object]
    earlier: str | None = None
    quiet_since: float = 0.0

    def as_json(self) -> bytes:
        """The body of the webhook: `text` is where chat programs look for it."""
        body = {
            "id": self.name,
            "type": self.kind,
            "created_at": iso_text(self.at),
            "text": self.text,
            "data": self.data,
        }
        try:
            return orjson.dumps(body)
        except TypeError:  # half a surrogate pair, in a name of the configuration
            return json.dumps(body).encode()


def repeated(subject: str, kind: str, at: float, repeat_seconds: float, text: str, data: Mapping[str, object]) -> Alert:
    """An alert about something that may last: sent again when `repeat_seconds` are over, by whoever sees it then."""
    window = int(at // repeat_seconds)
    name, earlier = (f"{kind}/{subject}/{iso_text(number * repeat_seconds)}" for number in (window, window - 1))
    return Alert(name, kind, at, text, data, earlier, at - repeat_seconds)
