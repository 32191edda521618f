"""TLS: whom a client trusts, how it says who it is, and that a failed handshake sent nothing."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gorilla.client import ClosedError, OutcomeUnknown, Unavailable, transport
from tests.support.api import until
from tests.support.faces import FACES, face_of
from tests.support.stub_server import OK, is_silent, says, stub
from tests.support.tls import make_certificate


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """Certificates that sign themselves: a node's, a client's and another one."""
    directory = tmp_path_factory.mktemp("tls")
    make_certificate(directory, "node", 7)
    make_certificate(directory, "client", 7)
    make_certificate(directory, "other", 7)
    return directory


def server(files: Path, *, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files / "node.pem", files / "node.key")
    if wants_client:
        context.load_verify_locations(files / "client.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_node_whose_certificate_is_trusted_is_asked(kind, files):
    async with (
        stub(says(OK), tls=server(files)) as node,
        face_of(kind, node.url, ca_file=str(files / "node.pem"), token="t") as face,
    ):
        await face(lambda c: c.release("a", "t"))
        await face(lambda c: c.release("a", "t"))

    assert [request.connection for request in node.requests] == [1, 1]
    assert node.requests[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("trusted", ["other.pem", None], ids=["another one", "the system's"])
async def test_a_node_whose_certificate_is_not_trusted_is_told_nothing(kind, files, trusted):
    ca_file = None if trusted is None else str(files / trusted)
    async with (
        stub(says(OK), tls=server(files)) as node,
        face_of(kind, node.url, ca_file=ca_file, deadline_s=1.0) as face,
    ):
        with pytest.raises(Unavailable, match="its certificate is not accepted: self"):
            await face(lambda c: c.release("a", "t"))

    assert node.requests == []


async def test_a_certificate_for_another_name_is_not_accepted(kind, files):
    async with stub(says(OK), tls=server(files)) as node:
        url = node.url.replace("127.0.0.1", "localhost")
        async with face_of(kind, url, ca_file=str(files / "node.pem"), deadline_s=1.0) as face:
            with pytest.raises(Unavailable, match="its certificate is not accepted: Hostname mism"):
                await face(lambda c: c.release("a", "t"))

    assert node.requests == []


async def test_a_server_that_speaks_no_tls_is_told_nothing(kind):
    async with stub(says(OK)) as node:
        url = node.url.replace("http:", "https:")
        async with face_of(kind, url, attempt_s=0.5, deadline_s=0.6) as face:
            with pytest.raises(Unavailable):
                await face(lambda c: c.release("a", "t"))

    assert node.requests == []


async def test_a_client_says_who_it_is_by_its_own_certificate(kind, files):
    own = {"cert_file": str(files / "client.pem"), "key_file": str(files / "client.key")}
    async with stub(tls=server(files, wants_client=True)) as node:
        ca_file = str(files / "node.pem")
        async with face_of(kind, node.url, ca_file=ca_file, **own) as face:
            assert (await face(lambda c: c.health())).status == "ok"
        async with face_of(kind, node.url, ca_file=ca_file, deadline_s=1.0) as face:
            # The handshake of TLS 1.3 is over for the client before the node refuses it.
            with pytest.raises((Unavailable, OutcomeUnknown)):
                await face(lambda c: c.release("a", "t"))

    assert node.requests == []
    assert node.probes == 1


async def test_one_file_may_hold_the_certificate_and_its_key(kind, files):
    both = files / "both.pem"
    both.write_text((files / "client.pem").read_text() + (files / "client.key").read_text())
    async with (
        stub(tls=server(files, wants_client=True)) as node,
        face_of(kind, node.url, ca_file=str(files / "node.pem"), cert_file=str(both)) as face,
    ):
        assert (await face(lambda c: c.health())).status == "ok"


async def test_a_node_that_stands_still_during_a_wait_over_tls_is_left(kind, files, monkeypatch):
    for name, seconds in (("PROBE_EVERY_S", 0.2), ("PROBE_AGAIN_S", 0.1), ("PROBE_S", 0.2)):
        monkeypatch.setattr(transport, name, seconds)
    async with stub(is_silent, tls=server(files)) as node:
        node.is_healthy = False
        async with face_of(kind, node.url, ca_file=str(files / "node.pem")) as face:
            asking = asyncio.create_task(
                face(lambda c: c.acquire("a", owner="o", timeout=30, wait=60))
            )
            await until(lambda: len(node.requests) >= 2)
            await face.close()
            with pytest.raises(ClosedError):
                await asyncio.wait_for(asking, 3.0)

    assert len({request.sent for request in node.requests}) == 1
