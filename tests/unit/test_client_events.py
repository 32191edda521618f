"""How a client reads a stream of events, and goes on elsewhere when it breaks."""

import itertools
import random

import pytest
from hypothesis import given, strategies as st

from gorilla.client.asking import Asker
from gorilla.client.calls.events import EVENT_STREAM
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import InvalidRequest, Unavailable
from gorilla.client.events_blocking import Events
from gorilla.client.events_following import SILENCE_S, Following
from gorilla.client.events_reading import EVENT_BYTES_MAX, EventReader, TooLargeError
from gorilla.client.settings import ClientSettings
from gorilla.wire.events import (
    ExtendedEventBody,
    GapEventBody,
    PositionEventBody,
    StreamBody,
)
from gorilla.wire.problems import ProblemCode as Code
from tests.support.scripted import ScriptedIo, Step, ok, page, problem, refused

A, B = "http://a:4000", "http://b:4000"


def frame(number: int, kind: str = "extended", **more: object) -> bytes:
    if kind == "position":
        data = f'{{"type":"position","number":{number}}}'
    elif kind == "gap":
        data = f'{{"type":"gap","from":1,"to":{number},"reason":"history","detail":"d"}}'
    else:
        data = (
            f'{{"type":"{kind}","number":{number},"at":"2025-05-04T10:11:12","atMs":1,'
            '"resource":"a","owner":"o","fencingToken":1}'
        )
    return f"id: {number}\nevent: {kind}\ndata: {data}\n\n".encode()


def following(
    io: ScriptedIo,
    after: int | None = None,
    nodes: tuple[str, ...] = (A,),
    *,
    positions: bool = False,
) -> Following:
    settings = ClientSettings(endpoints=nodes)
    asker = Asker(io, Endpoints(nodes, random.Random(7)), settings)
    return Following(asker, "p", None, ("extended", "acquired"), after, positions=positions)


def numbers(events: list[StreamBody]) -> list[int]:
    return [event.to if isinstance(event, GapEventBody) else event.number for event in events]


def take(watch: Following, count: int) -> list[StreamBody]:
    events = Events(watch)
    return [next(events) for _ in range(count)]


def stream(*chunks: bytes, took_s: float = 0.01) -> Step:
    return Step(ok(content_type=EVENT_STREAM), took_s, chunks)


def last_ids(io: ScriptedIo) -> list[str | None]:
    return [(one.call.headers or {}).get("Last-Event-ID") for one in io.attempts]


@given(st.lists(st.integers(1, 400), max_size=20))
def test_a_stream_reads_the_same_wherever_it_is_cut(cuts):
    whole = b"retry: 1500\n\n: still here\n\n" + frame(1, "position") + frame(2) + frame(3, "gap")
    reader = EventReader()
    places = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})

    told = []
    for begin, end in itertools.pairwise(places):
        told += reader.feed(whole[begin:end])

    assert [one.number for one in told] == [1, 2, 3]
    kinds = [type(one.event) for one in told]
    assert kinds == [PositionEventBody, ExtendedEventBody, GapEventBody]
    assert reader.retry_s == 1.5


def test_lines_may_end_as_proxies_end_them_and_data_may_have_several():
    reader = EventReader()

    told = reader.feed(b'id:7\r\ndata: {"type":"position",\r\ndata: "number":7}\r\n\r\n')

    assert told[0].event == PositionEventBody(number=7)


