"""Reads an answer into the items of a response. Streamed and whole responses share this reader."""

from typing import Final

from translators.answers.answer import AnswerFold
from translators.answers.answer_types import Call, Ending
from translators.answers.events import MalformedEventError
from translators.answers.pieces import MAX_STREAM_BYTES
from translators.answers.reader import MessageReader
from translators.answers.recorder import Block
from translators.answers.shape import PLAIN, AnswerShape
from translators.reading import SPOKEN
from translators.responses.frame import ResponsesFrame
from translators.responses.summary import SummaryWriter
from translators.responses.writer import OutputWriter
from translators.wire.messages import ContentBlock

# The text of a refusal without a reason of upstream's.
NO_REASON: Final = "The model declined to answer."
# A response repeats at its end all that upstream has said, several times. What is larger could not go back to upstream.
MAX_CONTENT_BYTES: Final = 24 * 2**20
# Around each piece that upstream sends.
_EVENT_BYTES: Final = 100
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class ResponsesReader(MessageReader):
    """Reads one answer into the items of an output."""

    takes_own_blocks = True
    _most_bytes = MAX_CONTENT_BYTES
    # The reason in `incomplete_details`; None if the response is complete.
    incomplete_reason: str | None = None
    _response: bytes = b""

    def __init__(self, frame: ResponsesFrame, shape: AnswerShape = PLAIN, chunks: list[bytes] | None = None) -> None:
        super().__init__(shape)
        self._frame = frame
        self._output = (SummaryWriter if frame.summarizes else OutputWriter)(frame, chunks)

    @property
    def id(self) -> str:
        """The id of the response."""
        return self._frame.id

    @property
    def has_content(self) -> bool:
        """Whether there is anything yet that a client can read."""
        return self._output.has_begun

    @property
    def status(self) -> str:
        """How the response has ended."""
        return "completed" if self.incomplete_reason is None else "incomplete"

    def response(self) -> bytes:
        """The response object of a complete answer, as the caller gets it."""
        if not self._response:
            usage, reason = self.usage.as_responses_json(), self.incomplete_reason
            self._frame.service_tier = self.usage.service_tier
            items = self._output.items
            self._response = self._frame.response(self.status, incomplete=reason, items=items, usage=usage)
        return self._response

    def sealed_items(self) -> list[bytes]:
        """The items with `encrypted_content`, whether or not the caller gets that: for the store."""
        items, sealer = self._output.items, self._frame.sealer
        finished = [items[index] for index in sorted(items)]
        return [item.as_json() if sealer is None else item.as_sealed_json(sealer) for item in finished]

    def on_many_bytes(self) -> None:
        """Check the size of the answer. Only its content counts, not the framing of its events."""
        size, events = self._stream_bytes, self._frame.sequence
        # A whole response counts no events: half of the bytes are taken to be content.
        content = size - _EVENT_BYTES * events if events else size // 2
        if content > MAX_CONTENT_BYTES or size > MAX_STREAM_BYTES:
            raise MalformedEventError(f"Upstream's answer holds more than {MAX_CONTENT_BYTES} bytes.")
        self._most_bytes = min(size + MAX_CONTENT_BYTES - content, MAX_STREAM_BYTES)

    def on_begin(self) -> None:
        """Set the model that answers, unless the caller has been told another one."""
        if not self._frame.has_begun:
            self._frame.model = self.model or self._frame.model
            self._frame.service_tier = self.usage.service_tier

    def on_block(self, block_type: str) -> None:
        self._output.block(block_type)

    def on_own_block(self, block: Block) -> None:
        self._output.own_block(block)

    def on_text(self, raw: bytes) -> None:
        self._output.text(raw)

    def on_citations(self, start: int, citations: list[bytes]) -> None:
        """Places are counted within the message, not within the answer."""
        self._output.cite(citations)

    def on_reasoning(self, raw: bytes) -> None:
        self._output.reasoning(raw)

    def on_call(self, call: Call) -> None:
        self._output.call(call)

    def on_arguments(self, call: Call, raw: bytes) -> None:
        self._output.arguments(call, raw)

    def on_call_end(self, call: Call) -> None:
        self._output.call_end(call)

    def on_end(self, ending: Ending) -> None:
        """Finish the items that are open."""
        # A refusal is complete: the message says it.
        is_refusal = self.stop_reason == "refusal"
        self.incomplete_reason = None if is_refusal else _INCOMPLETE.get(ending.finish_reason)
        self._output.end(
            is_cut=self.incomplete_reason is not None,
            refusal=(ending.refusal or NO_REASON) if is_refusal else None,
            has_calls=bool(self.calls),
        )


class ResponsesAnswer(ResponsesReader, AnswerFold):
    """Collects an answer for a client that asked for no stream: items without events."""

    def _read_blocks(self, blocks: list[ContentBlock]) -> None:
        """Read the blocks of a message. A message of one text, as most are, is read in fewer calls."""
        first = blocks[0] if len(blocks) == 1 else None
        is_text = first is not None and first.type == "text" and not first.citations and SPOKEN.match(first.text)
        if first is None or not is_text or not self.takes_text_as_it_is or self.stop_reason == "refusal":
            super()._read_blocks(blocks)
            return
        self.has_text = True
        self._output.whole_text(bytes(first.text))
        self._complete()


def read_response(body: bytes, frame: ResponsesFrame, shape: AnswerShape = PLAIN) -> ResponsesAnswer:
    """The answer in an unstreamed body; raises `FailedError` when it is not a message."""
    answer = ResponsesAnswer(frame, shape)
    answer.read_whole(body)
    return answer
