// docs/examples/gorilla.mjs against real nodes. NODES: their URLs; PIDS: their processes; DEAD: a
// URL at which nobody listens.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Gorilla,
  LockLost,
  OutcomeUnknown,
  Refused,
  Unavailable,
} from "../../../docs/examples/gorilla.mjs";
import { boundingNode, busyNode, proxyOf, refusingNode } from "./faulty.mjs";

const nodes = process.env.NODES.split(",");
const pids = process.env.PIDS.split(",").map(Number);
const dead = process.env.DEAD;
const gorilla = new Gorilla(nodes);
const fresh = (name) => `js/${name}/${randomUUID()}`;
const show = async (resource) =>
  (await gorilla.ask("GET", `/api/v1/locks/${encodeURIComponent(resource)}`)).body;

async function until(condition, what, ms = 10_000) {
  for (const end = Date.now() + ms; !(await condition()); await sleep(20)) {
    assert(Date.now() < end, `not in time: ${what}`);
  }
}

async function forced(resource) {
  const path = `/api/v1/locks/${encodeURIComponent(resource)}?reason=test`;
  await gorilla.ask("DELETE", path, { key: randomUUID() });
}

test("a lock is held for longer than its timeout, and free afterwards", async () => {
  const resource = fresh("held, with a slash");
  const numbers = [];
  const result = await gorilla.withLock(resource, { timeout: 1, reason: "test" }, async (lock) => {
    for (let turn = 0; turn < 6; turn++) {
      await sleep(400);
      assert(lock.remaining() > 0 && lock.remaining() <= 1);
      const state = await show(resource);
      numbers.push(state.fencingToken);
      assert.deepEqual([state.held, state.holders[0].owner], [true, lock.owner]);
      assert.equal(state.holders[0].reason, "test");
    }
    assert.deepEqual(new Set(numbers), new Set([lock.fencingToken]));
    assert.equal(lock.signal.aborted, false);
    return "done";
  });
  assert.equal(result, "done");
  assert.equal((await show(resource)).held, false);
});

test("what the work throws is thrown, and the lock is free", async () => {
  const resource = fresh("thrown");
  const work = () => {
    throw new RangeError("no");
  };
  await assert.rejects(gorilla.withLock(resource, {}, work), RangeError);
  assert.equal((await show(resource)).held, false);
});

test("a lock that somebody else holds is refused, with who holds it", async () => {
  const resource = fresh("conflict");
  const held = await gorilla.acquire(resource, { owner: "anna" });
  const error = await gorilla.acquire(resource).catch((refusal) => refusal);
  assert(error instanceof Refused);
  assert.deepEqual([error.status, error.code], [409, "lock_held"]);
  assert.equal(error.problem.holder.owner, "anna");
  assert.equal(await held.release(), true);
  assert.equal(await held.release(), false);
  assert.equal(held.remaining(), 0);
});

test("who waits gets it next, and the lease counts from the grant", async () => {
  const resource = fresh("wait");
  const first = await gorilla.acquire(resource);
  const waiting = gorilla.acquire(resource, { wait: 20, timeout: 1.5 });
  await until(async () => (await show(resource)).waiters.length, "a waiter");
  await sleep(1800);
  await first.release();
  const second = await waiting;
  assert(second.remaining() > 1 && second.remaining() <= 1.5, `${second.remaining()}`);
  assert(second.fencingToken > first.fencingToken);
  await sleep(1600);
  assert.equal(second.signal.aborted, false);
  await second.release();
});

test("a wait that runs out is refused as such", async () => {
  const resource = fresh("wait in vain");
  const held = await gorilla.acquire(resource);
  const refused = gorilla.acquire(resource, { wait: 0.3 });
  await assert.rejects(refused, { code: "wait_timeout", status: 409 });
  await held.release();
});

