"""A pytest plugin for the openai SDK's own tests: what they say to their mock server becomes something that exists.

They create responses from an empty body, and retrieve, delete or continue others by ids that only that server knows.
Before such a request leaves, this fills in a model and an input, or creates a response or conversation and names that
one instead. Nothing else of the requests, and nothing of the answers, is touched.

It is loaded into a pytest of its own (`-p made_up_ids`, with this folder on the path), so it imports nothing of ours.
"""

import functools
import json
import os
import urllib.request
from typing import Any

import openai

ASKED: dict[str, Any] = {"model": "claude-sonnet-5-5", "input": "Say hello."}
RESPONSES = ("resp_677efb5139a88190b512bc3fef8e535d", "response_id", "resp_123", "previous_response_id")
CONVERSATION = "conv_123"
ITEM = "msg_abc"
# A compacted conversation repeats what users have said, and the SDK's types know messages of the assistant's alone.
TO_COMPACT = {**ASKED, "input": [{"role": "assistant", "content": "Hello."}]}
TO_FILL: dict[str, dict[str, Any]] = {
    "/responses": ASKED,
    "/responses/input_tokens": ASKED,
    "/responses/compact": TO_COMPACT,
}
SEED_SECONDS = 30


def pytest_configure() -> None:
    """Let both clients pass their options by `arranged` before they use them."""
    _wrap(openai.OpenAI, is_async=False)
    _wrap(openai.AsyncOpenAI, is_async=True)


def arranged(options: Any) -> Any:
    """The options of a request whose ids exist; their path, body and query are all that is looked at."""
    if not options.url.startswith(("/responses", "/conversations")):
        return options
    body: Any = options.json_data
    if options.method.lower() == "post" and options.url in TO_FILL:
        body = {**TO_FILL[options.url], **(body or {})}
    if isinstance(body, dict) and body.get("previous_response_id") in RESPONSES:
        body = {**body, "previous_response_id": _new_response(in_background=False)}
    # Only what was made in the background can be cancelled, or its stream be had again.
    is_streamed = bool(dict(options.params or {}).get("stream"))
    options.url = _existing(options.url, in_background=is_streamed or options.url.endswith("/cancel"))
    options.json_data = body
    return options


def _existing(url: str, *, in_background: bool) -> str:
    _, kind, *rest = url.split("/")
    if kind == "responses" and rest and rest[0] in RESPONSES:
        rest[0] = _new_response(in_background=in_background)
    if kind == "conversations" and rest and rest[0] == CONVERSATION:
        rest[0] = _post("/conversations", {"items": [{"role": "user", "content": "Hello."}]})["id"]
        if rest[-1] == ITEM:
            rest[-1] = _get(f"/conversations/{rest[0]}/items")["data"][0]["id"]
    return "/".join(["", kind, *rest])


def _new_response(*, in_background: bool) -> str:
    return str(_post("/responses", {**ASKED, **({"background": True} if in_background else {})})["id"])


def _post(path: str, body: dict[str, Any]) -> Any:
    return _read(urllib.request.Request(_address(path), json.dumps(body).encode()))


def _get(path: str) -> Any:
    return _read(urllib.request.Request(_address(path)))


def _address(path: str) -> str:
    return os.environ["TEST_API_BASE_URL"] + path


def _read(request: urllib.request.Request) -> Any:
    request.add_header("content-type", "application/json")
    # The key that the SDK's own clients have in these tests: what is kept is the caller's.
    request.add_header("authorization", "Bearer My API Key")
    with urllib.request.urlopen(request, timeout=SEED_SECONDS) as answer:
        return json.load(answer)


def _wrap(client: Any, *, is_async: bool) -> None:
    prepare = client._prepare_options

    @functools.wraps(prepare)
    def prepared(self: Any, options: Any) -> Any:
        return prepare(self, arranged(options))

    @functools.wraps(prepare)
    async def prepared_async(self: Any, options: Any) -> Any:
        return await prepare(self, arranged(options))

    client._prepare_options = prepared_async if is_async else prepared
