"""Values that must not be shown: a wrapper that hides one, and a function that hides them in a text."""

import hmac
import json
from collections.abc import Iterable
from typing import NoReturn

MASK = "****"


class Secret:
    """Hides a text from logs, tracebacks, encoders and copies; only `reveal` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself: for a header about to be sent or a comparison, for nothing that is kept."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self), _bytes(other))

    # A hash in a dictionary would be compared in a time that depends on the value.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret is neither pickled nor copied.")

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret does not give its state away.")


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every secret's value in it replaced by `****`."""
    return Redactor(secrets)(text)


class Redactor:
    """Hides the same secrets in text after text, also as they are quoted in JSON or in Python.

    A shorter one than `shortest` characters is left alone: its masks would garble the text, and so betray it.
    """

    __slots__ = ("_values",)

    def __init__(self, secrets: Iterable[Secret], *, shortest: int = 1) -> None:
        values = {secret.reveal() for secret in secrets if len(secret.reveal()) >= max(shortest, 1)}
        quoted = {form(value)[1:-1] for value in values for form in (json.dumps, repr)}
        # Some writers of JSON escape this, too.
        quoted |= {text.replace("/", "\\/") for text in quoted}
        # The longest first: a secret may begin with another one, whose replacement would leave the rest readable.
        self._values = tuple(sorted(values | quoted, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text with every secret's value in it replaced by `****`."""
        for value in self._values:
            if value in text:
                text = text.replace(value, MASK)
        return text


def _bytes(secret: Secret) -> bytes:
    # Environment variables that are not UTF-8 arrive with lone surrogates.
    return secret.reveal().encode("utf-8", "surrogatepass")
