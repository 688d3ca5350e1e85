"""The parts of the load benchmark that can be wrong without anybody noticing. Nothing here measures time."""

import json
import os
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.load.figures import median, quantile, spread
from benchmarks.load.histories import Dialect
from benchmarks.load.measure import core_busy_seconds, cpu_seconds, family, resident_kb
from benchmarks.load.profile import parse_raw, row_of, summary
from benchmarks.load.reading import AnswerReader
from benchmarks.load.report import ROWS, duration, markdown, rate, size, table
from benchmarks.load.run import Result
from benchmarks.load.targets import System, parse_settings
from benchmarks.load.traffic import (
    BODIES,
    MARK,
    STALLS,
    deltas,
    message_answer,
    request_body,
    stamped_delta,
    stream_ending,
    stream_opening,
)
from tests.support.intents import read_intent
from tests.support.response_requests import SEALER
from translators.intent import Intent
from translators.messages.options import Options, Target
from translators.messages.request import write_request
from translators.models import model_table
from translators.responses.read import read_body
from translators.responses.request import read_request
from translators.sse import EventDecoder

STAMPS = [1, 1234567890123456, 42]
STREAM = stream_opening() + b"".join(stamped_delta(stamp) for stamp in STAMPS) + stream_ending()


def read(answer: bytes, cuts: list[int]) -> AnswerReader:
    """The answer as it is read when the network cuts it there."""
    reader = AnswerReader(reads_stamps=True)
    edges = sorted({0, len(answer), *(cut % len(answer) for cut in cuts)})
    for start, end in pairwise(edges):
        assert not reader.is_complete
        reader.feed(answer[start:end])
    return reader


@given(cuts=st.lists(st.integers(min_value=0), max_size=60))
def test_a_stream_is_read_the_same_however_it_is_cut(cuts: list[int]) -> None:
    reader = read(STREAM, cuts)

    assert (reader.status, reader.events, reader.stamps, reader.is_complete) == (200, 3, STAMPS, True)


@given(cuts=st.lists(st.integers(min_value=0), max_size=20))
def test_an_answer_with_a_length_is_complete_at_its_last_byte(cuts: list[int]) -> None:
    reader = read(message_answer(), cuts)

    assert (reader.status, reader.events, reader.is_complete) == (200, 1, True)


def test_a_stream_without_its_end_is_not_complete() -> None:
    reader = read(STREAM[:-5], [])

    assert not reader.is_complete


def test_every_delta_is_a_chunk_with_one_mark() -> None:
    chunk = stamped_delta(7)
    length, _, rest = chunk.partition(b"\r\n")

    assert len(rest) == int(length, 16) + 2
    assert rest.count(MARK) == 1


