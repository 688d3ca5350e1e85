"""The cache marks of a request: those of its messages, those for the whole of it, and those that pay."""

from typing import Final

from translators.intent import CacheWish
from translators.messages import caching
from translators.messages.automatic import Prompt
from translators.messages.blocks import Block
from translators.messages.draft import Draft
from translators.reading import is_null

# The mode in which only marks of the caller's own are wanted.
_OPTED_OUT: Final = "explicit"
_NO_WISH: Final = CacheWish()


def write_marks(draft: Draft, system: list[Block], marked: list[Block]) -> bool:
    """Add the marks that hold for the request, and keep what Messages allows; whether there is any."""
    wish, messages = draft.intent.cache or _NO_WISH, draft.writer.conversation.messages
    has_marks = _take_marks(draft, system, marked)
    whole = caching.mark_of(wish.mark, None, "", draft.adjustments) if not is_null(wish.mark) else None
    if whole is None and not has_marks:
        whole = _asked_mark(wish)
        if whole is None:
            return wish.mode != _OPTED_OUT and _mark_where_it_pays(draft, system)
    last = None if whole is None else caching.last_markable(messages)
    if last is not None and caching.MARK not in last:
        last[caching.MARK] = whole
        marked.append(last)
    if marked or has_marks:
        caching.limit_marks(draft.tools.definitions, system, marked, draft.adjustments)
    return bool(marked) or has_marks


def _take_marks(draft: Draft, system: list[Block], marked: list[Block]) -> bool:
    """Put a mark of the messages that found no place there on the last tool; whether the caller has marked anything."""
    loose = draft.writer.tool_mark if draft.tools.definitions else None
    if loose is not None or draft.tools.has_marks:
        # Marks change from request to request.
        draft.tools = draft.tools.own()
        if loose is not None:
            draft.tools.definitions[-1].setdefault(caching.MARK, loose)
        return True
    return draft.writer.has_marks and (bool(marked) or caching.has_marks(system))


def unmark_refused(draft: Draft, system: list[Block]) -> bool:
    """Take off the marks that the model refuses; whether any is left."""
    if draft.tools.has_marks:
        draft.tools = draft.tools.own()
    tools, messages = draft.tools.definitions, draft.writer.conversation.messages
    marked = [block for part in (tools, system) for block in part if caching.MARK in block]
    marked += caching.marked_blocks(messages)
    caching.without_refused(marked, draft.target.row.refuses, draft.adjustments)
    return any(caching.MARK in block for block in marked)


def _asked_mark(wish: CacheWish) -> Block | None:
    """The mark that OpenAI's cache settings ask for."""
    if wish.mode == _OPTED_OUT or (wish.mode is None and wish.lifetime is None):
        return None
    return caching.lifetime(wish.lifetime)


def _mark_where_it_pays(draft: Draft, system: list[Block]) -> bool:
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
