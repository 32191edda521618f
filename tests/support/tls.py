"""Certificates for tests, and the real HAProxy with one in front of nodes."""

import shutil
import subprocess
from pathlib import Path

from tests.support.local_cluster import free_ports
from tests.support.nodes import Nodes
from tests.support.real_cluster import until

_CONFIG = """\
global
    maxconn 256
defaults
    mode http
    timeout connect 500ms
    timeout client 30s
    timeout server {answer_s}s
frontend tls
    bind 127.0.0.1:{port} ssl crt {both}
    default_backend nodes
backend nodes
    balance roundrobin
"""


def make_certificate(directory: Path, name: str, days: int, *more: str) -> Path:
    """A certificate for 127.0.0.1 that signs itself, in PEM; its key is beside it (``.key``)."""
    path = directory / f"{name}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", str(directory / f"{name}.key"), "-out", str(path),
            "-days", str(days), "-subj", "/CN=gorilla",
            "-addext", "subjectAltName=IP:127.0.0.1", *more,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path


class TlsBalancer:
    """HAProxy that ends TLS, and that gives up answers early."""

    def __init__(self, nodes: Nodes, certificate: Path, *, answer_s: int = 1) -> None:
        """Prepare; its patience for an answer is ``answer_s``."""
        (port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{port}"
        self.port = port
        both = certificate.with_suffix(".both")
        both.write_text(certificate.read_text() + certificate.with_suffix(".key").read_text())
        text = _CONFIG.format(port=port, both=both, answer_s=answer_s)
        for name in nodes.names:
            text += f"    server {name} 127.0.0.1:{nodes.http[name]}\n"
        self.path = certificate.with_suffix(".cfg")
        self.path.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "TlsBalancer":
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = subprocess.Popen(
            [program, "-q", "-db", "-f", str(self.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._listens, "the balancer listens")
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _listens(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.path.read_text()
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.returncode == 0
