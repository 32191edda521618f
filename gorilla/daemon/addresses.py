"""Checks, before anything is started, that the ports to listen on are free."""

import contextlib
import errno
import socket
from collections.abc import Iterator

from gorilla.config import Address, MemberConfig
from gorilla.daemon.failures import CommandError, Exit


def check_addresses_free(members: list[MemberConfig]) -> None:
    """Bind every address of ``members`` for a moment.

    Raises:
        CommandError: Some can't be had; it names each with the key that changes it.

    """
    problems = [text for member in members for text in _problems(member)]
    if problems:
        raise CommandError("\n".join(problems), Exit.USAGE)


def _problems(member: MemberConfig) -> Iterator[str]:
    for key, address in (("http", member.http_bind), ("peer", member.peer_bind)):
        reason = _why_not(address)
        if reason is None:
            continue
        bound = f"bind_{key}" if getattr(member, f"bind_{key}") else key
        variable = f"GORILLA_MEMBER_{member.name.replace('-', '_')}_{bound}".upper()
        yield (
            f"{address} ({key} of {member.name}) {reason}, or change "
            f"{bound} of member {member.name} (or {variable})"
        )


def _why_not(address: Address) -> str | None:
    """Return why ``address`` can't be listened on, with the first remedy; None when it can."""
    try:
        kinds = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return f"is no address: {address.host} is unknown here; write a number, mend the name"
    family, kind, protocol, _, target = kinds[0]
    with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
            # A bind alone succeeds beside a listener that set SO_REUSEADDR too, on some systems.
            probe.listen(1)
        except OSError as error:
            return _remedy(error, address)
    return None


def _remedy(error: OSError, address: Address) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"is in use: stop what listens there (ss -ltnp 'sport = :{address.port}')"
    if error.errno == errno.EADDRNOTAVAIL:
        return "is no address of this machine: set a bind_ address that is"
    if error.errno == errno.EACCES:
        return "is not allowed to this user: choose a port above 1023"
    return f"can't be listened on ({error.strerror}): mend that"
