"""``host:port`` as operators write it."""

import ipaddress
from typing import Final, NamedTuple

from typing_extensions import override

PORT_MAX: Final = 65_535


class Address(NamedTuple):
    """Where something listens or is reached."""

    host: str
    port: int

    @override
    def __str__(self) -> str:
        """Write it as ``host:port``, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        number = _number(self.host)
        return number is not None and number.is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it means "every address of this machine", which nobody can connect to."""
        number = _number(self.host)
        return number is not None and number.is_unspecified


def parse_address(text: str) -> Address:
    """Read ``host:port`` or ``[ipv6]:port``.

    Raises:
        ValueError: It is neither; the message says what is missing.

    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets, like [::1]:4000")
    if not colon or not host:
        raise ValueError("expected host:port, like 127.0.0.1:4000")
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= PORT_MAX:
        raise ValueError(f"the port must be a number from 1 to {PORT_MAX}")
    return Address(host, int(port))


def _number(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None  # a name
