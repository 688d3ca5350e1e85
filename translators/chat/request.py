"""A chat-completions request: read once from the caller's bytes, written for each model and host it is sent to."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import orjson
from msgspec import Struct
from msgspec.structs import replace
from orjson import Fragment

from translators.adjustments import Adjustments
from translators.beginnings import NOT_SHARED, Sharing
from translators.blocks import Block as RecordedBlock
from translators.blocks import content_of, is_whole
from translators.chat import caching
from translators.chat.automatic import Prompt
from translators.chat.choice import Choice, for_answer, write_choice
from translators.chat.content import Block
from translators.chat.echoes import signed_thinking
from translators.chat.extensions import Extensions, write_extensions
from translators.chat.formats import AS_IT_COMES, Format, tool_hash, write_format
from translators.chat.marking import Caching
from translators.chat.messages import ConversationWriter, Taken, is_in_tool_loop
from translators.chat.native_shapes import UnreadShapesError, may_have_native_shapes, read_native_shapes
from translators.chat.places import Places
from translators.chat.reasoning import Circumstances, Reasoning, speaks_openrouter, write_reasoning
from translators.chat.settings import (
    add_settings,
    drop_without_counterpart,
    own_stops,
    sampling,
    token_limit,
    verbosity_words,
)
from translators.chat.shape import PLAIN, RECORDED, AnswerShape
from translators.chat.tools import NO_TOOLS, Tools, tool_places, tools_in_steps
from translators.chat.turns import UNKNOWN_PAST, Origin, Past
from translators.chat.unknown import unknown_in_steps
from translators.errors import ErrorKind, FailedError, Failure, TranslationError
from translators.hosts import HostProfile
from translators.limits import (
    MAX_MESSAGES,
    MAX_METADATA_BYTES,
    MAX_TOOLS,
    MAX_VALUES,
    check_length,
    too_many_values,
    too_much_metadata,
)
from translators.models import ModelRow
from translators.other_bodies import mistaken_body
from translators.reading import check_in_steps, checked_body, decode, is_null
from translators.schema import schema_hash
from translators.server_tools import MCP_TOOLSET, SERVER_TOOLS
from translators.steps import in_one_go
from translators.weight import values_in_steps
from translators.wire.chat import (
    ECHOING_REQUEST_DECODER,
    KNOWN_REQUEST_DECODER,
    NULL,
    OBJECT_DECODER,
    REQUEST_DECODER,
    ChatRequest,
)

# The API wants long answers streamed: the official SDK draws the line where 128,000 tokens an hour would take
# more than ten minutes (section 8.5 of the Messages reference).
MAX_UNSTREAMED_TOKENS: Final = 21_333
# A body that is no larger cannot hold so many values that reading it takes long.
_WEIGHED_BYTES: Final = 2**20
# Roughly; good enough to tell a prompt that is cached from one that is too short for it.
_BYTES_A_TOKEN: Final = 4
_NO_WORDS: Final = (None, None)
_NO_SCHEMAS: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator, and in part the caller, decided about translations.

    `allowed_fields` are native fields (`speed`, ...) and `file_ids` that may be used with shared keys. `caching` is
    where requests without cache marks are marked, `sharing` how much of the prompt was seen lately, which `auto` goes
    by. `server_tools` are those of Anthropic's own that may be used. `betas` are what the caller asks for in
    `anthropic-beta` and may have, `refused_betas` the others.
    """

    max_output_tokens: int | None = None
    always_show_reasoning: bool = False
    reject_unsupported: bool = False
    show_thinking_blocks: bool = False
    caching: Caching = "off"
    sharing: Sharing = NOT_SHARED
    allowed_fields: frozenset[str] = frozenset()
    max_choices: int = 8
    server_tools: frozenset[str] = SERVER_TOOLS
    betas: tuple[str, ...] = ()
    refused_betas: tuple[str, ...] = ()


class Target(Struct, frozen=True):
    """Where a request goes: the upstream's model id, what that model can do, and what the host accepts.

    `refused_schemas` are hashes of schemas that upstream could not make a grammar of.
    """

    model: str
    row: ModelRow
    host: HostProfile = HostProfile()
    refused_schemas: frozenset[str] = frozenset()

    @property
    def refused(self) -> frozenset[str]:
        """Schemas that upstream has refused, and the uses of schemas that the model does not have."""
        return self.refused_schemas.union(self.row.refuses) if self.row.refuses else self.refused_schemas


