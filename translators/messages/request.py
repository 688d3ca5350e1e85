"""An intent as a Messages body: read once, by whichever door, and written for each model and host it is sent to."""

from collections.abc import Generator, Mapping
from typing import Final

import orjson
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.answers.shape import PLAIN, RECORDED, AnswerShape
from translators.intent import AnswerFormat, Intent
from translators.kept.echoes import signed_thinking
from translators.kept.turns import UNKNOWN_PAST, Past
from translators.messages import caching
from translators.messages.blocks import Block
from translators.messages.draft import Draft, decide
from translators.messages.extensions import COMPACTION_BETA
from translators.messages.formats import AS_IT_COMES, tool_hash
from translators.messages.messages_request import MessagesRequest
from translators.messages.native_shapes import UnreadShapesError, read_native_shapes
from translators.messages.options import Options, Target
from translators.messages.places import Places
from translators.messages.request_marks import unmark_refused, write_marks
from translators.messages.settings import (
    add_settings,
    own_stops,
    sampling,
    token_limit,
    verbosity_words,
)
from translators.messages.tool_set import NO_TOOLS, Tools
from translators.messages.tools import tool_places, tools_in_steps
from translators.schema import schema_hash
from translators.server_tools import MCP_TOOLSET
from translators.steps import in_one_go

# The API wants long answers streamed: the official SDK draws the line where 128,000 tokens an hour would take
# more than ten minutes (section 8.5 of the Messages reference).
MAX_UNSTREAMED_TOKENS: Final = 21_333
# Roughly; good enough to tell a prompt that is cached from one that is too short for it.
_BYTES_A_TOKEN: Final = 4
_NO_WORDS: Final = (None, None)
_NO_SCHEMAS: Final[Mapping[str, str]] = {}


def write_request(intent: Intent, target: Target, options: Options, past: Past = UNKNOWN_PAST) -> MessagesRequest:
    """The same request for one model at one host; raises `TranslationError` where it cannot be put into Messages."""
    adjustments = Adjustments(reject=options.reject_unsupported)
    limit = token_limit(intent, target.row, options.max_output_tokens, adjustments)
    tools = NO_TOOLS
    if intent.tools or intent.functions or intent.web_search is not None:
        tools = in_one_go(tools_in_steps(intent, adjustments, target.refused, native=_native_tools(options)))
    draft = decide(intent, target, options, past, adjustments, limit, tools)
    try:
        for _ in draft.writer.steps():
            pass
    except UnreadShapesError:
        in_one_go(read_native_shapes(intent))
        return write_request(intent, target, options, past)
    system = _system(draft)
    marked = caching.marked_blocks(draft.writer.conversation.messages) if draft.writer.has_marks else []
    return _written(draft, system, marked)


def write_in_steps(
    intent: Intent, target: Target, options: Options, past: Past = UNKNOWN_PAST
) -> Generator[None, None, MessagesRequest]:
    """What `write_request` gives, in steps of which none takes long: for who has other things to do meanwhile."""
    adjustments = Adjustments(reject=options.reject_unsupported)
    limit = token_limit(intent, target.row, options.max_output_tokens, adjustments)
    tools = yield from tools_in_steps(intent, adjustments, target.refused, native=_native_tools(options))
    draft = decide(intent, target, options, past, adjustments, limit, tools)
    try:
        yield from draft.writer.steps()
    except UnreadShapesError:
        yield from read_native_shapes(intent)
        return (yield from write_in_steps(intent, target, options, past))
    yield
    system, marked = _system(draft), list[Block]()
    messages = draft.writer.conversation.messages
    for start in range(0, len(messages) if draft.writer.has_marks else 0, caching.MESSAGES_A_STEP):
        marked += caching.marked_blocks(messages[start : start + caching.MESSAGES_A_STEP])
        yield
    return _written(draft, system, marked)


