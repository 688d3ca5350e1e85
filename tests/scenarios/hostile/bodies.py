"""Bodies that are large in one way only, of any size: JSON as raw bytes, made without a library that could refuse."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.scenarios.harness import PATH
from tests.scenarios.native_harness import PATH as NATIVE_PATH

COMPLETIONS_PATH = "/v1/completions"
RESPONSES_PATH = "/v1/responses"
# Just below `server.max_body_bytes`.
MOST_BYTES = 31 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be large; `build(n)` gives a body with n of what it is made of."""

    path: str
    build: Callable[[int], bytes]


def _chat(messages: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"claude-sonnet-5-5","max_tokens":100,"messages":[%b]%b}' % (messages, more)


def _user(content: bytes) -> bytes:
    return b'{"role":"user","content":%b}' % content


_HI = _user(b'"Hi"')


def _each(form: bytes, count: int) -> bytes:
    """The form, filled with numbers of seven digits, with commas between."""
    return b",".join([form.replace(b"#", b"%d" % number) for number in range(10**6, 10**6 + count)])


def _calls_with_results(count: int) -> bytes:
    calls = _each(b'{"id":"c#","type":"function","function":{"name":"f","arguments":"{}"}}', count)
    results = _each(b'{"role":"tool","tool_call_id":"c#","content":"r"}', count)
    return _chat(b'%b,{"role":"assistant","content":null,"tool_calls":[%b]},%b' % (_HI, calls, results))


def _messages(count: int) -> bytes:
    return _chat(_each(_HI, count))


def _parts(count: int) -> bytes:
    return _chat(_user(b"[%b]" % _each(b'{"type":"text","text":"#"}', count)))


def _blanks(count: int) -> bytes:
    return _chat(_user(b'[{"type":"text","text":"%b"},{"type":"text","text":"Hi"}]' % (b" " * count)))


def _form(schema: bytes) -> bytes:
    form = b',"response_format":{"type":"json_schema","json_schema":{"name":"f","strict":true,"schema":%b}}' % schema
    return _chat(_HI, form)


def _properties(count: int) -> bytes:
    return _form(b'{"type":"object","properties":{%b}}' % _each(b'"p#":{"type":"string"}', count))


def _required(count: int) -> bytes:
    properties, required = _each(b'"p#":{"type":"string"}', count), _each(b'"p#"', count)
    return _form(
        b'{"type":"object","additionalProperties":false,"properties":{%b},"required":[%b]}' % (properties, required)
    )


def _nested_all_of(count: int) -> bytes:
    """Twelve hundred bytes of keys at each depth."""
    level = b'{"type":"object","properties":{%b},"allOf":[' % _each(b'"k#":{"type":"string"}', 50)
    return _form(level * count + b"{}" + b"]}" * count)


def _details(form: bytes, count: int) -> bytes:
    said = b'{"role":"assistant","content":"Hi","reasoning_details":[%b]}' % _each(form, count)
    return _chat(b"%b,%b,%b" % (_HI, said, _HI))


def _details_of_one_index(count: int) -> bytes:
    return _details(b'{"type":"reasoning.text","text":"t#","index":0,"format":"anthropic-claude-v1"}', count)


def _tiny_details(count: int) -> bytes:
    return _details(b'{"type":"reasoning.text","text":"t","index":#}', count)


def _lone_surrogate(count: int) -> bytes:
    return _chat(_user(b'"%b"' % (b"[" * count)), b',"user":"\\ud800"')


def _tools(count: int) -> bytes:
    return _chat(_HI, b',"tools":[%b]' % _each(b'{"type":"function","function":{"name":"t#"}}', count))


def _unknown_fields(count: int) -> bytes:
    return _chat(_HI, b"," + _each(b'"x#":0', count))


def _items(count: int) -> bytes:
    """Messages and calls in turn, to be compacted, or to be counted."""
    form = (
        b'{"role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},'
        b'{"type":"function_call","call_id":"c%d","name":"f","arguments":"{}"},'
        b'{"type":"function_call_output","call_id":"c%d","output":"r"}'
    )
    said = b",".join([form % (number, number) for number in range(count)])
    return b'{"model":"claude-sonnet-5-5","max_output_tokens":100,"input":[%b]}' % said


def _prompts(count: int) -> bytes:
    return b'{"model":"claude-sonnet-5-5","max_tokens":100,"prompt":[%b]}' % _each(b'"a"', count)


def _native(messages: bytes, before: bytes = b"", model: bytes = b"claude-sonnet-5-5") -> bytes:
    return b'{%b"max_tokens":100,"messages":[%b],"model":"%b"}' % (before, messages, model)


