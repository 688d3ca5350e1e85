"""The rules of `POST /v1/messages` and of token counting, with the API's messages where these are known."""

from __future__ import annotations

from collections.abc import Collection

from msgspec import UNSET, UnsetType

from gateway.demo.blocks import Document, SearchResult, Text
from gateway.demo.errors import invalid
from gateway.demo.models import EFFORTS
from gateway.demo.prompt import FORCED, Prompt, read_prompt
from gateway.demo.tokens import input_tokens
from gateway.demo.wire import OutputConfig, Thinking, decode
from tests.support.upstream_rules.binding import with_bound_thoughts
from tests.support.upstream_rules.blocks import read_block
from tests.support.upstream_rules.compaction import check_compaction, compacted
from tests.support.upstream_rules.marks import check_marks
from tests.support.upstream_rules.media import check_media
from tests.support.upstream_rules.models import rules_of
from tests.support.upstream_rules.parameters import check_parameters
from tests.support.upstream_rules.schemas import check_schema, check_well_formed
from tests.support.upstream_rules.tools import check_tools
from tests.support.upstream_rules.turns import check_ending, check_thought_before_calls, check_turns
from tests.support.upstream_rules.wire import CountRequest, MessagesRequest

VERSIONS = ("2023-06-01", "2026-10-21")
NEWEST_VERSION = VERSIONS[-1]

# Fields that exist only with one of these `anthropic-beta` values.
_BETA_FIELDS = {
    "context_management": ("context-management-", "compact-"),
    "mcp_servers": ("mcp-client-",),
    "compaction": ("compact-",),
    "fallbacks": ("server-side-fallback-",),
    "fallback_credit_token": ("fallback-credit-",),
    "thread": ("message-threads-",),
    "output_format": ("structured-outputs-",),
    "billing_policy": ("user-profiles-billing-",),
}
# The same of fields of system messages, and of the blocks that they may hold.
_BETA_MESSAGE_FIELDS = {
    "output_config": "mid-conversation-output-config-",
    "clear_at": "mid-conversation-system-clear-at-",
}
_TOOL_CHANGES_BETAS = ("mid-conversation-tool-changes-", "inline-tools-")
_SCOPES_BETA = "prompt-caching-scope-"
_BINDING_BETA = "thinking-binding-controls-"
_EFFORT_WORDS = "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
_USE_ADAPTIVE = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'


def read_messages_request(
    body: bytes, version: str, betas: Collection[str], account: str
) -> tuple[MessagesRequest, Prompt]:
    """Read a request and its prompt; raises `MessagesError` for any broken rule."""
    request = decode(body, MessagesRequest)
    _move_format(request)
    prompt = _checked_prompt(request, version, betas, account)
    check_parameters(request, prompt, newest=version == NEWEST_VERSION)
    return request, prompt


def read_count_request(body: bytes, version: str, betas: Collection[str], account: str) -> Prompt:
    """Read a request that only counts tokens."""
    request = decode(body, CountRequest)
    _move_format(request)
    return _checked_prompt(request, version, betas, account)


def _move_format(request: CountRequest | MessagesRequest) -> None:
    """Accept `output_format`, the older field for `output_config.format`."""
    config = request.output_config or OutputConfig()
    if request.output_format and config.format is None:
        config.format, request.output_config = request.output_format, config


