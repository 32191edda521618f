"""What the history's writer does about events that it missed, and who may say so."""

from gorilla.service.history_records import EndedBy, Gap
from tests.support.history_events import WALL_MS
from tests.support.history_setting import Setting
from tests.support.service import on_virtual_time


@on_virtual_time
async def test_events_that_were_forgotten_are_a_gap_with_its_times_and_unknown_ends():
    setting = Setting()
    lost = setting.maker.acquired("lost")
    kept = setting.maker.acquired("kept")
    await setting.settle()
    setting.history.down = "away"
    setting.maker.released(lost)
    missed = setting.maker.acquired("missed", reason="nobody saw it")
    setting.maker.many(30)
    setting.maker.released(missed)
    seen = setting.maker.acquired("seen late")
    setting.maker.many(2)
    setting.node.kept = 4
    await setting.writer.attempt()
    setting.history.down = None

    await setting.settle()

    last = len(setting.maker.made)
    assert setting.history.gaps == [
        Gap(
            first_number=3,
            last_number=last - 4,
            from_ms=WALL_MS + 20,
            to_ms=WALL_MS + 10 * (last - 3),
        )
    ]
    rows = {hold.fencing_token: hold for hold in setting.history.holds.values()}
    assert rows[lost].ended_by is EndedBy.UNKNOWN
    assert rows[lost].last_seen_ms == WALL_MS + 20
    assert rows[kept].ended_by is None
    assert (rows[seen].resource, rows[seen].ended_by) == ("seen late", None)
    assert missed not in rows
    assert setting.history.appended[-1] == (last - 3, last)
    assert setting.writer.health().gaps_total == 1
    assert setting.history.states["c1"].unsettled_ms is None


@on_virtual_time
async def test_a_history_that_begins_late_says_since_when_and_has_what_is_held():
    setting = Setting()
    held = setting.maker.acquired("held")
    setting.maker.many(10)
    setting.node.kept = 3

    await setting.settle()

    state = setting.history.states["c1"]
    assert (state.began_number, state.began_ms) == (19, WALL_MS + 190)
    assert setting.history.gaps == []
    assert setting.history.holds["c1", held].granted_ms == WALL_MS + 10


@on_virtual_time
async def test_a_leader_that_fails_while_it_settles_leaves_it_to_the_next():
    setting = Setting()
    tokens = [setting.maker.acquired(f"lock-{n}") for n in range(5)]
    await setting.settle()
    for token in tokens:
        setting.maker.released(token)
    setting.maker.many(50)
    setting.node.kept = 2
    await setting.writer.attempt()
    unsettled = setting.history.states["c1"].unsettled_ms
    new = Setting(setting.history, setting.maker)
    new.node.term = 2
    new.node.kept = 2

    await new.settle()
    # The old one's look at its table comes too late.
    await setting.writer.attempt()

    assert unsettled == WALL_MS + 50
    ends = {hold.ended_by for hold in setting.history.holds.values() if hold.fencing_token < 6}
    assert ends == {EndedBy.UNKNOWN}
    assert len(setting.history.gaps) == 1


@on_virtual_time
async def test_a_leader_that_leads_again_settles_from_the_start():
    setting = Setting()
    first = setting.maker.acquired("first")
    tokens = [setting.maker.acquired(f"lock-{n:05}") for n in range(1_500)]
    await setting.settle()
    setting.maker.released(tokens[0])
    setting.maker.many(1)
    setting.node.kept = 2
    for _ in range(4):
        await setting.writer.attempt()
    assert setting.writer._settling.token > first

    # Another one led meanwhile, and this node heard of it only when it led again.
    other = Setting(setting.history, setting.maker)
    other.node.term, other.node.kept = 2, 2
    setting.maker.many(1)
    await other.settle()
    setting.node.term = 3
    setting.maker.released(first)
    setting.maker.many(2)
    await setting.settle()

    assert setting.history.states["c1"].term == 3
    open_now = {hold.fencing_token for hold in setting.history.holds.values() if not hold.ended_by}
    assert open_now == set(setting.maker.held)


@on_virtual_time
async def test_many_holds_are_settled_page_by_page():
    setting = Setting()
    tokens = [setting.maker.acquired(f"lock-{n:05}") for n in range(2_500)]
    await setting.settle()
    for token in tokens[::2]:
        setting.maker.released(token)
    setting.maker.many(1)
    setting.node.kept = 2
    steps = 0
    while await setting.writer.attempt():
        steps += 1

    left = [hold for hold in setting.history.holds.values() if hold.ended_by is None]
    assert len(left) == 1_250
    assert steps >= 6


@on_virtual_time
async def test_a_writer_that_comes_back_catches_up_while_events_go_on():
    setting = Setting()
    for number in range(5):
        setting.maker.acquired(f"held {number}")
    await setting.settle()
    setting.node.kept = 40
    setting.maker.many(100)

    for _ in range(60):
        # Something happens during each step: at a full log, the oldest event is forgotten.
        setting.maker.others()
        await setting.writer.attempt()

    assert setting.writer.health().behind < 10
    assert len(setting.history.gaps) == 1
    assert setting.history.states["c1"].unsettled_ms is None


@on_virtual_time
async def test_what_is_forgotten_while_holds_are_looked_through_lets_that_begin_anew():
    setting = Setting()
    tokens = [setting.maker.acquired(f"lock-{n:05}") for n in range(1_200)]
    await setting.settle()
    setting.maker.many(2)
    setting.node.kept = 2
    for _ in range(3):
        await setting.writer.attempt()
    assert setting.writer._settling.token > tokens[0]

    # It is passed already, and its end is forgotten before it is written.
    setting.maker.released(tokens[0])
    setting.maker.many(2)
    await setting.settle()

    open_now = {hold.fencing_token for hold in setting.history.holds.values() if not hold.ended_by}
    assert open_now == set(setting.maker.held)


@on_virtual_time
async def test_of_a_hold_that_ends_between_the_two_looks_no_extension_is_counted_wrongly():
    setting = Setting()
    token = setting.maker.acquired("held")
    await setting.settle()
    setting.maker.extended(token)
    setting.maker.many(2)
    setting.node.kept = 3
    while setting.writer._settling is None or not setting.writer._settling.is_past_open:
        await setting.writer.attempt()

    setting.maker.released(token)
    await setting.settle()

    hold = setting.history.holds["c1", token]
    assert (hold.extensions, hold.ended_by) == (None, EndedBy.RELEASED)
