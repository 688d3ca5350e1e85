"""Makes an intent of a Responses request and the items before it."""

from collections.abc import Generator, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Raw, Struct
from msgspec.structs import replace

from translators.errors import TranslationError
from translators.intent import Intent, Message
from translators.limits import MAX_MESSAGES, MAX_TOOLS, check_length
from translators.reading import decode, is_null, is_text, missing_parameter, text_json
from translators.responses.choice import read_choice
from translators.responses.compaction import summarizing
from translators.responses.echo import echoed
from translators.responses.items import COMPACTION_TRIGGER, ItemReader
from translators.responses.kinds import ToolKinds
from translators.responses.read import (
    ADDITIONAL_TOOLS,
    CONFIGURATION_UPDATE,
    NOT_SIMPLE,
    REASONING,
    REFERENCE,
    ReadBody,
    read_item,
)
from translators.responses.seals import Opener
from translators.responses.settings import (
    FIELD_NAMES,
    NO_WISHES,
    add_user,
    has_rare,
    lost_settings,
    read_cache,
    read_compaction,
    read_format,
    read_include,
    read_reasoning,
    read_service_tier,
)
from translators.responses.tools import NO_TOOLS, ReadTools, read_tools
from translators.steps import in_one_go
from translators.unknown import read_counted
from translators.wire.raw import NULL, RAW_LIST_DECODER
from translators.wire.responses import (
    UPDATED_REASONING,
    UPDATED_TEXT,
    Item,
    ReasoningOptions,
    ResponsesBody,
    TextFormat,
)

# All items that a body refers to, each as often as it does: upstream takes requests of 32 MB.
MAX_REFERRED_BYTES: Final = 32 * 2**20
_BYTES_A_STEP: Final = 32 * 1024
_BYTES_AN_ITEM: Final = 256
# An item, and where it stands in the caller's body.
Placed: TypeAlias = tuple[Item, str]
_NO_REFERENCES: Final[Mapping[str, bytes]] = {}


class ResponsesRequest(Struct, kw_only=True):
    """A request of the Responses API, read.

    `settings` are the fields that the response repeats. `input_items` are the items of this request for the store: as
    they were sent, but with stored items in place of references and of reasoning without its seal. `compacts_now` says
    that the intent asks for a summary, which becomes a compaction item.
    """

    intent: Intent
    model: str
    stream: bool
    store: bool
    background: bool
    previous_response_id: str | None
    conversation: str | None
    include: frozenset[str]
    kinds: ToolKinds
    settings: Mapping[str, Raw]
    input_items: Sequence[Raw]
    compacts_now: bool = False


def read_request(
    read: ReadBody, opener: Opener, earlier: Sequence[bytes] = (), references: Mapping[str, bytes] = _NO_REFERENCES
) -> ResponsesRequest:
    """The request, in one go; raises `TranslationError` with the `param` that is wrong.

    `earlier` are the items before those of the body, and `references` those that the body refers to or has without
    their seals, by their ids.
    """
    if earlier or not read.is_simple:
        return in_one_go(read_request_in_steps(read, opener, earlier, references))
    body = read.body
    tools = in_one_go(read_tools(_all_tools(body, ()))) if body.tools else NO_TOOLS
    conversation = _begun(body, tools, opener)
    if is_text(body.input):
        conversation.take(read.items[0], "input")
    elif read.is_plain and not references:
        for index, item in enumerate(read.items):
            conversation.take(item, f"input[{index}]")
    else:
        for item, place in _sent(read, references):
            conversation.take(item, place)
    request = _request(read, conversation, tools, (), references)
    return in_one_go(as_summary(request)) if request.compacts_now else request


