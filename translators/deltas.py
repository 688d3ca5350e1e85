"""The events that streams mostly consist of: pieces of text, of reasoning and of arguments, recognised as they stand.

A pattern in the place of two parsers, which takes a fifth of the time. It fits to the byte what the hosts send today;
whatever it does not fit is left to the parsers, and what it fits, they would read in the same way.
"""

import re
from typing import Final

# Halves of surrogate pairs are the parser's to judge.
_STRING: Final = rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'

DELTA: Final = re.compile(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":(0|[1-9][0-9]{0,8}),"delta":\{"type":'
    rb'"(text_delta|input_json_delta|thinking_delta)","(?:(?<=text_delta",")text|(?<=json_delta",")partial_json|'
    rb'(?<=thinking_delta",")thinking)":(' + _STRING + rb")"
    # Hosts fill up with blanks, so that the length of an event does not tell the length of a word.
    rb"\} *\}\n\n"
)
"""One whole event: the content block's index, the delta's type, and the JSON string as it stands."""
