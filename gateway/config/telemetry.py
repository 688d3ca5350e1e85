"""The settings of metrics and of the request log."""

from typing import Annotated

from msgspec import Meta, Struct

from gateway.config.checks import Name, Seconds, as_host
from gateway.secret import Secret


class MetricsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What /metrics shows to Prometheus, and who may see it."""

    enabled: Annotated[bool, Meta(description="Whether there is /metrics, and requests are counted for it.")] = True
    host: Annotated[Name, Meta(description="Address to listen on for metrics.port.", extra={"check": as_host})] = (
        "127.0.0.1"
    )
    port: Annotated[
        Annotated[int, Meta(ge=0, le=65535)] | None,
        Meta(description="A port for /metrics only, which then is not at server.port; null is server.port."),
    ] = None
    api_key: Annotated[
        Secret | None,
        Meta(
            description="What /metrics asks for, besides the admin key. Without both it is closed, "
            "unless the gateway is open to its own machine (no clients)."
        ),
    ] = None
    open_telemetry_names: Annotated[
        bool, Meta(description="Whether it also has OpenTelemetry's names for generative AI (gen_ai_...).")
    ] = True


class RequestLogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last requests in memory, for /admin/requests and `dragoman requests`."""

    size: Annotated[
        int,
        Meta(
            ge=0,
            le=20_000,
            description="How many requests each process holds, and half as many failed and slow ones; 0 is none.",
        ),
    ] = 1000
    max_bytes: Annotated[
        int, Meta(ge=64 * 1024, le=6 * 1024 * 1024, description="The most memory for them, per process.")
    ] = 4 * 1024 * 1024


class LogContentConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether the request log keeps what a client and the model say; without this section it never does."""

    keep_seconds: Annotated[
        Annotated[Seconds, Meta(le=86_400)],
        Meta(description="How long the beginnings of its requests and answers are kept, in memory only."),
    ] = 3600.0
    traces: Annotated[
        bool, Meta(description="Whether these are in its traces as well, and so leave for whoever collects them.")
    ] = False
