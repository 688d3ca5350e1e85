"""The routes for those who watch the gateway: `/metrics`, and the request log under `/admin/requests`."""

from collections.abc import Iterator

from starlette.routing import BaseRoute, Route

from gateway.accounts.guesses import Guesses
from gateway.pages.admin import AdminKeys
from gateway.pages.metrics import MetricsAccess, MetricsPage
from gateway.pages.requests import OneRequest, RequestsPage, WirePage
from gateway.workers.views import Views


def observation_routes(
    views: Views, guesses: Guesses, admin: AdminKeys, metrics: MetricsAccess | None, *, has_request_log: bool
) -> Iterator[BaseRoute]:
    """The pages that there are; without `metrics` nothing is counted."""
    if metrics is not None:
        yield Route("/metrics", MetricsPage(views, metrics, guesses), methods=["GET"])
    if has_request_log:
        yield Route("/admin/requests", RequestsPage(admin, guesses, views), methods=["GET"])
        yield Route("/admin/requests/{request_id}", OneRequest(admin, guesses, views), methods=["GET"])
        yield Route("/admin/requests/{request_id}/wire", WirePage(admin, guesses, views), methods=["GET"])
