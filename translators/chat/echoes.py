"""Signed thinking that a client sends back, in any of the forms that gateways have given it out in."""

from hashlib import blake2b
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.chat.content import Block
from translators.reading import is_null, is_text
from translators.wire.chat import PARTS_DECODER, RAW_LIST_DECODER, ChatMessage


class _Echo(msgspec.Struct):
    """One entry, of Anthropic's own form or of OpenRouter's `reasoning_details`."""

    type: str
    thinking: Raw | msgspec.UnsetType = msgspec.UNSET
    text: Raw | msgspec.UnsetType = msgspec.UNSET
    signature: Raw | msgspec.UnsetType = msgspec.UNSET
    data: Raw | msgspec.UnsetType = msgspec.UNSET
    index: int | None = None
    format: str | None = None


_ECHO_DECODER: Final = msgspec.json.Decoder(_Echo)
_EMPTY: Final = (b'""', b"null")


def signed_thinking(message: ChatMessage) -> list[Block]:
    """The thinking blocks that came back with their signatures, byte for byte; what is not signed is ignored."""
    if is_null(message.reasoning_details) and is_null(message.thinking_blocks) and _is_text_or_null(message.content):
        return []
    details = _joined(_listed(message.reasoning_details))
    for entries in (_listed(message.thinking_blocks), details, _parts(message.content)):
        if blocks := [block for entry in entries if (block := _block(entry)) is not None]:
            return blocks
    return []


def signature_digest(block: Block) -> bytes:
    """What a signed block is known by, once upstream has refused it."""
    seal = orjson.dumps(block.get("signature") or block.get("data"))
    return blake2b(seal, digest_size=8).digest()


def _listed(value: Raw) -> list[_Echo]:
    try:
        return [_ECHO_DECODER.decode(entry) for entry in RAW_LIST_DECODER.decode(value)] if not is_null(value) else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _joined(entries: list[_Echo]) -> list[_Echo]:
    """OpenRouter's details as they were streamed: pieces of text with one index, the signature behind them."""
    joined: list[_Echo] = []
    for entry in entries:
        if entry.format is not None and not entry.format.startswith("anthropic"):
            # Sealed by another maker's model: nothing that Claude could read.
            continue
        before = joined[-1] if joined else None
        is_piece = entry.type == "reasoning.text" and entry.index is not None
        if before is not None and is_piece and (before.type, before.index) == (entry.type, entry.index):
            text = (_text(before.text) or _EMPTY[0])[:-1] + (_text(entry.text) or _EMPTY[0])[1:]
            before.text = Raw(text)
            before.signature = entry.signature if _text(entry.signature) is not None else before.signature
        else:
            joined.append(entry)
    return joined


def _is_text_or_null(content: Raw) -> bool:
    return is_null(content) or is_text(content)


def _parts(content: Raw) -> list[_Echo]:
    if _is_text_or_null(content):
        return []
    try:
        parts = PARTS_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    return [_Echo(part.type, thinking=part.thinking, signature=part.signature, data=part.data) for part in parts]


def _block(entry: _Echo) -> Block | None:
    if entry.type in ("thinking", "reasoning.text"):
        thinking = _text(entry.thinking if entry.type == "thinking" else entry.text)
        signature = _text(entry.signature)
        if signature is None or signature in _EMPTY:
            return None
        return {"type": "thinking", "thinking": Fragment(thinking or b'""'), "signature": Fragment(signature)}
    if entry.type in ("redacted_thinking", "reasoning.encrypted"):
        data = _text(entry.data)
        return {"type": "redacted_thinking", "data": Fragment(data)} if data and data not in _EMPTY else None
    return None


def _text(raw: Raw | msgspec.UnsetType) -> bytes | None:
    if isinstance(raw, msgspec.UnsetType) or not is_text(raw):
        return None
    return bytes(raw)
