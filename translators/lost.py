"""Fields of OpenAI's that Messages has no counterpart for."""

from typing import Final

from msgspec import Raw

from translators.reading import is_null

# Their names, and the values (as JSON) that ask for nothing.
WITHOUT_COUNTERPART: Final[dict[str, tuple[bytes, ...]]] = {
    "seed": (),
    "logit_bias": (b"{}",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "prediction": (),
    "store": (b"false",),
    "moderation": (),
    "best_of": (b"0", b"1"),
    "models": (b"[]",),
    "provider": (b"{}",),
    "route": (),
    "transforms": (b"[]",),
}


def is_lost(name: str, value: Raw) -> bool:
    """Whether one of these fields asks for something."""
    return not is_null(value) and bytes(value) not in WITHOUT_COUNTERPART[name]
