"""Fast recognition of the most frequent events: pieces of text, thinking and arguments.

One regular expression replaces two parsers, in a fifth of the time. It matches exactly what the hosts send today; all
other events are left to the parsers, which read a matching event in the same way.
"""

import re
from typing import Final

# Halves of surrogate pairs are left to the parser.
_STRING: Final = rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'

DELTA: Final = re.compile(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":(0|[1-9][0-9]{0,8}),"delta":\{"type":'
    rb'"(text_delta|input_json_delta|thinking_delta)","(?:(?<=text_delta",")text|(?<=json_delta",")partial_json|'
    rb'(?<=thinking_delta",")thinking)":(' + _STRING + rb")"
    # Hosts pad events with blanks, so that their length does not reveal the length of the text.
    rb"\} *\}\n\n"
)
"""One whole event: the index of the content block, the type of the delta, and the JSON string unchanged."""


def is_utf8(raw: bytes) -> bool:
    """Whether it is valid, which the expression does not see."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
