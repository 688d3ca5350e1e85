"""Fields of Messages itself, sent along by `extra_body`."""

from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.errors import TranslationError
from translators.intent import Intent
from translators.message_usage import STANDARD, Terms, terms_of
from translators.messages.blocks import Block
from translators.models import CONTEXT_MANAGEMENT, FORM, ModelRow
from translators.reading import decode, is_null
from translators.wire.raw import NULL, OBJECT_DECODER

# What each needs in `anthropic-beta` (section 2 of the Messages reference).
BETA_OF_FIELD: Final[dict[str, str | None]] = {
    "container": None,
    "context_management": "context-management-2025-06-27",
    "mcp_servers": "mcp-client-2025-11-20",
    "speed": "fast-mode-2026-02-01",
    "inference_geo": None,
    "fallbacks": "server-side-fallback-2026-07-01",
}
_CONFIG: Final = "output_config"
# These cost more, reach out, or belong to one workspace: for shared keys only where the operator allows them.
RESTRICTED: Final = frozenset({"speed", "inference_geo", "mcp_servers", "container", "fallbacks"})
_FAST: Final = b'"fast"'
_COMPACTION: Final = b"compact_20260112"
# Needed as well for the blocks that upstream has made of a conversation.
COMPACTION_BETA: Final = "compact-2026-01-12"
# Section 13.6 of the reference.
LEAST_TOKENS: Final = 50_000
_TASK_BUDGET_BETA: Final = "task-budgets-2026-03-13"
_EFFORT_DECODER: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)


@dataclass(slots=True)
class Extensions:
    """What is sent: fields as they came, parts of `output_config` (its `effort` also by itself), and their betas.

    `terms` are those of the fields that change the price.
    """

    fields: Block = field(default_factory=dict)
    output_config: Block = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    effort: str | None = None
    terms: Terms = STANDARD


_NOTHING: Final = Extensions()


def write_extensions(intent: Intent, row: ModelRow, allowed: frozenset[str], adjustments: Adjustments) -> Extensions:
    """The native fields of a request that the model takes; `allowed` names the restricted ones that may be used."""
    native = intent.native
    if not native and intent.compacts_from is None:
        return _NOTHING
    extensions = Extensions()
    if intent.compacts_from is not None:
        _compact(intent.compacts_from, row, extensions, adjustments)
    for name, beta in BETA_OF_FIELD.items():
        value = native.get(name, NULL)
        if is_null(value):
            continue
        if name == "container" and name not in allowed:
            raise TranslationError(
                "Containers belong to an Anthropic workspace and are not allowed here.",
                param=name,
                code="unsupported_value",
            )
        if name in RESTRICTED and name not in allowed:
            adjustments.add(name, "dropped", "not-allowed")
            continue
        if _is_refused(name, value, row):
            adjustments.add(name, "dropped", "model")
            continue
        extensions.fields[name] = Fragment(bytes(value))
        extensions.betas += [beta] if beta else []
        if name == "context_management" and _COMPACTION in bytes(value):
            extensions.betas.append(COMPACTION_BETA)
    extensions.terms = terms_of(*(native[name] if name in extensions.fields else NULL for name in Terms._fields))
    if not is_null(given := native.get(_CONFIG, NULL)):
        config = decode(OBJECT_DECODER, given, _CONFIG)
        if FORM in row.refuses and config.pop("format", None) is not None:
            adjustments.add(FORM, "dropped", "model")
        extensions.output_config = {key: Fragment(bytes(value)) for key, value in config.items()}
        if "effort" in config:
            extensions.effort = decode(_EFFORT_DECODER, config["effort"], "output_config.effort")
        if "task_budget" in config:
            extensions.betas.append(_TASK_BUDGET_BETA)
    return extensions


def _compact(tokens: int, row: ModelRow, extensions: Extensions, adjustments: Adjustments) -> None:
    """Have upstream summarize the conversation where it has so many tokens; 0: as many as upstream likes."""
    if not row.compacts:
        adjustments.add(CONTEXT_MANAGEMENT, "dropped", "model")
        return
    edit: Block = {"type": _COMPACTION.decode()}
    if tokens:
        edit["trigger"] = {"type": "input_tokens", "value": max(tokens, LEAST_TOKENS)}
        if tokens < LEAST_TOKENS:
            adjustments.note("context_management.compact_threshold", "raised", "minimum")
    extensions.fields[CONTEXT_MANAGEMENT] = {"edits": [edit]}
    extensions.betas.append(COMPACTION_BETA)


def _is_refused(name: str, value: Raw, row: ModelRow) -> bool:
    """Whether the model is known not to take a field with this value."""
    if name == "speed":
        return bytes(value) == _FAST and not row.fast
    return name == CONTEXT_MANAGEMENT and (name in row.refuses or (_COMPACTION in bytes(value) and not row.compacts))
