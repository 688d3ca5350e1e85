"""Writes the answer to a request for a summary: its text becomes one compaction item, and all else is left out.

Nothing is written before its end, so that until then another attempt can take over: half a summary is of no use.
"""

from translators.answers.answer_types import Call
from translators.answers.recorder import Block
from translators.errors import ErrorKind, FailedError, Failure
from translators.responses.compaction import sealed_summary
from translators.responses.frame import ResponsesFrame
from translators.responses.output import joined, read_text
from translators.responses.writer import OutputWriter

CUT_OFF = "The summary of the conversation does not fit into 'max_output_tokens': nothing was compacted."
NO_SUMMARY = "The model has written no summary of the conversation: nothing was compacted."


class SummaryWriter(OutputWriter):
    """Collects the text of one answer."""

    __slots__ = ("_texts",)

    def __init__(self, frame: ResponsesFrame, chunks: list[bytes] | None) -> None:
        super().__init__(frame, chunks)
        self._texts: list[bytes] = []

    def block(self, block_type: str) -> None:
        return

    def text(self, raw: bytes) -> None:
        """Collect."""
        self._texts.append(raw)

    def whole_text(self, raw: bytes) -> None:
        """Collect."""
        self._texts.append(raw)

    def cite(self, citations: list[bytes]) -> None:
        return

    def reasoning(self, raw: bytes) -> None:
        return

    def own_block(self, block: Block) -> None:
        return

    def call(self, call: Call) -> None:
        return

    def arguments(self, call: Call, raw: bytes) -> None:
        return

    def call_end(self, call: Call) -> None:
        return

    def end(self, *, is_cut: bool, refusal: str | None, has_calls: bool) -> None:
        """Write the item; raises `FailedError` where there is no whole summary."""
        if refusal is not None:
            raise FailedError(Failure(ErrorKind.CONTENT_FILTERED, refusal))
        if is_cut:
            raise FailedError(Failure(ErrorKind.INVALID_REQUEST, CUT_OFF, param="max_output_tokens"))
        text = read_text(joined(self._texts)) if self._texts else ""
        if not text.strip() or self._frame.sealer is None:
            raise FailedError(Failure(ErrorKind.UPSTREAM_ERROR, NO_SUMMARY))
        self._compact(sealed_summary(text.encode("utf-8", "replace").decode(), self._frame.sealer))