def _checked_prompt(
    request: CountRequest | MessagesRequest, version: str, betas: Collection[str], account: str
) -> Prompt:
    for name, prefixes in _BETA_FIELDS.items():
        if getattr(request, name, UNSET) is not UNSET and not any(beta.startswith(prefixes) for beta in betas):
            raise invalid(f"{name}: Extra inputs are not permitted")
    _check_system_messages(request, betas)
    check_tools(request.tools)
    prompt = read_prompt(request, read_block)
    if any(isinstance(block, Text) and not block.text for block in prompt.system):
        raise invalid("system: text content blocks must be non-empty")
    _check_thinking(prompt)
    _check_block_binding(prompt, betas)
    _check_output(prompt)
    _check_tool_choice(prompt)
    for place, turn in enumerate(prompt.turns):
        for number, block in enumerate(turn.blocks):
            check_media(block, f"messages.{place}.content.{number}")
    check_marks(prompt, allows_scopes=any(beta.startswith(_SCOPES_BETA) for beta in betas))
    check_turns(prompt.turns, prompt.model)
    check_ending(prompt.turns, prompt.model, thinks=prompt.thinking_type != "disabled")
    if prompt.thinking_type == "enabled":
        check_thought_before_calls(prompt.turns)
    if version == NEWEST_VERSION:
        _check_newest_version(prompt)
    check_compaction(prompt, betas)
    prompt = with_bound_thoughts(prompt, account)
    if (tokens := input_tokens(compacted(prompt))) > prompt.model.context:
        raise invalid(f"prompt is too long: {tokens} tokens > {prompt.model.context} maximum")
    return prompt


def _check_system_messages(request: CountRequest | MessagesRequest, betas: Collection[str]) -> None:
    """Their own fields, and blocks that change the tools."""
    for number, message in enumerate(request.messages):
        for name, prefix in _BETA_MESSAGE_FIELDS.items():
            is_allowed = message.role == "system" and any(beta.startswith(prefix) for beta in betas)
            if getattr(message, name) is not None and not is_allowed:
                raise invalid(f"messages.{number}.{name}: Extra inputs are not permitted")
        if message.clear_at not in (None, "next_user_message", "never"):
            raise invalid(f"messages.{number}.clear_at: Input should be 'next_user_message' or 'never'")
        if message.output_config is not None and message.output_config.effort not in (None, *EFFORTS):
            raise invalid(f"messages.{number}.{_EFFORT_WORDS}")
        changes = message.role == "system" and isinstance(message.content, list) and message.content
        if changes and not any(beta.startswith(_TOOL_CHANGES_BETAS) for beta in betas):
            for place, block in enumerate(changes):
                if block.get("type") in ("tool_addition", "tool_removal"):
                    tag = f"Input tag '{block['type']}' found using 'type' does not match any of the expected tags"
                    raise invalid(f"messages.{number}.content.{place}: {tag}: 'text'")


def _check_thinking(prompt: Prompt) -> None:
    thinking, model = prompt.request.thinking, prompt.model
    if thinking is None:
        return
    if thinking.type not in ("adaptive", "enabled", "disabled", "between_tools"):
        raise invalid(
            f"thinking: Input tag '{thinking.type}' found using 'type' does not match any of the expected tags:"
            " 'adaptive', 'between_tools', 'disabled', 'enabled'"
        )
    if thinking.type not in model.thinking:
        if thinking.type == "adaptive":
            raise invalid("adaptive thinking is not supported on this model")
        raise invalid(f'"thinking.type.{thinking.type}" is not supported for this model. {_USE_ADAPTIVE}')
    if thinking.type == "enabled":
        _check_budget(thinking.budget_tokens)
    elif thinking.budget_tokens is not UNSET:
        raise invalid(f"thinking.{thinking.type}.budget_tokens: Extra inputs are not permitted")
    if thinking.type in ("disabled", "between_tools"):
        _check_quiet(thinking, prompt)


def _check_block_binding(prompt: Prompt, betas: Collection[str]) -> None:
    thinking = prompt.request.thinking
    if thinking is None or thinking.block_binding is UNSET:
        return
    path = f"thinking.{thinking.type}.block_binding"
    if thinking.type in ("disabled", "between_tools") or not any(beta.startswith(_BINDING_BETA) for beta in betas):
        raise invalid(f"{path}: Extra inputs are not permitted")
    if thinking.block_binding.prefix_mismatch_behavior not in ("error", "drop_block"):
        raise invalid(f"{path}.prefix_mismatch_behavior: Input should be 'error' or 'drop_block'")


