"""The configuration: what loads, what is wrong and how it is told, and that the papers beside it are complete."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import trustme
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gateway.accounts.rules.definition import Definition
from gateway.accounts.rules.reading import rule_of
from gateway.config import (
    AccountsConfig,
    AdminConfig,
    AlertsConfig,
    ClientConfig,
    Config,
    ConfigError,
    ConsoleConfig,
    KeyConfig,
    LogConfig,
    MetricsConfig,
    Mistake,
    ModelsConfig,
    NativeConfig,
    PoolConfig,
    PriceConfig,
    RequestLogConfig,
    ResponsesConfig,
    RetriesConfig,
    ServerConfig,
    StoreConfig,
    StreamingConfig,
    TimeoutsConfig,
    TranslationConfig,
    UpstreamConfig,
    config_schema,
    describe_config,
    environment_base_url,
    load_config,
    sources,
)
from gateway.config import load as load_from
from gateway.config.document import parse
from gateway.config.mistakes import Mistakes
from gateway.config.reading import Reader
from gateway.secret import Secret

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"
DOCUMENTATION = ROOT / "docs" / "configuration.md"
EXAMPLE_ENVIRONMENT = {"ANTHROPIC_API_KEY": "sk-ant-1", "MY_APP_KEY": "app-key-1"}
STRUCTS: tuple[type[msgspec.Struct], ...] = (
    ServerConfig,
    KeyConfig,
    PoolConfig,
    ModelsConfig,
    ClientConfig,
    Definition,
    AdminConfig,
    AccountsConfig,
    TranslationConfig,
    NativeConfig,
    StreamingConfig,
    RetriesConfig,
    TimeoutsConfig,
    UpstreamConfig,
    StoreConfig,
    ResponsesConfig,
    AlertsConfig,
    LogConfig,
    MetricsConfig,
    RequestLogConfig,
    ConsoleConfig,
)
NASTY = [
    "a: b",
    "it's",
    'say "hi"',
    "x # y",
    "two\nlines",
    "{a: [b",
    "*x",
    "&x",
    "!x",
    "- x",
    "null",
    "${X}",
    "\\n",
    "%",
]


class Loader:
    """Writes a file and loads it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "dragoman.yaml"

    def __call__(self, text: str, **environ: str) -> Config:
        self.file.write_text(text, "utf-8")
        return load_config(str(self.file), environ)

    def mistakes(self, text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self(text, **environ)
        assert str(raised.value).splitlines() == [str(mistake) for mistake in raised.value.mistakes]
        shown = [f"{mistake.path}: {mistake.text}" for mistake in raised.value.mistakes]
        return [mistake.removeprefix(f"{self.file}: ") for mistake in shown]


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    return Loader(tmp_path)


# The environment alone


@pytest.mark.parametrize("path", ["/v1", "/v1/messages", "/v1/chat/completions", "/v1/"])
def test_a_base_url_is_the_hosts_and_not_an_endpoints(load: Loader, path: str) -> None:
    [mistake] = load.mistakes(f"keys: [{{name: a, api_key: sk-1, base_url: 'https://api.anthropic.com{path}'}}]")

    assert mistake == f"keys[0].base_url: leave out the {path.rstrip('/')} at the end, the gateway adds it"


@pytest.mark.parametrize("host", ["127.0.0.1:9", "localhost:8080", "http://127.0.0.1", "127.0.0.1/v1"])
def test_a_host_is_an_address_and_no_more(load: Loader, host: str) -> None:
    [mistake] = load.mistakes(f"server: {{host: '{host}'}}", ANTHROPIC_API_KEY="sk-1")

    assert mistake.startswith("server.host: expected an address")


@pytest.mark.parametrize(("host", "meant"), [("::1", "::1"), ("[::1]", "::1"), ("localhost", "localhost")])
def test_a_host_may_be_an_ipv6_address(load: Loader, host: str, meant: str) -> None:
    assert load(f"server: {{host: '{host}'}}", ANTHROPIC_API_KEY="sk-1").server.host == meant


def test_a_mistake_says_the_line_of_its_setting(load: Loader) -> None:
    text = """
keys:
  - name: a
    api_key: sk-1
    wieght: 2
  - name: a
    api_key: sk-2
server: {port: abc}
models:
  fallbacks: {x: [y, x]}
"""
    with pytest.raises(ConfigError) as raised:
        load(text)

    assert [(mistake.path, mistake.line) for mistake in raised.value.mistakes] == [
        ("server.port", 8),
        ("keys[0].wieght", 5),
        ("keys[1].name", 6),
        ("models.fallbacks.x[1]", 10),
    ]
    assert str(raised.value).splitlines()[1] == "keys[0].wieght: unknown setting, did you mean weight? (line 5)"


def test_nothing_at_all_is_a_configuration() -> None:
    assert load_config(None, {}) == Config()


def test_one_key_in_the_environment_is_enough() -> None:
    config = load_config(None, {"ANTHROPIC_API_KEY": " sk-ant-1\n"})

    assert config.keys == (KeyConfig(name="default", api_key=Secret("sk-ant-1")),)
    assert config.keys[0].base_url == "https://api.anthropic.com"


def test_several_keys_in_the_environment_are_numbered() -> None:
    environ = {"ANTHROPIC_API_KEYS": "sk-1, sk-2,,", "ANTHROPIC_API_KEY": "sk-9", "ANTHROPIC_BASE_URL": "https://up:1/"}
    config = load_config(None, environ)

    assert [(key.name, key.api_key.reveal(), key.base_url) for key in config.keys] == [
        ("key-1", "sk-1", "https://up:1"),
        ("key-2", "sk-2", "https://up:1"),
    ]


def test_a_list_of_one_key_is_the_default_key() -> None:
    assert [key.name for key in load_config(None, {"ANTHROPIC_API_KEYS": "sk-1"}).keys] == ["default"]


def test_mistakes_in_the_environment_name_the_variable() -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(None, {"ANTHROPIC_API_KEYS": "good,b ad", "ANTHROPIC_BASE_URL": "api.anthropic.com"})

    assert str(raised.value).splitlines() == [
        "ANTHROPIC_BASE_URL: expected an http:// or https:// URL with a host",
        "ANTHROPIC_API_KEYS: key-2: the secret contains spaces, line ends or characters that an HTTP header cannot "
        "carry",
    ]


def test_callers_own_keys_have_a_base_url_as_well() -> None:
    assert environment_base_url({}) == "https://api.anthropic.com"
    assert environment_base_url({"ANTHROPIC_BASE_URL": "http://localhost:9/"}) == "http://localhost:9"


# Where the file is


def test_the_file_may_be_named_by_a_variable(load: Loader) -> None:
    load.file.write_text("server: {port: 1234}")

    assert load_config(None, {"DRAGOMAN_CONFIG": str(load.file)}).server.port == 1234


def test_a_path_given_goes_before_the_variable(load: Loader) -> None:
    load.file.write_text("server: {port: 1234}")

    assert load_config(str(load.file), {"DRAGOMAN_CONFIG": "/nowhere"}).server.port == 1234


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(str(tmp_path / "none.yaml"), {})

    assert raised.value.mistakes == (Mistake(f"{tmp_path}/none.yaml", "cannot be read: No such file or directory"),)


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(str(tmp_path), {})


def test_a_file_that_is_not_text_is_a_mistake(load: Loader) -> None:
    load.file.write_bytes(b"log: \xff")

    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        load_config(str(load.file), {})


def test_a_byte_order_mark_does_no_harm(load: Loader) -> None:
    assert load("\ufefflog: {level: debug}").log.level == "debug"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "server:\nkeys:\nclients:\n", "server:\n  port:\n", "{}"])
