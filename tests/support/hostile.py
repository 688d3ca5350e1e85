"""Chat bodies that hold as much of one kind as fits: what a caller may send who wishes the gateway ill."""

from collections.abc import Callable
from typing import Final

_OPENING: Final = '[{"role":"user","content":"a"}]'
_TOOL: Final = '[{"type":"function","function":{"name":"f"}}]'
_MARK: Final = '"cache_control":{"type":"ephemeral"}'


def body(messages: str = _OPENING, **fields: str) -> bytes:
    """A request; the fields, and the messages, are JSON."""
    rest = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'{{"model":"claude-sonnet-5-5","max_tokens":1000,"messages":{messages}{rest}}}'.encode()


def repeated(item: str, count: int) -> str:
    """So many items of an array or object; `#` stands for a number."""
    return ",".join(item.replace("#", f"{number:07}") for number in range(count))


def conversation(item: str, count: int, **fields: str) -> bytes:
    """A request of so many equal messages behind the first."""
    return body(f'[{{"role":"user","content":"a"}},{repeated(item, count)}]', **fields)


def answered_calls(count: int) -> bytes:
    """One turn that calls so many tools, and their results."""
    calls = repeated('{"id":"call_#","function":{"name":"f","arguments":"{}"}}', count)
    results = repeated('{"role":"tool","tool_call_id":"call_#","content":"r"}', count)
    return body(
        f'[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{calls}]}},{results}]', tools=_TOOL
    )


def native_calls(count: int, **fields: str) -> bytes:
    """The same in Anthropic's form."""
    calls = repeated('{"type":"tool_use","id":"call_#","name":"f","input":{}}', count)
    results = repeated('{"type":"tool_result","tool_use_id":"call_#","content":"r"}', count)
    turns = f'{{"role":"assistant","content":[{calls}]}},{{"role":"user","content":[{results}]}}'
    return body(f'[{{"role":"user","content":"a"}},{turns}]', **fields)


def arguments(text: str, count: int) -> bytes:
    """A call whose arguments are an object of so many fields, or a long text."""
    call = f'{{"id":"a","function":{{"name":"f","arguments":"{{{repeated(text, count)}}}"}}}}'
    result = '{"role":"tool","tool_call_id":"a","content":"r"}'
    return body(f'[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{call}]}},{result}]')


def _quoted(text: str) -> str:
    return f'"{text}"'


def called(name: str, call_id: str = "a") -> bytes:
    """A call by these names."""
    call = f'{{"id":"{call_id}","function":{{"name":"{name}"}}}}'
    return body(f'[{{"role":"user","content":"a"}},{{"role":"assistant","tool_calls":[{call}]}}]')


def form(schema: str) -> bytes:
    """A request whose answer has to follow a schema."""
    return body(response_format=f'{{"type":"json_schema","json_schema":{{"name":"a","schema":{schema}}}}}')


def _object(properties: str, **fields: str) -> str:
    rest = "".join(f',"{name}":{value}' for name, value in fields.items())
    return f'{{"type":"object","additionalProperties":false,"properties":{{{properties}}}{rest}}}'


def _required(count: int) -> bytes:
    return form(_object(repeated('"p#":{"type":"null"}', count), required=f"[{repeated(_quoted('p#'), count)}]"))


