"""The dashboard's page: whole, safe, and with the policy that fits it."""

import base64
import hashlib
import re

from gorilla.dashboard import dashboard_page


def _inline(tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", dashboard_page().html.decode(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_policy_allows_exactly_the_pages_own_script_and_style():
    policy = dashboard_page().security_policy
    for tag in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(_inline(tag).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_the_script_never_turns_text_into_html():
    script = _inline("script")
    for dangerous in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(",
        "DOMParser", "srcdoc", "javascript:", "setAttribute",
    ):  # fmt: skip
        assert dangerous not in script


def test_the_script_asks_only_its_own_node():
    assert set(re.findall(r"""["'`](/[a-z_][^"'`]*)""", _inline("script"))) == {
        "/api/v1/cluster",
        "/api/v1/locks?",
        "/api/v1/locks/",
        "/explain?consistency=stale",
        "/api/v1/history?limit=1",
    }


def test_every_element_that_the_script_names_is_on_the_page():
    html, script = dashboard_page().html.decode(), _inline("script")
    named = set(re.findall(r"""(?:byId|(?<!\.)replace)\("([\w-]+)\"""", script)) | {
        "prefix",
        "owner",
    }
    assert named
    assert all(f'id="{name}"' in html for name in named)
