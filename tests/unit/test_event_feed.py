"""The feed on virtual time, with readers in memory that are as slow as a test wants."""

import asyncio

import pytest

from gorilla.api.event_frames import TYPES, EventFilter, Frames, event_body, position_frame
from gorilla.api.feeding import PIECE_EVENTS_MAX, EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.api.streaming import Ended
from gorilla.domain import events as domain
from gorilla.service.errors import OverloadedError
from gorilla.service.event_log import EventLog
from gorilla.service.watching import EventService
from gorilla.wire.events import EVENT_BODIES, STREAM_BODIES, LeftEventBody
from tests.support.domain import acquire, batch as made_batch
from tests.support.service import Node, on_virtual_time, turns
from tests.support.streams import Parser

ALL = EventFilter()


class MemoryStream:
    """What the feed sees of a stream; ``is_full`` is set by the test."""

    def __init__(self, feed):
        self.feed = feed
        self.is_full = False
        self.parser = Parser()
        self.events = []
        self.writes = []
        self.why = None
        self.on_room = None

    @property
    def is_open(self):
        return self.why is None

    @property
    def numbers(self):
        return [event.number for event in self.events if event.type != "position"]

    def send(self, data):
        assert not self.is_full
        self.writes.append(data)
        self.events += self.parser.feed(data)

    def end(self, why):
        if self.why is None:
            self.why = why
            asyncio.get_running_loop().call_soon(self.feed.remove, self, why)

    def on_writable(self, callback):
        self.on_room = callback

    def read_all(self):
        self.is_full = False
        self.on_room()


class Watched:
    """A node that events happen at, and the feed of its watchers."""

    def __init__(self, *, events_max=None, **limits):
        self.node = Node()
        self.log = EventLog(self.node.replica, events_max=events_max or 10_000)
        service = EventService(self.log, self.node.consensus, self.node.cluster)
        self.feed = EventFeed(service, HttpLimits(**limits))
        self.happened = 0

    def watch(self, wanted=ALL, after=None):
        stream = MemoryStream(self.feed)
        position = self.log.last_number if after is None else after
        self.feed.add(stream, wanted, position, position_frame(position))
        return stream

    def happen(self, count=1, holder="ann"):
        """Let so many locks be acquired, by one entry of another node."""
        for first in range(0, count, 1_000):
            commands = []
            for _ in range(min(1_000, count - first)):
                self.happened += 1
                lock = f"lock-{self.happened}"
                commands.append((self.happened, acquire(lock, holder, 9_000_000, f"s{lock}")))
            confirmed = commands[0][0] - 1
            self.node.consensus.write(
                made_batch(*commands, origin="other", confirmed=confirmed, opens=not confirmed)
            )


@on_virtual_time
async def test_events_of_many_entries_reach_a_reader_in_one_piece():
    watched = Watched()
    stream = watched.watch()
    await asyncio.sleep(1)
    writes = len(stream.writes)

    for _ in range(20):
        watched.happen(2)
    await asyncio.sleep(1)

    assert stream.numbers == list(range(1, 41))
    assert len(stream.writes) == writes + 1


@on_virtual_time
async def test_an_event_is_encoded_once_for_all_who_want_it(monkeypatch):
    encoded = []
    monkeypatch.setattr(
        "gorilla.api.event_frames.event_body",
        lambda event: encoded.append(event.number) or event_body(event),
    )
    watched = Watched()
    streams = [watched.watch(EventFilter(prefix="lock-"[: n % 5])) for n in range(50)]

    watched.happen(10)
    await asyncio.sleep(1)

    assert [stream.numbers for stream in streams] == [list(range(1, 11))] * 50
    assert encoded == list(range(1, 11))


@on_virtual_time
async def test_one_who_resumes_from_far_back_gets_it_in_pieces_and_keeps_nobody_waiting():
    watched = Watched()
    watched.happen(20 * PIECE_EVENTS_MAX)
    here = watched.watch()
    late = watched.watch(after=0)
    await turns(1)
    watched.happen()
    await asyncio.sleep(1)

    assert here.numbers == [20 * PIECE_EVENTS_MAX + 1]
    assert late.numbers == list(range(1, 20 * PIECE_EVENTS_MAX + 2))
    assert len(late.writes) >= 20