def test_an_event_without_an_end_is_no_event():
    reader = EventReader()

    with pytest.raises(TooLargeError):
        for _ in range(EVENT_BYTES_MAX // 65_536 + 2):
            reader.feed(b"x" * 65_536)


def test_what_a_newer_cluster_tells_is_left_out_and_not_asked_for_again():
    io = ScriptedIo([
        stream(frame(1), frame(2, "brand_new"), b"id: 3\ndata: no JSON\n\n"),
        stream(frame(4)),
    ])  # fmt: skip

    assert numbers(take(following(io), 2)) == [1, 4]
    assert last_ids(io) == [None, "3"]


def test_the_request_says_what_is_wanted_and_what_is_known():
    io = ScriptedIo([stream(frame(8))])

    take(following(io, after=7), 1)

    call = io.attempts[0].call
    assert call.path == "/api/v1/events?prefix=p&types=extended%2Cacquired"
    assert call.accept == "text/event-stream"
    assert last_ids(io) == ["7"]


def test_a_stream_that_breaks_goes_on_after_the_last_event_at_another_node():
    io = ScriptedIo(
        [stream(frame(1, "position"), frame(2)), stream(frame(2, "position"), frame(3))]
    )
    watch = following(io, nodes=(A, B), positions=True)

    assert numbers(take(watch, 3)) == [1, 2, 3]

    assert last_ids(io) == [None, "2"]
    assert io.attempts[0].endpoint != io.attempts[1].endpoint
    assert io.pauses == []
    assert watch.last_id == 3


def test_only_what_was_taken_counts_as_known():
    io = ScriptedIo([stream(frame(1) + frame(2) + frame(3))])
    watch = following(io)

    take(watch, 1)

    assert watch.last_id == 1
    assert numbers(take(watch, 2)) == [2, 3]
    assert len(io.attempts) == 1


def test_a_position_is_told_when_it_is_news_to_whoever_wants_to_know():
    first = stream(frame(5, "position"), frame(9, "position"), b"")
    io = ScriptedIo([first, stream(frame(9, "position"), frame(10))])
    watch = following(io, positions=True)

    assert numbers(take(watch, 3)) == [5, 9, 10]


def test_others_are_told_events_alone_and_resume_after_a_position_all_the_same():
    first = stream(frame(5, "position"), frame(6), frame(9, "position"), b"")
    io = ScriptedIo([first, stream(frame(9, "position"), frame(12, "gap"))])
    watch = following(io)

    assert numbers(take(watch, 2)) == [6, 12]
    assert last_ids(io) == [None, "9"]
    assert watch.last_id == 12


def test_a_gap_is_told():
    io = ScriptedIo([stream(frame(100, "gap"), frame(101))])

    told = take(following(io, after=3), 2)

    assert isinstance(told[0], GapEventBody)
    assert numbers(told) == [100, 101]


def test_a_node_that_ends_its_streams_says_when_to_come_back():
    io = ScriptedIo([stream(b"retry: 1500\n\n", frame(1), b""), stream(frame(2))])

    take(following(io), 2)

    assert io.pauses == [1.5]


def test_a_node_that_gives_nothing_is_asked_ever_less_often():
    empty = stream(frame(1, "position"), b"")
    io = ScriptedIo([*[empty] * 12, stream(frame(2))])

    take(following(io), 2)

    assert len(io.pauses) == 12
    assert max(io.pauses[6:]) > max(io.pauses[:2])


def test_a_stream_that_says_nothing_for_long_counts_as_broken():
    io = ScriptedIo([stream(frame(1)), stream(frame(2))])

    take(following(io), 2)

    assert io.attempts[1].at_s - io.attempts[0].at_s == pytest.approx(SILENCE_S + 0.01)


def test_without_any_node_it_says_so_and_resumes_when_asked_again():
    io = ScriptedIo([stream(frame(1)), *[refused()] * 50, stream(frame(2))])
    watch = following(io)
    take(watch, 1)

    with pytest.raises(Unavailable):
        take(watch, 1)
    assert watch.last_id == 1

    assert numbers(take(watch, 1)) == [2]
    assert set(last_ids(io)[1:]) == {"1"}


def test_a_node_that_takes_no_more_watchers_is_passed_over():
    io = ScriptedIo([problem(Code.OVERLOADED, retry_after=1), stream(frame(1))])

    take(following(io, nodes=(A, B)), 1)

    assert io.pauses == []


def test_a_question_that_is_wrong_is_refused():
    with pytest.raises(InvalidRequest):
        take(following(ScriptedIo([problem(Code.INVALID_REQUEST)])), 1)


def test_there_is_nothing_more_once_it_is_closed():
    io = ScriptedIo([stream(frame(1) + frame(2))])
    with Events(following(io)) as events:
        assert next(events).number == 1

    assert list(events) == []
    events.close()
    assert events.last_id == 1


def test_what_is_no_stream_of_events_is_not_watched():
    io = ScriptedIo([Step(page(200))] * 100)

    with pytest.raises(Unavailable, match="no stream of events but 'text/html'"):
        take(following(io), 1)
