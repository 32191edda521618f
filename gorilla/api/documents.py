"""Documents that are the same for every request: the API document, its page, the dashboard."""

import base64
import hashlib
from collections.abc import Sequence

from gorilla.api.answers import Answer, encode_json
from gorilla.api.dependencies import Page
from gorilla.api.docs_page import docs_page, style_source
from gorilla.api.openapi import document_of
from gorilla.api.requests import Call
from gorilla.api.routing import Route


class Documents:
    """Handlers of ``/``, ``/docs`` and ``/openapi.json``."""

    def __init__(self, dashboard: Page) -> None:
        """Take the dashboard; the others are made by :meth:`describe`."""
        self._dashboard = (dashboard.html, dashboard.security_policy)
        self._docs = (b"", "")
        self._openapi = b""

    def describe(self, routes: Sequence[Route], version: str) -> None:
        """Write the API document of these routes, once: they never change."""
        document = document_of(routes, version)
        self._openapi = encode_json(document)
        digest = base64.b64encode(hashlib.sha256(style_source().encode()).digest()).decode()
        policy = (
            f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'none'"
        )
        self._docs = (docs_page(document).encode(), policy)

    async def openapi(self, _call: Call) -> Answer:
        """``GET /openapi.json``."""
        return Answer(200, self._openapi)

    async def docs(self, _call: Call) -> Answer:
        """``GET /docs``."""
        return _page(*self._docs)

    async def dashboard(self, _call: Call) -> Answer:
        """``GET /``."""
        return _page(*self._dashboard)


def _page(html: bytes, security_policy: str) -> Answer:
    headers = (
        ("Content-Security-Policy", security_policy),
        ("Referrer-Policy", "no-referrer"),
    )
    return Answer(200, html, "text/html; charset=utf-8", headers=headers)
