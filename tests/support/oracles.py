"""Independent judges: what the two official SDKs assemble from a stream."""

import json
from dataclasses import dataclass, field
from typing import Any

from anthropic._streaming import SSEDecoder as AnthropicDecoder
from anthropic.lib.streaming._messages import accumulate_event
from jiter import from_json
from openai._streaming import SSEDecoder as OpenAIDecoder
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

# What Messages calls the end of an answer, in the words that OpenAI's clients know. Written down here once more, so
# that a mistake in the gateway's own table shows.
FINISH = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}

ACCUMULATED = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
)


@dataclass(slots=True)
class Assembled:
    """An answer as a client has it in the end, in terms that both protocols share."""

    text: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    reasoning: str = ""
    finish: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    id: str = ""
    model: str = ""


def by_anthropic(stream: bytes) -> Assembled:
    """What Anthropic's SDK makes of a Messages stream."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in AnthropicDecoder().iter_bytes(iter([stream + b"\n\n"])):
        payload = json.loads(event.data)
        # The SDK's client passes over all others before it accumulates.
        if payload["type"] not in ACCUMULATED:
            continue
        snapshot = accumulate_event(event=payload, current_snapshot=snapshot, json_bufs=buffers)
    # Plain values: the SDK's own types warn about blocks that they do not know.
    message = snapshot.to_dict(warnings=False)
    blocks = message["content"]
    calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    usage = message["usage"]
    written, read = (usage.get(f"cache_{kind}_input_tokens") or 0 for kind in ("creation", "read"))
    plain = "tool_calls" if calls else "stop"
    return Assembled(
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        calls=calls,
        reasoning="".join(block["thinking"] for block in blocks if block["type"] == "thinking"),
        finish=FINISH.get(message["stop_reason"] or "", plain),
        prompt_tokens=usage["input_tokens"] + written + read,
        cached_tokens=read,
        completion_tokens=usage["output_tokens"],
        id=message["id"],
        model=message["model"],
    )


def by_openai(stream: bytes) -> Assembled:
    """What the openai SDK's own accumulator makes of a chat-completions stream."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks_of(stream):
        state.handle_chunk(_chunk(chunk))
    snapshot = state.current_completion_snapshot
    assert [choice.index for choice in snapshot.choices] == [0]
    return of_completion(snapshot.to_dict(warnings=False))


def of_completion(completion: dict[str, Any]) -> Assembled:
    """A whole completion in the shared terms."""
    choice = completion["choices"][0]
    message = choice["message"]
    assert message["role"] == "assistant"
    usage = completion.get("usage") or {}
    return Assembled(
        text=message.get("content") or "",
        calls=[
            (call["function"]["name"], _parsed(call["function"]["arguments"]))
            for call in message.get("tool_calls") or []
        ],
        reasoning=message.get("reasoning_content") or "",
        finish=choice["finish_reason"],
        prompt_tokens=usage.get("prompt_tokens", 0),
        cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
        completion_tokens=usage.get("completion_tokens", 0),
        id=completion["id"].removeprefix("chatcmpl-"),
        model=completion["model"],
    )


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of each event before `[DONE]`, read by the openai SDK's decoder."""
    events = list(OpenAIDecoder().iter_bytes(iter([stream])))
    return [json.loads(event.data) for event in events if event.data != "[DONE]"]


def is_done(stream: bytes) -> bool:
    """Whether the stream ends the way OpenAI's do, once."""
    return stream.endswith(b"data: [DONE]\n\n") and stream.count(b"data: [DONE]\n\n") == 1


def _chunk(chunk: dict[str, Any]) -> ChatCompletionChunk:
    # As the client does by default: without validation, so that what is missing stays missing.
    return ChatCompletionChunk.construct(None, **chunk)


def _parsed(arguments: str) -> Any:
    """Arguments as an object; of those that the token limit has cut, as much as there is, as Anthropic's SDK does."""
    return from_json(arguments.encode(), partial_mode=True)
