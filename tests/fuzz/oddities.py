"""Values that some reader somewhere does not expect."""

from typing import Final

NUMBERS: Final = (
    "0",
    "-0",
    "-0.0",
    "1.0",
    "-1",
    "1e2",
    "0.5",
    "1e400",
    "-1e400",
    "1e-400",
    "18446744073709551616",
    "-9223372036854775809",
    "100000000000000000000000000000000000000000",
    "1" + "0" * 400,
    "9" * 4299,
    "9" * 4300,
    "9" * 4301,
    "0.1234567890123456789012345678901234567890",
)
# What looks like JSON to some readers.
NO_JSON: Final = ("NaN", "Infinity", "-Infinity", "undefined", "01", "1.", "'a'", "True", "", "{", "[1,]", '"\t"')
TEXTS: Final = (
    "",
    " ",
    "\n",
    "\x00",
    "\x1f\x7f",
    "\u2028",
    "\ufeff",
    "\ud83d",
    "a\udc00",
    "\U0001f600",
    "é" * 30,
    "x" * 70,
    "long " * 400,
    "\r\nx-injected: 1",
    "data: [DONE]\n\n",
    "```json\n{}\n```",
    '{"value": 1}',
    '{"input": "a\\ud83d"}',
    "{",
    "[" * 300,
    "%s{}\\",
    "2026-11-30T00:00:00Z",
    "https://example.com/",
    "data:image/png;base64,iVBORw0KGgo=",
)
DEPTHS: Final = (5, 60, 130, 254, 256, 480, 900, 990, 2000, 100_000)
# Names and words that mean something on one of the wires.
WORDS: Final = tuple(
    """
    type text name id role content model messages input index delta usage error message function custom tools
    tool_calls tool_use tool_result tool server_tool_use web_search_tool_result thinking redacted_thinking
    signature data thinking_blocks reasoning_details reasoning citations citation citations_delta text_delta
    input_json_delta thinking_delta signature_delta compaction_delta partial_json content_block message_start
    message_delta message_stop content_block_start content_block_delta content_block_stop ping stop_reason
    stop_sequence stop_details pause_turn end_turn max_tokens refusal input_tokens output_tokens
    cache_read_input_tokens service_tier url title source image_url file file_data file_id filename base64
    document image cache_control ephemeral ttl 1h prompt_cache_breakpoint format grammar definition syntax
    parameters strict input_schema properties required additionalProperties items anyOf allOf oneOf enum const
    $ref $defs #/$defs/a object array string integer number null boolean pattern default minItems description
    json_schema json_object response_format schema system developer user assistant tool_call_id function_call
    functions tool_choice auto any none allowed_tools mode effort low max xhigh budget_tokens enabled adaptive
    disabled display block_binding output_config task_budget container context_management mcp_servers speed
    inference_geo web_search_options user_location approximate top_k top_p temperature stop n stream logprobs
    prompt suffix echo best_of max_completion_tokens reasoning_effort verbosity metadata prompt_cache_options
    details error_code request_id web_search_20260318 mcp_toolset fallback call value arguments annotations
    created_at max_input_tokens capabilities supported has_more last_id
    """.split()  # noqa: SIM905
)
