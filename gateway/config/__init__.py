"""What the operator writes: one YAML file or a few environment variables, read into frozen structs."""

from gateway.config.describe import describe_config
from gateway.config.loading import environment_base_url, load_config
from gateway.config.mistakes import ConfigError, Mistake
from gateway.config.schema import config_schema
from gateway.config.settings import (
    AbilitiesConfig,
    AdminConfig,
    ClientConfig,
    Config,
    KeyConfig,
    LogConfig,
    ModelsConfig,
    PoolConfig,
    RetriesConfig,
    ServerConfig,
    StreamingConfig,
    TimeoutsConfig,
    TranslationConfig,
    UpstreamConfig,
)

__all__ = [
    "AbilitiesConfig",
    "AdminConfig",
    "ClientConfig",
    "Config",
    "ConfigError",
    "KeyConfig",
    "LogConfig",
    "Mistake",
    "ModelsConfig",
    "PoolConfig",
    "RetriesConfig",
    "ServerConfig",
    "StreamingConfig",
    "TimeoutsConfig",
    "TranslationConfig",
    "UpstreamConfig",
    "config_schema",
    "describe_config",
    "environment_base_url",
    "load_config",
]
