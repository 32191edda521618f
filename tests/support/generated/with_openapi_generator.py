"""openapi-generator, python: a class for each tag, with errors that carry the problem."""

import sys

from openapi_client import (
    AcquireBody,
    ApiClient,
    AskedSeconds,
    Configuration,
    ExtendBody,
    LocksApi,
    ProblemCode,
)
from openapi_client.exceptions import ConflictException

locks = LocksApi(ApiClient(Configuration(host=sys.argv[1])))
resource = "pydantic/42"

held = locks.acquire_lock(resource, AcquireBody(owner="anna", timeout=AskedSeconds(30)))
assert held.resource == resource

try:
    locks.acquire_lock(resource, AcquireBody(owner="bert", timeout=AskedSeconds("30")))
except ConflictException as conflict:
    problem = conflict.data
else:
    raise AssertionError("the lock was given to two")
assert problem.code is ProblemCode.LOCK_HELD
assert problem.holder.fencing_token == held.fencing_token

longer = locks.extend_lock(resource, held.token, ExtendBody(timeout=AskedSeconds(60)))
assert [one.owner for one in locks.list_locks(prefix="pydantic/").locks] == ["anna"]
locks.release_lock(resource, longer.token)
assert not locks.show_lock(resource).held