class MessagesRequest(Struct, frozen=True):
    """A Messages request, ready to be sent.

    `streams` is also true where the caller asked for no stream but the answer could take too long for one piece.
    `expects_call` says that the model could only be asked, not forced, to call a tool; `fills_cache` that there is a
    mark, and enough before it to be cached; `schemas` are the hashes of those that upstream makes a grammar of, by the
    place that it would name in an error (`tools.0`, `output_config.format`);
    `has_thinking` that signed thinking goes back with it. `origin` is what its answer is kept with, if it is.
    """

    body: bytes
    version: str
    streams: bool
    shape: AnswerShape
    adjusted: str | None
    betas: tuple[str, ...] = ()
    expects_call: bool = False
    fills_cache: bool = False
    schemas: Mapping[str, str] = {}
    has_thinking: bool = False
    origin: Origin | None = None

    def continued(self, content: list[RecordedBlock]) -> "MessagesRequest":
        """The request that lets a paused turn go on: the same, with what the model has said so far at its end.

        Raises `FailedError` where that is no JSON.
        """
        if not all(map(is_whole, content)):
            raise FailedError(Failure(ErrorKind.PROTOCOL_ERROR, "Upstream paused in a block that cannot be read."))
        fields = OBJECT_DECODER.decode(self.body)
        messages = msgspec.json.decode(fields["messages"], type=list[msgspec.Raw])
        spliced: Block = {name: Fragment(bytes(value)) for name, value in fields.items()}
        turn = {"role": "assistant", "content": Fragment(content_of(content))}
        spliced["messages"] = [*(Fragment(bytes(message)) for message in messages), turn]
        return replace(self, body=orjson.dumps(spliced))


def read_request(body: bytes) -> ChatRequest:
    """The caller's request, in one go; raises `TranslationError` with the `param` that is wrong."""
    body = checked_body(body)
    request = _read_known(body) or in_one_go(_read_again(body))
    if may_have_native_shapes(request):
        in_one_go(read_native_shapes(request))
    return request


def read_in_steps(body: bytes) -> Generator[None, None, ChatRequest]:
    """What `read_request` gives, in steps.

    The longest is the JSON decoder's: about 1 ms for 1 MB of short texts, 25 ms for as many values as are allowed.
    """
    if not body.isascii():
        yield from check_in_steps(body)
    if len(body) > _WEIGHED_BYTES and (yield from values_in_steps(body, MAX_VALUES)) > MAX_VALUES:
        raise too_many_values(None, MAX_VALUES)
    yield
    request = _read_known(body)
    if request is None:
        yield
        request = yield from _read_again(body)
    yield
    if may_have_native_shapes(request):
        yield from read_native_shapes(request)
    return request


def _read_known(body: bytes) -> ChatRequest | None:
    """The request; None where something is wrong with it, or a field known to nobody here."""
    try:
        known = KNOWN_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    _check_sizes(known)
    known.unknown_fields, known.places, known.joined_tools = 0, None, None
    return known


def _read_again(body: bytes) -> Generator[None, None, ChatRequest]:
    """Tell the mistake, or count the fields that nobody here knows."""
    request: ChatRequest | None
    try:
        request = ECHOING_REQUEST_DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        request = None
    yield
    if request is not None:
        _check_sizes(request)
        request.unknown_fields, request.places, request.joined_tools = 0, None, None
        return request
    request = _decoded(body)
    _check_sizes(request)
    yield
    request.unknown_fields, request.places, request.joined_tools = (yield from unknown_in_steps(body)), None, None
    return request


def _decoded(body: bytes) -> ChatRequest:
    try:
        return decode(REQUEST_DECODER, body)
    except TranslationError as error:
        if error.failure.param != "messages":
            raise
        # Without a list of messages it may be another endpoint's.
        fields = decode(OBJECT_DECODER, body)
        if not is_null(fields.get("messages", NULL)):
            raise
        raise mistaken_body(fields.keys(), wanted="messages") or error from error


