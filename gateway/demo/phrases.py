"""The texts of the simulated model: canned sentences that repeat what it understood."""

from __future__ import annotations

from itertools import cycle

from gateway.demo.blocks import SearchResult, Text, ToolResult, result_blocks
from gateway.demo.media import Attachment, attachments
from gateway.demo.orders import without_orders
from gateway.demo.prompt import Prompt
from gateway.demo.tokens import CHARACTERS

_LONGEST_QUOTE = 500
_FILLER = (
    "A dragoman stands between two courts and speaks the language of both. ",
    "What one says in the morning the other has read by noon. ",
    "He adds nothing, he leaves nothing out, and he is blamed for both. ",
    "When the ambassador pauses, the dragoman waits; when he hurries, the dragoman runs. ",
    "Of all the gifts that pass between the courts, a sentence carried whole is the rarest. ",
)


def answer_text(prompt: Prompt) -> str:
    """The answer to a text, with the results of tools and the attachments."""
    turn = prompt.last_user_turn
    sentences = []
    if text := without_orders(prompt.last_text):
        sentences.append(f"You said: {quoted(text)}.")
    if results := turn.results():
        sentences.append(_results_sentence(prompt, results))
    if seen := attachments(turn.blocks):
        sentences.append(_attachments_sentence(seen))
    if found := [block for block in turn.blocks if isinstance(block, SearchResult)]:
        titles = ", ".join(each.title for each in found)
        sentences.append(f"You gave me {_count(len(found), 'search result')}: {titles}.")
    sentences.append(f"This is the simulated upstream in the place of {prompt.model.id}: no model has read this.")
    if prompt.system_text:
        sentences.append(f"My instructions begin: {quoted(prompt.system_text, 80)}.")
    if len(prompt.turns) > 1:
        sentences.append(f"Our conversation has {len(prompt.turns)} turns so far.")
    if prompt.tools:
        sentences.append(f"I was offered {_count(len(prompt.tools), 'tool')}.")
    return " ".join(sentences)


def long_text(tokens: int) -> str:
    """A text of this many tokens."""
    length, sentences, total = tokens * CHARACTERS, [], 0
    for sentence in cycle(_FILLER):
        if total >= length:
            break
        sentences.append(sentence)
        total += len(sentence)
    return "".join(sentences)[:length]


def thought_text(prompt: Prompt) -> str:
    """The text of a thought."""
    if prompt.last_user_turn.results():
        return "The results of the tools are here. I only have to put them into words."
    text = without_orders(prompt.last_text)
    return f"The user says {quoted(text, 120)}. I am simulated, so I repeat what I understood and say so."


def calls_preamble(names: list[str]) -> str:
    """The text before tool calls."""
    return f"Let me ask {' and '.join(dict.fromkeys(names))}."


def quoted(text: str, longest: int = _LONGEST_QUOTE) -> str:
    """The text in quotation marks, shortened if it is long."""
    return f"“{text}”" if len(text) <= longest else f"“{text[:longest]}…”"


def _results_sentence(prompt: Prompt, results: list[ToolResult]) -> str:
    names = {call.id: call.name for turn in prompt.turns for call in turn.calls()}
    said = []
    for result in results:
        texts = [block.text for block in result_blocks(result) if isinstance(block, Text)]
        verb = "failed with" if result.is_error else "answered"
        said.append(f"{names.get(result.tool_use_id, 'A tool')} {verb} {quoted(' '.join(texts))}")
    return f"{'; '.join(said)}."


def _attachments_sentence(seen: list[Attachment]) -> str:
    described = []
    for number, attachment in enumerate(seen, 1):
        what = " ".join(filter(None, [attachment.media_type, attachment.kind]))
        where = f" of {attachment.size_bytes} bytes" if attachment.size_bytes is not None else ""
        described.append(f"{number}. {what}{where}{f' at {attachment.address}' if attachment.address else ''}")
    return f"I see {_count(len(seen), 'attachment')}: {', '.join(described)}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
