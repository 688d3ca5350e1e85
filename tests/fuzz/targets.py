"""Every reader and writer, each with what must hold of it whatever comes in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.fuzz import answers, edges, requests, responses, responses_requests, sources
from tests.fuzz.mutations import mutated_bytes, mutated_json, mutated_stream

Mutation = Callable[[bytes, Random], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """What is fuzzed: damaged `seeds` (and `recorded` ones, where they are found) go into `check`.

    `check` raises for what must not be; the choices it makes come from the generator it is given. `cases` is how many
    a run of the test suite takes.
    """

    name: str
    check: Callable[[bytes, Random], None]
    seeds: Callable[[], Sequence[bytes]]
    mutate: Mutation
    cases: int
    recorded: Callable[[], Sequence[bytes]] = sources.no_recordings

    @property
    def has_recordings(self) -> bool:
        """Whether there may be recordings of such things."""
        return self.recorded is not sources.no_recordings


TARGETS: Final = {
    target.name: target
    for target in (
        Target("chat-request", requests.chat, sources.chat_requests, mutated_json, 1500, sources.recorded_chats),
        Target("completions-request", requests.completions, sources.completion_requests, mutated_json, 750),
        Target(
            "responses-request",
            responses_requests.responses,
            responses_requests.seeds,
            mutated_json,
            750,
            sources.recorded_responses_requests,
        ),
        Target(
            "native-request",
            requests.native,
            sources.native_requests,
            mutated_json,
            750,
            sources.recorded_native_requests,
        ),
        Target("chat-stream", answers.chat_stream, sources.streams, mutated_stream, 1250, sources.recorded_streams),
        Target("completion-stream", answers.completion_stream, sources.streams, mutated_stream, 750),
        Target("native-stream", answers.native_stream, sources.streams, mutated_stream, 1000, sources.recorded_streams),
        Target("responses-stream", responses.stream, sources.streams, mutated_stream, 350, sources.recorded_streams),
        Target("responses-answer", responses.whole, sources.messages, mutated_json, 375, sources.recorded_messages),
        Target("whole-answer", answers.whole, sources.messages, mutated_json, 750, sources.recorded_messages),
        Target("paused-turn", answers.paused, sources.streams, mutated_stream, 750),
        Target("kept-turn", answers.kept, sources.streams, mutated_stream, 600, sources.recorded_streams),
        Target("events", answers.events, sources.streams, mutated_bytes, 500),
        Target("error-body", edges.error_body, sources.error_bodies, mutated_json, 500, sources.recorded_errors),
        Target("answer-headers", edges.headers, sources.answer_headers, mutated_bytes, 500),
        Target("model-list", edges.model_list, sources.model_lists, mutated_json, 400),
        Target("http-answer", edges.http_answer, sources.http_answers, mutated_bytes, 600),
        Target("http-request", edges.http_request, sources.http_requests, mutated_bytes, 500),
        Target("compressed-body", edges.compressed_body, sources.compressed_bodies, mutated_bytes, 500),
        Target("configuration", edges.configuration, sources.configurations, mutated_bytes, 500),
    )
}
