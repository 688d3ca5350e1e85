"""The rules for a request's simple parameters: lengths, stop sequences, sampling."""

from __future__ import annotations

from msgspec import UNSET

from gateway.demo.errors import invalid
from gateway.demo.prompt import Prompt
from tests.support.upstream_rules.models import rules_of
from tests.support.upstream_rules.wire import MessagesRequest

# From 4.7 on models accept only the default values. Sources confirm these for Haiku 5.5.
_ONLY_VALUES = {"temperature": 1.0, "top_p": 0.99, "top_k": None}


def check_parameters(request: MessagesRequest, prompt: Prompt, *, newest: bool) -> None:
    """Refuse parameters that the model or the API version does not accept."""
    _check_max_tokens(request, prompt)
    _check_sampling(request, prompt, newest=newest)
    if any(not sequence.strip() for sequence in request.stop_sequences):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    if request.metadata and len(request.metadata.user_id or "") > 256:
        raise invalid("metadata.user_id: String should have at most 256 characters")
    if request.service_tier not in ("auto", "standard_only"):
        raise invalid("service_tier: Input should be 'auto' or 'standard_only'")
    if request.speed not in (None, "standard", "fast"):
        raise invalid("speed: Input should be 'standard' or 'fast'")


def _check_max_tokens(request: MessagesRequest, prompt: Prompt) -> None:
    limit, model, thinking = request.max_tokens, prompt.model, request.thinking
    if limit < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    if limit > model.max_output:
        raise invalid(
            f"max_tokens: {limit} > {model.max_output}, which is the maximum allowed number of output tokens"
            f" for {model.id}"
        )
    if limit == 0:
        _check_pre_warming(request, prompt)
    elif thinking and isinstance(thinking.budget_tokens, int) and thinking.budget_tokens >= limit:
        raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")


def _check_pre_warming(request: MessagesRequest, prompt: Prompt) -> None:
    """`max_tokens: 0` only writes the prompt cache: refuse parameters that are about the answer."""
    conflicts = {
        "`stream`": request.stream,
        "`thinking.type.enabled`": prompt.thinking_type == "enabled",
        "`output_config.format`": bool(request.output_config and request.output_config.format),
        "a forced `tool_choice`": prompt.forces_a_tool,
    }
    for name, present in conflicts.items():
        if present:
            raise invalid(f"max_tokens: 0 cannot be combined with {name}")


def _check_sampling(request: MessagesRequest, prompt: Prompt, *, newest: bool) -> None:
    given = {name: value for name in _ONLY_VALUES if (value := getattr(request, name)) is not UNSET}
    for name, value in given.items():
        if newest:
            raise invalid(f"{name}: Extra inputs are not permitted")
        if name == "top_k" and value < 0:
            raise invalid("top_k: Input should be greater than or equal to 0")
        if name != "top_k" and not 0 <= value <= 1:
            raise invalid(f"{name}: range: 0..1")
        if rules_of(prompt.model).sampling == "defaults" and value != _ONLY_VALUES[name]:
            raise invalid(f"`{name}` is deprecated for this model.")
    if rules_of(prompt.model).sampling != "honoured" and {"temperature", "top_p"} <= given.keys():
        raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if prompt.thinking_type != "disabled":
        _check_sampling_beside_thinking(given)


def _check_sampling_beside_thinking(given: dict[str, float]) -> None:
    if given.get("temperature", 1) != 1:
        raise invalid("`temperature` may only be set to 1 when thinking is enabled.")
    if given.get("top_p", 1) < 0.95:
        raise invalid("`top_p` must be greater than or equal to 0.95 when thinking is enabled.")
    if "top_k" in given:
        raise invalid("`top_k` must be unset when thinking is enabled.")
