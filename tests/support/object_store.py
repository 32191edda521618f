"""A stand-in for S3 as far as conditional writes go: one process, objects in memory.

An object's ETag is the MD5 of its content, as S3's is for an object of one part: writing the same
bytes again gives the same ETag. Every request must be signed; the signature itself is not checked.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Objects(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stored: dict[str, bytes]
    written: list[tuple[str, bytes]]
    turn: threading.Lock

    def do_GET(self) -> None:
        with self.turn:
            content = self.stored.get(self.path)
        if not self._is_signed():
            self._answer(403)
        elif content is None:
            self._answer(404)
        else:
            self._answer(200, content, content)

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        with self.turn:
            status = self._refusal() or 200
            if status == 200:
                self.stored[self.path] = content
                self.written.append((self.path, content))
        self._answer(status, content if status == 200 else None)

    def _refusal(self) -> int | None:
        """Why a write is refused; None when its conditions hold."""
        there = self.stored.get(self.path)
        if not self._is_signed():
            return 403
        if self.headers["If-None-Match"] == "*" and there is not None:
            return 412
        wanted = self.headers["If-Match"]
        if wanted is not None and there is None:
            return 404
        if wanted is not None and there is not None and wanted != _etag(there):
            return 412
        return None

    def _is_signed(self) -> bool:
        return str(self.headers["Authorization"]).startswith("AWS4-HMAC-SHA256 Credential=")

    def _answer(self, status: int, about: bytes | None = None, content: bytes = b"") -> None:
        self.send_response(status)
        if about is not None:
            self.send_header("ETag", _etag(about))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Say nothing: a test looks at answers."""


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@dataclass(frozen=True)
class ObjectStore:
    """Where its one bucket is, and every object ever written to it, in order."""

    url: str
    written: list[tuple[str, bytes]]


@contextlib.contextmanager
def running_object_store() -> Iterator[ObjectStore]:
    """Serve an empty store."""
    written: list[tuple[str, bytes]] = []
    own = {"stored": {}, "written": written, "turn": threading.Lock()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Objects", (_Objects,), own))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield ObjectStore(f"http://127.0.0.1:{server.server_port}/bucket", written)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
