// Types of openapi-typescript, calls of openapi-fetch.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { paths } from "./made/types.js";

const gorilla = createClient<paths>({ baseUrl: process.argv[2]! });
const LOCK = "/api/v1/locks/{resource}";
const LEASE = "/api/v1/locks/{resource}/{token}";
const path = { resource: "fetch/42" };

const held = await gorilla.POST(LOCK, { params: { path }, body: { owner: "anna", timeout: 30 } });
assert(held.data);
assert.equal(held.data.resource, path.resource);

const refused = await gorilla.POST(LOCK, { params: { path }, body: { owner: "bert", timeout: "30" } });
assert(refused.error);
assert.equal(refused.response.status, 409);
assert.equal(refused.error.code, "lock_held");
assert.equal(refused.error.holder?.fencingToken, held.data.fencingToken);

const longer = await gorilla.PUT(LEASE, {
  params: { path: { ...path, token: held.data.token }, header: { "Idempotency-Key": "fetch, once" } },
  body: { timeout: 60 },
});
assert(longer.data);
assert(longer.data.timeout > 30);

const listed = await gorilla.GET("/api/v1/locks", { params: { query: { prefix: "fetch/" } } });
assert.deepEqual(listed.data?.locks.map((lock) => lock.owner), ["anna"]);

const token = longer.data.token;
const released = await gorilla.DELETE(LEASE, { params: { path: { ...path, token } } });
assert.equal(released.response.status, 204);
