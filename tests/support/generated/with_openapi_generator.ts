// openapi-generator, typescript-fetch: a class for each tag.
import assert from "node:assert/strict";
import { Configuration, LocksApi, ResponseError } from "./made/generator/index.js";

const locks = new LocksApi(new Configuration({ basePath: process.argv[2]! }));
const resource = "generator/42";

const held = await locks.acquireLock({ resource, acquireBody: { owner: "anna", timeout: 30 } });
assert.equal(held.resource, resource);

await assert.rejects(
  locks.acquireLock({ resource, acquireBody: { owner: "bert", timeout: 30 } }),
  (error) => error instanceof ResponseError && error.response.status === 409,
);

const longer = await locks.extendLock({ resource, token: held.token, extendBody: { timeout: 60 } });
assert(longer.timeout > 30);
assert.equal((await locks.listLocks({ prefix: "generator/" })).locks.length, 1);
await locks.releaseLock({ resource, token: longer.token });
