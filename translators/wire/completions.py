"""OpenAI's legacy completions wire: `POST /v1/completions`."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from translators.wire.known import field_names, shape
from translators.wire.raw import NULL
from translators.wire.shared import ModelName, StreamOptions


class CompletionRequest(Struct):
    """The body: one prompt or several, and settings as chat completions have them."""

    model: ModelName
    prompt: Raw = NULL
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    logprobs: int | None = None
    user: str | None = None
    seed: Raw = NULL
    logit_bias: Raw = NULL
    presence_penalty: Raw = NULL
    frequency_penalty: Raw = NULL


COMPLETION_DECODER: Final = msgspec.json.Decoder(CompletionRequest)
PROMPT_DECODER: Final[msgspec.json.Decoder[str | list[Raw]]] = msgspec.json.Decoder(str | list[Raw])
COMPLETION_FIELDS: Final = field_names(CompletionRequest)
STREAM_OPTIONS: Final = shape(StreamOptions)