@on_virtual_time
async def test_a_reader_that_is_full_gets_the_rest_when_it_has_room():
    watched = Watched()
    stream = watched.watch()
    await asyncio.sleep(1)
    stream.is_full = True
    watched.happen(5)
    await asyncio.sleep(5)
    assert stream.numbers == []

    stream.read_all()
    await turns()

    assert stream.numbers == [1, 2, 3, 4, 5]
    await asyncio.sleep(60)
    assert stream.why is None


@on_virtual_time
async def test_a_reader_that_is_full_for_too_long_is_cut_off_and_counted():
    watched = Watched(reader_s_max=10)
    slow, other = watched.watch(), watched.watch()
    slow.is_full = True
    watched.happen()

    await asyncio.sleep(9)
    assert slow.why is None
    await asyncio.sleep(4)

    assert slow.why is Ended.SLOW
    assert watched.feed.counts.ended[Ended.SLOW] == 1
    assert (watched.feed.watching, other.why, other.numbers) == (1, None, [1])


@on_virtual_time
async def test_a_full_reader_that_falls_out_of_the_history_is_cut_off_sooner():
    watched = Watched(events_max=10, reader_s_max=1_000)
    slow = watched.watch()
    await asyncio.sleep(1)
    slow.is_full = True
    watched.happen(11)

    await asyncio.sleep(3)

    assert slow.why is Ended.SLOW


@on_virtual_time
async def test_a_state_taken_over_that_leaves_a_hole_ends_the_streams_rather_than_skip_events():
    watched = Watched()
    stream = watched.watch()
    watched.happen(3)
    await asyncio.sleep(1)
    far = Watched()
    far.happen(10_000)
    frozen = far.node.replica.freeze()

    watched.node.consensus.lose_leader()
    watched.node.replica.load(20_000, frozen.chunks())
    await asyncio.sleep(1)

    assert stream.numbers == [1, 2, 3]
    assert stream.why is Ended.BEHIND


@on_virtual_time
async def test_a_heartbeat_comes_when_nothing_else_did_for_ten_seconds():
    watched = Watched()
    stream = watched.watch()
    await asyncio.sleep(9)
    assert stream.parser.comments == 0
    await asyncio.sleep(3)
    assert stream.parser.comments == 1

    for _ in range(20):
        watched.happen()
        await asyncio.sleep(1)
    assert stream.parser.comments == 1
    await asyncio.sleep(34)
    assert 3 <= stream.parser.comments <= 5


@on_virtual_time
async def test_with_the_heartbeat_the_id_passes_what_was_left_out_and_never_what_was_not_sent():
    watched = Watched()
    stream = watched.watch(EventFilter(owner="bea"))
    watched.happen(3, holder="ann")
    watched.happen(1, holder="bea")
    watched.happen(2, holder="ann")
    await asyncio.sleep(1)
    assert stream.parser.last_id == "4"

    await asyncio.sleep(12)

    assert stream.parser.last_id == "6"
    assert stream.numbers == [4]
    await asyncio.sleep(30)
    assert [event.type for event in stream.events].count("position") == 2


@on_virtual_time
async def test_whoever_resumes_from_the_last_id_misses_nothing_and_sees_nothing_twice():
    watched = Watched()
    wanted = EventFilter(owner="bea")
    seen = []
    after = 0
    for step in range(30):
        stream = watched.watch(wanted, after=after)
        for number in range(step % 4):
            watched.happen(1 + number, holder="bea" if (step + number) % 3 else "ann")
        await asyncio.sleep(0.5 * (step % 50))
        seen += stream.numbers
        after = int(stream.parser.last_id)
        stream.end(Ended.STOPPED)
        await turns()
    late = watched.watch(wanted, after=after)
    await asyncio.sleep(1)
    seen += late.numbers

    bea = [e.number for e in watched.log.after(0, 10_000) if e.holder == "bea"]
    assert seen == bea
    assert len(bea) > 10


@on_virtual_time
async def test_streams_outlive_a_failover_and_end_when_it_takes_too_long():
    watched = Watched(unserved_s_max=3)
    stream = watched.watch()
    watched.node.consensus.lose_leader()
    await asyncio.sleep(1.5)
    watched.node.consensus.elect()
    await asyncio.sleep(10)
    assert stream.why is None

    watched.node.consensus.lose_leader()
    await asyncio.sleep(6)

    assert stream.why is Ended.STOPPED
    assert watched.feed.watching == 0


