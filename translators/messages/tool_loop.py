"""Whether a conversation is in the middle of a turn that calls tools."""

from collections.abc import Sequence
from typing import Final

from translators.answers.recorder import THINKING
from translators.intent import Message, SealedTurn
from translators.kept.turns import Past
from translators.messages.content import ContentWriter
from translators.messages.conversation import placed
from translators.reading import SPOKEN, is_blank, is_null, is_text

# So much is looked at of turns that may say nothing.
_MOST_BLANK_BYTES: Final = 64 * 1024


def is_in_tool_loop(messages: list[Message], past: Past, places: Sequence[str] | None = None) -> bool:
    """Whether the model's last turn called tools and its signed thinking does not go back."""
    looked_at = 0
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message.role == "assistant":
            if message.tool_calls or message.function_call:
                made = past.contents.get(index)
                return made[0]["type"] not in THINKING if made else not past.thinking(message)
            # A turn of which nothing is left is none.
            if type(message) is SealedTurn and any(past.own_blocks(message)):
                return False
            content, path = message.content, placed(messages, places, index).content_path
            if SPOKEN.match(content) or ContentWriter().assistant(content, path) or refusal_of(message):
                return False
            looked_at += len(content)
            if looked_at > _MOST_BLANK_BYTES:
                return False
    return False


def refusal_of(message: Message) -> bytes:
    """The refusal of an assistant message (a JSON string), empty where there is none."""
    if is_null(message.refusal):
        return b""
    refusal = bytes(message.refusal) if is_text(message.refusal) else b""
    return b"" if not refusal or is_blank(refusal) else refusal