def _all_of(count: int) -> bytes:
    """Many keywords inside of many schemas of one member each."""
    schema = f'{{"type":"object","properties":{{"a":{{"type":"null"}}}},{repeated(_quoted("k#") + ":0", count)}}}'
    return form('{"allOf":[' * (count // 4) + schema + "]}" * (count // 4))


def _types(count: int) -> bytes:
    schema = '{"type":"null"}'
    for _ in range(count):
        schema = _object(f'"a":{schema}').replace('"object"', '["object","object"]', 1)
    return form(schema)


def _references(count: int) -> bytes:
    """One definition, referred to by as many spellings of its name as there are."""
    tildes = 12
    names = ("".join("~0" if number >> bit & 1 else "~" for bit in range(tildes)) for number in range(count))
    spellings = ",".join(f'{{"$ref":"#/$defs/{name}"}}' for name in names)
    definition = _object(repeated('"p#":{"type":"null"}', count))
    return form(f'{{"anyOf":[{spellings}],"$defs":{{"{"~" * tildes}":{definition}}}}}')


def details(count: int, index: str) -> bytes:
    """Thinking that comes back in pieces, with an index."""
    pieces = repeated(f'{{"type":"reasoning.text","index":{index},"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}}', count)
    turn = f'{{"role":"assistant","content":"b","reasoning_details":[{pieces}]}}'
    return body(f'[{{"role":"user","content":"a"}},{turn},{{"role":"user","content":"a"}}]', tools=_TOOL)


def in_content(parts: str) -> bytes:
    """A message of these parts."""
    return body(f'[{{"role":"user","content":[{parts}]}}]')


def tools(tool: str, count: int, **fields: str) -> bytes:
    """So many tools."""
    return body(tools=f"[{repeated(tool, count)}]", **fields)


def text_file(count: int) -> bytes:
    """A text file of so many bytes in base64."""
    return in_content(f'{{"type":"file","file":{{"filename":"a.txt","file_data":"{"AAAA" * (count // 4)}"}}}}')


def data_url(text: str, count: int) -> bytes:
    """An image whose data is a text so many times."""
    return in_content(
        f'{{"type":"image_url","image_url":{{"url":"data:image/png;base64,iVBORw0KGgoA{text * count}"}}}}'
    )


_SCHEMA: Final = '{"type":"object","additionalProperties":false,"required":["a"],"properties":{"a":{"type":"null"}}}'
_PARTS: Final = ",".join(['{"type":"text","text":"a"}'] * 100)
_SPACE: Final = '[{"type":"text","text":" "}]'
_THOUGHT: Final = '{"type":"thinking","thinking":"a","signature":"s"}'

# By their names: a body of so many, and how many make about 50 KB.
KINDS: Final[dict[str, tuple[Callable[[int], bytes], int]]] = {
    "calls with results": (answered_calls, 400),
    "calls in Anthropic's form": (lambda n: native_calls(n, tools=_TOOL), 400),
    "calls in Anthropic's form without tools": (native_calls, 400),
    "messages with results in Anthropic's form": (
        lambda n: conversation(
            '{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},'
            '{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}',
            n,
            tools=_TOOL,
        ),
        350,
    ),
    "messages with names": (lambda n: conversation('{"role":"user","name":"n#","content":"a"}', n), 1_000),
    "messages with answers by name": (
        lambda n: conversation('{"role":"assistant","name":"n#","content":"a"}', n),
        1_000,
    ),
    "messages with unknown fields": (lambda n: conversation('{"role":"user","content":"a","x#":0}', n), 1_000),
    "messages with echoes": (lambda n: conversation('{"role":"assistant","content":"a","annotations":[]}', n), 800),
    "unknown fields of a message": (
        lambda n: body(f'[{{"role":"user","content":"a",{repeated(_quoted("x#") + ":0", n)}}}]'),
        240,
    ),
    "unknown fields of parts": (
        lambda n: in_content(repeated('{"type":"text","text":"a","x":0}', n)),
        1_200,
    ),
    "addresses of files": (
        lambda n: in_content(repeated('{"type":"file","file":{"file_data":"https://a/?' + "/." * 9 + '"}}', n)),
        700,
    ),
    "arguments with fields": (lambda n: arguments('\\"x#\\":0', n), 3_500),
    "arguments of escapes": (lambda n: arguments('\\"x\\":\\"' + "\\\\n" * n + '\\"', 1), 16_000),
    "messages": (lambda n: conversation('{"role":"user","content":"a"}', n), 1_500),
    "messages with parts": (lambda n: conversation(f'{{"role":"user","content":[{_PARTS}]}}', n), 18),
    "messages with images": (
        lambda n: conversation('{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a/"}}]}', n),
        600,
    ),
    "system messages at the beginning": (
        lambda n: body("[" + repeated('{"role":"system","content":"a"}', n) + "]"),
        2_500,
    ),
    "system messages later": (lambda n: conversation('{"role":"system","content":"a"}', n), 1_500),
    "blank answers": (lambda n: conversation(f'{{"role":"assistant","content":{_SPACE}}}', n), 800),
    "answers that hold thinking alone, each with a mark": (
        lambda n: conversation(f'{{"role":"assistant","content":[{_THOUGHT}],{_MARK}}}', n),
        400,
    ),
    "marks": (
        lambda n: conversation(f'{{"role":"user","content":[{{"type":"text","text":"a",{_MARK}}}]}}', n),
        500,
    ),
    "thinking blocks": (lambda n: conversation(f'{{"role":"assistant","thinking_blocks":[{_THOUGHT}]}}', n), 500),
    "thinking in one piece": (lambda n: details(n, "0"), 600),
    "thinking in many pieces": (lambda n: details(n, "1#"), 600),
    "parts": (lambda n: in_content(repeated('{"type":"text","text":"a"}', n)), 1_200),
    "blanks": (lambda n: body(f'[{{"role":"user","content":"{" " * n}"}}]'), 50_000),
    "escaped blanks": (lambda n: body('[{"role":"user","content":"' + "\\n" * n + '"}]'), 25_000),
    "base64 with line breaks": (lambda n: data_url("A\\n", n), 16_000),
    "tools": (lambda n: tools('{"type":"function","function":{"name":"f#","parameters":{"type":"object"}}}', n), 600),
    "strict tools": (
        lambda n: tools(f'{{"type":"function","function":{{"name":"f#","strict":true,"parameters":{_SCHEMA}}}}}', n),
        300,
    ),
    "functions": (
        lambda n: body(functions="[" + repeated('{"name":"f#"}', n) + "]"),
        1_200,
    ),
    "allowed tools": (
        lambda n: body(
            tools=_TOOL,
            tool_choice='{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":['
            + repeated('{"name":"f"}', n)
            + "]}}",
        ),
        1_200,
    ),
    "one word in a schema": (
        lambda n: tools(
            '{"type":"function","function":{"name":"f","parameters":{"type":"object","enum":['
            + repeated('"base64"', n)
            + "]}}}",
            1,
        ),
        4_500,
    ),
    "required properties": (_required, 1_000),
    "properties": (lambda n: form(_object(repeated('"p#":{"type":"null"}', n))), 1_200),
    "nested allOf": (_all_of, 240),
    "types twice": (_types, 3),
    "spellings of a reference": (_references, 450),
    "unknown fields": (lambda n: body(**{f"x{number}": "0" for number in range(n)}), 240),
    "unknown fields of options": (
        lambda n: body(reasoning="{" + repeated(_quoted("x#") + ":0", n) + "}", tool_choice='{"type":"auto","x":0}'),
        240,
    ),
    "unknown fields of images": (
        lambda n: in_content(repeated('{"type":"image_url","image_url":{"url":"https://example.com/a.png","x":0}}', n)),
        1_200,
    ),
    "stops": (lambda n: body(stop="[" + repeated(_quoted("#"), n) + "]"), 240),
}
