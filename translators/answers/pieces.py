"""What the pieces of an answer become: text, reasoning, calls and an end; `reader.py` says how they come."""

import hashlib
from typing import Final

import msgspec
import orjson
from orjson import Fragment

from translators.answers.answer_types import Call, Ending, State, StoppedError, TextBlock
from translators.answers.citations import cited_page
from translators.answers.events import EventReader, MalformedEventError
from translators.answers.filters import (
    CustomInput,
    FenceStripper,
    RestoredNames,
    TextFilter,
    Unchanged,
    WrappedArguments,
)
from translators.answers.finish import finish_reason
from translators.answers.json_value import JsonValue
from translators.answers.partial_json import JsonExtractor
from translators.answers.recorder import THINKING, Block, BlockRecorder
from translators.answers.server_calls import HeldCall, HeldInput, ServerCalls, maker_of
from translators.answers.shape import CALL_PROPERTY, PLAIN, AnswerShape
from translators.answers.stops import StopCutter
from translators.errors import Failure
from translators.messages.names import caller_call_id
from translators.usage import Usage
from translators.wire.messages import (
    ContentBlock,
    StartedBlock,
    StopDetails,
)

# Input that is filtered on its way: of a custom tool, or of one whose schema was wrapped.
MAX_FILTERED_BYTES: Final = 8 * 1024 * 1024

# Of one answer's stream, its pauses included. The longest real ones, of 128,000 tokens in as many events, have 25 MB.
MAX_STREAM_BYTES: Final = 128 * 1024 * 1024