def _check_budget(budget_tokens: int | UnsetType) -> None:
    if budget_tokens is UNSET:
        raise invalid("thinking.enabled.budget_tokens: Field required")
    if budget_tokens < 1024:
        raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")


def _check_quiet(thinking: Thinking, prompt: Prompt) -> None:
    if thinking.display is not UNSET:
        raise invalid(f"thinking.{thinking.type}.display: Extra inputs are not permitted")
    effort = prompt.request.output_config.effort if prompt.request.output_config else None
    if rules_of(prompt.model).quiet_up_to_high and effort in ("xhigh", "max"):
        raise invalid(f"\"thinking.type.{thinking.type}\" is not supported with effort '{effort}'. {_USE_ADAPTIVE}")


def _check_output(prompt: Prompt) -> None:
    config = prompt.request.output_config
    if config is None:
        return
    if config.effort is not None:
        _check_effort(config.effort, prompt.model.efforts)
    if config.format is None:
        return
    if config.format.type != "json_schema":
        raise invalid("output_config.format.type: Input should be 'json_schema'")
    check_well_formed(config.format.schema, "output_config.format.schema")
    check_schema(config.format.schema, "output_config.format.schema")
    if any(_cites(block) for turn in prompt.turns for block in turn.blocks):
        raise invalid("Citations are not supported together with output_config.format.")


def _check_effort(effort: str, supported: Collection[str]) -> None:
    if effort not in EFFORTS:
        raise invalid(_EFFORT_WORDS)
    if not supported:
        raise invalid("This model does not support the effort parameter.")
    if effort not in supported:
        raise invalid(
            f"This model does not support effort level '{effort}'. Supported levels: {', '.join(sorted(supported))}."
        )


def _check_tool_choice(prompt: Prompt) -> None:
    choice = prompt.request.tool_choice
    if choice is None:
        return
    if choice.type not in ("auto", "none", *FORCED):
        raise invalid(
            f"tool_choice: Input tag '{choice.type}' found using 'type' does not match any of the expected tags:"
            " 'auto', 'any', 'tool', 'none'"
        )
    if choice.type == "none" and choice.disable_parallel_tool_use is not UNSET:
        raise invalid("tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted")
    if choice.type != "tool" and choice.name is not UNSET:
        raise invalid(f"tool_choice.{choice.type}.name: Extra inputs are not permitted")
    if choice.type == "tool" and choice.name is UNSET:
        raise invalid("tool_choice.tool.name: Field required")
    if not prompt.tools:
        raise invalid("`tool_choice` may only be specified while providing `tools`.")
    if choice.type == "tool" and choice.name not in [tool.name for tool in prompt.tools]:
        raise invalid(f"Tool '{choice.name}' not found in provided tools")
    if not prompt.forces_a_tool:
        return
    if not rules_of(prompt.model).forced_tools:
        # The documentation says that this is refused, but not with which message.
        raise invalid(f"tool_choice: forced tool use ('{choice.type}') is not supported for this model. Use 'auto'.")
    if prompt.thinking_type == "enabled":
        raise invalid("Thinking may not be enabled when tool_choice forces tool use.")


def _check_newest_version(prompt: Prompt) -> None:
    """Refuse what `2026-10-21` no longer accepts in messages."""
    for place, turn in enumerate(prompt.turns):
        for number, block in enumerate(turn.blocks):
            path = f"messages.{place}.content.{number}.{block.type}"
            if turn.role == "assistant" and isinstance(block, Document):
                raise invalid(f"{path}: `document` blocks are not permitted in `assistant` messages")
            if turn.role == "user" and isinstance(block, Text) and block.citations:
                raise invalid(f"{path}.citations: Extra inputs are not permitted")


def _cites(block: object) -> bool:
    return isinstance(block, Document | SearchResult) and bool((block.citations or {}).get("enabled"))
