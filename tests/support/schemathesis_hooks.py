"""What Schemathesis does before each call to a real cluster; it loads this file by its name.

Real leases end in real time. Schemathesis expects a lock that it was given a moment ago to be there
still (its check ``ensure_resource_availability``), and yet asks for leases of a microsecond. So a
timeout that is good and tiny is raised here, on the request itself; bad ones stay as they are.

Changes of the cluster only say what they would do: the cluster is needed for the rest.
"""

import schemathesis

TIMEOUT_S_MIN = 60.0
CHANGES = ("/api/v1/cluster/members", "/api/v1/cluster/leader")


@schemathesis.hook
def before_call(context, case, **kwargs):
    body = case.body
    if isinstance(body, dict) and is_tiny(body.get("timeout")):
        case.body = {**body, "timeout": TIMEOUT_S_MIN}
    query = case.query or {}
    if case.path.startswith(CHANGES) and query.get("dry_run", False) in (False, "false"):
        case.query = {**query, "dry_run": "true"}


def is_tiny(timeout: object) -> bool:
    """Whether it is a timeout, or the text of one, and shorter than a test takes."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | str):
        return False
    try:
        return 0 < float(timeout) < TIMEOUT_S_MIN
    except ValueError:
        return False