def test_what_is_left_out_has_its_default(load: Loader, text: str) -> None:
    assert load(text) == Config()


# What others can reach or overhear


SHORT = "fifteen-letters"
REACHABLE = f"""
    server: {{host: 0.0.0.0}}
    clients: [{{name: a, api_key: {SHORT}}}, {{name: b, api_key: sixteen-letters-}}, {{name: c}}]
"""


def test_keys_that_others_could_guess_are_mistakes(load: Loader) -> None:
    why = "expected at least 16 characters, since the gateway listens on 0.0.0.0, for others too"

    assert load.mistakes(REACHABLE, ANTHROPIC_API_KEY="sk-1", DRAGOMAN_ADMIN_KEY="short") == [
        "clients[2].api_key: missing, a secret is needed",
        f"clients[0].api_key: {why}",
        f"DRAGOMAN_ADMIN_KEY: {why}",
    ]
    assert load.mistakes(f"server: {{host: 0.0.0.0}}\nadmin: {{api_key: {SHORT}}}") == [f"admin.api_key: {why}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_this_machine_keys_may_be_short(load: Loader, host: str) -> None:
    config = load(f'server: {{host: "{host}"}}\nclients: [{{name: a, api_key: {SHORT}}}]', ANTHROPIC_API_KEY="sk-1")

    assert config.clients[0].api_key == Secret(SHORT)


def test_what_counts_is_where_the_gateway_will_listen(load: Loader) -> None:
    load.file.write_text(f"clients: [{{name: a, api_key: {SHORT}}}]\nkeys: [{{name: a, api_key: sk-1}}]")

    assert load_from(str(load.file), {}, host="127.0.0.1").config.clients
    with pytest.raises(ConfigError, match=r"clients.0..api_key: expected at least 16 characters"):
        load_from(str(load.file), {}, host="::")


@pytest.mark.parametrize("url", ["http://up", "http://10.0.0.1:8080/x", "http://127.0.0.1.example.com", "http://[::2]"])
def test_a_key_that_would_go_over_a_network_without_tls_is_a_mistake(load: Loader, url: str) -> None:
    key = f"name: a, api_key: sk-1, base_url: '{url}'"
    why = "http:// to another machine would send the key where others can read it: use https://, or set "

    assert load.mistakes(f"keys: [{{{key}}}]") == [f"keys[0].base_url: {why}allow_http: true for this key"]
    assert load(f"keys: [{{{key}, allow_http: true}}]").keys[0].base_url == url
    assert load.mistakes("", ANTHROPIC_BASE_URL=url) == [f"ANTHROPIC_BASE_URL: {why}DRAGOMAN_ALLOW_HTTP=1"]
    assert load("", ANTHROPIC_BASE_URL=url, DRAGOMAN_ALLOW_HTTP="1", ANTHROPIC_API_KEY="a").keys[0].base_url == url


@pytest.mark.parametrize("url", ["https://up", "http://localhost:1", "http://127.0.0.9", "http://[::1]:8"])
def test_with_tls_or_on_this_machine_a_key_may_go(load: Loader, url: str) -> None:
    assert load(f"keys: [{{name: a, api_key: sk-1, base_url: '{url}'}}]").keys[0].base_url == url


def test_trusted_proxies_are_addresses_and_networks(load: Loader) -> None:
    proxies = load("server: {trusted_proxies: [10.0.0.7, 10.1.0.0/16, '2001:DB8::/32']}").server.trusted_proxies

    assert proxies == ("10.0.0.7/32", "10.1.0.0/16", "2001:db8::/32")
    assert load.mistakes("server: {trusted_proxies: [10.0.0.7/8, proxy.example.com, 10.0.0.0/33]}") == [
        "server.trusted_proxies[0]: expected an address, or a network like 10.0.0.0/8",
        "server.trusted_proxies[1]: expected an address or a network, like 10.0.0.7 or 10.0.0.0/8",
        "server.trusted_proxies[2]: expected an address or a network, like 10.0.0.7 or 10.0.0.0/8",
    ]


# Keys


def test_a_file_without_keys_uses_those_of_the_environment(load: Loader) -> None:
    config = load("log: {format: json}", ANTHROPIC_API_KEY="sk-1")

    assert (config.keys[0].name, config.log.format) == ("default", "json")


def test_the_environment_alone_is_enough_for_a_container() -> None:
    environ = {
        "ANTHROPIC_API_KEY": "sk-1",
        "DRAGOMAN_HOST": "0.0.0.0",
        "DRAGOMAN_PORT": " 9000 ",
        "DRAGOMAN_CLIENT_KEYS": f"app: {'a' * 16} ,{'b' * 16},,other:{'c:' * 8}",
    }
    config = load_config(None, environ)

    assert (config.server.host, config.server.port) == ("0.0.0.0", 9000)
    assert [(client.name, client.api_key.reveal()) for client in config.clients] == [
        ("app", "a" * 16),
        ("client-2", "b" * 16),
        ("other", "c:" * 8),
    ]


def test_the_file_goes_before_the_environment(load: Loader) -> None:
    environ = {
        "ANTHROPIC_API_KEY": "sk-1",
        "DRAGOMAN_HOST": "127.0.0.2",
        "DRAGOMAN_PORT": "9000",
        "DRAGOMAN_CLIENT_KEYS": "theirs",
    }
    own = load("server: {port: 1}\nclients: [{name: own, api_key: ours}]", **environ)
    none = load("server:\nclients:\nlog: {level: debug}", **environ)

    assert (own.server.host, own.server.port, [client.name for client in own.clients]) == ("127.0.0.2", 1, ["own"])
    assert (none.server.port, [client.name for client in none.clients]) == (9000, ["client-1"])


def test_mistakes_in_such_variables_name_them_and_show_nothing(load: Loader) -> None:
    mistakes = load.mistakes(
        "log: {level: info}",
        ANTHROPIC_API_KEY="sk-1",
        DRAGOMAN_HOST="0.0.0.0:80",
        DRAGOMAN_PORT="http",
        DRAGOMAN_CLIENT_KEYS="a:hush hush,:nameless,b:twice,c:twice",
    )

    assert mistakes == [
        "server.host: expected an address without a port, which is a setting of its own: server.port "
        "(from DRAGOMAN_HOST)",
        "server.port: expected a whole number from 0 to 65535, got the value of ${DRAGOMAN_PORT}",
        "clients[0].api_key: the secret contains spaces, line ends or characters that an HTTP header cannot carry "
        "(from DRAGOMAN_CLIENT_KEYS)",
        "clients[1].name: expected a text, got the value of ${DRAGOMAN_CLIENT_KEYS}",
        "clients[3].api_key: the same as clients[2].api_key; each needs its own (from DRAGOMAN_CLIENT_KEYS)",
    ]


def test_clients_of_the_environment_need_a_key_as_well() -> None:
    with pytest.raises(ConfigError, match="no Anthropic key for them to use"):
        load_config(None, {"DRAGOMAN_CLIENT_KEYS": "a"})


def test_short_client_keys_of_the_environment_are_refused_where_others_can_guess() -> None:
    environ = {"ANTHROPIC_API_KEY": "sk-1", "DRAGOMAN_HOST": "0.0.0.0", "DRAGOMAN_CLIENT_KEYS": "short"}
    with pytest.raises(ConfigError, match=r"at least 16 characters.*DRAGOMAN_CLIENT_KEYS"):
        load_config(None, environ)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"ANTHROPIC_API_KEY": ""}, ["ANTHROPIC_API_KEY"]),
        ({"ANTHROPIC_API_KEYS": " "}, ["ANTHROPIC_API_KEYS"]),
        ({"ANTHROPIC_API_KEY": "", "ANTHROPIC_API_KEYS": "sk-1"}, []),
        ({"ANTHROPIC_API_KEY": "sk-1", "DRAGOMAN_CLIENT_KEYS": ""}, ["DRAGOMAN_CLIENT_KEYS"]),
        ({"ANTHROPIC_API_KEY": "sk-1", "DRAGOMAN_ADMIN_KEY": "\n"}, ["DRAGOMAN_ADMIN_KEY"]),
        ({"ANTHROPIC_API_KEY": "sk-1", "DRAGOMAN_PORT": "", "DRAGOMAN_HOST": "", "ANTHROPIC_BASE_URL": ""}, []),
        ({}, []),
    ],
)
def test_a_variable_that_is_set_but_empty_is_named(environ: dict[str, str], named: list[str]) -> None:
    notices = load_from(None, environ).notices

    assert notices == tuple(f"{name} is set but empty, which means the same as not set" for name in named)