def _check_sizes(request: ChatRequest) -> None:
    """Refuse what is too long before anything goes through it."""
    if len(request.messages) > MAX_MESSAGES:
        check_length(request.messages, MAX_MESSAGES, "messages")
    if len(request.metadata) > MAX_METADATA_BYTES:
        raise too_much_metadata(request.metadata)
    if request.tools:
        check_length(request.tools, MAX_TOOLS, "tools")
    if request.functions:
        check_length(request.functions, MAX_TOOLS, "functions")


def write_request(request: ChatRequest, target: Target, options: Options, past: Past = UNKNOWN_PAST) -> MessagesRequest:
    """The same request for one model at one host; raises `TranslationError` where it cannot be put into Messages."""
    _check_possible(request, options)
    adjustments = Adjustments(reject=options.reject_unsupported)
    limit = token_limit(request, target.row, options.max_output_tokens, adjustments)
    tools = NO_TOOLS
    if request.tools or request.functions or request.web_search_options is not None:
        tools = in_one_go(tools_in_steps(request, adjustments, target.refused, native=_native_tools(options)))
    draft = _decide(request, target, options, past, adjustments, limit, tools)
    try:
        for _ in draft.writer.steps():
            pass
    except UnreadShapesError:
        in_one_go(read_native_shapes(request))
        return write_request(request, target, options, past)
    system = _system(draft)
    marked = caching.marked_blocks(draft.writer.conversation.messages) if draft.writer.has_marks else []
    return _written(draft, system, marked)


def write_in_steps(
    request: ChatRequest, target: Target, options: Options, past: Past = UNKNOWN_PAST
) -> Generator[None, None, MessagesRequest]:
    """What `write_request` gives, in steps of which none takes long: for who has other things to do meanwhile."""
    _check_possible(request, options)
    adjustments = Adjustments(reject=options.reject_unsupported)
    limit = token_limit(request, target.row, options.max_output_tokens, adjustments)
    tools = yield from tools_in_steps(request, adjustments, target.refused, native=_native_tools(options))
    draft = _decide(request, target, options, past, adjustments, limit, tools)
    try:
        yield from draft.writer.steps()
    except UnreadShapesError:
        yield from read_native_shapes(request)
        return (yield from write_in_steps(request, target, options, past))
    yield
    system, marked = _system(draft), list[Block]()
    messages = draft.writer.conversation.messages
    for start in range(0, len(messages) if draft.writer.has_marks else 0, caching.MESSAGES_A_STEP):
        marked += caching.marked_blocks(messages[start : start + caching.MESSAGES_A_STEP])
        yield
    return _written(draft, system, marked)


def places_in_steps(
    request: ChatRequest, target: Target, options: Options, past: Past = UNKNOWN_PAST
) -> Generator[None, None, Places]:
    """Where what `write_request` writes comes from, in steps; for a request that it has written."""
    adjustments, places = Adjustments(), Places()
    limit = token_limit(request, target.row, options.max_output_tokens, adjustments)
    tools = yield from tools_in_steps(request, adjustments, target.refused, native=_native_tools(options))
    draft = _decide(request, target, options, past, adjustments, limit, tools)
    draft.writer.trace(places)
    yield from draft.writer.steps()
    conversation = draft.writer.conversation
    if draft.form.tools is None:
        listed = yield from tool_places(request, _native_tools(options))
    else:
        listed = [("response_format", "response_format.json_schema.schema")]
    places.complete(conversation.system, conversation.messages, listed)
    return places


def _native_tools(options: Options) -> frozenset[str]:
    return options.server_tools | {MCP_TOOLSET} if "mcp_servers" in options.allowed_fields else options.server_tools


@dataclass(slots=True)
class _Draft:
    """Everything that was decided about one request before its conversation is written."""

    request: ChatRequest
    target: Target
    options: Options
    adjustments: Adjustments
    max_tokens: int
    tools: Tools
    extensions: Extensions
    form: Format
    choice: Choice
    reasoning: Reasoning
    writer: ConversationWriter
    past: Past