class AnswerPieces:
    """One answer; a subclass says what becomes of its pieces (`on_...`). JSON strings are passed as they stand."""

    _most_bytes = MAX_STREAM_BYTES
    # What an answer begins with, and what most of it stays. An instance with more than 30 attributes of its own is slow
    # to look into (CPython's shared keys): what is rarely set has its default here.
    state: State = State.IDLE
    failure: Failure | None = None
    stop_reason: str | None = None
    model: str | None = None
    upstream_id: str | None = None
    has_started_block: bool = False
    has_text: bool = False
    # Whether the gateway has ended the answer: what upstream goes on to say is not read.
    is_cut: bool = False
    # Whether `on_own_block` is wanted: said by a subclass, since it has to be recorded.
    takes_own_blocks: bool = False
    _reader: EventReader | None = None
    # Records the deltas that come now; with `_own_recorder` alone, those of upstream's own blocks.
    _recorder: BlockRecorder | None = None
    _own_recorder: BlockRecorder | None = None
    _text_filter: TextFilter | None = None
    _stopper: StopCutter | None = None
    _server_calls: ServerCalls | None = None
    _call_extractor: JsonExtractor | None = None
    _text_length: int = 0
    _stream_bytes: int = 0
    # Of the stream: what is no usual delta, and earlier messages.
    _other_bytes: int = 0
    _filtered_bytes: int = 0
    _block_count: int = 0
    _citation_count: int = 0
    _stop_details: StopDetails | None = None

    def __init__(self, shape: AnswerShape = PLAIN) -> None:
        self.usage = Usage()
        self.calls: list[Call] = []
        self._shape = shape
        self._recorded: list[Block] = []
        self._block_types: dict[int, str] = {}
        self._block_calls: dict[int, Call] = {}
        self._text_blocks: list[TextBlock] = []
        self._annotations: list[dict[str, object]] = []
        self._citations: list[Fragment] = []
        # Of a text that stands for a call: its name, the arguments before that is known, and all of it.
        self._chosen_name: list[str] = []
        self._early_arguments: list[str] = []
        self._unread_text: list[str] = []
        if shape.shows_thinking_blocks or shape.continues_pauses or shape.keeps_blocks:
            self._recorder = BlockRecorder()
        if shape.strips_fences or shape.only_json:
            self._text_filter = JsonValue() if shape.only_json else FenceStripper()
        if shape.stops:
            self._text_filter = self._stopper = StopCutter(shape.stops, self._text_filter)
        if shape.text_call is not None and shape.text_call.name is None:
            self._call_extractor = JsonExtractor({(CALL_PROPERTY, "name"), (CALL_PROPERTY, "arguments")})

    @property
    def seen_bytes(self) -> int:
        """The size of the current message's deltas, so far."""
        return self._stream_bytes - self._other_bytes

    def on_many_bytes(self) -> None:
        """A stream is larger than `_most_bytes`: raise the error, or that bound."""
        raise self._too_large()

    def on_begin(self) -> None:
        """The message has begun: `model`, `upstream_id` and the first of `usage` are known."""

    def on_block(self, block_type: str) -> None:
        """A block begins, of any type; what it holds comes next."""

    def on_own_block(self, block: Block) -> None:
        """A block of upstream's own is complete: thinking, of a server tool, of a type yet unknown."""

    def on_text(self, raw: bytes) -> None:
        """Some text (a JSON string, not empty)."""

    def on_reasoning(self, raw: bytes) -> None:
        """Some reasoning (a JSON string, not empty)."""

    def on_call(self, call: Call) -> None:
        """A call begins."""

    def on_arguments(self, call: Call, raw: bytes) -> None:
        """Some of a call's arguments, or of a custom tool's input (a JSON string, not empty)."""

    def on_call_end(self, call: Call) -> None:
        """A call is complete; may come more than once."""

    def on_citations(self, start: int, citations: list[bytes]) -> None:
        """A text block that begins at this character of the answer has ended, and cites these (JSON objects)."""
        for raw in citations:
            url, title = cited_page(raw)
            if not url:
                self._citations.append(Fragment(raw))
                continue
            cited = {"start_index": start, "end_index": self._text_length, "url": url, "title": title}
            self._annotations.append({"type": "url_citation", "url_citation": cited})

    def on_end(self, ending: Ending) -> None:
        """The answer is complete."""

    @property
    def has_content(self) -> bool:
        """Whether there is anything yet that a client can read."""
        return self.has_text or bool(self.calls)

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the answer so far, where its shape wants them kept."""
        return [*self._recorded, *(self._recorder.blocks if self._recorder else ())]

    @property
    def takes_text_as_it_is(self) -> bool:
        """Whether nothing is looked for in texts, counted or left out."""
        shape = self._shape
        return self._text_filter is None and shape.text_call is None and not shape.counts_text

    @property
    def call_names(self) -> list[str]:
        """What the client knows the calls by: ids, or in the legacy form the name of the only one."""
        return [call.name for call in self.calls[:1]] if self._shape.is_legacy else [call.id for call in self.calls]

    def _text(self, raw: bytes | None) -> None:
        if raw is None:
            return
        if self._shape.text_call is not None:
            self._text_as_call(raw)
        elif self._text_filter is None:
            self._say(raw)
        else:
            self._say(_encoded(self._text_filter.feed(orjson.loads(raw))))
            if self._stopper is not None and self._stopper.has_stopped:
                raise StoppedError

    def _say(self, raw: bytes | None) -> None:
        if raw is None:
            return
        self.has_text = True
        if self._shape.counts_text:
            self._text_length += len(orjson.loads(raw))
        self.on_text(raw)

    def _reasoning(self, raw: bytes | None) -> None:
        if raw is not None:
            self.on_reasoning(raw)

    def _text_as_call(self, raw: bytes) -> None:
        """The text of an answer that stands for a call: the arguments as they are, or inside of a named choice."""
        if self._call_extractor is None:
            name = self._shape.text_call.name if self._shape.text_call else None
            call = self.calls[0] if self.calls else self._begin_call(self._made_id(), name or "", b"{}")
            self._arguments(call, raw)
            return
        text = orjson.loads(raw)
        self._check_filtered(len(raw))
        self._unread_text.append(text)
        for piece in self._call_extractor.feed(text):
            if piece.path[-1] != "name":
                self._early_arguments.append(piece.text)
            elif not self.calls:
                self._chosen_name.append(piece.text)
                if piece.is_last:
                    self._begin_call(self._made_id(), _decoded("".join(self._chosen_name)), b"{}")
        if self.calls and self._early_arguments:
            # Normally the name comes first, as the form asks; where it does not, the arguments wait for it.
            arguments, self._early_arguments = self._early_arguments, []
            self._arguments(self.calls[0], _encoded("".join(arguments)))

    def _call_in(self, block: StartedBlock | ContentBlock) -> Call:
        """The call that a block holds; one that a server tool has made is held until it is known to be due."""
        call_id, name, whole_input = block.id or "", block.name or "", bytes(block.input)
        maker = maker_of(block.caller)
        if not maker:
            return self._begin_call(call_id, name, whole_input)
        if self._server_calls is None:
            self._server_calls = ServerCalls()
        held = HeldInput()
        self._server_calls.hold(maker, HeldCall(call_id, name, whole_input, held))
        # Its input goes nowhere for now, and its end says nothing.
        return Call(0, call_id, name, filter=held, has_arguments=True)

    def _release_calls(self, held: list[HeldCall]) -> None:
        """The calls of a server tool that the client has to make after all."""
        for made in held:
            call = self._begin_call(made.id, made.name, made.whole_input)
            self._arguments(call, _encoded(made.input.end()))
            self._end_call(call)

    def _begin_call(self, call_id: str, upstream_name: str, whole_input: bytes) -> Call:
        name = self._shape.tool_names.get(upstream_name, upstream_name)
        call = Call(len(self.calls), caller_call_id(call_id), name, whole_input=whole_input)
        if name in self._shape.custom_tools:
            call.is_custom, call.filter = True, CustomInput()
        elif upstream_name in self._shape.wrapped_tools:
            call.filter = WrappedArguments()
        elif upstream_name in self._shape.property_names:
            call.filter = RestoredNames(self._shape.property_names[upstream_name])
        if upstream_name == self._shape.answer_tool:
            call.is_answer, call.filter = True, call.filter or Unchanged()
            return call
        self.calls.append(call)
        self.on_call(call)
        return call

    def _arguments(self, call: Call, raw: bytes | None) -> None:
        if raw is None:
            return
        if call.filter is not None:
            self._check_filtered(len(raw))
            call.whole_input = b""
            raw = _encoded(call.filter.feed(orjson.loads(raw)))
            if raw is None:
                return
            if call.is_answer:
                call.has_arguments = True
                self._say(raw)
                return
        call.has_arguments = True
        self.on_arguments(call, raw)

    def _end_call(self, call: Call) -> None:
        """A call whose input came whole, or that has none: clients parse the text, so it has to be an object."""
        if isinstance(call.filter, RestoredNames) and (rest := call.filter.end()):
            self._give(call, orjson.dumps(rest))
        if not call.has_arguments:
            if call.filter is not None and call.whole_input:
                self._arguments(call, orjson.dumps(call.whole_input.decode()))
            if not call.has_arguments and not call.is_custom:
                call.has_arguments = True
                self._give(call, orjson.dumps((b"{}" if call.filter else call.whole_input or b"{}").decode()))
        self.on_call_end(call)

    def _give(self, call: Call, raw: bytes) -> None:
        """The arguments, or the text that they are."""
        if call.is_answer:
            self._say(raw)
        else:
            self.on_arguments(call, raw)

    def _cite(self, block: TextBlock) -> None:
        """What a text block cites, now that its end is known: with an address for annotations, else verbatim."""
        if block.citations:
            citations, block.citations = block.citations, []
            self.on_citations(block.start, [raw for raw in citations if raw[:1] == b"{"])

    def _stop(self) -> None:
        """The answer ends here, whatever upstream goes on to say."""
        self.is_cut = True
        self.stop_reason = self._stop_details = None
        self._complete()

    def _complete(self, reason: str | None = None) -> None:
        """The answer has ended as upstream says, or for another `reason`."""
        self.state = State.DONE
        if self._server_calls is not None:
            self._release_calls(self._server_calls.due(self.stop_reason))
        if self._text_filter is not None:
            self._say(_encoded(self._text_filter.end()))
        if self._unread_text and not self.calls:
            # Where a call was due and none came, what came is the answer.
            self._say(_encoded("".join(self._unread_text)))
        # A block that was cut by the token limit has no end of its own.
        for call in self.calls:
            self._end_call(call)
        for block in self._text_blocks:
            self._cite(block)
        explanation = self._stop_details.explanation if self._stop_details else None
        thinking: list[Fragment] = []
        if self._shape.shows_thinking_blocks:
            thinking = [Fragment(block.json) for block in self.blocks if block.type in THINKING]
        ending = Ending(
            reason or finish_reason(self.stop_reason, has_tool_calls=bool(self.calls)),
            (explanation or None) if self.stop_reason == "refusal" else None,
            self._annotations,
            self._citations,
            thinking,
        )
        self.on_end(ending)

    def _check_filtered(self, size: int) -> None:
        self._filtered_bytes += size
        if self._filtered_bytes > MAX_FILTERED_BYTES:
            raise MalformedEventError(f"Upstream's answer has calls with more than {MAX_FILTERED_BYTES} bytes.")

    def _too_large(self) -> MalformedEventError:
        return MalformedEventError(f"Upstream's answer is larger than {self._most_bytes} bytes.")

    def _made_id(self) -> str:
        """An id for a call that upstream has not given one: the same for the same message."""
        return f"call_{hashlib.sha256((self.upstream_id or '').encode()).hexdigest()[:24]}"


def _encoded(text: str | None) -> bytes | None:
    """A text as a JSON string, or None where there is none."""
    return orjson.dumps(text) if text else None


def _decoded(raw: str) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        return raw
