"""A body of chat completions as an intent, for tests of what comes behind the door."""

from collections.abc import Generator

from translators.chat.read import read_in_steps, read_request
from translators.intent import Intent

MAX_CHOICES = 8


def read_intent(body: bytes) -> Intent:
    """What a chat-completions request asks for."""
    return read_request(body, MAX_CHOICES).intent


def read_intent_in_steps(body: bytes) -> Generator[None, None, Intent]:
    """The same, in steps."""
    return (yield from read_in_steps(body, MAX_CHOICES)).intent
