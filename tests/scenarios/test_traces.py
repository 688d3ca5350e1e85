"""Traces, as a collector of OpenTelemetry receives them: whose they are, what they say, and what they never say."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.config import LogContentConfig
from gateway.edge.tracing import CallersTrace, callers_trace
from gateway.service.tracing import CURRENT
from gateway.telemetry.traces import opening
from gateway.telemetry.traces.opening import open_tracers
from tests.scenarios.harness import PATH, asking, quick_gateway, until
from tests.scenarios.native_harness import PATH as NATIVE_PATH
from tests.scenarios.native_harness import asking_natively
from tests.support import messages
from tests.support.gateway import ClientConfig, Secret, config_for, key
from tests.support.scripted import ScriptedUpstream, error_answer, json_answer, stream_answer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
SECRET = "planted-secret-0123456789"
USAGE = {"input_tokens": 10, "cache_creation_input_tokens": 30, "cache_read_input_tokens": 2, "output_tokens": 4}


class Collector:
    """A collector that takes spans over OTLP/HTTP."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                self.bodies.append(handler.rfile.read(int(handler.headers["content-length"])))
                handler.send_response(200)
                handler.send_header("content-length", "0")
                handler.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in self.bodies]

    @property
    def spans(self) -> list[Span]:
        """All spans so far, in the order of their beginning."""
        scopes = [scope for request in self.requests for spans in request.resource_spans for scope in spans.scope_spans]
        return sorted((span for scope in scopes for span in scope.spans), key=lambda span: span.start_time_unix_nano)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names, as gateways find it that start now."""
    found = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    yield found
    found.server.shutdown()
    found.server.server_close()


def attributes(of: Any) -> dict[str, Any]:
    found = {}
    for one in of.attributes:
        value = getattr(one.value, one.value.WhichOneof("value"))
        found[one.key] = [each.string_value for each in value.values] if hasattr(value, "values") else value
    return found


def of_kind(collector: Collector, kind: int) -> list[Span]:
    return [span for span in collector.spans if span.kind == kind]


async def test_a_request_with_a_fail_over_is_a_span_with_two_below_it(
    upstream: ScriptedUpstream, collector: Collector
) -> None:
    upstream.script(error_answer(401, "authentication_error", "no"), json_answer(200, messages.message(usage=USAGE)))
    async with quick_gateway(key(upstream.base_url, "a"), key(upstream.base_url, "b")) as running:
        answer = await running.http().post(PATH, json=asking(), headers=SAMPLED)
    [request] = of_kind(collector, Span.SPAN_KIND_SERVER)
    failed, served = of_kind(collector, Span.SPAN_KIND_CLIENT)
    told = [received.headers["traceparent"] for received in upstream.received]
    said, first, second = attributes(request), attributes(failed), attributes(served)
    resource = attributes(collector.requests[0].resource_spans[0].resource)

    assert answer.status_code == 200
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert request.parent_span_id.hex() == PARENT
    assert failed.parent_span_id == served.parent_span_id == request.span_id
    assert told == [f"00-{TRACE}-{span.span_id.hex()}-01" for span in (failed, served)]
    assert {received.headers["tracestate"] for received in upstream.received} == {"vendor=value"}
    assert (request.name, served.name) == (f"POST {PATH}", f"chat {messages.MODEL}")
    assert (first["error.type"], first["http.response.status_code"]) == ("key_rejected", 401)
    assert failed.status.code == Status.STATUS_CODE_ERROR
    assert served.status.code == request.status.code == Status.STATUS_CODE_UNSET
    assert {first["dragoman.upstream_key"], second["dragoman.upstream_key"]} == {"a", "b"}
    assert said["http.response.status_code"] == 200
    assert (said["dragoman.attempts"], said["gen_ai.operation.name"]) == (2, "chat")
    assert said["dragoman.request_id"] == answer.headers["x-request-id"]
    assert second["gen_ai.provider.name"] == "anthropic"
    assert second["server.address"] == "127.0.0.1"
    assert second["server.port"] == int(upstream.base_url.rsplit(":", 1)[1])
    assert second["gen_ai.response.finish_reasons"] == ["end_turn"]
    assert said["gen_ai.usage.input_tokens"] == second["gen_ai.usage.input_tokens"] == 42
    assert second["gen_ai.usage.cache_read.input_tokens"] == 2
    assert second["gen_ai.usage.cache_write.input_tokens"] == 30
    assert second["gen_ai.usage.output_tokens"] == 4
    assert "gen_ai.usage.input_tokens" not in first
    assert (resource["service.name"], "service.version" in resource) == ("dragoman", True)


async def test_a_stream_tells_when_its_first_token_came(
    upstream: ScriptedUpstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "claude-for-all")
    upstream.script(stream_answer(*messages.text_stream(usage=USAGE)))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking(stream=True))
    [request], [attempt] = (of_kind(collector, kind) for kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT))
    [event] = request.events

    assert request.parent_span_id == b""
    assert upstream.received[0].headers["traceparent"].split("-")[1] == request.trace_id.hex()
    assert "tracestate" not in upstream.received[0].headers
    assert event.name == "gen_ai.first_token"
    assert request.start_time_unix_nano <= attempt.start_time_unix_nano <= event.time_unix_nano
    assert event.time_unix_nano <= attempt.end_time_unix_nano <= request.end_time_unix_nano + 10**6
    assert attributes(request)["gen_ai.request.stream"] is True
    assert attributes(attempt)["gen_ai.response.time_to_first_chunk"] > 0
    assert attributes(collector.requests[0].resource_spans[0].resource)["service.name"] == "claude-for-all"


@pytest.mark.parametrize(("path", "ask"), [(PATH, asking), (NATIVE_PATH, asking_natively)])
async def test_nothing_that_anybody_says_is_in_a_span(
    upstream: ScriptedUpstream, collector: Collector, path: str, ask: Any
) -> None:
    upstream.script(
        error_answer(529, "overloaded_error", f"{SECRET} is busy"),
        json_answer(200, messages.message(f"{SECRET} for you")),
    )
    body = ask() | {"messages": [{"role": "user", "content": SECRET}], "metadata": {"user_id": SECRET}}
    headers = {"authorization": f"Bearer {SECRET}", "x-request-id": SECRET, "user-agent": SECRET}
    async with quick_gateway(key(upstream.base_url, api_key=f"sk-ant-{SECRET}")) as running:
        await running.http().post(f"{path}?key={SECRET}", json=body, headers=headers | SAMPLED)

    assert len(of_kind(collector, Span.SPAN_KIND_SERVER)) == 1
    assert SECRET.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize("traces", [False, True])
async def test_content_is_in_the_spans_of_clients_that_ask_for_it_only(
    upstream: ScriptedUpstream, collector: Collector, traces: bool
) -> None:
    upstream.script(json_answer(200, messages.message(f"{SECRET} for you")))
    content = LogContentConfig(traces=traces)
    client = ClientConfig(name="app", api_key=Secret("a-key-of-the-client"), log_content=content)
    async with quick_gateway(config=config_for(key(upstream.base_url), clients=[client])) as running:
        body = asking() | {"messages": [{"role": "user", "content": "x" * 100_000}]}
        await running.http().post(PATH, json=body, headers={"authorization": "Bearer a-key-of-the-client"})
    [request] = of_kind(collector, Span.SPAN_KIND_SERVER)
    said = attributes(request)

    assert (SECRET in said.get("dragoman.response.body", "")) == traces
    assert len(said.get("dragoman.request.body", "")) == (16 * 1024 if traces else 0)


async def test_what_is_not_sampled_costs_no_span_and_is_told_upstream_only_if_a_caller_traces(
    upstream: ScriptedUpstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        for headers in ({}, UNSAMPLED, SAMPLED):
            await http.post(PATH, json=asking(), headers=headers)
    told = [received.headers.get("traceparent", "") for received in upstream.received]

    assert told[0] == ""
    assert (told[1].startswith(f"00-{TRACE}-"), told[1][-3:]) == (True, "-00")
    assert (told[2].startswith(f"00-{TRACE}-"), told[2][-3:]) == (True, "-01")
    assert [span.trace_id.hex() for span in of_kind(collector, Span.SPAN_KIND_SERVER)] == [TRACE]


async def test_a_response_in_the_background_belongs_to_the_trace_of_its_request(
    upstream: ScriptedUpstream, collector: Collector
) -> None:
    upstream.script(stream_answer(*messages.text_stream(usage=USAGE)))
    body = {"model": messages.MODEL, "input": "Hi", "background": True}
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        made = (await http.post("/v1/responses", json=body, headers=SAMPLED)).json()
        async with asyncio.timeout(25):
            while (await http.get(f"/v1/responses/{made['id']}")).json()["status"] != "completed":
                pass
    [request], [attempt] = (of_kind(collector, kind) for kind in (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT))

    assert request.trace_id.hex() == TRACE
    assert attempt.parent_span_id == request.span_id
    assert attributes(request)["gen_ai.usage.output_tokens"] == 4


async def test_what_cannot_be_read_is_a_span_without_attempts(upstream: ScriptedUpstream, collector: Collector) -> None:
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json={"model": 3})
    [request] = collector.spans
    said = attributes(request)

    assert (said["http.response.status_code"], said["error.type"]) == (400, "invalid_request")
    assert not [name for name in said if name.endswith(".model")]


async def test_what_a_caller_was_refused_is_an_error_and_its_log_line_has_the_trace(
    upstream: ScriptedUpstream, collector: Collector, read_json_log: Any
) -> None:
    upstream.always(error_answer(400, "invalid_request_error", "no"))
    async with quick_gateway(key(upstream.base_url)) as running:
        await running.http().post(PATH, json=asking())
    [request] = of_kind(collector, Span.SPAN_KIND_SERVER)
    [line] = [line for line in read_json_log() if line.get("path") == PATH]

    assert request.status.code == Status.STATUS_CODE_ERROR
    assert attributes(request)["http.response.status_code"] == 400
    assert attributes(request)["error.type"] == "invalid_request"
    assert line["trace_id"] == request.trace_id.hex()


async def test_requests_on_one_connection_do_not_share_a_trace(
    upstream: ScriptedUpstream, collector: Collector
) -> None:
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url)) as running:
        http = running.http()
        for _ in range(3):
            await http.post(PATH, json=asking())

    assert len({span.trace_id for span in of_kind(collector, Span.SPAN_KIND_SERVER)}) == 3
    assert CURRENT.get() is None


async def test_a_collector_that_is_away_costs_requests_nothing_and_the_end_little(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setattr("gateway.telemetry.traces.tracer.CLOSE_SECONDS", 0.1)
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url)) as running:
        answers = [await running.http().post(PATH, json=asking()) for _ in range(2)]
    async with asyncio.timeout(25):
        await until(lambda: "Traces are lost" in caplog.text)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert caplog.text.count("Traces are lost") == 1


async def test_what_does_not_fit_into_the_queue_is_dropped(
    upstream: ScriptedUpstream, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "2")
    upstream.always(json_answer(200, messages.message()))
    async with quick_gateway(key(upstream.base_url)) as running:
        for _ in range(5):
            await running.http().post(PATH, json=asking())
        before = len(collector.bodies)

    assert before == 0
    assert len(of_kind(collector, Span.SPAN_KIND_SERVER)) == 2


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({}, ""),
        ({"OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_TRACES_EXPORTER": "none"}, ""),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "the protocol grpc is not spoken here"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "the exporter zipkin is not known here"),
        ({"OTEL_SERVICE_NAME": "x"}, "packages are missing: pip install opentelemetry-sdk"),
    ],
)
def test_there_are_no_traces_unless_asked_for_and_what_prevents_them_is_said(
    variables: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(opening, "find_spec", lambda _: None)
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"} if variables else {}

    assert open_tracers(named | variables) == ()
    assert len(caplog.records) == bool(why)
    assert why in str(caplog.records[0].__dict__ if caplog.records else "")


@pytest.mark.parametrize(
    ("parent", "state", "found"),
    [
        (f"00-{TRACE}-{PARENT}-01", "a=b", CallersTrace(TRACE, PARENT, True, "a=b")),
        (f"00-{TRACE}-{PARENT}-00", "x" * 513, CallersTrace(TRACE, PARENT, False, "")),
        (f"cc-{TRACE}-{PARENT}-03-more", "é", CallersTrace(TRACE, PARENT, True, "")),
        (f"00-{TRACE}-{PARENT}-01-more", "", None),
        (f"cc-{TRACE}-{PARENT}-01.more", "", None),
        (f"ff-{TRACE}-{PARENT}-01", "", None),
        (f"00-{'0' * 32}-{PARENT}-01", "", None),
        (f"00-{TRACE}-{'0' * 16}-01", "", None),
        (f"00-{TRACE.upper()}-{PARENT}-01", "", None),
        ("00-" + "a" * 60_000, "", None),
        ("", "", None),
    ],
)
def test_a_callers_trace_is_read_as_the_w3c_writes_it(parent: str, state: str, found: CallersTrace | None) -> None:
    headers = [(b"traceparent", parent.encode()), (b"tracestate", state.encode())]

    assert callers_trace({"headers": headers}) == found