test("a long wait keeps its place from one request to the next", async () => {
  const resource = fresh("slices");
  const held = await gorilla.acquire(resource, { timeout: 60 });
  const patient = new Gorilla(nodes, { slice: 0.4 });
  const first = patient.acquire(resource, { wait: 30, owner: "first" });
  await until(async () => (await show(resource)).waiters.length === 1, "the first");
  const second = gorilla.acquire(resource, { wait: 30, owner: "second" });
  await until(async () => (await show(resource)).waiters.length === 2, "the second");
  const { since } = (await show(resource)).waiters[0];
  await sleep(2_000);
  const waiters = (await show(resource)).waiters;
  assert.deepEqual(waiters.map((waiter) => waiter.owner), ["first", "second"]);
  assert.equal(waiters[0].since, since);
  await held.release();
  await (await first).release();
  await (await second).release();
  const vain = await gorilla.acquire(resource, { timeout: 60 });
  const began = Date.now();
  await assert.rejects(patient.acquire(resource, { wait: 1 }), { code: "wait_timeout" });
  assert(Date.now() - began < 1_500);
  assert.equal((await show(resource)).waiters.length, 0);
  await vain.release();
});

test("a node of an earlier release is asked to wait as before", async () => {
  const node = await refusingNode("keepPlace");
  const earlier = new Gorilla(node.url, { slice: 1 });
  await assert.rejects(earlier.acquire(fresh("earlier"), { wait: 60 }), { code: "lock_held" });
  assert.deepEqual(
    node.bodies.map((body) => [Math.round(body.wait), body.keepPlace]),
    [
      [1, 5],
      [60, undefined],
    ],
  );
  node.close();
});

test("a place is given up when the wait is over with its request", async () => {
  const node = await boundingNode(60);
  const patient = new Gorilla(node.url, { slice: 0.4 });
  await assert.rejects(patient.acquire(fresh("over"), { wait: 0.45 }), { code: "wait_timeout" });
  assert.deepEqual(
    node.bodies.map((body) => body.keepPlace),
    [5, undefined],
  );
  node.close();
});

test("where nobody may wait for so long, requests are as long as they may be", async () => {
  const node = await boundingNode(1.2);
  const patient = new Gorilla(node.url);
  await assert.rejects(patient.acquire(fresh("bound"), { wait: 4 }), { code: "wait_timeout" });
  const [first, second] = node.bodies;
  assert.equal(first.keepPlace, undefined);
  assert.equal(second.keepPlace, 5);
  assert(second.wait < 2.5, `${second.wait}`);
  assert.equal(node.bodies.at(-1).keepPlace, undefined);
  node.close();
});

test("a wait that is aborted leaves the queue, and takes nothing", async () => {
  const resource = fresh("abort");
  const held = await gorilla.acquire(resource);
  const stop = new AbortController();
  const waiting = gorilla.acquire(resource, { wait: 60, signal: stop.signal });
  await until(async () => (await show(resource)).waiters.length === 1, "a waiter");
  stop.abort(new RangeError("enough"));
  await assert.rejects(waiting, /enough/);
  await until(async () => (await show(resource)).waiters.length === 0, "an empty queue");
  await held.release();
  assert.equal((await show(resource)).held, false);
});

test("what was granted to a call that was aborted is let go", async () => {
  const resource = fresh("abort at the grant");
  const proxy = await proxyOf(nodes[0]);
  const stop = new AbortController();
  proxy.loses = (request) => request.method === "POST" && !stop.signal.aborted && "hold";
  const options = { timeout: 600, signal: stop.signal };
  const asking = new Gorilla(proxy.url).acquire(resource, options);
  await until(async () => (await show(resource)).held, "the grant");
  stop.abort();
  await assert.rejects(asking, { name: "AbortError" });
  await until(async () => !(await show(resource)).held, "that it is free again");
  proxy.close();
});

test("a lock that is taken away is lost: a rejection, and an aborted signal", async () => {
  const resource = fresh("forced");
  let seen;
  const work = async (lock) => {
    await forced(resource);
    await new Promise((aborted) => lock.signal.addEventListener("abort", aborted));
    seen = [lock.signal.reason, lock.remaining()];
  };
  const error = await gorilla.withLock(resource, { timeout: 1.5 }, work).catch((lost) => lost);
  assert(error instanceof LockLost, `${error}`);
  assert.equal(error.resource, resource);
  await until(() => seen, "that the work saw it");
  assert.deepEqual(seen, [error, 0]);
});

test("without any node a lock is lost before somebody else can have it", async () => {
  const resource = fresh("alone");
  const proxy = await proxyOf(nodes[0]);
  const began = performance.now();
  const lock = await new Gorilla(proxy.url).acquire(resource, { timeout: 1.2 });
  proxy.close();
  const error = await lock.lost.catch((lost) => lost);
  assert(error instanceof LockLost);
  assert(performance.now() - began <= 1_300, "too late");
  assert.equal(lock.remaining(), 0);
  const next = await gorilla.acquire(resource, { wait: 10 });
  assert(performance.now() - began >= 1_200, "too early");
  await next.release();
});

