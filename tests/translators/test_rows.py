"""Every row of the design's tables has a case: what is decided is also shown.

The keys follow the order of the design page on translation: section 2 (requests), 3 (forced tools), 4 (schemas),
5 (answers). A case is the name of a folder in `tests/corpus`; what no folder can show is the name of a test file.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]

REQUEST_ROWS: dict[str, tuple[str, ...]] = {
    "model": ("test:gateway/test_routing.py",),
    "leading system": ("system-leading", "system-alone"),
    "later system": ("system-later", "system-later-alone-in-its-run", "system-later-model-without-the-role"),
    "user": (
        "text",
        "turns-one-name",
        "turns-several-names",
        "turns-blank-name",
        "turns-blank-name-beside-one",
    ),
    "image_url": (
        "image-url",
        "image-url-without-a-host",
        "image-detail",
        "image-data",
        "image-http",
        "image-of-unknown-format",
    ),
    "file": (
        "file-pdf-data-url",
        "file-pdf-bare",
        "file-pdf-mislabelled",
        "file-text-data-url",
        "file-text-bare",
        "file-image",
        "file-of-unknown-format",
    ),
    "file ids, container ids": ("file-id", "file-id-allowed", "native-container", "native-container-allowed"),
    "input_audio, modalities": ("not-offered-audio-in", "not-offered-audio-out", "audio-without-modality"),
    "refusal": ("turns-refusals",),
    "assistant calls": ("calls-parallel", "calls-arguments-not-an-object", "legacy-result", "custom-call"),
    "tool, function messages": (
        "calls-result-with-image",
        "calls-result-without-call",
        "calls-without-result",
        "calls-two-results",
        "legacy-result",
        "legacy-result-without-call",
    ),
    "call ids, tool names": ("tools-odd-names", "calls-same-id-in-two-turns", "call-long-id", "call-name-restored"),
    "property names": (
        "tools-property-names",
        "tools-property-names-call",
        "tools-property-names-elsewhere-in-the-schema",
        "call-property-names",
    ),
    "assistant text plus calls": ("calls-parallel", "text-then-call"),
    "assistant parts": ("echo-parts", "turns-assistant-image", "turns-assistant-image-rejected"),
    "blank texts": ("turns-blank-texts", "turns-nothing-left"),
    "last message assistant": (
        "turns-last-is-assistant",
        "turns-last-is-assistant-prefill",
        "thinking-not-kept-continue",
    ),
    "same-role messages": ("turns-of-one-role-stay-apart",),
    "first message": ("turns-first-is-assistant", "system-alone"),
    "echoed keys": (
        "turns-echoed",
        "echo-thinking-blocks",
        "echo-reasoning-details",
        "echo-reasoning-details-in-pieces",
        "echo-reasoning-details-of-others",
        "echo-parts",
        "echo-unsigned",
    ),
    "max_tokens": (
        "limit-above-the-maximum",
        "limit-far-above-the-maximum",
        "limit-absent",
        "limit-absent-bounded-by-configuration",
        "limit-given-twice",
        "limit-zero",
        "limit-just-unstreamed",
        "limit-small-thinking-off",
        "limit-small-always-thinking",
    ),
    "temperature, top_p": (
        "sampling-neutral",
        "sampling-clamped",
        "sampling-refused",
        "sampling-while-thinking",
        "sampling-one-of-two",
        "sampling-honoured",
        "sampling-at-a-host-without-it",
    ),
    "stop": ("stop", "stop-blank"),
    "n": ("choices-not-in-the-body", "choices-too-many", "choices-none", "test:scenarios/test_choices.py"),
    "tools": (
        "tools",
        "tools-schema-not-an-object",
        "tools-union-at-the-root",
        "tools-union-at-the-root-call",
        "tools-strict",
        "tools-strict-in-the-subset",
        "tools-strict-beyond-the-limit",
        "tools-strict-one-beyond-the-limit",
        "tools-strict-twenty-one",
        "tools-strict-reference-at-the-root",
        "tools-strict-no-arguments",
        "tools-anthropic-form",
        "tools-own-fields-beside",
        "tools-own-fields-within",
        "tools-unknown-fields",
        "legacy-beside-tools",
    ),
    "custom tools": ("custom-tool", "custom-tool-grammar", "custom-tool-text-format", "custom-call"),
    "native server tools": (
        "tools-native",
        "tools-native-beta",
        "tools-web-search-by-name",
        "tools-web-search-filters",
        "tools-code-interpreter",
        "tools-plain-names-not-allowed",
        "web-search",
        "web-search-context-size",
        "test:scenarios/test_pauses.py",
    ),
    "functions": ("legacy-functions", "legacy-function-named", "legacy-none", "legacy-result", "legacy-call"),
    "tool_choice": (
        "choice-any",
        "choice-required",
        "choice-named",
        "choice-none",
        "choice-not-parallel",
        "choice-without-tools",
        "effort-budget-and-forced-tool",
    ),
    "allowed_tools": (
        "choice-allowed-auto",
        "choice-allowed-required",
        "choice-allowed-unknown",
        "choice-allowed-empty",
        "choice-allowed-nameless",
    ),
    "forced choice refused": ("choice-named-refused", "choice-required-refused"),
    "json_schema": (
        "format-schema",
        "format-schema-outside-the-subset",
        "format-schema-missing",
        "format-schema-without-prefill",
    ),
    "json_object": ("format-json-object", "fences-stripped", "fences-inside", "fences-kept"),
    "reasoning_effort": (
        "effort",
        "effort-none",
        "effort-none-always-thinking",
        "effort-minimal",
        "effort-level-lacking",
        "effort-budget",
        "effort-budget-too-small",
        "effort-budget-below-the-limit",
    ),
    "open tool loop": ("effort-budget-in-a-tool-loop", "effort-budget-in-a-signed-tool-loop"),
    "reasoning extras": (
        "reasoning-effort",
        "reasoning-budget",
        "reasoning-off",
        "thinking-enabled-manual",
        "thinking-enabled-where-both-are-taken",
        "thinking-enabled-on-adaptive",
        "thinking-adaptive",
        "thinking-adaptive-on-manual",
        "thinking-disabled",
        "thinking-disabled-refused",
        "thinking-between-tools",
        "thinking-between-tools-lacking",
        "thinking-between-tools-beside-own-effort",
        "thinking-disabled-with-more",
        "thinking-disabled-beside-effort",
        "thinking-disabled-beside-low-effort",
        "thinking-disabled-beside-own-effort",
        "thinking-enabled-beside-effort",
        "thinking-enabled-beside-effort-lacking",
        "thinking-block-binding",
        "thinking-block-binding-manual",
        "thinking-block-binding-not-an-object",
    ),
    "display": (
        "reasoning-included",
        "reasoning-not-included",
        "reasoning-excluded",
        "reasoning-excluded-yet-always-shown",
        "reasoning-always-shown",
        "thinking-display-updates",
        "thinking-display-unknown",
    ),
    "verbosity": ("verbosity", "verbosity-medium", "format-and-verbosity"),
    "service_tier": ("tier", "tier-fast", "tier-unknown"),
    "user ids": ("user", "user-with-an-address", "user-with-a-phone-number", "user-number", "user-blank"),
    "metadata": ("metadata",),
    "prompt_cache_key": ("cache-key",),
    "cache_control": (
        "cache-part",
        "cache-messages",
        "cache-message-behind-an-answer",
        "cache-assistant",
        "cache-tools",
        "custom-tool-cache-mark",
        "cache-tool-result",
        "cache-top-level",
        "cache-limit",
        "cache-limit-inside-a-result",
        "cache-long-after-short",
        "cache-on-a-dropped-part",
        "cache-on-the-first-part-dropped",
        "cache-on-thinking-alone",
        "cache-on-an-assistants-image",
        "cache-on-a-blank-system",
        "cache-on-a-blank-system-part",
        "cache-on-a-blank-later-system",
        "cache-on-a-blank-first-system",
        "cache-on-a-blank-first-user",
        "cache-on-a-blank-tool-result",
        "cache-on-the-blank-start-of-a-tool-result",
    ),
    "prompt_cache fields": (
        "cache-breakpoint",
        "cache-breakpoint-long",
        "cache-options",
        "cache-retention",
        "cache-retention-in-memory",
        "cache-always-explicit",
    ),
    "no mark anywhere": ("cache-always", "cache-always-own-marks", "cache-top-level-before-turn-words"),
    "include_usage": ("stream-options", "usage-with-cache-and-thinking", "usage-not-asked-for"),
    "include_obfuscation": ("stream-options",),
    "without counterpart": ("without-counterpart", "without-counterpart-neutral"),
    "native fields": (
        "native-not-allowed",
        "native-allowed",
        "native-mcp",
        "native-context-management",
        "native-compaction",
        "native-output-config",
        "effort-beside-own-effort",
        "effort-none-beside-own-effort",
        "limit-small-own-effort",
        "limit-small-own-effort-always-thinking",
        "native-top-k",
        "native-top-k-refused",
    ),
    "unknown fields": ("unknown-fields",),
}
FORCED_ROWS: dict[str, tuple[str, ...]] = {
    "one function": (
        "choice-named-refused",
        "choice-required-one-tool-refused",
        "choice-named-refused-custom",
        "text-call-named",
        "text-call-custom",
        "text-call-wrapped",
        "text-call-legacy",
        "text-call-cut",
        "text-call-refused",
    ),
    "several tools": ("choice-required-several-refused", "choice-allowed-required-refused", "text-call-chosen"),
    "words": (
        "choice-named-refused-schema-outside",
        "choice-named-refused-with-format",
        "test:scenarios/test_forced_tools.py",
    ),
    "thinking not kept": ("thinking-not-kept-format", "thinking-not-kept-words", "thinking-kept"),
}
SCHEMA_ROWS: dict[str, tuple[str, ...]] = {
    "converted": ("format-schema", "test:translators/test_schema.py"),
    "outside": ("format-schema-outside-the-subset", "format-schema-recursive-refused"),
}
ANSWER_ROWS: dict[str, tuple[str, ...]] = {
    "text": ("text", "text-blocks-joined", "text-empty", "text-empty-block", "escapes", "unknown-block"),
    "thinking": (
        "thinking-shown",
        "thinking-omitted",
        "thinking-redacted",
        "thinking-then-call",
        "thinking-alone-cut",
        "thinking-blocks-on-request",
        "thinking-blocks-omitted-on-request",
    ),
    "tool_use": ("calls-parallel", "call-without-arguments", "call-but-end-turn", "wrapped-call", "custom-call"),
    "server tools": (
        "server-tool-and-call",
        "citation-with-a-url",
        "citation-without-a-url",
        "citations-of-both-kinds",
        "citation-cut-by-the-limit",
    ),
    "stop_reason": (
        "stop-stop-sequence",
        "stop-max-tokens",
        "stop-model-context-window-exceeded",
        "stop-pause-turn",
        "stop-a-reason-of-tomorrow",
        "call-cut-by-the-limit",
        "legacy-call",
        "legacy-call-cut-by-the-limit",
        "refusal",
        "refusal-after-text",
        "refusal-unexplained",
        "test:scenarios/test_pauses.py",
    ),
    "usage": ("usage-with-cache-and-thinking", "usage-nulls"),
    "id": ("text", "test:scenarios/test_choices.py"),
    "service tier": ("tier-priority", "tier-batch", "usage-nulls"),
    "rate-limit headers": ("test:scenarios/test_upstream_refuses.py",),
    "request-id": ("test:scenarios/test_upstream_refuses.py",),
    "opening chunk": ("text", "text-empty", "call-without-arguments"),
    "keep-alive": ("test:scenarios/test_keepalive.py",),
    "errors in a stream": ("test:scenarios/test_upstream_dies.py",),
}
ROWS = {**REQUEST_ROWS, **FORCED_ROWS, **SCHEMA_ROWS, **ANSWER_ROWS}
NAMES = {path.name for folder in ("requests", "answers", "streams") for path in (TESTS / "corpus" / folder).iterdir()}


@pytest.mark.parametrize(
    ("row", "cases"),
    [
        pytest.param(row, cases, id=f"{table}-{row}")
        for table, rows in (
            ("request", REQUEST_ROWS),
            ("forced", FORCED_ROWS),
            ("schema", SCHEMA_ROWS),
            ("answer", ANSWER_ROWS),
        )
        for row, cases in rows.items()
    ],
)
def test_every_row_of_the_design_has_a_case(row: str, cases: tuple[str, ...]) -> None:
    assert cases, row
    for case in cases:
        if case.startswith("test:"):
            assert (TESTS / case.removeprefix("test:")).exists(), case
        else:
            assert case in NAMES, case


def test_no_case_of_an_answer_stands_outside_of_the_rows() -> None:
    named = {case for cases in ROWS.values() for case in cases}
    answers = {path.name for folder in ("answers", "streams") for path in (TESTS / "corpus" / folder).iterdir()}

    assert answers - named <= {"legacy-text", "text-call-thinking", "custom-call-empty", "wrapped-call-empty"} | {
        "custom-call-not-a-text"
    }