def read_request_in_steps(
    read: ReadBody, opener: Opener, earlier: Sequence[bytes] = (), references: Mapping[str, bytes] = _NO_REFERENCES
) -> Generator[None, None, ResponsesRequest]:
    """What `read_request` gives, in steps."""
    check_length(range(len(earlier) + len(read.items)), MAX_MESSAGES, "input")
    items = [*(yield from _stored(read, earlier)), *_sent(read, references)]
    extra = [each for each in items if each[0].type in NOT_SIMPLE]
    # No conversation changes its settings as often as that.
    check_length(extra, MAX_TOOLS, "input")
    tools = yield from read_tools(_all_tools(read.body, extra))
    conversation = _begun(read.body, tools, opener)
    work = 0
    for item, place in items:
        conversation.take(item, place)
        work += len(item.content) + len(item.encrypted_content or "") + _BYTES_AN_ITEM
        if work > _BYTES_A_STEP:
            work = 0
            yield
    request = _request(read, conversation, tools, extra, references)
    return (yield from as_summary(request)) if request.compacts_now else request


def as_summary(request: ResponsesRequest) -> Generator[None, None, ResponsesRequest]:
    """The request for a summary of its conversation, in steps."""
    return replace(request, intent=(yield from summarizing(request.intent)), compacts_now=True)


def _begun(body: ResponsesBody, tools: ReadTools, opener: Opener) -> ItemReader:
    """A conversation, which begins with the instructions."""
    conversation = ItemReader(tools, opener)
    if body.instructions is not NULL and not is_null(body.instructions):
        conversation.say(Message("system", Raw(text_json(body.instructions, "instructions"))), "instructions")
    return conversation


def _request(
    read: ReadBody,
    conversation: ItemReader,
    tools: ReadTools,
    extra: Sequence[Placed],
    references: Mapping[str, bytes],
) -> ResponsesRequest:
    """The request, once all items are taken."""
    conversation.finish()
    if not conversation.messages:
        message = "Invalid 'input': expected at least one item that says something."
        raise TranslationError(message, param="input", code="empty_array")
    body = read.body
    store = body.store is not False
    intent = _intent(body, conversation, tools, extra)
    compacts_now = not read.is_plain and read.items[-1].type == COMPACTION_TRIGGER
    return ResponsesRequest(
        intent=intent,
        model=body.model,
        stream=bool(body.stream),
        store=store,
        background=bool(body.background),
        previous_response_id=body.previous_response_id,
        conversation=read.conversation,
        include=read_include(body) if body.include else NO_WISHES,
        kinds=tools.kinds,
        settings=echoed(body, tools),
        input_items=_texts(read, references) if store or body.conversation is not None else (),
        compacts_now=compacts_now,
    )


def _stored(read: ReadBody, earlier: Sequence[bytes]) -> Generator[None, None, list[Placed]]:
    """The items before those of the body; as far as the caller knows, all stand at one place."""
    items, work = list[Placed](), 0
    place = "previous_response_id" if read.previous_response_id is not None else "conversation"
    for data in earlier:
        items.append((read_item(data, place), place))
        work += len(data) + _BYTES_AN_ITEM
        if work > _BYTES_A_STEP:
            work = 0
            yield
    return items


def _sent(read: ReadBody, references: Mapping[str, bytes]) -> list[Placed]:
    """The items of the body, each with its place."""
    if is_text(read.body.input):
        return [(read.items[0], "input")]
    items: list[Placed] = []
    last, referred = len(read.items) - 1, 0
    for index, item in enumerate(read.items):
        place = f"input[{index}]"
        if item.type == REFERENCE or (references and _is_found(item, references)):
            referred += len(references.get(item.id or "", b""))
            if referred > MAX_REFERRED_BYTES:
                message = f"The input refers to too much: expected at most {MAX_REFERRED_BYTES} bytes."
                raise TranslationError(message, param="input", code="string_above_max_length")
            item = _referred(item, place, references)
        elif item.type == COMPACTION_TRIGGER and index < last:
            message = "A 'compaction_trigger' has to be the last item of the input."
            raise TranslationError(message, param=place, code="invalid_value")
        items.append((item, place))
    return items


def _texts(read: ReadBody, references: Mapping[str, bytes]) -> list[Raw]:
    """The items as they were sent, with what references stand for, and with the seals that were found."""
    texts = read.texts()
    if references:
        for index, item in enumerate(read.items):
            if item.type == REFERENCE or _is_found(item, references):
                texts[index] = Raw(references[item.id or ""])
    return texts


