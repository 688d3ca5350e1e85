"""The content blocks of a stream as they have to be sent back: whole, in order, every field kept."""

from typing import Any, Final

import msgspec

# How each delta changes its block (section 6.3 of the Messages reference): appended to a field, or put in its place.
_APPENDED: Final = {"text_delta": "text", "thinking_delta": "thinking"}
_REPLACED: Final = {"signature_delta": "signature"}


class BlockRecorder:
    """Folds a stream's events into the content that Anthropic wants to see again."""

    def __init__(self) -> None:
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The blocks so far, in order, tool inputs as objects."""
        for index, fragments in self._inputs.items():
            if text := "".join(fragments):
                self._blocks[index]["input"] = msgspec.Raw(text.encode())
        return [self._blocks[index] for index in sorted(self._blocks)]

    def observe(self, data: bytes) -> None:
        """Take in the data of one event; what is not about blocks, or not of the usual form, changes nothing."""
        event = msgspec.json.decode(data)
        if event["type"] == "content_block_start":
            self._blocks[event["index"]] = event["content_block"]
        elif event["type"] == "content_block_delta" and event["index"] in self._blocks:
            self._apply(event["index"], event["delta"])

    def _apply(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks[index]
        kind = delta.get("type", "")
        if (name := _APPENDED.get(kind)) is not None:
            block[name] = _text(block.get(name)) + _text(delta.get(name))
        elif (name := _REPLACED.get(kind)) is not None and name in delta:
            block[name] = delta[name]
        elif kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(_text(delta.get("partial_json")))
        elif kind == "citations_delta" and "citation" in delta:
            known = block.get("citations")
            block["citations"] = [*(known if isinstance(known, list) else ()), delta["citation"]]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
