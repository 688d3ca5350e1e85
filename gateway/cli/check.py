"""`dragoman check`: whether the configuration is right, and what it comes to."""

import argparse
import os
import time

import orjson

from gateway.config import config_path, config_schema, describe_config, load, load_certificate
from gateway.kept_turns import place_in_words, seals_in_words, try_store
from gateway.process.certificates import day_of
from gateway.process.serving import check_exposure, run


def command(options: argparse.Namespace) -> int:
    """Print the effective settings, or the schema of all; the mistakes of a configuration are raised."""
    if options.schema:
        print(orjson.dumps(config_schema(), option=orjson.OPT_INDENT_2).decode())
        return 0
    loaded = load(options.config, os.environ)
    config = loaded.config
    check_exposure(config)
    print("\n".join(describe_config(config)))
    if config.server.tls is not None:
        end = load_certificate(config.server.tls).end
        what = "expires" if end > time.time() else "WARNING: has expired,"
        print(f"the certificate: {config.server.tls.certificate}, {what} {day_of(end)}")
    trial = run(try_store(config.store))
    print(f"the store: {place_in_words(config.store)}")
    print(f"the store: {trial.words}" if trial.is_well else f"WARNING: the store cannot be used now: {trial.words}")
    print(f"encrypted_content of /v1/responses: {seals_in_words(config)}")
    for notice in loaded.notices:
        print(f"WARNING: {notice}")
    print(f"OK: {config_path(options.config, os.environ) or 'the environment; there is no configuration file'}")
    return 0
