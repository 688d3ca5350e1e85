"""A chat-completions request: read once from the caller's bytes, written for each model and host it is sent to."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from translators.adjustments import Adjustments
from translators.chat.content import Block
from translators.chat.messages import Conversation, is_in_tool_loop, write_conversation
from translators.chat.reasoning import Circumstances, Reasoning, write_reasoning
from translators.chat.tools import Tools, write_tools
from translators.errors import TranslationError
from translators.hosts import HostProfile
from translators.models import ModelRow
from translators.reading import check_utf8, decode, is_null
from translators.wire.chat import REQUEST_DECODER, ChatRequest

# The API wants long answers streamed: the official SDK draws the line where 128,000 tokens an hour would take
# more than ten minutes (section 8.5 of the Messages reference).
MAX_UNSTREAMED_TOKENS: Final = 21_333
# Section 17: longer ids are refused.
_MAX_USER_ID: Final = 256
# Messages forbids personal data in `metadata.user_id`; these look like some.
_PERSONAL: Final = re.compile(r"@|^\+?[\d\s().-]{7,}$")

_SERVICE_TIERS: Final = {
    "auto": "auto",
    "priority": "auto",
    "fast": "auto",
    "scale": "auto",
    "default": "standard_only",
    "flex": "standard_only",
}
_VERBOSITY: Final = {
    "low": "Keep your answers short and to the point.",
    "medium": None,
    "high": "Give thorough, detailed answers.",
}
# Fields without a counterpart, and the values (as JSON) that ask for nothing.
_NEUTRAL: Final[dict[str, tuple[bytes, ...]]] = {
    "seed": (),
    "logit_bias": (b"{}",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "prediction": (),
    "store": (b"false",),
}
_REFUSED: Final = {
    "functions": "The legacy 'functions' are not offered; send 'tools'.",
    "function_call": "The legacy 'function_call' is not offered; send 'tool_choice'.",
    "web_search_options": "Web search is not offered.",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator decided about translations."""

    max_output_tokens: int | None = None
    always_show_reasoning: bool = False
    reject_unsupported: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: the upstream's model id, what that model can do, and what the host accepts."""

    model: str
    row: ModelRow
    host: HostProfile = field(default_factory=HostProfile)


@dataclass(frozen=True, slots=True)
class MessagesRequest:
    """A Messages request, ready to be sent.

    `streams` is also true where the caller asked for no stream but the answer could take too long for one piece.
    """

    body: bytes
    version: str
    streams: bool
    tool_names: Mapping[str, str]
    adjusted: str | None


def read_request(body: bytes) -> ChatRequest:
    """The caller's request; raises `TranslationError` with the `param` that is wrong."""
    check_utf8(body)
    return decode(REQUEST_DECODER, body)


def write_request(request: ChatRequest, target: Target, options: Options) -> MessagesRequest:
    """The same request for one model at one host; raises `TranslationError` where it cannot be put into Messages."""
    _check_offered(request)
    adjustments = Adjustments(reject=options.reject_unsupported)
    row = target.row
    max_tokens, is_limited = _max_tokens(request, row, options, adjustments)
    tools = write_tools(request, row, adjustments)
    circumstances = Circumstances(
        max_tokens=max_tokens,
        is_limited_by_caller=is_limited,
        is_tool_forced=tools.is_forced,
        is_in_tool_loop=is_in_tool_loop(request.messages),
        always_show=options.always_show_reasoning,
    )
    reasoning = write_reasoning(request.reasoning_effort, row, circumstances, adjustments)
    conversation = write_conversation(
        request.messages,
        takes_system=row.system_messages,
        takes_prefill=row.prefill and not reasoning.is_thinking,
        adjustments=adjustments,
    )
    if tools.turn_words:
        conversation.say_at_the_tail(tools.turn_words)
    sampling = _sampling(request, target, reasoning, adjustments)
    streams = bool(request.stream) or max_tokens > MAX_UNSTREAMED_TOKENS
    body: dict[str, object] = {"model": target.model, "max_tokens": max_tokens}
    if streams:
        body["stream"] = True
    body |= sampling | _settings(request, adjustments) | _reasoning_fields(reasoning)
    _add_conversation(body, request, conversation, tools)
    _drop_without_counterpart(request, adjustments)
    version = target.host.sampling_version if sampling else None
    return MessagesRequest(orjson.dumps(body), version or target.host.version, streams, tools.names, adjustments.header)


def _check_offered(request: ChatRequest) -> None:
    for name, message in _REFUSED.items():
        if not is_null(getattr(request, name)) and bytes(getattr(request, name)) not in (b"[]", b'"none"', b'"auto"'):
            raise TranslationError(message, param=name, code="unsupported_parameter")
    if request.n is not None and request.n != 1:
        raise TranslationError("Only one choice is offered: n has to be 1.", param="n", code="unsupported_value")
    if request.response_format is not None and request.response_format.type != "text":
        raise TranslationError(
            f"The response format '{request.response_format.type}' is not offered.",
            param="response_format.type",
            code="unsupported_value",
        )
    if "audio" in (request.modalities or ()):
        raise TranslationError("Claude neither hears nor speaks.", param="modalities", code="unsupported_value")


