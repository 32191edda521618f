// @hey-api/openapi-ts: a function for each call.
import assert from "node:assert/strict";
import { client } from "./made/hey/client.gen.js";
import { acquireLock, extendLock, listLocks, releaseLock } from "./made/hey/sdk.gen.js";

client.setConfig({ baseUrl: process.argv[2] as `http://${string}` });
const path = { resource: "hey/42" };

const held = await acquireLock({ path, body: { owner: "anna", timeout: 30, metadata: ["x", 7] } });
assert(held.data);
assert.deepEqual(held.data.metadata, ["x", 7]);

const refused = await acquireLock({ path, body: { owner: "bert", timeout: 30 } });
assert.equal(refused.response?.status, 409);
assert.equal(refused.error?.code, "lock_held");

const longer = await extendLock({ path: { ...path, token: held.data.token }, body: { timeout: 60 } });
assert(longer.data);

const listed = await listLocks({ query: { prefix: "hey/" } });
assert.deepEqual(listed.data?.locks.map((lock) => lock.resource), [path.resource]);

const released = await releaseLock({ path: { ...path, token: longer.data.token } });
assert.equal(released.response?.status, 204);