def places_in_steps(
    intent: Intent, target: Target, options: Options, past: Past = UNKNOWN_PAST
) -> Generator[None, None, Places]:
    """Where what `write_request` writes comes from, in steps; for a request that it has written."""
    adjustments, places = Adjustments(), Places()
    limit = token_limit(intent, target.row, options.max_output_tokens, adjustments)
    tools = yield from tools_in_steps(intent, adjustments, target.refused, native=_native_tools(options))
    draft = decide(intent, target, options, past, adjustments, limit, tools)
    draft.writer.trace(places)
    yield from draft.writer.steps()
    conversation = draft.writer.conversation
    if draft.form.tools is None:
        listed = yield from tool_places(intent, _native_tools(options))
    else:
        listed = [(intent.name_of("format"), (intent.format or AnswerFormat()).path)]
    places.complete(conversation.system, conversation.messages, listed)
    return places


def _native_tools(options: Options) -> frozenset[str]:
    return options.server_tools | {MCP_TOOLSET} if "mcp_servers" in options.allowed_fields else options.server_tools


def _written(draft: Draft, system: list[Block], marked: list[Block]) -> MessagesRequest:
    """The request, once its conversation is written: marks, sampling, and the body.

    `marked` are the blocks of the messages that the caller has marked.
    """
    intent, target, adjustments = draft.intent, draft.target, draft.adjustments
    has_marks = write_marks(draft, system, marked)
    if has_marks and target.row.refuses:
        has_marks = unmark_refused(draft, system)
    # Behind the last mark: no cache holds what is said for one turn.
    draft.writer.conversation.add_turn_words(draft.choice.turn_words)
    sampled = sampling(intent, target.row, target.host, draft.reasoning, adjustments)
    streams = intent.streams or draft.max_tokens > MAX_UNSTREAMED_TOKENS or draft.tools.has_server_tools
    body = orjson.dumps(_body(draft, system, sampled, streams=streams))
    _note_losses(draft)
    shape = _shape(draft)
    adjustments.count_unknown(intent.unknown_fields)
    version = target.host.sampling_version if sampled else None
    return MessagesRequest(
        body,
        version or target.host.version,
        streams,
        shape,
        adjustments.header,
        _betas(draft),
        draft.choice.expects_call,
        has_marks and len(body) // _BYTES_A_TOKEN >= target.row.cache_minimum,
        _schemas(draft),
        draft.writer.has_thinking,
        draft.past.origin if shape.keeps_blocks else None,
        draft.extensions.terms,
    )


def _note_losses(draft: Draft) -> None:
    """Note what does not go on: fields without a counterpart, thinking that was kept, betas."""
    adjustments = draft.adjustments
    for name in draft.intent.lost:
        adjustments.add(name, "dropped", "unsupported")
    for name, reason in draft.intent.noted:
        adjustments.note(name, "dropped", reason)
    if (why := draft.past.left_out) is not None:
        is_own = why == "refused" and adjustments.rejects and any(map(signed_thinking, draft.intent.messages))
        # What the gateway has kept by itself, no caller has sent.
        (adjustments.add if is_own else adjustments.note)("thinking_blocks", "dropped", why)
    for beta in draft.options.refused_betas:
        adjustments.add(f"anthropic-beta.{beta}", "dropped", "not-allowed")


def _betas(draft: Draft) -> tuple[str, ...]:
    """Every beta that the request needs or asks for, once."""
    own = (*draft.tools.betas, *draft.extensions.betas, *draft.reasoning.betas, *draft.options.betas)
    if draft.writer.has_compactions:
        own = (*own, COMPACTION_BETA)
    return tuple(dict.fromkeys(own)) if own else ()


def _schemas(draft: Draft) -> Mapping[str, str]:
    form = draft.form.schema or draft.choice.format
    if form is None and draft.form.tools is None and not draft.tools.strict_schemas:
        return _NO_SCHEMAS
    schemas = {f"tools.{index}": schema_hash(found.json) for index, found in draft.tools.strict_schemas.items()}
    if form is not None:
        schemas["output_config.format"] = schema_hash(form.json)
    if draft.form.tools is not None:
        # The gateway made a tool of it.
        schemas["tools.0"] = tool_hash(draft.form.tools)
    return schemas


