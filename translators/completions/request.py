"""Reads a legacy completion request: an intent for each choice."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import orjson
from msgspec import Raw

from translators.errors import TranslationError
from translators.intent import Intent, Message
from translators.lost import is_lost
from translators.members import Members
from translators.other_bodies import mistaken_body
from translators.reading import check_in_steps, checked_body, decode, is_null, is_text
from translators.steps import in_one_go
from translators.structure import check_values
from translators.unknown import unknown_in
from translators.wire.completions import (
    COMPLETION_DECODER,
    COMPLETION_FIELDS,
    PROMPT_DECODER,
    STREAM_OPTIONS,
    CompletionRequest,
)
from translators.wire.raw import TEXT_DECODER

# OpenAI's limit.
MAX_PROMPTS: Final = 2048

# What a completion model does without instructions.
_INSTRUCTION: Final = Raw(
    orjson.dumps(
        "Reply with the text that should follow the user's text: what it asks for where it asks for something, "
        "its continuation where it is unfinished. Nothing else, and do not repeat the user's text."
    )
)
# The caller's names of fields, by those of an intent.
_NAMES: Final = {"messages": "prompt", "stops": "stop"}
# What both messages of an intent come from.
_PLACES: Final = ("prompt", "prompt")


@dataclass(frozen=True, slots=True)
class Completions:
    """A completion request: an intent for each choice, prompt by prompt, and the texts to echo before them."""

    request: CompletionRequest
    intents: list[Intent]
    echoes: list[str]


def read_completions(body: bytes, max_choices: int) -> Completions:
    """Read the caller's request; raises `TranslationError` with the `param` that is wrong."""
    return in_one_go(_read(checked_body(body), max_choices))


def read_completions_in_steps(body: bytes, max_choices: int) -> Generator[None, None, Completions]:
    """The steps of `read_completions`; a body that is costly to parse is rejected."""
    if not body.isascii():
        yield from check_in_steps(body)
    yield from check_values(body)
    return (yield from _read(body, max_choices))


def _read(body: bytes, max_choices: int) -> Generator[None, None, Completions]:
    request = decode(COMPLETION_DECODER, body)
    if request.suffix:
        message = "A suffix is not supported: Claude continues a text, it cannot insert text before a given end."
        raise TranslationError(message, param="suffix", code="unsupported_parameter")
    yield
    members = Members(body)
    names = set(members.names)
    if is_null(request.prompt) and (mistaken := mistaken_body(names, wanted="prompt")) is not None:
        raise mistaken
    unknown = len(names - COMPLETION_FIELDS)
    if request.stream_options is not None:
        unknown += unknown_in(members.values["stream_options"], STREAM_OPTIONS)
    prompts = yield from _prompts(request.prompt)
    count = 1 if request.n is None else request.n
    _check_count(count, len(prompts), max_choices)
    _check_best_of(request, count)
    intents: list[Intent] = []
    for prompt in prompts:
        yield
        intents += [_intent(request, prompt, unknown)] * count
    echoes = [prompt if request.echo else "" for prompt in prompts for _ in range(count)]
    return Completions(request, intents, echoes)


def _check_count(count: int, prompts: int, max_choices: int) -> None:
    if count >= 1 and count * prompts <= max_choices:
        return
    param = "prompt" if count == 1 else "n"
    raise TranslationError(
        f"Invalid '{param}': the number of choices (prompts times n) has to be from 1 to {max_choices}.",
        param=param,
        code="integer_above_max_value" if count > 0 else "integer_below_min_value",
    )


def _check_best_of(request: CompletionRequest, count: int) -> None:
    if not request.best_of:
        return
    if request.best_of < count or (request.stream and request.best_of > count):
        message = "Invalid 'best_of': it has to be at least 'n', and more than 'n' cannot be streamed."
        raise TranslationError(message, param="best_of", code="invalid_value")


def _prompts(value: Raw) -> Generator[None, None, list[str]]:
    """One prompt or several; token ids refer to a vocabulary that Claude does not have."""
    if is_null(value):
        return [""]
    yield
    prompt = decode(PROMPT_DECODER, value, "prompt")
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise TranslationError("Invalid 'prompt': empty array.", param="prompt", code="empty_array")
    if not is_text(prompt[0]):
        raise _no_text()
    if len(prompt) > MAX_PROMPTS:
        message = f"Expected an array with maximum length {MAX_PROMPTS}, but got an array with length {len(prompt)}"
        message = f"Invalid 'prompt': array too long. {message} instead."
        raise TranslationError(message, param="prompt", code="array_above_max_length")
    if not all(map(is_text, prompt)):
        raise _no_text()
    texts: list[str] = []
    for index, item in enumerate(prompt):
        yield
        texts.append(decode(TEXT_DECODER, item, f"prompt[{index}]"))
    return texts


def _no_text() -> TranslationError:
    message = "Prompts have to be strings: token ids of OpenAI's models cannot be translated."
    return TranslationError(message, param="prompt", code="invalid_type")


def _intent(request: CompletionRequest, prompt: str, unknown: int) -> Intent:
    stop = request.stop
    return Intent(
        [Message("system", _INSTRUCTION), Message("user", Raw(orjson.dumps(prompt)))],
        streams=bool(request.stream),
        # Not the old default of 16: a model that thinks would have no tokens left for its answer.
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        stops=([stop] if isinstance(stop, str) else stop) if stop else (),
        user=request.user if request.user and request.user.strip() else None,
        blank=("user",) if request.user and not request.user.strip() else (),
        lost=_lost(request),
        unknown_fields=unknown,
        places=_PLACES,
        field_names=_NAMES,
    )


def _lost(request: CompletionRequest) -> list[str]:
    """The fields without a counterpart that ask for something."""
    is_best = request.best_of is not None and request.best_of > (request.n or 1)
    asked = {
        "seed": is_lost("seed", request.seed),
        "logit_bias": is_lost("logit_bias", request.logit_bias),
        "logprobs": request.logprobs is not None,
        "presence_penalty": is_lost("presence_penalty", request.presence_penalty),
        "frequency_penalty": is_lost("frequency_penalty", request.frequency_penalty),
        "best_of": is_best,
    }
    return [name for name, is_asked in asked.items() if is_asked]
