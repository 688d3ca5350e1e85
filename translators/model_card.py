"""The additional fields of a model in a list of models: those of OpenRouter's list, which clients read."""

import re
from decimal import Decimal
from typing import Final

from translators.models import ModelRow, Provenance
from translators.price_list import Price

# Every model of the table takes text, images and PDFs, and produces text (section 11.2 of the Messages reference).
_INPUTS: Final = ("text", "image", "file")
_ARCHITECTURE: Final = {
    "modality": "text+image+file->text",
    "input_modalities": list(_INPUTS),
    "output_modalities": ["text"],
    "tokenizer": "Claude",
    "instruct_type": None,
}
# Supported for every model; `_parameters` adds those that only some support.
_PARAMETERS: Final = (
    *("max_tokens", "max_completion_tokens", "stop", "stream", "tools", "tool_choice", "parallel_tool_calls"),
    *("response_format", "structured_outputs", "verbosity", "user"),
)
_DOLLAR: Final = 1_000_000
_TOKENS: Final = 1_000_000
_DAY: Final = re.compile(r"-\d{8}$")


def display_name(model: str) -> str:
    """The display name for an id: `claude-opus-4-5-20251101` is "Claude Opus 4.5"."""
    family, *version = re.split(r"-(?=\d)", _DAY.sub("", model))
    return " ".join((family.replace("-", " ").title(), ".".join(version))).strip()


def described(name: str, row: ModelRow | None, provenance: Provenance | None) -> dict[str, object]:
    """The additional fields, as far as the model is known; prices are dollars per token, as decimal text."""
    card: dict[str, object] = {"name": name}
    if row is None:
        return card
    card |= {
        "context_length": row.context,
        "max_completion_tokens": row.max_output,
        "architecture": _ARCHITECTURE,
        "top_provider": {
            "context_length": row.context,
            "max_completion_tokens": row.max_output,
            "is_moderated": False,
        },
        "supported_parameters": _parameters(row),
    }
    if provenance is not None and provenance.prices:
        # Longer prompts may cost more; the last price applies to any length.
        card["pricing"] = _pricing(provenance.prices[-1])
    return card


def _parameters(row: ModelRow) -> list[str]:
    parameters = list(_PARAMETERS)
    if row.can_think:
        parameters += ["reasoning", "include_reasoning", "reasoning_effort"]
    if row.sampling != "none":
        parameters += ["temperature", "top_p"]
    return parameters


def _pricing(price: Price) -> dict[str, str]:
    return {
        "prompt": _dollars(price.input),
        "completion": _dollars(price.output),
        "input_cache_read": _dollars(price.cache_read),
        "input_cache_write": _dollars(price.cache_write_5m),
    }


def _dollars(micro_dollars: int) -> str:
    """Dollars per token, from micro-dollars per million tokens."""
    return f"{Decimal(micro_dollars) / _DOLLAR / _TOKENS:f}"
