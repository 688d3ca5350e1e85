"""What is wrong with the fields of a response, an item, a part or an event of the Responses API, in words.

`strict` asks for what the newest reference promises and typed clients need; without it, what a recording lacks may be
missing (the list of such cases is in `tests/support/responses_grammar.py`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.responses_fields import (
    ANNOTATIONS,
    CODEX_CODES,
    ERROR_CODES,
    EVENTS,
    ITEM_EXTRAS,
    ITEM_STATUSES,
    ITEMS,
    PARTS,
    PHASES,
    REASONS,
    RESPONSE,
    SETTINGS,
    STATUSES,
    TIERS,
    USAGE,
    USAGE_DETAILS,
    WITH_LOGPROBS,
    WORDS,
    Fields,
    is_count,
    is_filled,
    is_list,
    is_null,
    is_number,
    is_object,
    is_text,
)

Json = dict[str, Any]

_PARTS_OF: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "message": {"content": ("output_text", "refusal")},
    "reasoning": {"content": ("reasoning_text",), "summary": ("summary_text",)},
}


def field_faults(value: Json, fields: Fields, where: str, *, required: bool = True) -> Iterator[str]:
    """Fields that are missing, if they are required, or of another type than the table says."""
    for name, check in fields.items():
        checks = check if isinstance(check, tuple) else (check,)
        if name not in value:
            if required:
                yield f"{where}: `{name}` is missing"
        elif not any(one(value[name]) for one in checks):
            yield f"{where}: `{name}` is not {' or '.join(WORDS[one] for one in checks)}"


def event_faults(event: Json, where: str, *, strict: bool) -> Iterator[str]:
    """What is wrong with the fields of an event, what it holds aside."""
    kind = event["type"]
    if kind not in EVENTS:
        yield f"{where}: no event of this name is known"
        return
    yield from field_faults(event, EVENTS[kind], where)
    if kind in WITH_LOGPROBS:
        yield from field_faults(event, {"logprobs": is_list}, where, required=strict)
    if kind == "error":
        yield from error_event_faults(event, where)


def error_event_faults(event: Json, where: str) -> Iterator[str]:
    """The nested form, which both SDKs raise from; the flat fields may stand beside it."""
    error = event.get("error")
    if not isinstance(error, dict):
        yield f"{where}: `error` is not an object"
        return
    yield from field_faults(error, {"message": is_filled, "type": is_filled}, f"{where}.error")
    yield from field_faults(error, {"code": (is_text, is_null), "param": (is_text, is_null)}, f"{where}.error")


def item_faults(item: object, where: str, *, strict: bool) -> Iterator[str]:
    """What is wrong with an output item, be it whole or just begun."""
    if not isinstance(item, dict) or not isinstance(kind := item.get("type"), str):
        yield f"{where}: no item with a type"
        return
    if kind not in ITEMS:
        yield f"{where}: no item of type {kind!r} is known"
        return
    where = f"{where} ({kind})"
    yield from field_faults(item, ITEMS[kind], where)
    yield from field_faults(item, ITEM_EXTRAS, where, required=False)
    if item.get("status", "completed") not in (*ITEM_STATUSES, None if not strict else "completed"):
        yield f"{where}: status {item['status']!r} is not one of an item"
    if item.get("phase") not in PHASES:
        yield f"{where}: phase {item['phase']!r} is not known"
    if kind == "message" and item.get("role") != "assistant":
        yield f"{where}: the role is not assistant"
    if kind == "web_search_call" and item.get("status") == "completed":
        yield from field_faults(item, {"action": is_object}, where)
    for key, allowed in _PARTS_OF.get(kind, {}).items():
        for number, part in enumerate(_listed(item.get(key))):
            yield from part_faults(part, allowed, f"{where}.{key}[{number}]", strict=strict)


def part_faults(part: object, allowed: tuple[str, ...], where: str, *, strict: bool) -> Iterator[str]:
    """What is wrong with a part of an item; annotations point into its text."""
    if not isinstance(part, dict) or part.get("type") not in allowed:
        yield f"{where}: no part of type {' or '.join(allowed)}"
        return
    yield from field_faults(part, PARTS[part["type"]], where)
    if part["type"] != "output_text":
        return
    yield from field_faults(part, {"logprobs": is_list if strict else (is_list, is_null)}, where, required=strict)
    length = len(part["text"]) if isinstance(part.get("text"), str) else 0
    for number, annotation in enumerate(_listed(part.get("annotations"))):
        yield from annotation_faults(annotation, length, f"{where}.annotations[{number}]")


def annotation_faults(annotation: object, length: int | None, where: str) -> Iterator[str]:
    """What is wrong with an annotation of a text of this length; `None` where the text is not known."""
    if not isinstance(annotation, dict) or annotation.get("type") not in ANNOTATIONS:
        yield f"{where}: no annotation of a known type"
        return
    yield from field_faults(annotation, ANNOTATIONS[annotation["type"]], where)
    start, end = annotation.get("start_index", 0), annotation.get("end_index", 0)
    if is_count(start) and is_count(end) and (start > end or (length is not None and end > length)):
        yield f"{where}: from {start} to {end} is no place in a text of {length}"


def response_faults(response: object, where: str, *, strict: bool) -> Iterator[str]:
    """What is wrong with a Response object, its items included."""
    if not isinstance(response, dict):
        yield f"{where}: no object"
        return
    yield from field_faults(response, RESPONSE, where)
    yield from field_faults(response, SETTINGS, where, required=strict)
    yield from _value_faults(response, where)
    yield from _outcome_faults(response, where, strict=strict)
    if isinstance(response.get("usage"), dict):
        yield from usage_faults(response["usage"], f"{where}.usage", strict=strict)
    for number, item in enumerate(_listed(response.get("output"))):
        yield from item_faults(item, f"{where}.output[{number}]", strict=strict)


def _value_faults(response: Json, where: str) -> Iterator[str]:
    if response.get("object") != "response":
        yield f"{where}: `object` is not 'response'"
    if response.get("status") not in STATUSES:
        yield f"{where}: status {response.get('status')!r} is not known"
    if response.get("service_tier") not in (*TIERS, None):
        yield f"{where}: service_tier {response['service_tier']!r} is not known"
    if response.get("truncation") not in ("auto", "disabled", None):
        yield f"{where}: truncation {response['truncation']!r} is not known"
    text = response.get("text")
    if isinstance(text, dict) and not isinstance((text.get("format") or {}).get("type"), str):
        yield f"{where}.text: no format with a type"


def _outcome_faults(response: Json, where: str, *, strict: bool) -> Iterator[str]:
    """Whether error, incomplete_details, usage and completed_at fit the status."""
    status, error, details = (response.get(name) for name in ("status", "error", "incomplete_details"))
    if (status == "failed") != isinstance(error, dict):
        yield f"{where}: status {status!r} with error {error!r}"
    if isinstance(error, dict):
        yield from field_faults(error, {"code": is_filled, "message": is_filled}, f"{where}.error")
        if strict and error.get("code") not in (*ERROR_CODES, *CODEX_CODES):
            yield f"{where}.error: code {error.get('code')!r} is not known to clients"
    if (status == "incomplete") != isinstance(details, dict):
        yield f"{where}: status {status!r} with incomplete_details {details!r}"
    elif isinstance(details, dict) and details.get("reason") not in REASONS:
        yield f"{where}.incomplete_details: reason {details.get('reason')!r} is not known"
    if status in ("completed", "incomplete") and not isinstance(response.get("usage"), dict):
        yield f"{where}: status {status!r} without usage"
    if strict and (status == "completed") != is_number(response.get("completed_at")):
        yield f"{where}: status {status!r} with completed_at {response.get('completed_at')!r}"


def usage_faults(usage: Json, where: str, *, strict: bool) -> Iterator[str]:
    """What is wrong with the counts."""
    faults = [*field_faults(usage, USAGE, where)]
    for name, counts in USAGE_DETAILS.items():
        faults += field_faults(usage, {name: is_object}, where, required=strict)
        if isinstance(details := usage.get(name), dict):
            faults += field_faults(details, dict.fromkeys(counts, is_count), f"{where}.{name}", required=strict)
    yield from faults
    if faults:
        return
    if usage["total_tokens"] != usage["input_tokens"] + usage["output_tokens"]:
        yield f"{where}: the total is not the sum"
    for name, whole in (("input_tokens_details", "input_tokens"), ("output_tokens_details", "output_tokens")):
        if sum(usage.get(name, {}).get(count, 0) for count in USAGE_DETAILS[name]) > usage[whole]:
            yield f"{where}: {name} are more than the whole"


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
