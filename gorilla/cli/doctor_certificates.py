"""Until when a certificate is valid: the one field of X.509 that the doctor reads.

Python's own library tells it only of a server's certificate that was accepted.
"""

import binascii
import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gorilla.cli.doctor_evidence import Certificate
from gorilla.client.settings import ClientSettings
from gorilla.client.transport import place_of, tls_of

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_LONG_FORM: Final = 0x80
_LENGTH_OCTETS_MAX: Final = 4
_CENTURY_TURN: Final = 50
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL | re.ASCII
)


class CertificateError(ValueError):
    """It is no certificate, or not one that can be read."""


class _Reader:
    """Reads the elements of a DER encoding one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def peek(self) -> int:
        if self._at >= len(self._data):
            raise CertificateError("the certificate ends too early")
        return self._data[self._at]

    def take(self, *tags: int) -> bytes:
        """Return the content of the next element; any tag when none is named."""
        if tags and self.peek() not in tags:
            raise CertificateError("the certificate is not built as one")
        self._at += 1
        length = self.peek()
        self._at += 1
        if length >= _LONG_FORM:
            octets = length - _LONG_FORM
            if not 1 <= octets <= _LENGTH_OCTETS_MAX:
                raise CertificateError("a length in the certificate is out of bounds")
            length = int.from_bytes(self._data[self._at : self._at + octets], "big")
            self._at += octets
        if self._at + length > len(self._data):
            raise CertificateError("the certificate ends too early")
        content = self._data[self._at : self._at + length]
        self._at += length
        return content


def end_of(der: bytes) -> datetime:
    """Return until when a certificate is valid.

    Args:
        der: It, in DER.

    Raises:
        CertificateError: It can't be read.

    """
    body = _Reader(_Reader(_Reader(der).take(_SEQUENCE)).take(_SEQUENCE))
    if body.peek() == _VERSION:
        body.take()
    for _ in range(3):  # serial number, algorithm, issuer
        body.take()
    validity = _Reader(body.take(_SEQUENCE))
    validity.take()  # from when on
    kind = validity.peek()
    return _moment(kind, validity.take(_UTC_TIME, _GENERALIZED_TIME))


def end_of_pem(text: str) -> datetime:
    """Return until when the first certificate of a PEM file is valid.

    Raises:
        CertificateError: There is none, or it can't be read.

    """
    found = _PEM.search(text)
    if found is None:
        raise CertificateError("there is no certificate in it")
    try:
        return end_of(ssl.PEM_cert_to_DER_cert(found[0]))
    except (binascii.Error, UnicodeError) as error:
        raise CertificateError("it is no base64") from error


def _moment(kind: int, content: bytes) -> datetime:
    text = content.decode("ascii", "replace")
    if kind == _UTC_TIME:
        century = "19" if text[:2] >= str(_CENTURY_TURN) else "20"
        text = century + text
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise CertificateError("its end is no moment") from error


def certificate_of_file(name: str) -> Certificate:
    """Look at the client's own certificate."""
    try:
        return Certificate(ends=end_of_pem(Path(name).read_text("latin-1")))
    except (OSError, CertificateError):
        return Certificate(ends=None)


def certificate_of_server(
    url: str, settings: ClientSettings, timeout_s: float
) -> Certificate | None:
    """Look at the certificate of a server, be it accepted or not; None: there was none to see."""
    try:
        der = _shown(url, tls_of(settings), timeout_s)
        return Certificate(ends=_end_or_none(der))
    except ssl.SSLCertVerificationError as error:
        failure = error.verify_message or str(error)
    except (OSError, ValueError):
        return None
    unchecked = tls_of(settings)
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    try:
        der = _shown(url, unchecked, timeout_s)
    except OSError:
        return Certificate(ends=None, failure=failure)
    return Certificate(ends=_end_or_none(der), failure=failure)


def _shown(url: str, context: ssl.SSLContext, timeout_s: float) -> bytes:
    place = place_of(url)
    with (
        socket.create_connection((place.host, place.port), timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=place.host) as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def _end_or_none(der: bytes) -> datetime | None:
    try:
        return end_of(der)
    except CertificateError:
        return None