def _max_tokens(request: ChatRequest, row: ModelRow, options: Options, adjustments: Adjustments) -> tuple[int, bool]:
    """The limit, and whether it is the caller's own; 0 counts as absent."""
    name = "max_completion_tokens" if request.max_completion_tokens else "max_tokens"
    limit = request.max_completion_tokens or request.max_tokens
    if not limit:
        return min(row.max_output, options.max_output_tokens or row.max_output), False
    if limit < 0:
        raise TranslationError(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {limit} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if limit > row.max_output:
        adjustments.add(name, f"{min(limit, 10**12)}->{row.max_output}", "model")
        limit = row.max_output
    return limit, True


def _sampling(
    request: ChatRequest, target: Target, reasoning: Reasoning, adjustments: Adjustments
) -> dict[str, object]:
    """Temperature or top_p, where the model still honours them; neutral values are not worth sending."""
    wanted = {
        name: value
        for name, value, highest in (("temperature", request.temperature, 2), ("top_p", request.top_p, 1))
        if value is not None and _checked_range(name, value, highest) != 1
    }
    for name, value in list(wanted.items()):
        if target.row.sampling == "none" or target.host.sampling_version is None:
            adjustments.add(name, "dropped", "model" if target.row.sampling == "none" else "host")
            del wanted[name]
        elif reasoning.is_thinking:
            adjustments.add(name, "dropped", "thinking")
            del wanted[name]
        elif value > 1:
            # Claude's range ends at 1, which is the default: nothing is left to send.
            adjustments.add(name, f"{value:g}->1", "range")
            del wanted[name]
    if len(wanted) == 2:
        adjustments.add("top_p", "dropped", "temperature")
        del wanted["top_p"]
    return dict(wanted)


def _checked_range(name: str, value: float, highest: int) -> float:
    if 0 <= value <= highest:
        return value
    side = "below_min" if value < 0 else "above_max"
    raise TranslationError(
        f"Invalid '{name}': expected a value from 0 to {highest}, but got {value:g} instead.",
        param=name,
        code=f"decimal_{side}_value",
    )


def _settings(request: ChatRequest, adjustments: Adjustments) -> dict[str, object]:
    """The small fields that have a counterpart."""
    settings: dict[str, object] = {}
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if kept := [stop for stop in stops if stop.strip()]:
        settings["stop_sequences"] = kept
    if len(kept) < len(stops):
        adjustments.add("stop", "dropped", "blank")
    if user := request.safety_identifier or request.user:
        settings["metadata"] = {"user_id": _user_id(user)}
    if request.service_tier is not None:
        tier = _SERVICE_TIERS.get(request.service_tier)
        if tier is None:
            raise _not_among("service_tier", request.service_tier, _SERVICE_TIERS)
        settings["service_tier"] = tier
    return settings


def _user_id(user: str) -> str:
    """The user's id as it is, or its hash where it is too long or looks like personal data."""
    if len(user) <= _MAX_USER_ID and not _PERSONAL.search(user):
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def _reasoning_fields(reasoning: Reasoning) -> dict[str, object]:
    fields: dict[str, object] = {}
    if reasoning.thinking is not None:
        fields["thinking"] = reasoning.thinking
    if reasoning.effort is not None:
        fields["output_config"] = {"effort": reasoning.effort}
    return fields


def _add_conversation(body: dict[str, object], request: ChatRequest, conversation: Conversation, tools: Tools) -> None:
    if tools.definitions:
        body["tools"] = tools.definitions
    if tools.choice is not None:
        body["tool_choice"] = tools.choice
    system: list[Block] = conversation.system
    if request.verbosity is not None:
        if request.verbosity not in _VERBOSITY:
            raise _not_among("verbosity", request.verbosity, _VERBOSITY)
        # Words that hold for the whole conversation stand at the end of the system prompt.
        if (words := _VERBOSITY[request.verbosity]) is not None:
            system = [*system, {"type": "text", "text": words}]
    if system:
        body["system"] = system
    body["messages"] = conversation.messages


def _drop_without_counterpart(request: ChatRequest, adjustments: Adjustments) -> None:
    for name, neutral in _NEUTRAL.items():
        value = getattr(request, name)
        if not is_null(value) and bytes(value) not in neutral:
            adjustments.add(name, "dropped", "unsupported")


def _not_among(name: str, value: str, allowed: Mapping[str, object]) -> TranslationError:
    values = ", ".join(f"'{item}'" for item in allowed)
    return TranslationError(
        f"Invalid value: '{value}'. Supported values are: {values}.", param=name, code="invalid_value"
    )
