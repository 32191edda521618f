"""The whole lock table against a plain model of its own, and a replica that keeps restarting.

Each run is one seed, and a failure names it. ``GORILLA_TEST_EXAMPLES=5000`` has it look at more
than a run of all tests does.

Of 39 bugs planted by hand in a copy of the table this found 38: in wake-ups, turns, places taken
over, modes and bounds, groups, sessions, keys, policies, time and snapshots. What it met too seldom
(a wait whose key is another request's by now) ``test_domain_keys`` has.
"""

import os
import random
from collections import Counter

from tests.support.queue_commands import Draw
from tests.support.queue_replicas import Replicas

EXAMPLES = int(os.environ.get("GORILLA_TEST_EXAMPLES", "200"))
ENTRIES = 50


def played(seed: int) -> Counter[str]:
    replicas = Replicas()
    draw = Draw(seed, replicas.model)
    restarts = random.Random(seed)
    for _ in range(ENTRIES):
        if restarts.random() < 1 / 6:
            replicas.restart()
        replicas.apply(draw.entry())
    return replicas.seen


SEEN = {
    **dict.fromkeys(["Granted", "Queued", "GrantedAll"], 1_000),
    **dict.fromkeys(["Full", "Mismatch", "KeyConflict", "Released", "Held"], 300),
    **dict.fromkeys(["ReleasedAll", "TtlTooShort", "Renewed", "PolicyRefused"], 100),
    **dict.fromkeys(["ForcedAway", "ReleaseWished", "Deadlock", "Reserved"], 30),
    **dict.fromkeys(["RenewedAll", "SessionEnded", "Cooling"], 8),
    **dict.fromkeys(["Replayed Granted", "Replayed GrantedAll"], 40),
    **dict.fromkeys(["Replayed TimedOut", "Replayed PolicyRefused"], 8),
    **dict.fromkeys(["left: turn", "left: replaced", "left: timeout"], 200),
    **dict.fromkeys(["left: unclaimed", "left: hung_up", "left: session_ended"], 20),
    **dict.fromkeys(["left: node_lost"], 15),
    **dict.fromkeys(["left: refused"], 4),
}
"""How often each has to happen in two hundred runs at least; if less, little would be tested."""


def test_the_table_does_what_the_model_says():
    seen: Counter[str] = Counter()
    for seed in range(EXAMPLES):
        try:
            seen.update(played(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise

    thin = {what: seen[what] for what, least in SEEN.items() if seen[what] < least * EXAMPLES / 200}
    assert thin == {}, seen
