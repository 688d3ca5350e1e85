"""JSON strings put together as they stand, without being read."""

import orjson


def spliced(before: str, text: object, after: str = "") -> bytes:
    """A JSON string (bytes, or spliced into a block) with words around it, the middle as it stood."""
    middle = text if isinstance(text, bytes) else orjson.dumps(text)
    return orjson.dumps(before)[:-1] + middle[1:-1] + orjson.dumps(after)[1:]


def stripped(text: object) -> str:
    """A spliced text without white space at its end."""
    without: str = orjson.loads(orjson.dumps(text)).rstrip()
    return without
