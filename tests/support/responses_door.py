"""The writer of the Responses door, set up for tests."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw

from translators.answers.answer import AnswerFold
from translators.answers.recorder import is_whole
from translators.answers.shape import PLAIN, RECORDED, AnswerShape
from translators.responses.answer import ResponsesAnswer, read_response
from translators.responses.frame import ResponsesFrame
from translators.responses.kinds import ToolKinds
from translators.responses.stream import ResponsesStream

ID = "resp_00112233445566778899aabbccddeeff"
CREATED = 1_700_000_000


class OpenSeal:
    """Seals nothing: what is in a seal can be read."""

    @property
    def summaries(self) -> "OpenSeal":
        """The same."""
        return self

    def seal(self, blocks: Sequence[bytes]) -> str:
        return "sealed:[" + ",".join(block.decode() for block in blocks) + "]"


def opened(seal: str) -> list[Any]:
    """The blocks in a seal."""
    blocks: list[Any] = json.loads(seal.removeprefix("sealed:"))
    return blocks


def frame(kinds: ToolKinds | None = None, settings: Mapping[str, Raw] | None = None, **more: Any) -> ResponsesFrame:
    """A response that shows all that it can show."""
    shown: dict[str, Any] = {"sealer": OpenSeal(), "shows_seals": True, "shows_sources": True, "shows_outputs": True}
    known = {"kinds": kinds or {}, "settings": settings or {}}
    return ResponsesFrame(ID, CREATED, "asked-for", lambda: CREATED + 5, **{**shown, **known, **more})


def streamed(pieces: Sequence[bytes], shape: AnswerShape = PLAIN, **more: Any) -> tuple[bytes, ResponsesStream]:
    """What a client gets, and the stream."""
    stream = ResponsesStream(frame(**more), shape)
    output = b"".join([stream.feed(piece) for piece in pieces])
    return output + stream.end(), stream


def folded(body: bytes, shape: AnswerShape = PLAIN, **more: Any) -> dict[str, Any]:
    """The whole response, of a streamed message."""
    answer = ResponsesAnswer(frame(**more), shape)
    answer.feed(body)
    answer.end()
    response: dict[str, Any] = json.loads(answer.response())
    return response


def whole(body: bytes, shape: AnswerShape = PLAIN, **more: Any) -> dict[str, Any]:
    """The whole response, of an unstreamed message."""
    response: dict[str, Any] = json.loads(read_response(body, frame(**more), shape).response())
    return response


def unstreamed(body: bytes) -> bytes | None:
    """The message that a stream adds up to, every block as it came; None where the last one was cut off."""
    fold = AnswerFold(RECORDED)
    fold.feed(body)
    fold.end()
    if not all(map(is_whole, fold.blocks)):
        return None
    usage = fold.usage
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens_details": {"thinking_tokens": usage.thinking_tokens},
    }
    tiers = {"default": "standard", "priority": "priority"}
    explanation = fold.ending.refusal if fold.ending else None
    head = {
        "id": fold.upstream_id,
        "type": "message",
        "role": "assistant",
        "model": fold.model,
        "stop_reason": fold.stop_reason,
        "stop_details": {"type": "refusal", "explanation": explanation} if fold.stop_reason == "refusal" else None,
        "usage": {**counts, "service_tier": tiers.get(usage.service_tier or "")},
    }
    content = b",".join([block.json for block in fold.blocks])
    return json.dumps(head).encode()[:-1] + b',"content":[%b]}' % content


def events_of(output: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    *events, rest = output.decode().split("\n\n")
    assert rest == ""
    return [json.loads(event.split("\ndata: ", 1)[1]) for event in events]
