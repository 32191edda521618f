"""One connection: what is written when, what counts as silence, and that its end is final."""

import asyncio

import pytest

from gorilla.config.secrets import Secret
from gorilla.consensus.peers.frames import FRAME_BYTES_MAX, FrameDecoder, FrameError, encode_frame
from gorilla.consensus.peers.handshake import AcceptorHandshake, DialerHandshake, Speaker
from gorilla.consensus.peers.link import PING, Link, LinkLimits

SECRET = Secret("a secret for the test")
LIMITS = LinkLimits(handshake_s=5.0, unsent_bytes_max=10_000)
ME = Speaker(name="n1", id="one", version="1", cluster_id="c")
PEER = Speaker(name="n2", id="two", version="1", cluster_id="c")


class Pipe(asyncio.Transport):
    """An honest transport: remembers each write; ``stuck`` bytes stay in its buffer."""

    def __init__(self):
        super().__init__()
        self.writes = []
        self.stuck = 0
        self.ended = None

    def write(self, data):
        assert self.ended is None
        self.writes.append(data)

    def get_write_buffer_size(self):
        return self.stuck

    def get_extra_info(self, name, default=None):
        return ("10.0.0.2", 5_000) if name == "peername" else default

    def abort(self):
        self.ended = "abort"

    def close(self):
        self.ended = "close"

    def messages(self):
        return [m for data in self.writes for m in FrameDecoder(FRAME_BYTES_MAX).messages(data)]


@pytest.fixture
def pipe():
    return Pipe()


class Owner:
    def __init__(self):
        self.told = []
        self.close_at = None

    def opened(self, _link):
        self.told.append("opened")

    def established(self, _link):
        self.told.append("established")

    def received(self, link, message):
        self.told.append(message)
        if message == self.close_at:
            link.close("enough")

    def refused(self, _link, refused):
        self.told.append(refused.refusal.reason)

    def closed(self, _link, why):
        self.told.append(f"closed: {why}")


@pytest.fixture
async def link(pipe):
    """An established link whose handshake's writes are forgotten."""
    link = Link(Owner(), AcceptorHandshake(ME, SECRET, lambda _: None), LIMITS)
    link.connection_made(pipe)
    dialer = DialerHandshake(PEER, SECRET, lambda _: None)
    link.data_received(encode_frame(dialer.start()))
    for _ in range(2):
        for answer in dialer.receive(pipe.messages()[-1]):
            link.data_received(encode_frame(answer))
    assert link.info is not None
    assert owner(link).told == ["opened", "established"]
    pipe.writes.clear()
    return link


def owner(link):
    return link._owner


async def test_what_was_sent_goes_out_in_one_write_when_flushed(link, pipe):
    link.send({"a": 1})
    link.send({"b": 2})
    assert pipe.writes == []

    link.flush()
    link.flush()

    assert len(pipe.writes) == 1
    assert pipe.messages() == [{"a": 1}, {"b": 2}]


async def test_pings_fill_the_silence_only(link, pipe):
    link.pulse(100)
    link.send({"a": 1})
    link.flush()
    link.pulse(100)
    link.pulse(100)

    assert pipe.messages() == [PING, {"a": 1}, PING]


async def test_pings_are_not_delivered_and_any_byte_counts_as_life(link):
    frame = encode_frame(PING)
    for _ in range(5):
        for position in range(len(frame)):
            link.pulse(3)
            link.data_received(frame[position : position + 1])

    assert owner(link).told == ["opened", "established"]


async def test_silence_ends_the_link(link, pipe):
    for _ in range(3):
        link.pulse(3)
    assert not link.is_closed

    link.pulse(3)

    assert pipe.ended == "abort"
    assert owner(link).told[-1] == "closed: nothing was heard of it for too long"


async def test_a_peer_that_does_not_take_its_data_is_cut_off(link, pipe):
    pipe.stuck = 9_990
    link.send({"a": 1})

    link.flush()

    assert pipe.ended == "abort"
    assert "it is too slow" in owner(link).told[-1]


async def test_nothing_is_delivered_after_the_link_is_closed(link):
    owner(link).close_at = {"n": 2}
    link.data_received(b"".join(encode_frame({"n": n}) for n in (1, 2, 3)))
    link.data_received(encode_frame({"n": 4}))
    link.connection_lost(None)

    assert owner(link).told[2:] == [{"n": 1}, {"n": 2}, "closed: enough"]


async def test_nothing_is_written_to_a_closed_link(link, pipe):
    link.close("over")
    link.send({"a": 1})
    link.flush()
    link.pulse(1)

    assert pipe.writes == []
    assert link.gone.done() is False
    link.connection_lost(None)
    assert link.gone.done()


async def test_what_was_written_may_still_go_out_when_a_link_is_closed_in_order(link, pipe):
    pipe.stuck = 10
    link.close("over")
    assert pipe.ended == "close"


async def test_a_message_too_big_for_a_frame_is_refused_to_the_sender(link, pipe):
    with pytest.raises(FrameError):
        link.send({"data": bytes(FRAME_BYTES_MAX)})

    assert not link.is_closed
    link.flush()
    assert pipe.writes == []


async def test_a_damaged_frame_ends_the_link(link, pipe):
    frame = bytearray(encode_frame({"a": 1}))
    frame[-1] ^= 1

    link.data_received(bytes(frame))

    assert pipe.ended == "abort"
    assert "damaged" in owner(link).told[-1]


async def test_a_stranger_is_held_to_small_frames_and_a_member_is_not(link, pipe):
    big = encode_frame({"data": bytes(100_000)})
    link.data_received(big)
    assert owner(link).told[-1] == {"data": bytes(100_000)}

    stranger = Link(Owner(), AcceptorHandshake(ME, SECRET, lambda _: None), LIMITS)
    stranger.connection_made(Pipe())
    stranger.data_received(big)
    assert "exceeds the bound of 4096" in owner(stranger).told[-1]


async def test_what_follows_the_handshake_in_the_same_chunk_is_delivered(pipe):
    link = Link(Owner(), AcceptorHandshake(ME, SECRET, lambda _: None), LIMITS)
    link.connection_made(pipe)
    dialer = DialerHandshake(PEER, SECRET, lambda _: None)
    link.data_received(encode_frame(dialer.start()))
    for answer in dialer.receive(pipe.messages()[-1]):
        link.data_received(encode_frame(answer))
    [ready] = dialer.receive(pipe.messages()[-1])

    link.data_received(encode_frame(ready) + encode_frame({"data": bytes(50_000)}))

    assert owner(link).told == ["opened", "established", {"data": bytes(50_000)}]
