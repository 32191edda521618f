"""openapi-python-client: a module for each call, typed."""

import sys

from gorilla_client import Client
from gorilla_client.api.locks import acquire_lock, extend_lock, list_locks, release_lock
from gorilla_client.models import AcquireBody, ExtendBody, LockBody, ProblemBody, ProblemCode

client = Client(base_url=sys.argv[1])
resource = "python/42"

held = acquire_lock.sync(resource, client=client, body=AcquireBody(owner="anna", timeout=30))
assert isinstance(held, LockBody)
assert held.resource == resource

refused = acquire_lock.sync(resource, client=client, body=AcquireBody(owner="bert", timeout="30"))
assert isinstance(refused, ProblemBody)
assert refused.code is ProblemCode.LOCK_HELD
assert refused.holder.fencing_token == held.fencing_token

longer = extend_lock.sync(resource, held.token, client=client, body=ExtendBody(timeout=60))
assert isinstance(longer, LockBody)
assert [one.owner for one in list_locks.sync(client=client, prefix="python/").locks] == ["anna"]
released = release_lock.sync_detailed(resource, longer.token, client=client)
assert released.status_code == 204