def _body(draft: Draft, system: list[Block], sampled: Block, *, streams: bool) -> Block:
    """The Messages body; fields that say nothing are left out."""
    body: Block = {"model": draft.target.model, "max_tokens": draft.max_tokens}
    if streams:
        body["stream"] = True
    if sampled:
        body |= sampled
    add_settings(body, draft.intent, draft.adjustments, draft.target.row.refuses)
    _add_thinking(body, draft)
    if draft.extensions.fields:
        body |= draft.extensions.fields
    if draft.tools.definitions:
        body["tools"] = Fragment(draft.tools.json) if draft.tools.json else draft.tools.definitions
    if draft.choice.tool_choice is not None:
        body["tool_choice"] = draft.choice.tool_choice
    if system:
        body["system"] = system
    body["messages"] = draft.writer.conversation.messages
    return body


def _system(draft: Draft) -> list[Block]:
    """The system prompt, with the words that hold for the whole conversation at its end."""
    system = draft.writer.conversation.system
    words = (draft.form.words, verbosity_words(draft.intent))
    if words == _NO_WORDS:
        return system
    added: list[Block] = [{"type": "text", "text": text} for text in words if text is not None]
    return [*system, *added]


def _add_thinking(body: Block, draft: Draft) -> None:
    """Add `thinking`, and all of `output_config`."""
    reasoning, config = draft.reasoning, draft.extensions.output_config
    if reasoning.thinking is not None:
        body["thinking"] = reasoning.thinking
    schema = draft.form.schema or draft.choice.format
    if reasoning.effort is None and schema is None and not config:
        return
    config = dict(config)
    if reasoning.effort is not None:
        config["effort"] = reasoning.effort
    elif not draft.target.row.efforts:
        config.pop("effort", None)
    if schema is not None:
        config["format"] = {"type": "json_schema", "schema": Fragment(schema.json)}
    if config:
        body["output_config"] = config


def _shape(draft: Draft) -> AnswerShape:
    """The shape of the answer; thinking under words that hold for one turn only is not kept, here or by the client."""
    intent, options, tools = draft.intent, draft.options, draft.tools
    is_special = bool(draft.writer.conversation.turn_words) or draft.choice.is_special
    keeps_blocks = draft.past.origin is not None and not is_special
    stops, speaks = own_stops(intent), intent.shows_reasoning_twice
    if tools is NO_TOOLS and draft.form is AS_IT_COMES and not (stops or speaks or options.show_thinking_blocks):
        return RECORDED if keeps_blocks else PLAIN
    return AnswerShape(
        tool_names=tools.names,
        custom_tools=frozenset(tools.custom) if tools.custom else PLAIN.custom_tools,
        wrapped_tools=frozenset(tools.wrapped) if tools.wrapped else PLAIN.wrapped_tools,
        property_names=_restored(tools) if tools.properties else PLAIN.property_names,
        is_legacy=tools.is_legacy,
        text_call=draft.choice.text_call,
        answer_tool=draft.choice.answer_tool,
        strips_fences=draft.form.strips_fences,
        only_json=draft.form.only_json,
        stops=stops,
        shows_reasoning_twice=speaks,
        shows_thinking_blocks=options.show_thinking_blocks and not is_special,
        # Only what upstream looks up by itself is cited with an address.
        counts_text=tools.has_server_tools,
        continues_pauses=tools.has_server_tools,
        keeps_blocks=keeps_blocks,
    )


def _restored(tools: Tools) -> dict[str, dict[str, str]]:
    """The caller's names of properties by upstream's, for each tool."""
    return {tool: {new: given for given, new in names.items()} for tool, names in tools.properties.items()}
