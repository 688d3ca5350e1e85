"""The configuration: one YAML file or a few environment variables, read into frozen structs."""

from gateway.config.accounts import AccountsConfig
from gateway.config.alerts import AlertsConfig
from gateway.config.changes import Changes, changes_between, keep_fixed
from gateway.config.checks import as_base_url
from gateway.config.console import ConsoleConfig
from gateway.config.describe import config_table, describe_config
from gateway.config.exposure import is_loopback
from gateway.config.extras import missing_extra
from gateway.config.loading import Loaded, check_draft, config_path, environment_base_url, load, load_config
from gateway.config.mistakes import ConfigError, Mistake
from gateway.config.models import AbilitiesConfig, ModelsConfig, PriceConfig
from gateway.config.responses import ResponsesConfig
from gateway.config.schema import config_schema
from gateway.config.settings import (
    AdminConfig,
    ClientConfig,
    Config,
    KeyConfig,
    LogConfig,
    NativeConfig,
    PoolConfig,
    RetriesConfig,
    ServerConfig,
    StoreConfig,
    StreamingConfig,
    TimeoutsConfig,
    TranslationConfig,
    UpstreamConfig,
)
from gateway.config.sources import Source
from gateway.config.stamps import Stamps, stamps_of
from gateway.config.telemetry import LogContentConfig, MetricsConfig, RequestLogConfig
from gateway.config.tls import Certificate, Pair, TlsConfig, TlsFileError, load_certificate, read_pair

__all__ = [
    "AbilitiesConfig",
    "AccountsConfig",
    "AdminConfig",
    "AlertsConfig",
    "Certificate",
    "Changes",
    "ClientConfig",
    "Config",
    "ConfigError",
    "ConsoleConfig",
    "KeyConfig",
    "Loaded",
    "LogConfig",
    "LogContentConfig",
    "MetricsConfig",
    "Mistake",
    "ModelsConfig",
    "NativeConfig",
    "Pair",
    "PoolConfig",
    "PriceConfig",
    "RequestLogConfig",
    "ResponsesConfig",
    "RetriesConfig",
    "ServerConfig",
    "Source",
    "Stamps",
    "StoreConfig",
    "StreamingConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "TlsFileError",
    "TranslationConfig",
    "UpstreamConfig",
    "as_base_url",
    "changes_between",
    "check_draft",
    "config_path",
    "config_schema",
    "config_table",
    "describe_config",
    "environment_base_url",
    "is_loopback",
    "keep_fixed",
    "load",
    "load_certificate",
    "load_config",
    "missing_extra",
    "read_pair",
    "stamps_of",
]