@pytest.mark.parametrize("name", ["*", "host:80", "http://a", "a b", "", "a..b", "*.example.com"])
def test_an_allowed_host_is_a_plain_name(load: Loader, name: str) -> None:
    [mistake] = load.mistakes(f"server: {{allowed_hosts: ['{name}']}}")

    assert "expected a name like host.docker.internal" in mistake


def test_an_allowed_host_is_known_in_any_spelling(load: Loader) -> None:
    assert load("server: {allowed_hosts: [Host.Docker.Internal.]}").server.allowed_hosts == ("host.docker.internal",)


def test_a_file_with_keys_uses_only_its_own(load: Loader) -> None:
    config = load("keys: [{name: own, api_key: sk-2}]", ANTHROPIC_API_KEY="sk-1", ANTHROPIC_BASE_URL="http://up")

    assert config.keys == (KeyConfig(name="own", api_key=Secret("sk-2")),)


def test_a_ca_file_is_looked_into(load: Loader, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificates", "utf-8")
    good = tmp_path / "good.pem"
    trustme.CA().cert_pem.write_to_path(str(good))

    assert load(f"{{upstream: {{ca_file: {good}}}}}", ANTHROPIC_API_KEY="sk-ant-1").upstream.ca_file == str(good)
    assert load.mistakes(f"upstream: {{ca_file: {tmp_path / 'empty.pem'}}}") == [
        "upstream.ca_file: there are no certificates in it, in PEM form"
    ]
    assert load.mistakes(f"upstream: {{ca_file: {tmp_path / 'none.pem'}}}") == [
        "upstream.ca_file: it cannot be read: No such file or directory"
    ]


def test_a_malformed_base_url_in_the_environment_is_always_a_mistake(load: Loader) -> None:
    mistakes = load.mistakes("keys: [{name: own, api_key: sk-2}]", ANTHROPIC_BASE_URL="nonsense")

    assert mistakes == ["ANTHROPIC_BASE_URL: expected an http:// or https:// URL with a host"]


def test_an_empty_list_of_keys_is_a_mistake(load: Loader) -> None:
    mistakes = load.mistakes("keys: []", ANTHROPIC_API_KEY="sk-1")

    assert mistakes == ["keys: expected a list with at least one entry, got an empty list"]


def test_clients_without_any_key_are_a_mistake(load: Loader) -> None:
    text = "clients: [{name: a, api_key: b}]"

    assert load(text, ANTHROPIC_API_KEY="sk-1").clients == (ClientConfig(name="a", api_key=Secret("b")),)
    assert load.mistakes(text) == [
        "clients: there is no Anthropic key for them to use: add keys, or set ANTHROPIC_API_KEY",
    ]


# Prices, fallbacks and the admin's key


def test_a_model_may_have_a_price_of_ones_own(load: Loader) -> None:
    text = "models: {prices: {'claude-*': {percent: 87.5}, mine: {input: 2.5, output: 12, cache_read: 0}}}"

    prices = load(text).models.prices
    assert prices == {
        "claude-*": PriceConfig(percent=87.5),
        "mine": PriceConfig(input=2.5, output=12.0, cache_read=0.0),
    }


def test_a_price_says_one_thing_and_all_of_it(load: Loader) -> None:
    text = """
models:
  prices:
    a: {}
    b: {input: 1}
    c: {percent: 50, output: 2}
    d: {input: 0.0000001, output: 0.000001}
    e: {percent: -1}
    f: {input: 2000000, output: x}
    g: 5
"""

    assert load.mistakes(text) == [
        "models.prices.e.percent: expected a number from 0 to 1000, got -1",
        "models.prices.f.input: expected a number from 0 to 1000000, got 2000000",
        'models.prices.f.output: expected a number from 0 to 1000000, got "x"',
        "models.prices.g: expected a mapping (name: value), got a text",
        "models.prices.a: expected percent, or input and output in dollars per million tokens",
        "models.prices.b: expected percent, or input and output in dollars per million tokens",
        "models.prices.c: percent is of the list price: leave it out, or output",
        "models.prices.d.input: expected dollars with at most 6 decimals",
    ]


def test_a_model_may_have_fallbacks(load: Loader) -> None:
    text = "models: {fallbacks: {a: [b, c], b: [c], c: []}}"

    assert load(text).models.fallbacks == {"a": ("b", "c"), "b": ("c",), "c": ()}
    assert "fallbacks {a: [b, c], b: [c], c: []}" in "\n".join(describe_config(load(text)))


def test_a_model_never_stands_in_for_itself(load: Loader) -> None:
    text = "models: {fallbacks: {a: [x, a], b: [c], c: [y, d], d: [b], e: [b], 'f*': [a], g: ['h*', ''], h: g}}"

    assert load.mistakes(text) == [
        "models.fallbacks: this has to be the name of one model; only an alias, on the left, may hold wildcards",
        "models.fallbacks.g[0]: this has to be the name of one model; only an alias, on the left, may hold wildcards",
        'models.fallbacks.g[1]: expected a text, got ""',
        "models.fallbacks.h: expected a list, got a text",
        "models.fallbacks.a[1]: a model cannot stand in for itself",
        "models.fallbacks.b[0]: its fallbacks lead back to b",
        "models.fallbacks.c[1]: its fallbacks lead back to c",
        "models.fallbacks.d[0]: its fallbacks lead back to d",
    ]


@pytest.mark.parametrize("text", ["", "admin:", "admin: {api_key: null}", "admin: {api_key: '${EMPTY}'}"])
def test_the_admins_key_may_come_from_the_environment(load: Loader, text: str) -> None:
    assert load(text, EMPTY="").admin == AdminConfig()
    assert load(text, EMPTY="", DRAGOMAN_ADMIN_KEY=" boss ").admin.api_key == Secret("boss")


def test_the_files_admin_key_goes_before_the_environments(load: Loader) -> None:
    assert load("admin: {api_key: {env: A}}", A="own", DRAGOMAN_ADMIN_KEY="boss").admin.api_key == Secret("own")


def test_the_viewers_key_is_neither_a_clients_nor_the_admins(load: Loader) -> None:
    clients = "clients: [{name: a, api_key: one}]\n"

    of_client = load.mistakes(clients + "admin: {viewer_key: one}", ANTHROPIC_API_KEY="sk-1")
    of_admin = load.mistakes("admin: {viewer_key: boss}", DRAGOMAN_ADMIN_KEY="boss")
    alone = load("admin: {viewer_key: eyes}", DRAGOMAN_ADMIN_KEY="boss").admin

    assert of_client == ["admin.viewer_key: the same as clients[0].api_key; the admin key must not be a client's"]
    assert of_admin == ["admin.viewer_key: the same as admin.api_key; whoever may only read needs another key"]
    assert (alone.api_key, alone.viewer_key) == (Secret("boss"), Secret("eyes"))


def test_the_admins_key_is_no_clients(load: Loader) -> None:
    text = "clients: [{name: a, api_key: one}, {name: b, api_key: boss}, {name: c}, [d]]"

    mistakes = load.mistakes(text, ANTHROPIC_API_KEY="sk-1", DRAGOMAN_ADMIN_KEY="boss")

    assert mistakes[-1] == "admin.api_key: the same as clients[1].api_key; the admin key must not be a client's"
    assert load.mistakes("", DRAGOMAN_ADMIN_KEY="b oss") == [
        "DRAGOMAN_ADMIN_KEY: the secret contains spaces, line ends or characters that an HTTP header cannot carry"
    ]


def test_the_key_for_metrics_is_no_clients_and_cannot_be_guessed(load: Loader) -> None:
    text = "server: {host: 0.0.0.0}\nclients: [{name: a, api_key: boss}]\nmetrics: {api_key: boss}"

    mistakes = load.mistakes(text, ANTHROPIC_API_KEY="sk-1")

    assert "metrics.api_key: the same as clients[0].api_key; the metrics key must not be a client's" in mistakes
    assert any(mistake.startswith("metrics.api_key: expected at least 16 characters") for mistake in mistakes)


def test_a_client_lets_its_content_be_kept_for_a_time(load: Loader) -> None:
    text = "clients: [{name: a, api_key: one, log_content: {keep_seconds: 60}}, {name: b, api_key: two}]"

    one, two = load(text, ANTHROPIC_API_KEY="sk-1").clients

    assert one.log_content is not None
    assert one.log_content.keep_seconds == 60
    assert two.log_content is None
    assert load.mistakes(text.replace("60", "86401"), ANTHROPIC_API_KEY="sk-1") != []


# Variables


def test_a_variable_may_stand_inside_a_flow_mapping(load: Loader) -> None:
    config = load("keys: [{name: a, api_key: ${KEY}}, {name: b, api_key: pre-${KEY}-${B:-x,{[y}}]", KEY="sk-1")

    assert [key.api_key.reveal() for key in config.keys] == ["sk-1", "pre-sk-1-x,{[y"]


@pytest.mark.parametrize("value", NASTY)
@pytest.mark.parametrize("text", ["server: {host: ${X}}", "server: {host: '${X}'}", 'server:\n  host: "${X}" # c'])
def test_a_variable_never_changes_the_structure(load: Loader, text: str, value: str) -> None:
    assert load(text, X=value) == Config(server=ServerConfig(host=value))


@given(value=st.text(min_size=1), before=st.text("abc-. ", max_size=3))
def test_a_value_arrives_as_it_is(value: str, before: str) -> None:
    mistakes = Mistakes("test")
    tree = parse("{a: [" + json.dumps(before + "${X}") + ", {b: ${X}, ${X}: c}]}", {"X": value}, mistakes)

    assert tree == {"a": [before + value, {"b": value, value: "c"} if value != "b" else {"b": "c"}]}


def test_defaults_and_literal_braces(load: Loader) -> None:
    config = load(
        """
        models:
          aliases: {a: "${NOT_SET:-x: #y}", b: ${EMPTY:-z}, c: ${SET:-z}, d: $${SET}, e: "a$${", f: "${EMPTY}-", g: $X}
        """,
        EMPTY="",
        SET="set",
    )

    assert config.models.aliases == {
        "a": "x: #y",
        "b": "z",
        "c": "set",
        "d": "${SET}",
        "e": "a${",
        "f": "-",
        "g": "$X",
    }


def test_numbers_and_truth_values_may_come_from_variables(load: Loader) -> None:
    config = load(
        """
        server: {port: ${PORT}, shutdown_grace_seconds: "${GRACE}"}
        models: {builtin_aliases: ${BUILTIN}, max_output_tokens: ${MAX}}
        log: {level: ${LEVEL}}
        """,
        PORT="81",
        GRACE="1.5",
        BUILTIN="False",
        MAX="null",
        LEVEL="debug",
    )

    assert (config.server.port, config.server.shutdown_grace_seconds) == (81, 1.5)
    assert (config.models.builtin_aliases, config.models.max_output_tokens) == (False, None)
    assert config.log.level == "debug"


def test_a_variable_that_is_not_set_is_named_with_its_place(load: Loader) -> None:
    mistakes = load.mistakes("keys: [{name: ${A}${B}, api_key: ${ANTHROPIC_API_KEY}}]\n# ${COMMENT}\n")

    assert mistakes == [
        "keys[0].name: the environment variable A is not set",
        "keys[0].name: the environment variable B is not set",
        "keys[0].api_key: the environment variable ANTHROPIC_API_KEY is not set",
    ]


@pytest.mark.parametrize("text", ["${}", "${A-B}", "${1}", "${A", "${A:=b}", "${A:-${B}}"])
def test_a_malformed_variable_is_a_mistake(load: Loader, text: str) -> None:
    assert load.mistakes(f"server:\n  host: {text}\n", A="1", B="2") == [
        "server.host: after ${ comes a variable's name and }, or :- with a plain default; $${ is a literal ${"
    ]


# Secrets


@pytest.mark.parametrize("source", ["sk-1", '" sk-1 "', "${KEY}", "{env: KEY}", "{file: key.txt}", "{file: ${FILE}}"])
def test_a_secret_has_several_sources(load: Loader, source: str) -> None:
    file = load.file.parent / "key.txt"
    file.write_text("sk-1\n")
    config = load(f"keys: [{{name: a, api_key: {source}}}]", KEY="sk-1", FILE=str(file))

    assert config.keys[0].api_key == Secret("sk-1")


def test_a_secret_may_be_a_commands_output(load: Loader) -> None:
    config = load("keys: [{name: a, api_key: {command: [printenv, KEY]}}]", KEY="sk-$(1);")

    assert config.keys[0].api_key.reveal() == "sk-$(1);"


@pytest.mark.parametrize(
    ("source", "mistake"),
    [
        ("''", "the secret is empty"),
        ("${EMPTY}", "the secret is empty"),
        ("two words", "the secret contains spaces, line ends or characters that an HTTP header cannot carry"),
        ("schlüssel", "the secret contains spaces, line ends or characters that an HTTP header cannot carry"),
        ("{env: NONE}", "the environment variable NONE is not set"),
        ("{env: EMPTY}", "the secret is empty"),
        ("{env: [NONE]}", "env takes the name of an environment variable"),
        ("{file: /nowhere/key}", 'the file "/nowhere/key" cannot be read: No such file or directory'),
        ("{file: binary}", 'the file "binary" cannot be read: not a readable text'),
        ("{file: {}}", "file takes a path"),
        ("{command: [sh, -c, 'echo hunter2; echo hunter2 >&2; exit 3']}", "the command failed with exit code 3"),
        ("{command: [/nowhere/program]}", "the command could not be started: No such file or directory"),
        ("{command: [printf, '\\377']}", "the command printed something that is not UTF-8 text"),
        ("{command: ['true']}", "the secret is empty"),
        ("{command: echo x}", "command takes a list, the program and its arguments"),
        ("{command: [echo, []]}", "command takes a list, the program and its arguments"),
        ("{command: []}", "command takes a list, the program and its arguments"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_mistake(load: Loader, source: str, mistake: str) -> None:
    (load.file.parent / "binary").write_bytes(b"\xff")

    assert load.mistakes(f"keys: [{{name: a, api_key: {source}}}]", EMPTY="") == [f"keys[0].api_key: {mistake}"]


@pytest.mark.parametrize("source", ["[hunter2]", "{hunter2: a}", "{}", "{env: A, file: hunter2}"])
def test_an_unknown_source_of_secrets_is_not_shown(load: Loader, source: str) -> None:
    assert load.mistakes(f"keys: [{{name: a, api_key: {source}}}]") == [
        "keys[0].api_key: expected a text, {env: NAME}, {file: PATH} or {command: [PROGRAM, ARGUMENT, ...]}"
    ]


def test_a_command_that_hangs_is_ended(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "COMMAND_TIMEOUT_SECONDS", 0.05)

    assert load.mistakes("keys: [{name: a, api_key: {command: [sleep, '60']}}]") == [
        "keys[0].api_key: the command did not end within 0.05 seconds"
    ]


def test_no_encoder_gives_a_secret_away(load: Loader) -> None:
    config = load("keys: [{name: a, api_key: hunter2}]")

    for encode in (msgspec.json.encode, msgspec.yaml.encode, msgspec.to_builtins, orjson.dumps):
        with pytest.raises(TypeError):
            encode(config)
    assert "hunter2" not in repr(config)


def test_no_mistake_shows_a_secret(load: Loader) -> None:
    mistakes = load.mistakes(
        """
        sk-ant-misplaced: 1
        keys:
          - {name: a, api_key: hunter2-a, weight: hunter2-a}
          - {name: a, api_key: {env: KEY}, api_version: hunter2-b}
          - sk-ant-text
        clients: hunter2
        log: {level: sk-ant-level, format: ${KEY}, hunter2-a: 1}
        server: hunter2
        models: {aliases: {"${KEY}": "a*"}}
        """,
        KEY="hunter2-b",
    )

    assert len(mistakes) == 11
    assert not [mistake for mistake in mistakes if "hunter2" in mistake or "sk-ant" in mistake]


# Mistakes


def test_all_mistakes_are_reported_at_once(load: Loader) -> None:
    mistakes = load.mistakes(
        """
        streeming: {keepalive_seconds: 1}
        server: {port: abc, host: [a], cors_origins: ["https://ok.example", "nope", "https://x/path"], xyz: 1}
        keys:
          - {name: a, api_key: sk-1, wieght: 2, weight: 0, base_url: "https://api.anthropic.com?x=1"}
          - {name: a, weight: 1.5, api_version: 2023-06-02, base_url: "ftp://host"}
          - {name: b, api_key: sk-1, base_url: "https://user:pw@host"}
          - {name: "", api_key: sk-2, base_url: "https://api.anthropic.com/v1/"}
        models:
          aliases: {gpt-5: "", "gpt-*": "claude-*", "": a, "a b": [x], gpt-4: " "}
          builtin_aliases: maybe
          max_output_tokens: 0
          refresh_seconds: 0
        clients:
          - {name: c, api_key: one}
          - {name: c, api_key: one}
        translation: {on_unsupported: ajust}
        timeouts: {idle_seconds: .inf, connect_seconds: nan}
        """
    )

    assert mistakes == [
        "streeming: unknown setting, did you mean streaming?",
        "server.xyz: unknown setting; known here: host, port, tls, max_body_bytes, cors_origins, allowed_hosts, "
        "trusted_proxies, drain_seconds, shutdown_grace_seconds, max_connections, max_connections_per_address, "
        "max_buffered_bytes, client_write_seconds, workers, worker_silence_seconds",
        "server.host: expected a text, got a list",
        'server.port: expected a whole number from 0 to 65535, got "abc"',
        "server.cors_origins[1]: expected an http:// or https:// URL with a host",
        "server.cors_origins[2]: an origin is scheme, host and port only, like https://chat.example.com",
        "keys[0].wieght: unknown setting, did you mean weight?",
        "keys[0].base_url: a base URL has no query and no fragment",
        "keys[0].weight: expected a whole number of 1 or more, got 0",
        "keys[1].api_key: missing, a secret is needed",
        "keys[1].base_url: expected an http:// or https:// URL with a host",
        "keys[1].weight: expected a whole number of 1 or more, got 1.5",
        'keys[1].api_version: expected 2023-06-01, 2026-10-21 or auto, got "2023-06-02", did you mean 2023-06-01?',
        "keys[2].base_url: a URL holds no user name or password here; keys belong to api_key",
        'keys[3].name: expected a text, got ""',
        "keys[3].base_url: leave out the /v1 at the end, the gateway adds it",
        'models.aliases.gpt-5: expected a text, got ""',
        "models.aliases.gpt-*: this has to be the name of one model; only an alias, on the left, may hold wildcards",
        'models.aliases: expected a text, got ""',
        'models.aliases["a b"]: expected a text, got a list',
        "models.aliases.gpt-4: expected the name of a model, got an empty text",
        'models.builtin_aliases: expected true or false, got "maybe"',
        "models.max_output_tokens: expected a whole number of 1 or more, got 0",
        "models.refresh_seconds: expected a number above 0, got 0",
        'translation.on_unsupported: expected adjust or reject, got "ajust", did you mean adjust?',
        'timeouts.connect_seconds: expected a number above 0, got "nan"',
        'timeouts.idle_seconds: expected a number above 0, got ".inf"',
        "keys[1].name: the same as keys[0].name; each needs its own",
        "clients[1].name: the same as clients[0].name; each needs its own",
        "clients[1].api_key: the same as clients[0].api_key; each needs its own",
    ]


def test_a_setting_written_twice_is_a_mistake_that_names_both_lines(load: Loader) -> None:
    text = "log:\n  level: info\nserver: {port: 1, port: 2}\nlog:\n  ${A}: 1\n  level: debug\n"

    assert load.mistakes(text, A="level") == [
        "log: set twice, on lines 1 and 4",
        "server.port: set twice, on line 3",
        "log.level: set twice, on lines 5 and 6",
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("log: [1", "line 1, column 8: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'"),
        ("server:\n  host: ${A} b: c\n", "line 2, column 15: mapping values are not allowed here"),
        ("a: *hunter2", "line 1, column 4: found undefined alias ****; a value with special characters needs quotes"),
        ("a: 1\n---\nb: 1", "line 2, column 1: expected a single document in the stream, but found another document"),
        ("a: \x01", "line 1: a character that YAML does not allow"),
        ("- a", "expected a mapping (name: value), got a list"),
        ("sk-ant-alone", "expected a mapping (name: value), got a text"),
        ("? [a]\n: b", "line 1: expected the name of a setting before the :"),
        ("[" * 5000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_configuration_is_a_mistake(load: Loader, text: str, mistake: str) -> None:
    assert load.mistakes(text)[0].startswith(mistake)


def test_yaml_tags_are_a_mistake(load: Loader) -> None:
    assert load.mistakes("server: {host: !hunter2 }\nlog: !!python/object:os.system {}") == [
        "server.host: words that begin with ! (YAML tags) mean nothing here; a text needs quotes",
        "log: words that begin with ! (YAML tags) mean nothing here; a text needs quotes",
    ]


def test_an_alias_to_itself_is_a_mistake(load: Loader) -> None:
    assert load.mistakes("server: &a {cors_origins: [*a]}") == [
        "server.cors_origins[0]: an alias (*) to something that holds the alias itself"
    ]


def test_anchors_and_merges_work(load: Loader) -> None:
    config = load(
        """
        keys:
          - &first {name: a, api_key: sk-1, base_url: "https://one.example", weight: 2}
          - {<<: *first, name: b, weight: 3}
          - {<<: *first, name: c}
        """
    )

    assert [(key.name, key.weight, key.base_url) for key in config.keys] == [
        ("a", 2, "https://one.example"),
        ("b", 3, "https://one.example"),
        ("c", 2, "https://one.example"),
    ]


def test_words_keep_their_spelling_whatever_yaml_thinks_of_them(load: Loader) -> None:
    config = load(
        """
        keys: [{name: on, api_key: 0123, api_version: 2023-06-01}]
        models: {builtin_aliases: off, max_output_tokens: 1_000, aliases: {no: 2024-01-01}}
        """
    )

    assert (config.keys[0].name, config.keys[0].api_key.reveal(), config.keys[0].api_version) == (
        "on",
        "0123",
        "2023-06-01",
    )
    assert (config.models.builtin_aliases, config.models.max_output_tokens) == (False, 1000)
    assert config.models.aliases == {"no": "2024-01-01"}


def test_urls_lose_their_trailing_slash(load: Loader) -> None:
    config = load(
        'keys: [{name: a, api_key: b, base_url: "https://h/p/"}]\nserver: {cors_origins: ["*", "http://h:1/"]}'
    )

    assert config.keys[0].base_url == "https://h/p"
    assert config.server.cors_origins == ("*", "http://h:1")


PIECES = [
    *"${}[]:-,'\"# \nabA&*!|>?%@\\",
    "${A}",
    "\nkeys:",
    "\n - {",
    "name: a",
    "api_key: ",
    "\nserver: {",
    "port:",
    ": ",
]


@given(pieces=st.lists(st.sampled_from(PIECES), max_size=25))
def test_any_text_loads_or_is_refused_with_a_path(pieces: list[str]) -> None:
    mistakes = Mistakes("file")
    tree = parse("".join(pieces), {"A": "a"}, mistakes)
    Reader(mistakes, sources.SecretReader({}, Path(), mistakes).read).read(msgspec.inspect.type_info(Config), tree, "")

    told = []
    try:
        mistakes.raise_any({})
    except ConfigError as error:
        told = str(error).splitlines()

    assert all(re.fullmatch(r"\S.*: \S.*", line) for line in told)


@pytest.mark.parametrize("text", ['a: "\\UFFFFFFFF"', 'a: "\\U00110000"', 'clients: [{name: "\\ud800", api_key: b}]'])
def test_a_character_that_is_none_is_a_mistake_like_others(load: Loader, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)

    assert str(caught.value).encode()


# What is told about a configuration


def test_the_description_tells_all_but_the_secrets(load: Loader) -> None:
    config = load(EXAMPLE.read_text("utf-8"), **EXAMPLE_ENVIRONMENT)

    assert describe_config(config) == [
        "server: host 127.0.0.1, port 8080, tls not set, max_body_bytes 33554432, cors_origins [], allowed_hosts [], "
        "trusted_proxies [], drain_seconds 0, shutdown_grace_seconds 30, max_connections not set, "
        "max_connections_per_address not set, max_buffered_bytes not set, client_write_seconds 60, "
        "workers 1, worker_silence_seconds 30",
        "keys: name main, api_key set, base_url https://api.anthropic.com, allow_http false, weight 1, "
        "priority 0, max_concurrency not set, organization not set, workspace not set, api_version auto",
        "pool: strategy affinity, queue_size 1000, queue_timeout_seconds 30",
        "models: aliases {gpt-5: claude-sonnet-5-5, gpt-*-mini: claude-haiku-5-5, gpt-*: claude-sonnet-5-5}, "
        "builtin_aliases true, max_output_tokens not set, abilities {}, fallbacks {}, prices {}, "
        "refresh_seconds 3600",
        "clients: name my-app, api_key set, group not set, sees_key false, log_content not set",
        "rules: id monthly, what money, amount 50, window month, aligned not set, scope key, of *, model *, "
        "over refuse, shadow true, hold not set",
        "admin: api_key not set, viewer_key not set",
        "accounts: kind auto, path not set, secret not set, on_ledger_failure serve, keep_days 90, "
        "keep_totals_days 1200, max_bytes 2147483648, anthropic_admin_key not set, hold expected, queue_size 1000, "
        "queue_timeout_seconds 30",
        "translation: on_unsupported adjust, show_reasoning when_asked, prompt_caching auto, max_choices 8, "
        "allow_native []",
        "native: fields [], betas [], server_tools [web_search, web_fetch, code_execution, tool_search]",
        "streaming: keepalive_seconds 15",
        "retries: max_attempts 3, deadline_seconds 600, budget_percent 20",
        "timeouts: connect_seconds 10, first_byte_seconds 600, idle_seconds 600, total_seconds 3600",
        "upstream: client auto, ca_file not set",
        "store: kind auto, path not set, url not set, encryption_key not set, memory_bytes 33554432, "
        "disk_bytes 1073741824, keep_seconds 604800",
        "responses: store true, keep_seconds 2592000, memory_bytes 67108864, disk_bytes 1073741824, "
        "background_tasks 100, background_per_client 50, encryption_key not set, old_encryption_key not set",
        "alerts: url not set, secret not set, money_percent [50, 80, 100], error_percent not set, "
        "first_token_seconds not set, window_seconds 300, min_requests 20, repeat_seconds 3600, timeout_seconds 10",
        "log: level info, format text",
        "metrics: enabled true, host 127.0.0.1, port not set, api_key not set, open_telemetry_names true",
        "request_log: size 1000, max_bytes 4194304",
        "console: enabled true",
    ]


def test_the_description_says_what_having_no_keys_and_clients_means() -> None:
    lines = describe_config(Config())

    assert "keys: none: callers send Anthropic keys of their own, which are passed on" in lines
    assert "clients: none: anybody on this machine may use it, until there are keys for callers" in lines


# The papers: example, schema, documentation


def test_the_example_holds_the_defaults_where_it_does_not_say_example(load: Loader) -> None:
    config = load(EXAMPLE.read_text("utf-8"), **EXAMPLE_ENVIRONMENT)
    models = msgspec.structs.replace(config.models, aliases={})

    assert msgspec.structs.replace(config, keys=(), clients=(), rules=(), models=models) == Config()
    assert config.keys == (KeyConfig(name="main", api_key=Secret("sk-ant-1")),)
    assert config.clients == (ClientConfig(name="my-app", api_key=Secret("app-key-1")),)


def test_the_example_and_the_schema_name_every_setting() -> None:
    example = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    schema: Any = config_schema()

    assert list(example) == list(schema["properties"]) == list(Config.__struct_fields__)
    for name, struct in zip(Config.__struct_fields__, STRUCTS, strict=True):
        section = example[name][0] if isinstance(example[name], list) else example[name]
        properties = schema["$defs"][struct.__name__]["properties"]
        assert set(section) == set(properties) == set(struct.__struct_fields__)
        assert all(about.get("description") for about in properties.values())


def test_the_schema_accepts_the_example() -> None:
    schema = config_schema()

    assert list(violations(schema, yaml.safe_load(EXAMPLE.read_text("utf-8")), schema)) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("server: {port: 65536}", "/server/port"),
        ("server: {prt: 1}", "/server/prt"),
        ("keys: []", "/keys"),
        ("keys: [{api_key: a}]", "/keys/0"),
        ("keys: [{name: a, api_key: {fil: b}}]", "/keys/0/api_key"),
        ("models: {aliases: {a: 'b*'}}", "/models/aliases/a"),
        ("timeouts: {idle_seconds: 0}", "/timeouts/idle_seconds"),
        ("log: {level: loud}", "/log/level"),
        ("extra: 1", "/extra"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(load: Loader, text: str, path: str) -> None:
    schema = config_schema()

    assert list(violations(schema, yaml.safe_load(text), schema)) == [path]
    assert load.mistakes(text)


def test_the_schema_allows_variables_and_sources() -> None:
    schema = config_schema()
    text = """
        server: {port: "${PORT}"}
        keys: [{name: a, api_key: {file: b}, base_url: "${URL}"}, {name: b, api_key: {command: [c]}, weight: "${W:-1}"}]
        models: {builtin_aliases: "${B}", max_output_tokens: "${M}"}
        log: {level: "${L}"}
    """

    assert list(violations(schema, yaml.safe_load(text), schema)) == []
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert orjson.loads(orjson.dumps(schema)) == schema


def test_the_documentation_names_every_setting_with_its_default() -> None:
    settings = DOCUMENTATION.read_text("utf-8").partition("## Settings")[2].partition("\n## ")[0]
    sections = re.split(r"^### `(\w+)`$", settings, flags=re.MULTILINE)
    tables = dict(zip(sections[1::2], sections[2::2], strict=True))

    assert list(tables) == list(Config.__struct_fields__)
    for name, struct in zip(Config.__struct_fields__, STRUCTS, strict=True):
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", tables[name], flags=re.MULTILINE))
        assert rows.keys() == set(struct.__struct_fields__)
        for field in msgspec.structs.fields(struct):
            assert rows[field.name].startswith("needed" if field.required else f"`{written(field)}`")


def test_the_documented_configuration_loads(load: Loader) -> None:
    first = DOCUMENTATION.read_text("utf-8").split("```yaml\n")[1].split("```")[0]

    assert load(first, **EXAMPLE_ENVIRONMENT).clients[0].api_key == Secret("app-key-1")


def test_the_documented_mistakes_are_those_one_gets(load: Loader) -> None:
    documented = DOCUMENTATION.read_text("utf-8").split("## Mistakes")[1].split("```text\n")[1].split("```")[0]
    text = """
        server: {port: abc}
        keys:
          - {name: a, api_key: b, wieght: 1}
          - {name: b, api_key: ${SECOND_KEY}}
        log: {level: inof}
        models:
          aliases:
            gpt-5: a
            gpt-5: b
        """

    assert sorted(load.mistakes(text)) == sorted(documented.replace("14 and 19", "9 and 10").splitlines())


def written(field: Any) -> str:
    """A field's default as one writes it in the file."""
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    plain = int(default) if isinstance(default, float) and default.is_integer() else default
    return plain if isinstance(plain, str) else json.dumps(plain)


def violations(schema: Any, value: Any, root: Any, path: str = "") -> Iterator[str]:
    """The paths at which a value breaks a JSON Schema, as far as ours uses the language."""
    if "$ref" in schema:
        yield from violations(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root, path)
    if "anyOf" in schema and all(list(violations(option, value, root, path)) for option in schema["anyOf"]):
        yield path
    if not fits(schema, value):
        yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from violations(schema.get("items", {}), item, root, f"{path}/{index}")
    elif isinstance(value, dict):
        other = schema.get("additionalProperties", {})
        for name, item in value.items():
            inner = schema.get("properties", {}).get(name, other)
            yield from [f"{path}/{name}"] if inner is False else violations(inner, item, root, f"{path}/{name}")


TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def fits(schema: Any, value: Any) -> bool:
    """Whether a value obeys the keywords that look at it alone."""
    size = len(value) if isinstance(value, str | list) else 0
    number = value if isinstance(value, int | float) else 1
    return (
        ("type" not in schema or isinstance(value, TYPES[schema["type"]]))
        and ("enum" not in schema or value in schema["enum"])
        and size >= schema.get("minItems", 0)
        and size >= schema.get("minLength", 0)
        and ("pattern" not in schema or re.search(schema["pattern"], value) is not None)
        and schema.get("minimum", number) <= number <= schema.get("maximum", number)
        and ("exclusiveMinimum" not in schema or number > schema["exclusiveMinimum"])
        and (not isinstance(value, dict) or set(schema.get("required", ())) <= set(value))
    )


# Rules


@pytest.mark.parametrize(
    ("written_rule", "mistake"),
    [
        (
            "{id: a, what: monney, amount: 1}",
            "rules[0].what: expected in_flight, input_tokens, money, output_tokens or requests",
        ),
        ("{id: a, what: money, amount: -1}", "rules[0].amount: expected a number"),
        ("{id: a, what: requests, amount: 1.5}", "rules[0].amount: it has to be a multiple of 1"),
        (
            "{id: a, what: money, amount: 1.23456789012}",
            "rules[0].amount: it has to be a multiple of a billionth of a dollar",
        ),
        ("{id: a, what: money, amount: 1, aligned: false}", "rules[0].aligned: money is counted by the calendar"),
        ("{id: a, what: in_flight, amount: 1, window: day}", "rules[0].window: what is in flight is counted now"),
        ("{id: a, what: requests, amount: 1, aligned: false}", "rules[0].aligned: a total has no window"),
        ("{id: a, what: requests, amount: 1, over: wait}", "rules[0].over: expected refuse, queue, or model:"),
        ("{id: a, what: requests, amount: 1, over: 'model:*'}", "rules[0].over: expected refuse, queue, or model:"),
        ("{id: a, what: requests, amount: 1, hold: strict}", "rules[0].hold: only money, and tokens by the calendar"),
        ("{id: a, what: requests, amount: 1, of: b}", "rules[0].of: a rule for all has nobody in particular"),
        ("{id: ä, what: requests, amount: 1}", "rules[0].id: expected a name of printable ASCII characters"),
        ("{id: a, what: requests, amount: 1, scop: key}", "rules[0].scop: unknown setting, did you mean scope?"),
    ],
)
def test_a_mistake_in_a_rule_is_named_with_its_place(load: Loader, written_rule: str, mistake: str) -> None:
    (told,) = load.mistakes(f"rules: [{written_rule}]")

    assert mistake in told


def test_two_rules_have_two_ids(load: Loader) -> None:
    same = "{id: a, what: requests, amount: 1}"

    assert load.mistakes(f"rules: [{same}, {same}]") == ["rules[1].id: the same as rules[0].id; each needs its own"]


def test_money_is_exact_to_the_nano_dollar() -> None:
    amounts = {0.1: 100_000_000, 49.99: 49_990_000_000, 1e-9: 1, 123456789.123456: 123456789_123456000}

    for dollars, nano in amounts.items():
        assert rule_of(Definition(id="a", what="money", amount=dollars)).amount == nano
