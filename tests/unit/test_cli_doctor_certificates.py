"""Until when certificates are valid, of ones that OpenSSL made."""

import base64
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from gorilla.cli.doctor_certificates import CertificateError, end_of, end_of_pem


def made(directory, *more, name="cert", days=9):
    """A certificate that signs itself, in PEM."""
    path = directory / f"{name}.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-keyout", str(directory / f"{name}.key"), "-out", str(path),
            "-days", str(days), "-subj", "/CN=gorilla", *more,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return path.read_text()


def told_by_openssl(text):
    shown = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate"],
        input=text.encode(),
        capture_output=True,
        check=True,
    )
    stamp = shown.stdout.decode().strip().removeprefix("notAfter=")
    return datetime.strptime(stamp, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


@pytest.mark.parametrize("days", [1, 9, 400, 365 * 60])  # the last one is a GeneralizedTime
def test_the_end_is_what_openssl_says(tmp_path, days):
    text = made(tmp_path, days=days)

    assert end_of_pem(text) == told_by_openssl(text)


def test_of_several_in_a_file_the_first_counts_and_a_key_before_it_does_not(tmp_path):
    first, second = made(tmp_path, days=3), made(tmp_path, name="other", days=30)
    key = (tmp_path / "cert.key").read_text()

    assert end_of_pem(key + first + second) == told_by_openssl(first)
    assert end_of_pem(second) - end_of_pem(first) >= timedelta(days=26)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\n%%%%\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_is_no_certificate_is_told_as_that(text):
    with pytest.raises(CertificateError):
        end_of_pem(text)


def test_a_certificate_that_is_cut_off_or_changed_anywhere_is_read_or_refused(tmp_path):
    text = made(tmp_path)
    body = "".join(text.splitlines()[1:-1])
    der = base64.b64decode(body)
    whole = end_of(der)

    for size in range(len(der)):
        with pytest.raises(CertificateError):
            end_of(der[:size])
    for place in range(len(der)):
        for bit in (0x01, 0x80):
            changed = bytearray(der)
            changed[place] ^= bit
            try:
                end_of(bytes(changed))
            except CertificateError:
                continue
    assert end_of(der) == whole
