"""The page at ``/``: members, leader, held locks with their queues, and alarms, live."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec

_INLINE: Final = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


class DashboardPage(msgspec.Struct, frozen=True):
    """A page with everything in it, and the policy that lets nothing else run."""

    html: bytes
    security_policy: str


@cache
def dashboard_page() -> DashboardPage:
    """Read the page that is shipped with the program."""
    text = files(__name__).joinpath("page.html").read_text("utf-8")
    return DashboardPage(text.encode(), _policy_of(text))


def _policy_of(html: str) -> str:
    """Allow the page's own style and script by their digests, and requests to its own node."""
    digests = {name: _digest(source) for name, source in _INLINE.findall(html)}
    return (
        f"default-src 'none'; script-src {digests['script']}; style-src {digests['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


def _digest(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
