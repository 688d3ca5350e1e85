"""What observing a request costs: metrics and the request log together, as the end of each request calls them."""

from collections.abc import Callable, Iterator

from gateway.telemetry.metrics.metrics import Metrics
from gateway.telemetry.metrics.routes import route_of
from gateway.telemetry.requests.contents import Contents, Wires
from gateway.telemetry.requests.log import RequestLog, RequestLogSettings
from tests.support.ended import CHAT, NOW, ended
from translators.models import model_table


def observing(microseconds: Callable[[Callable[[], object]], float]) -> Iterator[tuple[str, str]]:
    """Name and figure of each measure."""
    streamed = ended()
    metrics = Metrics(model_table(), route_of, lambda: NOW)
    log = RequestLog(RequestLogSettings(), Contents(lambda: NOW), Wires(lambda: NOW))

    def count() -> None:
        metrics.note(streamed)
        metrics.edge.answered(CHAT, 200, None)

    yield "request, counted for /metrics", f"{microseconds(count):.2f} µs"
    yield "request, taken into the request log", f"{microseconds(lambda: log.note(streamed)):.2f} µs"
