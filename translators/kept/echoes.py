"""Signed thinking that a client sends back, in any of the forms that gateways have given it out in."""

from hashlib import blake2b
from typing import Final

import msgspec
import orjson
from msgspec import Raw
from orjson import Fragment

from translators.answers.recorder import THINKING
from translators.intent import Message, SealedTurn
from translators.kept.own_blocks import own_blocks
from translators.limits import MAX_PARTS, MAX_THOUGHTS, check_length
from translators.messages.blocks import Block
from translators.reading import is_null, is_text
from translators.wire.chat_parts import PARTS_DECODER


class _Echo(msgspec.Struct, gc=False):
    """One entry, of Anthropic's own form or of OpenRouter's `reasoning_details`."""

    type: str
    thinking: Raw | msgspec.UnsetType = msgspec.UNSET
    text: Raw | msgspec.UnsetType = msgspec.UNSET
    signature: Raw | msgspec.UnsetType = msgspec.UNSET
    data: Raw | msgspec.UnsetType = msgspec.UNSET
    index: int | None = None
    format: str | None = None


_ECHOES_DECODER: Final = msgspec.json.Decoder(list[_Echo])
_EMPTY: Final = (b'""', b"null")


def signed_thinking(message: Message, path: str | None = None) -> list[Block]:
    """The thinking blocks that came back with their signatures, byte for byte; what is not signed is ignored.

    More than can be read is refused where the message's `path` is given, else it counts as none. Of a turn under a
    seal, it is what stands among its own blocks.
    """
    if type(message) is SealedTurn:
        return [block for block in own_blocks(message) if block is not None and block["type"] in THINKING]
    if is_null(message.reasoning_details) and is_null(message.thinking_blocks) and _is_text_or_null(message.content):
        return []
    details = _joined(_listed(message.reasoning_details, path and f"{path}.reasoning_details"))
    blocks = _listed(message.thinking_blocks, path and f"{path}.thinking_blocks")
    for entries in (blocks, details, _parts(message.content)):
        if signed := [block for entry in entries if (block := _block(entry)) is not None]:
            return signed
    return []


def signature_digest(block: Block) -> bytes:
    """What a signed block is known by, once upstream has refused it."""
    seal = orjson.dumps(block.get("signature") or block.get("data"))
    return blake2b(seal, digest_size=8).digest()


def _listed(value: Raw, path: str | None) -> list[_Echo]:
    try:
        entries = [] if is_null(value) else _ECHOES_DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if path is not None:
        check_length(entries, MAX_THOUGHTS, path)
    return entries if len(entries) <= MAX_THOUGHTS else []


def _joined(entries: list[_Echo]) -> list[_Echo]:
    """OpenRouter's details as they were streamed: pieces of text with one index, the signature behind them."""
    joined: list[_Echo] = []
    # The texts of the last one.
    pieces: list[bytes] = []
    for entry in entries:
        if entry.format is not None and not entry.format.startswith("anthropic"):
            # Sealed by another maker's model: nothing that Claude could read.
            continue
        before = joined[-1] if joined else None
        is_piece = entry.type == "reasoning.text" and entry.index is not None
        if before is not None and is_piece and (before.type, before.index) == (entry.type, entry.index):
            pieces.append(_inner(entry.text))
            before.signature = entry.signature if _text(entry.signature) is not None else before.signature
        else:
            _put_together(before, pieces)
            joined.append(entry)
            pieces = [_inner(entry.text)]
    _put_together(joined[-1] if joined else None, pieces)
    return joined


def _put_together(entry: _Echo | None, pieces: list[bytes]) -> None:
    """Give an entry its text, where it came in several pieces."""
    if entry is not None and len(pieces) > 1:
        entry.text = Raw(b'"%b"' % b"".join(pieces))


def _inner(raw: Raw | msgspec.UnsetType) -> bytes:
    """What stands between the quotes of a text."""
    return (_text(raw) or _EMPTY[0])[1:-1]


def _is_text_or_null(content: Raw) -> bool:
    return is_null(content) or is_text(content)


def _parts(content: Raw) -> list[_Echo]:
    if _is_text_or_null(content):
        return []
    try:
        parts = PARTS_DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if len(parts) > MAX_PARTS:
        # Who writes the content refuses it.
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