test("a dead node at the head of the list is passed over", async () => {
  const list = new Gorilla([dead, ...nodes]);
  const resource = fresh("dead");
  const result = await list.withLock(resource, { timeout: 5 }, async (lock) => lock.fencingToken);
  assert(result > 0);
});

test("where nothing was sent nothing was done, and else nobody knows", async () => {
  const deadline = 400;
  const body = () => ({ owner: "anna", timeout: 1 });
  const nobody = new Gorilla(dead).ask("POST", "/api/v1/locks/a", { body, deadline });
  await assert.rejects(nobody, Unavailable);
  const proxy = await proxyOf(nodes[0]);
  proxy.loses = () => true;
  const path = `/api/v1/locks/${encodeURIComponent(fresh("unknown"))}`;
  const unknown = new Gorilla(proxy.url).ask("POST", path, { body, deadline });
  await assert.rejects(unknown, OutcomeUnknown);
  await assert.rejects(new Gorilla(proxy.url).ask("GET", path, { deadline }), Unavailable);
  proxy.close();
});

test("a node that is busy is left for another, and asked again after a pause", async () => {
  const busy = await busyNode();
  const lock = await new Gorilla([busy.url, nodes[0]]).acquire(fresh("busy"));
  await lock.release();
  assert.equal(busy.asked(), 1, "the node that answered is asked first from then on");
  const alone = new Gorilla(busy.url).ask("GET", "/api/v1/locks", { deadline: 1500 });
  await assert.rejects(alone, Unavailable);
  assert(busy.asked() <= 4, `Retry-After was passed over: ${busy.asked()}`);
  busy.close();
});

test("too much of something is nothing done, and asked again like a busy node", async () => {
  const full = await busyNode(429, "quota_exceeded");
  const lock = await new Gorilla([full.url, nodes[0]]).acquire(fresh("full"));
  assert.equal(await lock.release(), true);
  const options = { body: () => ({}), deadline: 1500 };
  await assert.rejects(new Gorilla(full.url).ask("POST", "/x", options), Unavailable);
  full.close();
});

test("an answer that was lost is asked for again under its key, and nothing is done twice", async () => {
  const resource = fresh("lost answers");
  const proxy = await proxyOf(nodes[0]);
  const lost = new Set();
  proxy.loses = ({ method, key }) => {
    const isFirst = method !== "GET" && !lost.has(key ?? method);
    lost.add(key ?? method);
    return isFirst;
  };
  const result = await new Gorilla([proxy.url]).withLock(resource, { timeout: 1.5 }, async (lock) => {
    await sleep(2500);
    return lock.signal.aborted;
  });
  assert.equal(result, false);
  assert.equal((await show(resource)).held, false);
  const extensions = proxy.requests.filter(({ method }) => method === "PUT");
  const keys = new Set(extensions.map(({ key }) => key));
  assert(keys.size >= 2 && extensions.length >= 2 * keys.size);
  proxy.close();
});

test("of many who want a lock one has it at a time", async () => {
  const resource = fresh("many");
  let inside = 0;
  let most = 0;
  const numbers = [];
  const one = () =>
    gorilla.withLock(resource, { wait: 30, timeout: 10 }, async (lock) => {
      most = Math.max(most, ++inside);
      numbers.push(lock.fencingToken);
      await sleep(5);
      inside--;
    });
  await Promise.all(Array.from({ length: 20 }, one));
  assert.equal(most, 1);
  assert.equal(numbers.length, 20);
  assert.deepEqual(numbers, numbers.toSorted((a, b) => a - b));
});

test("a lock outlives the node that granted it", async () => {
  const resource = fresh("killed");
  await gorilla.withLock(resource, { timeout: 6 }, async (lock) => {
    process.kill(pids[0], "SIGKILL");
    await sleep(9_000);
    assert.equal(lock.signal.aborted, false);
    assert(lock.remaining() > 0);
    assert.equal((await show(resource)).fencingToken, lock.fencingToken);
  });
  assert.equal((await show(resource)).held, false);
});
