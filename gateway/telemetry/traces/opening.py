"""Whether the environment asks for traces, by OpenTelemetry's usual variables; only then its packages are loaded."""

import logging
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from gateway.telemetry.logs import log_event

if TYPE_CHECKING:
    from gateway.telemetry.traces.tracer import Tracer

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OURS: Final = "http/protobuf"
_PACKAGES: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def open_tracers(environ: Mapping[str, str]) -> "tuple[Tracer, ...]":
    """What traces requests: nothing if nobody asks for it, or if it is impossible, which the log says."""
    if not _is_wanted(environ):
        return ()
    if trouble := _trouble(environ):
        log_event(logging.WARNING, "There are no traces", why=trouble)
        return ()
    from gateway.telemetry.traces.tracer import Tracer

    return (Tracer(environ),)


def _is_wanted(environ: Mapping[str, str]) -> bool:
    is_off = environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or environ.get("OTEL_TRACES_EXPORTER") == "none"
    return not is_off and any(environ.get(name) for name in _ENDPOINTS)


def _trouble(environ: Mapping[str, str]) -> str | None:
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), _OURS)
    if protocol != _OURS:
        return f"the protocol {protocol} is not spoken here, only {_OURS}"
    exporter = environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter != "otlp":
        return f"the exporter {exporter} is not known here, only otlp"
    if not all(map(_is_installed, _PACKAGES)):
        return "packages are missing: pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
    return None


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False