def _is_found(item: Item, references: Mapping[str, bytes]) -> bool:
    """Whether it is a thought that has lost its seal, and what is stored has it."""
    return item.type == REASONING and item.encrypted_content is None and item.id in references


class _Counter:
    """Counts fields that nobody here knows."""

    def __init__(self, intent: Intent) -> None:
        self._intent = intent

    def count_unknown(self, count: int) -> None:
        self._intent.unknown_fields += count


def _intent(body: ResponsesBody, conversation: ItemReader, tools: ReadTools, extra: Sequence[Placed]) -> Intent:
    lost = [*tools.lost, *conversation.lost]
    intent = Intent(
        conversation.messages,
        conversation.places,
        streams=bool(body.stream),
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        parallel_calls=body.parallel_tool_calls,
        lost=lost,
        noted=list(conversation.noted),
        unknown_fields=body.unknown_fields,
        field_names=FIELD_NAMES,
    )
    if tools.listed:
        intent.tools, intent.tool_places = list(tools.listed), tools.places
    if body.tool_choice is not NULL:
        intent.tool_choice = read_choice(body.tool_choice, tools, lost.append, _Counter(intent))
    if extra or has_rare(body):
        _add_rare(intent, body, extra)
    return intent


def _add_rare(intent: Intent, body: ResponsesBody, extra: Sequence[Placed]) -> None:
    """Add what most requests do not ask for."""
    intent.lost = [*lost_settings(body), *intent.lost]
    reasoning, form = body.reasoning, body.text.format if body.text else None
    if extra:
        reasoning, form = _updated(reasoning, form, extra, _Counter(intent))
    intent.format, intent.reasoning = read_format(form), read_reasoning(reasoning)
    intent.verbosity = body.text.verbosity if body.text else None
    intent.service_tier, intent.cache = read_service_tier(body), read_cache(body)
    intent.compacts_from = read_compaction(body)
    if body.safety_identifier or body.user:
        add_user(intent, body)


def _referred(item: Item, place: str, references: Mapping[str, bytes]) -> Item:
    """The item that a reference stands for, or that a thought was before it lost its seal."""
    wanted = item.id
    if not wanted:
        raise missing_parameter(f"{place}.id")
    if wanted not in references:
        message = (
            f"Item with id '{wanted}' not found. Items are kept only for responses with 'store': true, and not for "
            "ever: send the item itself, or remove it from the input."
        )
        raise TranslationError(message, param=f"{place}.id", code="item_not_found")
    found = read_item(references[wanted], place)
    if found.type == REFERENCE:
        raise TranslationError("A reference cannot lead to another.", param=place, code="invalid_value")
    return found


def _all_tools(body: ResponsesBody, extra: Sequence[Placed]) -> list[tuple[Raw, str]]:
    """The tools of the request, and behind them those that were added in the course of the conversation, each once."""
    tools = [(raw, f"tools[{index}]") for index, raw in enumerate(body.tools or ())]
    known = {bytes(raw) for raw, _ in tools} if extra else set()
    for item, place in extra:
        if item.type != ADDITIONAL_TOOLS:
            continue
        path = f"{place}.tools"
        if is_null(item.tools):
            raise missing_parameter(path)
        for index, raw in enumerate(decode(RAW_LIST_DECODER, item.tools, path)):
            if bytes(raw) not in known:
                known.add(bytes(raw))
                tools.append((raw, f"{path}[{index}]"))
    return tools


def _updated(
    reasoning: ReasoningOptions | None, form: TextFormat | None, extra: Sequence[Placed], counter: _Counter
) -> tuple[ReasoningOptions | None, TextFormat | None]:
    """Reasoning and the form of the answer, as the last update of the conversation has them."""
    for item, place in extra:
        if item.type != CONFIGURATION_UPDATE:
            continue
        if not is_null(item.reasoning):
            change = read_counted(UPDATED_REASONING, item.reasoning, f"{place}.reasoning", counter)
            before = reasoning or ReasoningOptions()
            reasoning = ReasoningOptions(change.effort or before.effort, before.summary, before.generate_summary)
        if not is_null(item.text):
            text = read_counted(UPDATED_TEXT, item.text, f"{place}.text", counter)
            form = text.format or form
    return reasoning, form