def _decide(
    request: ChatRequest,
    target: Target,
    options: Options,
    past: Past,
    adjustments: Adjustments,
    limit: tuple[int, bool],
    tools: Tools,
) -> _Draft:
    """Each decision after those it depends on: form, choice, thinking, what the conversation may hold."""
    row, refused = target.row, target.refused
    max_tokens, is_limited = limit
    extensions = write_extensions(request, row, options.allowed_fields, adjustments)
    own_form = "format" in extensions.output_config
    may_force = row.forced_tools and not (tools.definitions or own_form)
    form = write_format(request.response_format, adjustments, refused, may_force=may_force)
    has_form = form.schema is not None or own_form
    choice = write_choice(request, tools, row, adjustments, has_format=has_form, refused_schemas=refused)
    if form.tools is not None:
        tools, choice, has_form = form.tools, for_answer(form.tools, row), True
    if tools.strict_schemas and (held := form.schema or choice.format) is not None:
        tools = tools.own()
        tools.make_room(held, adjustments)
    circumstances = Circumstances(
        max_tokens,
        is_limited,
        choice.is_forced,
        partial(is_in_tool_loop, request.messages, past, request.places),
        options.always_show_reasoning,
        extensions.effort,
    )
    reasoning = write_reasoning(request, row, circumstances, adjustments)
    may_prefill = row.prefill and not (reasoning.is_thinking or has_form or choice.format is not None)
    taken = Taken(row.system_messages, may_prefill, "file_ids" in options.allowed_fields)
    writer = ConversationWriter(request.messages, tools, taken, adjustments, past, request.places)
    return _Draft(
        request,
        target,
        options,
        adjustments,
        max_tokens,
        tools,
        extensions,
        form,
        choice,
        reasoning,
        writer,
        past,
    )


def _written(draft: _Draft, system: list[Block], marked: list[Block]) -> MessagesRequest:
    """The request, once its conversation is written: marks, sampling, and the body.

    `marked` are the blocks of the messages that the caller has marked.
    """
    request, target, adjustments = draft.request, draft.target, draft.adjustments
    has_marks = _write_marks(draft, system, marked)
    if has_marks and target.row.refuses:
        has_marks = _unmark_refused(draft, system)
    # Behind the last mark: no cache holds what is said for one turn.
    draft.writer.conversation.add_turn_words(draft.choice.turn_words)
    sampled = sampling(request, target.row, target.host, draft.reasoning, adjustments)
    streams = bool(request.stream) or draft.max_tokens > MAX_UNSTREAMED_TOKENS or draft.tools.has_server_tools
    body = orjson.dumps(_body(draft, system, sampled, streams=streams))
    _note_losses(draft)
    shape = _shape(draft)
    adjustments.count_unknown(request.unknown_fields)
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
    )


def _note_losses(draft: _Draft) -> None:
    """Note what does not go on: fields without a counterpart, thinking that was kept, betas."""
    adjustments = draft.adjustments
    drop_without_counterpart(draft.request, adjustments)
    if (why := draft.past.left_out) is not None:
        is_own = why == "refused" and adjustments.rejects and any(map(signed_thinking, draft.request.messages))
        # What the gateway has kept by itself, no caller has sent.
        (adjustments.add if is_own else adjustments.note)("thinking_blocks", "dropped", why)
    for beta in draft.options.refused_betas:
        adjustments.add(f"anthropic-beta.{beta}", "dropped", "not-allowed")


def _betas(draft: _Draft) -> tuple[str, ...]:
    """Every beta that the request needs or asks for, once."""
    own = (*draft.tools.betas, *draft.extensions.betas, *draft.reasoning.betas, *draft.options.betas)
    return tuple(dict.fromkeys(own)) if own else ()


def _schemas(draft: _Draft) -> Mapping[str, str]:
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


def _body(draft: _Draft, system: list[Block], sampled: Block, *, streams: bool) -> Block:
    """The Messages body; fields that say nothing are left out."""
    body: Block = {"model": draft.target.model, "max_tokens": draft.max_tokens}
    if streams:
        body["stream"] = True
    if sampled:
        body |= sampled
    add_settings(body, draft.request, draft.adjustments, draft.target.row.refuses)
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


def _check_possible(request: ChatRequest, options: Options) -> None:
    """What cannot be answered at all is refused, whatever the operator wants."""
    if request.n is not None and not 1 <= request.n <= options.max_choices:
        raise TranslationError(
            f"Invalid 'n': expected a number of choices from 1 to {options.max_choices}, but got {request.n} instead.",
            param="n",
            code="integer_above_max_value" if request.n > 1 else "integer_below_min_value",
        )
    if "audio" in (request.modalities or ()):
        raise TranslationError("Claude neither hears nor speaks.", param="modalities", code="unsupported_value")


