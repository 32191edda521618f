"""The API as a whole: finds the route of a request, runs its handler, turns failures into answers.

This is aiohttp's low-level server: one callable takes every request. Its ``Application`` would
decode and normalise paths before they are matched, and resolve routes and middlewares anew for
each request.
"""

import logging
import time
from typing import Final

from aiohttp import web

from gorilla.api.answers import Answer, Stamp
from gorilla.api.connection import RequestIds
from gorilla.api.dependencies import ApiDependencies
from gorilla.api.documents import Documents
from gorilla.api.limits import HttpLimits
from gorilla.api.metrics import RequestMetrics
from gorilla.api.presenting import problem_answer, problem_of
from gorilla.api.requests import Call, check_head, check_key, request_id_of
from gorilla.api.routes import routes
from gorilla.api.routing import Router, split_target

log = logging.getLogger(__name__)

UNKNOWN_ROUTE: Final = "unknown"
"""Label of requests that no route takes, so that made-up paths make no new series."""


class Api:
    """Serves requests; made by :func:`build_app`."""

    def __init__(
        self, router: Router, node: str, metrics: RequestMetrics, limits: HttpLimits
    ) -> None:
        """Take the routes, the node's name, where requests are counted, and what they may take."""
        self.router = router
        self.stamp = Stamp(node)
        self.ids = RequestIds()
        self.limits = limits
        self._metrics = metrics

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; whatever happens, the answer is one of the contract's."""
        started_s = time.monotonic()
        request_id = request_id_of(request.headers) or self.ids.next()
        template = UNKNOWN_ROUTE
        try:
            check_head(request)
            path, query = split_target(request.raw_path)
            route, parameters = self.router.find(request.method, path)
            template = route.template
            check_key(request, route)
            answer = await route.handler(Call(request, parameters, query, self.limits))
        except Exception as error:
            answer = self._failed(error, request_id)
        answer.stamp(self.stamp.lines(request_id), self.limits.reader_s_max)
        took_s = time.monotonic() - started_s
        self._metrics.observe(template, request.method, answer.status, took_s)
        if log.isEnabledFor(logging.DEBUG):
            self._tell(request.method, template, answer.status, took_s, request_id)
        return answer

    def _tell(
        self, method: str, template: str, status: int, took_s: float, request_id: str
    ) -> None:
        """Log a request by its route: the path itself may hold a token."""
        said = {"request_id": request_id}
        log.debug("%s %s: %d in %.1f ms", method, template, status, took_s * 1_000, extra=said)

    def _failed(self, error: Exception, request_id: str) -> Answer:
        return problem_answer(problem_of(error, request_id), request_id)


def build_app(deps: ApiDependencies) -> Api:
    """Build the API of a node."""
    metrics = RequestMetrics()
    deps.registry.register(metrics)
    documents = Documents(deps.dashboard)
    router = Router(routes(deps, documents))
    documents.describe(router.routes, deps.version)
    return Api(router, deps.node, metrics, deps.limits)
