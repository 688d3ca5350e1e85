"""Every setting: its name, type, default, limits and meaning. The reader, the schema and the docs follow these."""

import ipaddress
import re
import ssl
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from gateway.secret import Secret

DEFAULT_BASE_URL = "https://api.anthropic.com"
# Paths that people copy from the documentation of an endpoint.
_API_PATH = re.compile(r"/v1(/[a-z_/]+)?$")


def as_base_url(text: str) -> str:
    """The URL without a trailing slash; a `ValueError` says what is wrong with it."""
    url = _http_url(text).rstrip("/")
    if "?" in url or "#" in url:
        raise ValueError("a base URL has no query and no fragment")
    if path := _API_PATH.search(url):
        raise ValueError(f"leave out the {path[0]} at the end, the gateway adds it")
    return url


def as_host(text: str) -> str:
    """An address or a name to listen on, without a port; a `ValueError` says what is wrong with it."""
    host = text.strip()
    if "//" in host or "/" in host:
        raise ValueError("expected an address like 127.0.0.1, without http:// and without a path")
    # An IPv6 address has several colons; a single one precedes a port.
    if re.fullmatch(r"[^:]*:\d*", host):
        raise ValueError("expected an address without a port, which is a setting of its own: server.port")
    return host.removeprefix("[").removesuffix("]")


def as_host_name(text: str) -> str:
    """A name as clients write it in `Host`, without a port; a `ValueError` says what is wrong with it."""
    name = text.strip().lower().rstrip(".")
    if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name):
        raise ValueError("expected a name like host.docker.internal, without a port and without wildcards")
    return name


def as_origin(text: str) -> str:
    """`*` or an origin as browsers send it; a `ValueError` says what is wrong with it."""
    if text == "*":
        return text
    origin = _http_url(text).rstrip("/")
    if origin.count("/") > 2 or "?" in origin or "#" in origin:
        raise ValueError("an origin is scheme, host and port only, like https://chat.example.com")
    return origin


def as_network(text: str) -> str:
    """An address or a network in its usual spelling; a `ValueError` says what is wrong with it."""
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        if "host bits" in str(error):
            raise ValueError(
                f"expected an address, or a network like {ipaddress.ip_network(text, strict=False)}"
            ) from None
        raise ValueError("expected an address or a network, like 10.0.0.7 or 10.0.0.0/8") from None


def as_ca_file(path: str) -> str:
    """The path of a file with certificates; a `ValueError` says why it is none."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise ValueError("there are no certificates in it, in PEM form") from error
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror or error}") from error
    return path


def as_model_id(text: str) -> str:
    """The name of one model; a `ValueError` says what is wrong with it."""
    if not text.strip():
        raise ValueError("expected the name of a model, got an empty text")
    if "*" in text or "?" in text:
        raise ValueError("this has to be the name of one model; only an alias, on the left, may hold wildcards")
    return text.strip()


def _http_url(text: str) -> str:
    expected = "expected an http:// or https:// URL"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(expected) from None
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(f"{expected} with a host")
    if "@" in parts.netloc:
        raise ValueError("a URL holds no user name or password here; keys belong to api_key")
    return text


Seconds = Annotated[float, Meta(gt=0)]
Name = Annotated[str, Meta(min_length=1)]
ModelId = Annotated[str, Meta(min_length=1, pattern="^[^*?]*$", extra={"check": as_model_id})]


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


class AbilitiesConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, repr_omit_defaults=True):
    """What a model can do, where the built-in table is wrong or has no entry; other facts stay as in the table."""

    context: Annotated[int | None, Meta(description="Tokens of the context window.")] = None
    max_output: Annotated[int | None, Meta(description="The most tokens of an answer, thinking included.")] = None
    thinking: Annotated[
        tuple[Literal["adaptive", "enabled", "disabled", "between_tools"], ...] | None,
        Meta(description="The values of thinking.type that are accepted."),
    ] = None
    thinks_by_default: Annotated[bool | None, Meta(description="Whether it thinks when thinking is left out.")] = None
    binds_thinking: Annotated[
        bool | None,
        Meta(description="Whether its thinking is valid only after an unchanged conversation."),
    ] = None
    efforts: Annotated[
        tuple[Literal["low", "medium", "high", "xhigh", "max"], ...] | None,
        Meta(description="The effort levels it has, lowest first."),
    ] = None
    forced_tools: Annotated[bool | None, Meta(description="Whether a tool call can be forced.")] = None
    prefill: Annotated[bool | None, Meta(description="Whether the last message may be the assistant's.")] = None
    sampling: Annotated[
        Literal["honoured", "exclusive", "none"] | None,
        Meta(description="Whether temperature and top_p are honoured, only one of them, or none."),
    ] = None
    system_messages: Annotated[bool | None, Meta(description="Whether messages may have the role system.")] = None
    cache_minimum: Annotated[int | None, Meta(description="Tokens below which a prompt is not cached.")] = None


class ModelsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model a name means, and how long its answers may get."""

    aliases: Annotated[
        dict[Name, ModelId],
        Meta(description="Name or pattern (with *) that clients ask for, to the model that answers."),
    ] = field(default_factory=dict)
    builtin_aliases: Annotated[
        bool, Meta(description="Whether OpenAI's model names are understood without an alias of your own.")
    ] = True
    max_output_tokens: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The limit for requests without one; null is the model's own maximum."),
    ] = None
    abilities: Annotated[
        dict[Name, AbilitiesConfig], Meta(description="Model to what it can do, overriding the built-in table.")
    ] = field(default_factory=dict)
    fallbacks: Annotated[
        dict[ModelId, tuple[ModelId, ...]],
        Meta(description="Model to the models that are asked in turn while all of its class are overloaded."),
    ] = field(default_factory=dict)
    refresh_seconds: Annotated[
        Seconds, Meta(description="How often the list of models is fetched from upstream again.")
    ] = 3600.0


class ClientConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One application that may use the gateway, with its key."""

    name: Annotated[Name, Meta(description="The name of the client in the log; each name once.")]
    api_key: Annotated[
        Secret, Meta(description="What the client sends as its OpenAI key: a text, usually ${NAME}, or its source.")
    ]
    sees_key: Annotated[bool, Meta(description="Whether its answers name the key that was used, in x-gateway-key.")] = (
        False
    )


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Access to the admin endpoints."""

    api_key: Annotated[
        Secret | None,
        Meta(description="What /admin/... asks for; null is DRAGOMAN_ADMIN_KEY, and without that no /admin."),
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
    admin: AdminConfig = AdminConfig()
    translation: TranslationConfig = TranslationConfig()
    native: NativeConfig = NativeConfig()
    streaming: StreamingConfig = StreamingConfig()
    retries: RetriesConfig = RetriesConfig()
    timeouts: TimeoutsConfig = TimeoutsConfig()
    upstream: UpstreamConfig = UpstreamConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()
