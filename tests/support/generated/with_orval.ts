// orval, client "fetch": a function for each call. It does not encode what stands in a path.
import assert from "node:assert/strict";
import { acquireLock, extendLock, listLocks, releaseLock } from "./made/orval.js";

const resource = encodeURIComponent("orval/42");

const held = await acquireLock(resource, { owner: "anna", timeout: 30 });
assert(held.status === 200);
assert.equal(held.data.resource, "orval/42");

const refused = await acquireLock(resource, { owner: "bert", timeout: 30 });
assert(refused.status === 409);
assert.equal(refused.data.code, "lock_held");

const longer = await extendLock(resource, held.data.token, { timeout: 60 });
assert(longer.status === 200);

const listed = await listLocks({ prefix: "orval/" });
assert(listed.status === 200);
assert.equal(listed.data.locks.length, 1);

const released = await releaseLock(resource, longer.data.token);
assert.equal(released.status, 204);
