"""The Models endpoint: each model as a ModelInfo, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.demo.errors import MessagesError, invalid
from gateway.demo.models import EFFORTS, MODELS, Model, find_model

_THINKING_TYPES = ("adaptive", "enabled", "disabled", "between_tools")
_DEFAULT_LIFECYCLES = ("active", "deprecated")


def model_info(name: str) -> dict[str, Any]:
    """The ModelInfo of a model, also under its alias."""
    model = find_model(name)
    if model is None:
        raise MessagesError(404, f"model: {name}")
    return _info(model)


def page_of_models(
    *, limit: str | None, after_id: str | None, before_id: str | None, lifecycles: Sequence[str]
) -> dict[str, Any]:
    """One page of the catalogue, newest first, from the query's own strings."""
    wanted = lifecycles or _DEFAULT_LIFECYCLES
    infos = [info for info in map(_info, MODELS.values()) if info["lifecycle"] in wanted]
    size = _limit(limit)
    start, stop = 0, len(infos)
    if after_id is not None:
        start = _place(infos, "after_id", after_id) + 1
    if before_id is not None:
        stop = _place(infos, "before_id", before_id)
        start = max(start, stop - size)
    page = infos[start : min(stop, start + size)]
    has_more = start > 0 if before_id is not None else start + size < stop
    return {
        "data": page,
        "has_more": has_more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return 20
    if not text.isdecimal():
        raise invalid("limit: Input should be a valid integer, unable to parse string as an integer")
    if not 1 <= int(text) <= 1000:
        raise invalid("limit: Input should be between 1 and 1000")
    return int(text)


def _place(infos: Sequence[dict[str, Any]], parameter: str, model_id: str) -> int:
    for place, info in enumerate(infos):
        if info["id"] == model_id:
            return place
    raise invalid(f"{parameter}: Invalid model id `{model_id}`")


def _info(model: Model) -> dict[str, Any]:
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": f"{model.released}T00:00:00Z",
        "lifecycle": "deprecated" if model.retires else "active",
        "deprecated_at": None,
        "retires_at": f"{model.retires}T00:00:00Z" if model.retires else None,
        "line": model.line,
        "max_input_tokens": model.context,
        "max_tokens": model.max_output,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: Model) -> dict[str, Any]:
    return {
        "batch": _supported(True),
        "citations": _supported(True),
        "code_execution": _supported(True),
        "context_management": {
            **_supported(True),
            "clear_thinking_20251015": _supported(True),
            "clear_tool_uses_20250919": _supported(True),
            "compact_20260112": _supported("adaptive" in model.thinking),
        },
        "effort": {
            **_supported(bool(model.efforts)),
            **{level: _supported(level in model.efforts) for level in EFFORTS},
        },
        "image_input": _supported(True),
        "pdf_input": _supported(True),
        "server_tools": {
            **_supported(True),
            "web_search": _supported(True),
            "code_execution": _supported(True),
        },
        "structured_outputs": _supported(True),
        "thinking": {
            **_supported(True),
            "types": {kind: _supported(kind in model.thinking) for kind in _THINKING_TYPES},
        },
    }


def _supported(yes: bool) -> dict[str, bool]:
    return {"supported": yes}