def test_upstream_sends_what_anthropic_would() -> None:
    whole = stream_opening().partition(b"\r\n\r\n")[2] + deltas(2) + stream_ending()
    events = EventDecoder().feed(dechunked(whole))

    assert [json.loads(event.data)["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def dechunked(data: bytes) -> bytes:
    """The body without its framing."""
    pieces = []
    while (size_and_rest := data.partition(b"\r\n"))[0] != b"0":
        length = int(size_and_rest[0], 16)
        pieces.append(size_and_rest[2][:length])
        data = size_and_rest[2][length + 2 :]
    return b"".join(pieces)


@pytest.mark.parametrize("kind", BODIES)
def test_a_body_is_as_large_as_its_name_says(kind: str) -> None:
    sizes = {"1 KB": 1 << 10, "100 KB": 100 << 10, "1 MB": 1 << 20, "10 MB": 10 << 20, "50 tools": 40 << 10}
    expected = sizes[kind.removesuffix(" image").removesuffix(" images")]
    dialects: tuple[Dialect, ...] = ("chat", "responses", "messages")

    for dialect in dialects:
        assert 0.7 < len(request_body(kind, dialect, "gpt-5")) / expected < 1.3


@pytest.mark.parametrize("kind", [kind for kind in BODIES if not kind.startswith("10 MB")])
def test_the_gateway_understands_the_body(kind: str) -> None:
    assert read_intent(request_body(kind, "chat", "gpt-5", stream=True)).streams
    assert _read_as_response(kind).streams


@pytest.mark.parametrize("kind", [kind for kind, (megabytes, _) in STALLS.items() if megabytes in (1, 30)])
def test_a_body_that_stalls_is_as_large_as_its_name_says(kind: str) -> None:
    expected = STALLS[kind][0] << 20
    dialects: tuple[Dialect, ...] = ("chat", "responses", "messages")

    for dialect in dialects:
        # The largest has to fit into what is taken, 32 MB.
        assert 0.9 < len(request_body(kind, dialect, "gpt-5")) / expected < 1.06


@pytest.mark.parametrize("kind", [kind for kind, (megabytes, _) in STALLS.items() if megabytes == 1])
def test_the_gateway_translates_a_body_that_stalls(kind: str) -> None:
    model = "claude-sonnet-5-5"
    asked = json.loads(request_body(kind, "messages", model))

    for request in (read_intent(request_body(kind, "chat", model)), _read_as_response(kind)):
        written = write_request(request, Target(model, model_table().row(model)), Options())
        assert len(json.loads(written.body)["messages"]) == len(asked["messages"])


def _read_as_response(kind: str) -> Intent:
    return read_request(read_body(request_body(kind, "responses", "gpt-5", stream=True)), SEALER).intent


def test_quantiles_are_values_that_were_seen() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert [quantile(values, share) for share in (0.0, 0.2, 0.21, 0.5, 0.99, 1.0)] == [1.0, 1.0, 2.0, 3.0, 5.0, 5.0]
    assert median([4.0, 1.0]) == 1.0
    assert quantile([], 0.5) == 0.0


def test_the_spread_is_a_share_of_the_median() -> None:
    assert spread([2.0, 1.0, 3.0]) == 1.0
    assert spread([2.0]) == 0.0
    assert spread([0.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(2.5e-6), "2.50 µs"),
        (duration(25.4e-6), "25.4 µs"),
        (duration(0.00075), "750 µs"),
        (duration(0.0042), "4.2 ms"),
        (duration(1.5), "1.50 s"),
        (rate(750), "750 /s"),
        (rate(7500), "7.5 k/s"),
        (rate(75_000), "75 k/s"),
        (rate(7.5e6), "7.5 M/s"),
        (size(2048), "2.0 KB"),
        (size(45 << 20), "45 MB"),
    ],
)
def test_figures_come_in_the_unit_that_suits_them(shown: str, expected: str) -> None:
    assert shown == expected


def results() -> list[Result]:
    """Direct, nginx and the gateway, with two measures each."""
    given: dict[str, dict[str, list[float]]] = {
        "direct": {"first.p50": [1e-3], "request.per_second": [40_000.0]},
        "nginx": {"first.p50": [2e-3], "request.cpu": [20e-6], "request.per_second": [30_000.0], "request.busy": [0.6]},
        "dragoman": {
            "first.p50": [3e-3, 4e-3, 5e-3],
            "request.cpu": [60e-6],
            "request.per_second": [16_000.0],
            "request.busy": [0.97],
        },
    }
    return [Result(System(name), rounds) for name, rounds in given.items()]


def test_the_table_tells_ratios_what_is_added_and_what_is_only_a_lower_bound() -> None:
    cells = {row[0]: row[1:] for row in table(results())}

    assert cells[""] == ["direct", "nginx", "dragoman"]
    assert cells["CPU a request of 1 KB, not streamed"] == ["-", "20.0 µs", "60.0 µs (3.0×)"]  # noqa: RUF001
    assert cells["time to the first token, added"] == ["(1.0 ms)", "1.0 ms", "~3.0 ms"]
    assert cells["requests of 1 KB"] == ["≥ 40 k/s", "≥ 30 k/s", "16 k/s"]
    assert len(cells) == 4


def test_a_table_is_markdown() -> None:
    assert markdown([["", "nginx"], ["CPU", "1 µs"]]) == ["|     | nginx |", "|-----|------:|", "| CPU |  1 µs |"]


def test_every_row_has_its_own_name() -> None:
    assert len({row.key for row in ROWS}) == len({row.label for row in ROWS}) == len(ROWS)


def test_a_setting_is_a_path_and_a_value_in_yaml() -> None:
    assert parse_settings(["log.level=error", "retries.max_attempts=1", "models.aliases={a: b}"]) == {
        "log.level": "error",
        "retries.max_attempts": 1,
        "models.aliases": {"a": "b"},
    }
    with pytest.raises(ValueError, match="section"):
        parse_settings(["nonsense"])


RAW = """\
<module> (gateway/__main__.py:7);run (asyncio/runners.py:118) 10
run (asyncio/runners.py:118);serve (gateway/process/serving.py:90);data_received (uvicorn/protocols/http/impl.py:2) 20
run (asyncio/runners.py:118);stream (gateway/service/answers.py:5);receive (httpx2/_m.py:9);wait (asyncio/tasks.py:1) 30
run (asyncio/runners.py:118);stream (gateway/service/answers.py:5);feed (translators/sse.py:77) 40
"""


def test_a_sample_belongs_to_the_innermost_room() -> None:
    samples = dict(parse_raw(RAW))

    assert {row_of(stack): weight for stack, weight in samples.items()} == {
        "event loop, and what is nobody's": 10.0,
        "server": 20.0,
        "upstream": 30.0,
        "translation": 40.0,
    }


def test_shares_are_spread_over_what_one_costs() -> None:
    lines = summary(parse_raw(RAW), 20e-6)

    assert lines[0].split() == ["40.0%", "8.00", "µs", "translation"]
    assert any(line.split()[:3] == ["30.0%", "6.00", "µs"] and "asyncio/tasks" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="the benchmark reads Linux's /proc")
def test_a_process_has_used_cpu_and_memory() -> None:
    pid = os.getpid()

    assert pid in family(pid)
    assert cpu_seconds(pid) > 0
    assert core_busy_seconds(pid) > 0
    assert resident_kb(pid) > 1000
