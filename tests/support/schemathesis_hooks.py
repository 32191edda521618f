"""What Schemathesis does before each call; it loads this file by its name.

Real leases end in real time. Schemathesis expects a lock that it was given a moment ago to be there
still (its check ``ensure_resource_availability``), and yet asks for leases of a microsecond. So a
timeout that is good and tiny is raised here, on the request itself; bad ones stay as they are.
For the same reason a good idempotency key is made one of its own (an answer that is given again
may be of a lock that has ended since), and a policy rules locks that nobody asks for.

Of the history, what began after its end is not asked for: two good times that are in the wrong
order change places, which no schema can ask for.

A wait is cut short: whoever waits for made-up locks waits in vain. Changes of the cluster only say
what they would do: the cluster is needed for the rest.
"""

import uuid

import schemathesis

from gorilla.wire.fields import FieldRuleError
from gorilla.wire.history import instant_of

TIMEOUT_S_MIN = 60.0
WAIT_S_MAX = 0.02
KEY = "Idempotency-Key"
CHANGES = ("/api/v1/cluster/members", "/api/v1/cluster/leader")
POLICIES = "/api/v1/policies"
HISTORY = "/api/v1/history"
NOBODY_ASKS_FOR = "\ufdd0"
"""A character of which no name that is made up begins (a noncharacter)."""


@schemathesis.hook
def before_call(context, case, **kwargs):
    if isinstance(case.body, dict):
        case.body = patient(case.body)
    if KEY in (case.headers or {}) and is_good_key(case.headers[KEY]):
        case.headers[KEY] = uuid.uuid4().hex
    query = case.query or {}
    if case.path.startswith(CHANGES) and query.get("dry_run", False) in (False, "false"):
        case.query = {**query, "dry_run": "true"}
    if case.path == HISTORY and is_backwards(query.get("from"), query.get("to")):
        case.query = {**query, "from": query["to"], "to": query["from"]}
    prefix = query.get("prefix")
    if case.path == POLICIES and isinstance(prefix, str) and len(prefix) < 255:
        case.query = {**query, "prefix": NOBODY_ASKS_FOR + prefix}


def patient(body: dict) -> dict:
    """Return a body whose good times are long enough to look twice, or short enough to wait."""
    changed = {name: TIMEOUT_S_MIN for name in ("timeout", "ttl") if is_between(body.get(name), 0)}
    if is_between(body.get("wait"), WAIT_S_MAX, float("inf")):
        changed["wait"] = WAIT_S_MAX
    return {**body, **changed}


def is_backwards(start: object, end: object) -> bool:
    """Whether both are good times, in the wrong order."""
    if not isinstance(start, str) or not isinstance(end, str):
        return False
    try:
        return instant_of(start) > instant_of(end)
    except FieldRuleError:
        return False


def is_good_key(key: object) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 255 and key.isascii() and key.isprintable()


def is_between(seconds: object, low: float, high: float = TIMEOUT_S_MIN) -> bool:
    """Whether it is a number, or the text of one, between the two."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | str):
        return False
    try:
        return low < float(seconds) < high
    except (ValueError, OverflowError):
        return False
