"""Gauges: what is read from the running gateway when somebody asks for metrics."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypeAlias

from gateway.keypool.snapshot import BucketView, OrganizationView, PoolView
from gateway.service.attempt import host_of
from gateway.telemetry.metrics.table import OTHER

Gauge: TypeAlias = tuple[str, tuple[str, ...], float]
"""The name of a metric, the values of its labels, and its value."""

# Beyond these, values of single keys, organizations and rules are added up under `other`.
MOST_KEYS: Final = 500
MOST_ORGANIZATIONS: Final = 200
MOST_RULES: Final = 200
_BREAKERS: Final = {"closed": 0, "suspect": 1, "half_open": 2, "open": 3}
_NETWORK: Final = "network"
_STATM: Final = Path("/proc/self/statm")
_DESCRIPTORS: Final = "/proc/self/fd"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def added_up(gauges: Iterable[Gauge]) -> dict[str, dict[tuple[str, ...], float]]:
    """The gauges by name and labels; what is there several times, as under `other`, is added up."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name, labels, value in gauges:
        values = found.setdefault(name, {})
        values[labels] = values.get(labels, 0) + value
    return found


def pool_gauges(pool: PoolView) -> Iterator[Gauge]:
    """Queue, keys, rate limits and breakers."""
    yield "dragoman_queue_size", (), pool.queue_size
    for model_class, callers in pool.waiting.items():
        yield "dragoman_queue_length", (model_class,), sum(callers.values())
    for place, key in enumerate(pool.keys):
        name = key.name if place < MOST_KEYS else OTHER
        yield "dragoman_key_leases", (name,), key.in_flight
        yield "dragoman_key_state", (name, key.standing.state), 1
        if key.room is not None:
            yield "dragoman_key_room", (name,), key.room
    for place, organization in enumerate(pool.organisations):
        if place < MOST_ORGANIZATIONS:
            yield from _limit_gauges(organization)
    for host in pool.hosts:
        name = host_of(host.url)
        yield "dragoman_breaker_state", (name, _NETWORK), _BREAKERS[host.breaker.state]
        for model_class, breaker in host.classes.items():
            yield "dragoman_breaker_state", (name, model_class), _BREAKERS[breaker.state]


def _limit_gauges(organization: OrganizationView) -> Iterator[Gauge]:
    for allowance in organization.allowances:
        place = organization.name, allowance.model_class
        yield "dragoman_rate_limit_cooling_seconds", place, allowance.cooling_seconds or 0
        for name, bucket in allowance.buckets.items():
            yield "dragoman_rate_limit", (*place, name), bucket.limit
            yield "dragoman_rate_limit_remaining", (*place, name), bucket.remaining
            yield "dragoman_rate_limit_reset_seconds", (*place, name), _reset_seconds(bucket)


def _reset_seconds(bucket: BucketView) -> float:
    missing = bucket.capacity - bucket.remaining
    return missing / bucket.per_second if missing > 0 and bucket.per_second > 0 else 0.0


def rule_counts(counts: Mapping[str, int], effect: str) -> Iterator[Gauge]:
    """How often each rule had an effect; those that had it first have values of their own."""
    rest = 0
    for place, (rule, count) in enumerate(counts.items()):
        if place < MOST_RULES and rule != OTHER:
            yield "dragoman_rule_refusals_total", (rule, effect), count
        else:
            rest += count
    if rest:
        yield "dragoman_rule_refusals_total", (OTHER, effect), rest


def process_gauges(started_at: float) -> Iterator[Gauge]:
    """This process, as far as the system tells."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield "dragoman_workers", (), 1
    yield "dragoman_build_info", (version("dragoman"), python), 1
    yield "dragoman_start_time_seconds", (), started_at
    try:
        resident = int(_STATM.read_text("ascii").split()[1]) * _PAGE_BYTES
        descriptors = len(os.listdir(_DESCRIPTORS))
    except (OSError, IndexError, ValueError):
        return
    yield "dragoman_resident_memory_bytes", (), resident
    yield "dragoman_open_files", (), descriptors