@on_virtual_time
async def test_beyond_its_bound_the_feed_has_no_room():
    watched = Watched(watchers_max=1)
    watched.feed.check_room()
    watched.watch()

    with pytest.raises(OverloadedError, match="max_watchers"):
        watched.feed.check_room()


def test_nothing_is_scheduled_when_the_last_reader_has_gone():
    @on_virtual_time
    async def end_them_all_and_wait():
        stream = Watched().watch()
        await asyncio.sleep(20)
        stream.end(Ended.GONE)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(RuntimeError, match="nothing is scheduled"):
        end_them_all_and_wait()


# What events say

HOLD = (7, 5_000, 1_700_000_000_123, "db", "ann")


def test_every_event_of_the_table_has_a_name_a_shape_and_can_be_filtered_by_it():
    assert set(TYPES) == set(domain.Event.__args__)
    assert list(TYPES.values()) == list(EVENT_BODIES)
    for name, body in STREAM_BODIES.items():
        assert body.__struct_config__.tag == name


def test_why_somebody_left_is_written_in_the_words_of_the_table():
    why = LeftEventBody.__annotations__["why"]

    assert {one.value for one in domain.Left} == set(why.__args__)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (
            domain.Acquired(*HOLD, 9, 1_500, 0, 3, 2_000, "nightly"),
            {"mode": "shared", "timeout": 1.5, "expireAt": "2023-11-14T22:13:21", "session": 3,
             "waited": 2, "reason": "nightly", "fencingToken": 9},
        ),
        (
            domain.Acquired(*HOLD, 9, 0, 4),
            {"mode": "exclusive", "limit": 4, "waited": 0, "fencingToken": 9},
        ),
        (
            domain.Extended(*HOLD, 9, 60_000),
            {"timeout": 60, "expireAt": "2023-11-14T22:14:20", "fencingToken": 9},
        ),
        (domain.ReleasedEvent(*HOLD, 9, 250), {"held": 0.25, "fencingToken": 9}),
        (domain.Expired(*HOLD, 9, 250, 4), {"held": 0.25, "session": 4, "fencingToken": 9}),
        (
            domain.Forced(*HOLD, 9, 250, "stuck", "ops"),
            {"held": 0.25, "reason": "stuck", "by": "ops", "fencingToken": 9},
        ),
        (
            domain.QueuedEvent(*HOLD, 7, 1, 2, 30_000, ("bea", "cid")),
            {"ticket": 7, "mode": "exclusive", "limit": 1, "position": 2, "wait": 30,
             "blockedBy": ["bea", "cid"]},
        ),
        (
            domain.LeftEvent(*HOLD, 7, 1_000, domain.Left.HUNG_UP),
            {"ticket": 7, "waited": 1, "why": "hung_up"},
        ),
        (
            domain.ReleaseAsked(*HOLD, 9, "bea", "please"),
            {"by": "bea", "reason": "please", "fencingToken": 9},
        ),
    ],
)  # fmt: skip
def test_an_event_of_a_lock_says_all_that_the_table_knows_of_it(event, said):
    (read,) = Parser().feed(Frames().of(event))

    name = TYPES[type(event)]
    assert (read.type, read.number) == (name, 7)
    assert read.json == {
        "type": name, "number": 7, "at": "2023-11-14T22:13:20", "atMs": 1_700_000_000_123,
        "resource": "db", "owner": "ann", **said,
    }  # fmt: skip


def test_an_event_of_members_is_of_no_lock_and_passes_where_none_was_asked_for():
    event = domain.MembersChanged(7, 5_000, 1_700_000_000_123, ("n1", "n2"))
    (read,) = Parser().feed(Frames().of(event))

    assert read.json["members"] == ["n1", "n2"]
    assert "resource" not in read.json
    assert EventFilter().takes(event)
    assert EventFilter(types=frozenset({"member"})).takes(event)
    assert not EventFilter(prefix="a").takes(event)
    assert not EventFilter(owner="a").takes(event)


def test_names_with_line_breaks_and_all_of_unicode_stay_one_line_of_data():
    event = domain.Acquired(7, 1, 2, "a\u2028b\u00e9\U0001f98d", "o\u0085", 9, 1_000)
    (read,) = Parser().feed(Frames().of(event))

    assert read.json["resource"] == event.lock
    assert read.json["owner"] == event.holder