def _system(draft: _Draft) -> list[Block]:
    """The system prompt, with the words that hold for the whole conversation at its end."""
    system = draft.writer.conversation.system
    words = (draft.form.words, verbosity_words(draft.request))
    if words == _NO_WORDS:
        return system
    added: list[Block] = [{"type": "text", "text": text} for text in words if text is not None]
    return [*system, *added]


def _write_marks(draft: _Draft, system: list[Block], marked: list[Block]) -> bool:
    """Add the marks that hold for the request, and keep what Messages allows; whether there is any."""
    request, messages = draft.request, draft.writer.conversation.messages
    has_marks = _take_marks(draft, system, marked)
    given = request.cache_control
    whole = caching.mark_of(given, None, "", draft.adjustments) if not is_null(given) else None
    if whole is None and not has_marks:
        whole = _asked_mark(request)
        if whole is None:
            return not _has_opted_out(request) and _mark_where_it_pays(draft, system)
    last = None if whole is None else caching.last_markable(messages)
    if last is not None and caching.MARK not in last:
        last[caching.MARK] = whole
        marked.append(last)
    if marked or has_marks:
        caching.limit_marks(draft.tools.definitions, system, marked, draft.adjustments)
    return bool(marked) or has_marks


def _take_marks(draft: _Draft, system: list[Block], marked: list[Block]) -> bool:
    """Put a mark of the messages that found no place there on the last tool; whether the caller has marked anything."""
    loose = draft.writer.tool_mark if draft.tools.definitions else None
    if loose is not None or draft.tools.has_marks:
        # Marks change from request to request.
        draft.tools = draft.tools.own()
        if loose is not None:
            draft.tools.definitions[-1].setdefault(caching.MARK, loose)
        return True
    return draft.writer.has_marks and (bool(marked) or caching.has_marks(system))


def _unmark_refused(draft: _Draft, system: list[Block]) -> bool:
    """Take off the marks that the model refuses; whether any is left."""
    if draft.tools.has_marks:
        draft.tools = draft.tools.own()
    tools, messages = draft.tools.definitions, draft.writer.conversation.messages
    marked = [block for part in (tools, system) for block in part if caching.MARK in block]
    marked += caching.marked_blocks(messages)
    caching.without_refused(marked, draft.target.row.refuses, draft.adjustments)
    return any(caching.MARK in block for block in marked)


def _asked_mark(request: ChatRequest) -> Block | None:
    """The mark that OpenAI's cache settings ask for."""
    asked = request.prompt_cache_options
    if _has_opted_out(request) or (asked is None and request.prompt_cache_retention is None):
        return None
    return caching.lifetime(asked.ttl if asked else request.prompt_cache_retention)


def _has_opted_out(request: ChatRequest) -> bool:
    """Whether only marks of the caller's own are wanted."""
    return request.prompt_cache_options is not None and request.prompt_cache_options.mode == "explicit"


def _mark_where_it_pays(draft: _Draft, system: list[Block]) -> bool:
    """Add the marks of the operator's choice; whether there is any."""
    options, conversation = draft.options, draft.writer.conversation
    if options.caching == "off":
        return False
    count, size = len(draft.tools.definitions), draft.tools.size
    prompt = Prompt(count, size, len(conversation.system), system, conversation.messages)
    places = prompt.places(options.caching, draft.target.row.cache_minimum, options.sharing)
    is_on_tools = bool(places) and places[0] == count
    if is_on_tools:
        draft.tools = draft.tools.marked(caching.SHORT)
    prompt.mark(places[is_on_tools:])
    return bool(places)


def _add_thinking(body: Block, draft: _Draft) -> None:
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


def _shape(draft: _Draft) -> AnswerShape:
    """The shape of the answer; thinking under words that hold for one turn only is not kept, here or by the client."""
    request, options, tools = draft.request, draft.options, draft.tools
    is_special = bool(draft.writer.conversation.turn_words) or draft.choice.is_special
    keeps_blocks = draft.past.origin is not None and not is_special
    stops, speaks = own_stops(request), speaks_openrouter(request)
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
