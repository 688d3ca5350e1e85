"""Every setting: its name, type, default, limits and meaning. The reader, the schema and the docs follow these."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.accounts.rules.definition import Definition
from gateway.config.accounts import AccountsConfig
from gateway.config.alerts import AlertsConfig
from gateway.config.checks import (
    Name,
    Seconds,
    as_base_url,
    as_ca_file,
    as_host,
    as_host_name,
    as_network,
    as_origin,
)
from gateway.config.console import ConsoleConfig
from gateway.config.models import ModelsConfig
from gateway.config.responses import ResponsesConfig
from gateway.config.telemetry import LogContentConfig, MetricsConfig, RequestLogConfig
from gateway.config.tls import TlsConfig
from gateway.secret import Secret

DEFAULT_BASE_URL = "https://api.anthropic.com"


class ServerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens, and what it accepts."""

    host: Annotated[
        Name,
        Meta(
            description="Address to listen on; 0.0.0.0 is every network, 127.0.0.1 this machine.",
            extra={"check": as_host},
        ),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 takes any free one.")] = 8080
    tls: Annotated[
        TlsConfig | None, Meta(description="The certificate, for HTTPS without a proxy; null is plain HTTP.")
    ] = None
    max_body_bytes: Annotated[int, Meta(ge=1, description="Larger request bodies are refused with status 413.")] = (
        32 * 1024 * 1024
    )
    cors_origins: Annotated[
        tuple[Annotated[str, Meta(extra={"check": as_origin})], ...],
        Meta(description='Web pages that may call the gateway, like "https://chat.example.com"; "*" is every page.'),
    ] = ()
    allowed_hosts: Annotated[
        tuple[Annotated[str, Meta(extra={"check": as_host_name})], ...],
        Meta(description="Without clients: host names besides localhost that are answered, like host.docker.internal."),
    ] = ()
    trusted_proxies: Annotated[
        tuple[Annotated[str, Meta(extra={"check": as_network})], ...],
        Meta(description="Proxies whose x-forwarded-for is trusted: addresses, or networks like 10.0.0.0/8."),
    ] = ()
    drain_seconds: Annotated[
        float,
        Meta(ge=0, description="How long to go on accepting after SIGTERM while /readyz already refuses, see docs."),
    ] = 0.0
    shutdown_grace_seconds: Annotated[
        Seconds, Meta(description="How long open streams may continue after Ctrl-C or SIGTERM.")
    ] = 30.0
    max_connections: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Concurrent connections of clients, per process; null is what file descriptors allow."),
    ] = None
    max_connections_per_address: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The most of these from one address, except this machine's own; null is half of them."),
    ] = None
    max_buffered_bytes: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(
            description="Bytes of request bodies being received, in all, per process; null is 8 times the largest one."
        ),
    ] = None
    client_write_seconds: Annotated[
        Seconds, Meta(description="A client that reads nothing of its answer for this long is disconnected.")
    ] = 60.0
    workers: Annotated[
        int, Meta(ge=1, le=64, description="Processes that serve; more than 1 is for more than one CPU core.")
    ] = 1
    worker_silence_seconds: Annotated[
        float, Meta(ge=3, description="A worker whose event loop has not run for this long is ended and replaced.")
    ] = 30.0


class KeyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the gateway's Anthropic keys."""

    name: Annotated[Name, Meta(description="The name of the key in the log; each name once.")]
    api_key: Annotated[Secret, Meta(description="The key itself: a text, usually ${NAME}, or its source.")]
    base_url: Annotated[
        str,
        Meta(
            description="Where its requests go, without /v1.",
            pattern=r"^(https?://|\$\{)",
            extra={"check": as_base_url},
        ),
    ] = DEFAULT_BASE_URL
    allow_http: Annotated[
        bool, Meta(description="Whether base_url may be http:// to another machine, where others can read the key.")
    ] = False
    weight: Annotated[int, Meta(ge=1, description="Its share of the requests, relative to the other keys'.")] = 1
    priority: Annotated[int, Meta(ge=0, description="For pool.strategy priority: lower ones are filled first.")] = 0
    max_concurrency: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The most concurrent requests; null is no limit until upstream says to slow down."),
    ] = None
    organization: Annotated[
        Name | None,
        Meta(description="Its organization's id. Upstream's answers tell it; set here, it is known from the start."),
    ] = None
    workspace: Annotated[
        Name | None,
        Meta(description="Its workspace's id. Upstream's answers tell it; set here, it is known from the start."),
    ] = None
    api_version: Annotated[
        Literal["auto", "2023-06-01", "2026-10-21"],
        Meta(description="The anthropic-version header; auto chooses the newest one that the gateway speaks."),
    ] = "auto"


class PoolConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How requests are spread over the keys, and how they wait for one."""

    strategy: Annotated[
        Literal["affinity", "least_busy", "weighted", "priority"],
        Meta(description="affinity keeps conversations where their prompt cache is; see docs/load-balancing.md."),
    ] = "affinity"
    queue_size: Annotated[int, Meta(ge=0, description="Requests that may wait for a key at once; 0 is none.")] = 1000
    queue_timeout_seconds: Annotated[
        Seconds, Meta(description="How long a request waits for keys, in all, before it is answered with 429.")
    ] = 30.0


class ClientConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One application that may use the gateway, with its key."""

    name: Annotated[Name, Meta(description="The name of the client in the log; each name once.")]
    api_key: Annotated[
        Secret, Meta(description="What the client sends as its OpenAI key: a text, usually ${NAME}, or its source.")
    ]
    group: Annotated[
        Name | None, Meta(description="The group that its requests count for, in rules and in reports; null is none.")
    ] = None
    sees_key: Annotated[bool, Meta(description="Whether its answers name the key that was used, in x-gateway-key.")] = (
        False
    )
    log_content: Annotated[
        LogContentConfig | None,
        Meta(description="Whether the request log keeps what is said in its requests; null is never."),
    ] = None


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Access to the admin endpoints."""

    api_key: Annotated[
        Secret | None,
        Meta(description="What /admin/... asks for; null is DRAGOMAN_ADMIN_KEY, and without that no /admin."),
    ] = None
    viewer_key: Annotated[
        Secret | None, Meta(description="What may read /admin/... and change nothing; null is no such key.")
    ] = None


class TranslationConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How chat completions are translated for Anthropic's API."""

    on_unsupported: Annotated[
        Literal["adjust", "reject"],
        Meta(description="A parameter without a counterpart: adjust the request and say so, or reject it with 400."),
    ] = "adjust"
    show_reasoning: Annotated[
        Literal["when_asked", "always"],
        Meta(description="Whether the model's reasoning is in the answer only when the request asks, or always."),
    ] = "when_asked"
    prompt_caching: Annotated[
        Literal["off", "auto", "always"],
        Meta(
            description="Cache marks for requests that have none: auto sets them where they pay, "
            "always at the end of every conversation."
        ),
    ] = "auto"
    max_choices: Annotated[int, Meta(ge=1, le=128, description="The most choices (n) in one request.")] = 8
    allow_native: Annotated[
        tuple[Literal["speed", "inference_geo", "mcp_servers", "container", "fallbacks", "file_ids"], ...],
        Meta(
            description="Which of Anthropic's own fields may be used that cost more, reach other systems, "
            "or belong to one workspace."
        ),
    ] = ()


_Name = Annotated[str, Meta(min_length=1, max_length=100)]


class NativeConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of Anthropic's own API may be used with the gateway's keys, in addition to the default."""

    fields: Annotated[
        tuple[_Name, ...],
        Meta(description="Further fields of the body of /v1/messages, such as fallbacks; * is every field."),
    ] = ()
    betas: Annotated[
        tuple[_Name, ...],
        Meta(description="Further values of anthropic-beta, with their date or without; * is every one."),
    ] = ()
    server_tools: Annotated[
        tuple[_Name, ...],
        Meta(
            description="The tools that run at Anthropic and may be used, here and in chat completions, "
            "by their type without its date; * is every one."
        ),
    ] = ("web_search", "web_fetch", "code_execution", "tool_search")


class StreamingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How streams are kept alive."""

    keepalive_seconds: Annotated[
        Seconds,
        Meta(
            description="Silence after which an empty chunk is sent; "
            "also the longest wait before a stream's headers are sent, three times that in the queue."
        ),
    ] = 15.0


class RetriesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a request is tried again, with the same key or another."""

    max_attempts: Annotated[int, Meta(ge=1, description="Attempts for one request, the first included.")] = 3
    deadline_seconds: Annotated[
        Seconds, Meta(description="No attempt begins later than this after the request arrived.")
    ] = 600.0
    budget_percent: Annotated[
        float, Meta(ge=0, le=100, description="What retries may add to the traffic, in percent of it.")
    ] = 20.0


class TimeoutsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the gateway waits for upstream."""

    connect_seconds: Annotated[Seconds, Meta(description="Until a connection is established.")] = 10.0
    first_byte_seconds: Annotated[Seconds, Meta(description="From the request to the answer's first byte.")] = 600.0
    idle_seconds: Annotated[Seconds, Meta(description="Silence between two reads of an answer.")] = 600.0
    total_seconds: Annotated[Seconds, Meta(description="From the request to the end of the answer.")] = 3600.0


class UpstreamConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the gateway connects to upstream."""

    client: Annotated[
        Literal["auto", "direct", "httpx2"],
        Meta(
            description="auto is httpx2 for hosts behind a proxy (HTTPS_PROXY and the like), and direct for all others."
        ),
    ] = "auto"
    ca_file: Annotated[
        Annotated[str, Meta(min_length=1, extra={"check": as_ca_file})] | None,
        Meta(description="Certificates to trust instead of the system's, in PEM form; null is the system's."),
    ] = None


class StoreConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway keeps between the requests of a conversation, and where."""

    kind: Annotated[
        Literal["auto", "memory", "sqlite", "valkey", "off"],
        Meta(description="Where turns are kept; auto is sqlite where `cryptography` is installed, else memory."),
    ] = "auto"
    path: Annotated[
        Name | None,
        Meta(description="The database of SQLite; null is dragoman/store.db in $XDG_STATE_HOME or ~/.local/state."),
    ] = None
    url: Annotated[
        Secret | None, Meta(description="The server for kind valkey, like valkey://:password@host:6379/0.")
    ] = None
    encryption_key: Annotated[
        Secret | None,
        Meta(description="Any text of 16 characters or more; null creates one, in a file beside the database."),
    ] = None
    memory_bytes: Annotated[int, Meta(ge=1024 * 1024, description="The most that each process keeps in memory.")] = (
        32 * 1024 * 1024
    )
    disk_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="The maximum size of the database's files, in all.")
    ] = 1024 * 1024 * 1024
    keep_seconds: Annotated[Seconds, Meta(description="How long a turn is kept.")] = 604800.0


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the gateway writes to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least important line that is written.")
    ] = "info"
    format: Annotated[Literal["text", "json"], Meta(description="text for people, json for log collectors.")] = "text"


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything an operator can set."""

    # `omit_defaults`: workers decode it, and would refuse an empty list of keys, but not a missing one.

    server: ServerConfig = ServerConfig()
    keys: Annotated[tuple[KeyConfig, ...], Meta(min_length=1, description="The keys used towards Anthropic.")] = ()
    pool: PoolConfig = PoolConfig()
    models: ModelsConfig = ModelsConfig()
    clients: Annotated[tuple[ClientConfig, ...], Meta(description="The applications that may use the gateway.")] = ()
    rules: Annotated[tuple[Definition, ...], Meta(description="Who may use how much of what; see docs/rules.md.")] = ()
    admin: AdminConfig = AdminConfig()
    accounts: AccountsConfig = AccountsConfig()
    translation: TranslationConfig = TranslationConfig()
    native: NativeConfig = NativeConfig()
    streaming: StreamingConfig = StreamingConfig()
    retries: RetriesConfig = RetriesConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    store: StoreConfig = StoreConfig()
    responses: ResponsesConfig = ResponsesConfig()
    alerts: AlertsConfig = AlertsConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    request_log: RequestLogConfig = RequestLogConfig()
    console: ConsoleConfig = ConsoleConfig()
