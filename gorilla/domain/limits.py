"""Every bound of the replicated state, in one place. Reaching one is a named refusal."""

from typing import Final

import msgspec

LOCK_NAME_CHARS_MAX: Final = 255
HOLDER_CHARS_MAX: Final = 255
METADATA_BYTES_MAX: Final = 4 * 1024 + 2
"""As stored: a value of 4 KiB, and the brackets that make a list of one of it."""
SECRET_CHARS_MAX: Final = 64

LOCKS_MAX: Final = 2_000_000
"""Locks held at once. One more is refused with :class:`~gorilla.domain.outcomes.Full`."""

REMEMBERED_FENCING_TOKENS_MAX: Final = 100_000
"""Free locks whose largest fencing token is still remembered; the oldest are forgotten first."""

ORIGINS_MAX: Final = 1_024
"""Node processes whose unconfirmed outcomes are remembered (exactly once)."""

OUTCOMES_PER_ORIGIN_MAX: Final = 65_536
"""Unconfirmed outcomes of one origin; a batch beyond it is refused by the node that composes."""

ORIGIN_IDLE_MS_MAX: Final = 600_000
"""Cluster time after which an origin that proposed nothing is forgotten."""

ORIGIN_CHARS_MAX: Final = 128

COMMANDS_PER_BATCH_MAX: Final = 4_096

FENCING_EPOCH: Final = 1 << 40
"""A restore raises the fencing counter to the next multiple of this, so no number repeats."""

FENCING_TOKEN_MAX: Final = (1 << 53) - 1
"""The largest integer that every JSON reader keeps exact."""

TTL_MS_MAX: Final = 10 * 365 * 24 * 3600 * 1000
"""Upper bound of any lease whatever the configured ``max_timeout`` says (milliseconds)."""

REASON_CHARS_MAX: Final = 255
"""Of a hold, a force or a request to let go."""

SLOTS_MAX: Final = 1_024
"""Largest ``limit`` of a counted lock, and sharers of one lock at most."""

LOCKS_AT_ONCE_MAX: Final = 64
"""Locks of one command that wants several."""

WAIT_MS_MAX: Final = 24 * 3600 * 1000
"""Longest wait, whatever the configured ``max_wait`` says (milliseconds)."""

WAITERS_MAX: Final = 200_000
"""Waits at once in the whole cluster."""

WAITERS_PER_LOCK_MAX: Final = 10_000

CLAIM_MS_MAX: Final = 5_000
"""Cluster time that a waiter's node has to claim a lock once it is the waiter's turn."""

KEPT_PLACE_MS_MAX: Final = CLAIM_MS_MAX
"""How long a place in the queue is kept for who asks again: no longer than a turn is, so no lock
stands idle for longer than for a node that died (docs/adr/0017-places-kept-between-requests.md)."""

WAITER_ORIGIN_IDLE_MS_MAX: Final = 5_000
"""Cluster time after which the waiters of a node that isn't heard of leave their queues."""

DEADLOCK_STEPS_MAX: Final = 50_000
"""Waiters and holders looked at to tell whether a wait closes a cycle; a wait that would take more
is refused with :class:`~gorilla.domain.outcomes.Full` (some 20 ms)."""

SESSIONS_MAX: Final = 200_000

SESSION_LEASES_MAX: Final = 10_000
"""Leases that live in one session: they all end in one turn (some 20 ms), on every node."""

KEYS_MAX: Final = 500_000
"""Idempotency keys remembered; one more is refused with ``Full`` rather than another forgotten."""

KEYS_BYTES_MAX: Final = 128 * 1024 * 1024
"""Encoded bytes of the outcomes that are remembered with the keys; a waiting request counts as what
it may be given. In memory they take up to about twice that."""

KEY_KEPT_MS: Final = 660_000
"""How long (cluster time) an idempotency key is remembered: ten minutes, and one to be sure."""

KEY_CHARS_MAX: Final = 255
FINGERPRINT_BYTES_MAX: Final = 32

POLICIES_MAX: Final = 256
POLICY_OWNERS_MAX: Final = 64

MEMBERS_NOTED_MAX: Final = 64

EVENTS_REMEMBERED_MAX: Final = 4_096
"""Latest events that are part of the state, so that a node which takes over a snapshot can serve
them to those who resume."""

CLOCK_RATE_PPM: Final = 1_000
"""How far two clocks may drift apart (parts per million: 500 each, what NTP slewing allows).

A lease is kept this much longer than its holder counts, so it never ends early on a slow clock.
"""

CLUSTER_MS_MAX: Final = 1 << 52
"""Cluster time stops here (about 142,000 years), so every deadline fits 64 bits."""

NEVER_MS: Final = CLUSTER_MS_MAX << 1
"""A deadline that does not come."""

WALL_MS_MAX: Final = 200_000_000_000_000
"""Latest wall time shown (the year 8307): with any lease added it is still a date."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds that decide outcomes. Nodes run with the defaults; tests use smaller ones."""

    locks: int = LOCKS_MAX
    remembered_fencing_tokens: int = REMEMBERED_FENCING_TOKENS_MAX
    origins: int = ORIGINS_MAX
    outcomes_per_origin: int = OUTCOMES_PER_ORIGIN_MAX
    origin_idle_ms: int = ORIGIN_IDLE_MS_MAX
    fencing_token: int = FENCING_TOKEN_MAX
    slots: int = SLOTS_MAX
    waiters: int = WAITERS_MAX
    waiters_per_lock: int = WAITERS_PER_LOCK_MAX
    claim_ms: int = CLAIM_MS_MAX
    waiter_origin_idle_ms: int = WAITER_ORIGIN_IDLE_MS_MAX
    deadlock_steps: int = DEADLOCK_STEPS_MAX
    sessions: int = SESSIONS_MAX
    session_leases: int = SESSION_LEASES_MAX
    keys: int = KEYS_MAX
    keys_bytes: int = KEYS_BYTES_MAX
    key_kept_ms: int = KEY_KEPT_MS
    policies: int = POLICIES_MAX
    events: int = EVENTS_REMEMBERED_MAX


BOUNDS: Final = Bounds()
"""What every node of every cluster uses; equal bounds are part of equal states."""

assert LOCKS_MAX < FENCING_EPOCH
assert TTL_MS_MAX < FENCING_TOKEN_MAX