def _native_brackets(count: int) -> bytes:
    return _native(_user(b'"%b"' % (b"[" * count)), model=b"gpt-5")


def _native_strings(count: int) -> bytes:
    return _native(_user(b"[%b]" % _each(b'{"type":"text","text":"#"}', count)), model=b"gpt-5")


def _native_nested_results(count: int) -> bytes:
    """220 levels, the innermost one with so many bytes that name files."""
    block, end = b'{"type":"tool_result","tool_use_id":"t","content":[', b"]}"
    inner = b'{"type":"text","text":"%b"}' % (b"file_id " * (count // 8))
    return _native(_user(b"[%b%b%b]" % (block * 220, inner, end * 220)))


def _native_name(count: int) -> bytes:
    return _native(_HI, model=b"m" * count)


def _response(items: bytes, more: bytes = b"") -> bytes:
    return b'{"model":"claude-sonnet-5-5","max_output_tokens":100,"input":[%b]%b}' % (items, more)


def _said_items(count: int) -> bytes:
    return _response(_each(_HI, count))


def _call_items(count: int) -> bytes:
    call = b'{"type":"function_call","call_id":"c#","name":"f","arguments":"{}"}'
    result = b'{"type":"function_call_output","call_id":"c#","output":"r"}'
    return _response(b"%b,%b,%b,%b" % (_HI, _each(call, count), _each(result, count), _HI))


def _foreign_seals(count: int) -> bytes:
    """None of the gateway's, though they look like it."""
    sealed = b'{"type":"reasoning","summary":[],"encrypted_content":"dg1.AAAAAAAAAAAAAAAA%b#"}' % (b"A" * 40)
    return _response(b"%b,%b,%b" % (_HI, _each(sealed, count), _HI))


def _one_seal(count: int) -> bytes:
    seal = b'{"type":"reasoning","summary":[],"encrypted_content":"dg1.%b"}' % (b"A" * count)
    return _response(b"%b,%b,%b" % (_HI, seal, _HI))


def _instructions(count: int) -> bytes:
    """What a response repeats."""
    return _response(_HI, b',"instructions":"%b"' % (b"i" * count))


def _namespace(count: int) -> bytes:
    tools = _each(b'{"type":"function","name":"t#","description":"d"}', count)
    return _response(_HI, b',"tools":[{"type":"namespace","name":"n","tools":[%b]}]' % tools)


def _references(count: int) -> bytes:
    return _response(_each(b'{"type":"item_reference","id":"msg_0000000000000000000000000#0000"}', count))


KINDS: dict[str, Kind] = {
    "calls_with_results": Kind(PATH, _calls_with_results),
    "messages": Kind(PATH, _messages),
    "parts": Kind(PATH, _parts),
    "blanks": Kind(PATH, _blanks),
    "properties": Kind(PATH, _properties),
    "required": Kind(PATH, _required),
    "nested_all_of": Kind(PATH, _nested_all_of),
    "details_of_one_index": Kind(PATH, _details_of_one_index),
    "tiny_details": Kind(PATH, _tiny_details),
    "lone_surrogate": Kind(PATH, _lone_surrogate),
    "tools": Kind(PATH, _tools),
    "unknown_fields": Kind(PATH, _unknown_fields),
    "prompts": Kind(COMPLETIONS_PATH, _prompts),
    "compacted_items": Kind("/v1/responses/compact", _items),
    "counted_items": Kind("/v1/responses/input_tokens", _items),
    "native_brackets": Kind(NATIVE_PATH, _native_brackets),
    "native_strings": Kind(NATIVE_PATH, _native_strings),
    "native_nested_results": Kind(NATIVE_PATH, _native_nested_results),
    "native_name": Kind(NATIVE_PATH, _native_name),
    "items": Kind(RESPONSES_PATH, _said_items),
    "call_items": Kind(RESPONSES_PATH, _call_items),
    "foreign_seals": Kind(RESPONSES_PATH, _foreign_seals),
    "one_seal": Kind(RESPONSES_PATH, _one_seal),
    "instructions": Kind(RESPONSES_PATH, _instructions),
    "namespace": Kind(RESPONSES_PATH, _namespace),
    "references": Kind(RESPONSES_PATH, _references),
}


def largest(kind: Kind) -> bytes:
    """As much of a kind as a body may hold."""
    ten = len(kind.build(10))
    each = (len(kind.build(1010)) - ten) / 1000
    return kind.build(int((MOST_BYTES - ten) / each))
