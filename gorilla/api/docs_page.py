"""The page at ``/docs``: the API description as readable HTML, without scripts."""

from html import escape
from typing import Any, Final

import msgspec

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8882;--key:#0a66c2}
@media(prefers-color-scheme:dark){:root{--key:#79b8ff}}
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h1{margin:.5rem 0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}
summary{cursor:pointer}summary code{font-size:1rem}
.method{display:inline-block;min-width:4.5rem;font-weight:700;color:var(--key)}
code,pre{font:13px/1.45 ui-monospace,monospace}
pre{background:var(--soft);padding:.6rem;border-radius:6px;overflow:auto}
table{border-collapse:collapse;width:100%}
td,th{border-bottom:1px solid var(--line);padding:.25rem .5rem .25rem 0;text-align:left;
vertical-align:top}
a{color:var(--key)}
"""


def docs_page(document: dict[str, Any]) -> str:
    """Render an OpenAPI document.

    Returns:
        A whole HTML page whose only style is inline.

    """
    info = document["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} <small>{escape(info['version'])}</small></h1>",
        f"<p>{escape(info['description'])}</p>",
        '<p>The same for machines: <a href="/openapi.json">/openapi.json</a></p>',
    ]
    for tag in document["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2><p>{escape(tag['description'])}</p>")
        parts += [
            _operation(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"]
        ]
    parts += [_problems(document["x-problems"]), "</body></html>"]
    return "".join(parts)


def style_source() -> str:
    """Return the text of the page's style element, for its security policy."""
    return _STYLE


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}</td>"
        f"<td>{escape(parameter['description'])}</td></tr>"
        for parameter in operation.get("parameters", ())
    )
    answers = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    return (
        f'<details><summary><span class="method">{escape(method.upper())}</span> '
        f"<code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>{escape(operation['description'])}</p>"
        + (f"<table>{rows}</table>" if rows else "")
        + _body(operation)
        + f"<table><tr><th>Answer</th><th></th></tr>{answers}</table></details>"
    )


def _body(operation: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    example = operation["requestBody"]["content"]["application/json"]["example"]
    lines = ",\n".join(f'  "{key}": {_json(value)}' for key, value in example.items())
    return f"<pre>{escape('{' + chr(10) + lines + chr(10) + '}')}</pre>"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _problems(problems: list[dict[str, Any]]) -> str:
    rows = "".join(
        f'<tr id="{escape(row["code"])}"><td><code>{escape(row["code"])}</code></td>'
        f"<td>{row['status']}</td><td>{escape(row['detail'])}</td></tr>"
        for row in problems
    )
    return f"<h2>Problem codes</h2><table>{rows}</table>"
