// Locks of Gorilla for JavaScript: Node.js 20 and later, and browsers. No dependencies: copy it.
// What it promises, and what it leaves out: docs/guides/javascript.md.

const ATTEMPT_MS = 6_000; // longest attempt, apart from a wait
const ATTEMPT_MS_MIN = 100; // in less, not even "nobody listens there" is heard
const DEADLINE_MS = 15_000; // longest call, likewise
const PAUSE_MS = 100; // first pause after all nodes were asked; it doubles
const PAUSE_MS_MAX = 2_000;
const RELEASE_MS = 5_000; // a release takes no longer; the lock expires anyway
const SLICE_S = 45; // longest wait of one request: balancers often cut what is silent for a minute
const UNKEPT_S = 290; // the same where a node keeps no places; Node's fetch gives up after 300
const KEEP_PLACE_S = 5; // so long a place in the queue stays for the next request
const TIMER_MS_MAX = 2 ** 31 - 1; // a longer timer fires at once
const NOT_SENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "EHOSTUNREACH", "ENETUNREACH"]);

export class GorillaError extends Error {
  get name() {
    return this.constructor.name;
  }
}

/** A definite answer, and it was no. `code` says why: lock_held, wait_timeout, deadlock, … */
export class Refused extends GorillaError {
  constructor(status, problem) {
    super(problem.detail);
    Object.assign(this, { status, code: problem.code, problem });
  }
}

/** No node could do it. Nothing was done. */
export class Unavailable extends GorillaError {}

/** Nobody knows whether it was done. */
export class OutcomeUnknown extends GorillaError {}

/** What was held is held no more: stop. */
export class LockLost extends GorillaError {
  constructor(lock, why) {
    super(`the lock ${lock.resource} (fencing token ${lock.fencingToken}) is lost: ${why}`);
    Object.assign(this, { resource: lock.resource, fencingToken: lock.fencingToken });
  }
}

/** A moment. `performance.now()` may stand still while a machine sleeps, `Date` may be set. */
class Moment {
  #ticks = performance.now();
  #date = Date.now();
  get ago() {
    return Math.max(performance.now() - this.#ticks, Date.now() - this.#date);
  }
}

const pause = (ms, signal) =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, Math.min(Math.max(0, ms), TIMER_MS_MAX));
    signal?.addEventListener("abort", end);
    if (signal?.aborted) end();
  });

export class Gorilla {
  #endpoints;
  #good = 0; // the endpoint that answered last
  #name;
  #slice;

  /** @param {string | string[]} endpoints URLs of nodes, or of what stands before them. */
  constructor(endpoints, { name = "js", slice = SLICE_S } = {}) {
    this.#endpoints = [endpoints].flat().map((url) => url.replace(/\/+$/, ""));
    this.#name = name;
    this.#slice = slice;
  }

  /**
   * Hold a lock while `work(lock)` runs, and let it go. As soon as it is lost this rejects with
   * LockLost, and `lock.signal` is aborted, so that the work can stop.
   */
  async withLock(resource, options, work) {
    const lock = await this.acquire(resource, options);
    try {
      return await Promise.race([Promise.resolve(lock).then(work), lock.lost]);
    } finally {
      await lock.release();
    }
  }

  /**
   * Take a lock. Times are seconds; `wait` may be Infinity.
   * @param {{timeout?: number, wait?: number, owner?: string, signal?: AbortSignal, mode?: string,
   *   limit?: number, metadata?: unknown, reason?: string}} options
   */
  async acquire(resource, { timeout = 30, wait = 0, owner, signal, ...more } = {}) {
    const who = owner ?? `${this.#name}/${crypto.randomUUID()}`;
    const path = `/api/v1/locks/${encodeURIComponent(resource)}`;
    let granted;
    try {
      granted = await this.#queue(path, { owner: who, timeout, ...more }, wait, signal);
      // After a wait the lease counts from the grant, which nobody here saw: ask what is left.
      const isLate = granted.body.waited !== undefined;
      const answer = isLate ? await this.ask("GET", `${path}/${granted.body.token}`) : granted;
      return new Lock(this, answer, timeout);
    } catch (error) {
      const isNothing = !granted && (error instanceof Refused || error instanceof Unavailable);
      if (!isNothing && owner === undefined) this.#undo(path, who);
      throw error;
    }
  }

  /** Ask for a lock; a long wait is made of several requests, each keeping its place for the next. */
  async #queue(path, wanted, wait, signal) {
    const began = new Moment();
    for (let keeps = true, longest = this.#slice; ; ) {
      const left = wait - began.ago / 1000;
      const isKept = keeps && left > longest;
      const slice = Math.max(0, Math.min(left, keeps ? longest : UNKEPT_S));
      const asked = new Moment();
      const body = () => {
        if (!wait) return wanted;
        const rest = Math.max(0.001, slice - asked.ago / 1000); // 0 would not queue at all
        return { ...wanted, wait: rest, ...(isKept && { keepPlace: KEEP_PLACE_S }) };
      };
      try {
        return await this.ask("POST", path, { body, signal, patience: slice * 1000 });
      } catch (error) {
        const isUnknown = error.problem?.errors?.some(({ field }) => field === "keepPlace");
        const isOver = wait - began.ago / 1000 <= 0.1 && !isKept; // a kept place is given up
        const isSlice = error.code === "wait_timeout" && !isOver;
        if (!isSlice && !isUnknown) throw error;
        keeps &&= !isUnknown; // a node of an earlier release
        const took = asked.ago / 1000; // less than was asked for: the cluster allows no more
        if (isSlice && took < slice - 0.1) longest = Math.min(longest, Math.max(1, took));
      }
    }
  }

  /** Let go of what may have been granted unseen: under an owner of its own it is surely ours. */
  async #undo(path, owner) {
    const limits = { deadline: RELEASE_MS };
    try {
      const seen = await this.ask("GET", path, limits);
      if (!seen.body.holders.some((holder) => holder.owner === owner)) return;
      const body = () => ({ owner, timeout: 1 });
      const found = await this.ask("POST", path, { body, ...limits });
      await this.ask("DELETE", `${path}/${found.body.token}`, limits);
    } catch (error) {
      if (!(error instanceof GorillaError)) throw error; // else it expires
    }
  }

  /**
   * Ask the nodes, one after the other, until an answer is definite or the time is over.
   * Writes must be the same under `key` however often they are asked; an acquire is by its owner.
   */
  async ask(method, path, { body, key, signal, patience = 0, ...limits } = {}) {
    const { deadline = DEADLINE_MS, attempt = ATTEMPT_MS } = limits;
    const began = new Moment();
    const count = this.#endpoints.length;
    let isUncertain = false;
    let last = "no time was left";
    for (let asked = 0, first = this.#good; ; asked++) {
      const left = () => deadline + patience - began.ago;
      const index = (first + asked) % count;
      const ms = Math.min(left(), attempt + patience);
      if (ms < (asked ? ATTEMPT_MS_MIN : 1)) break;
      const url = this.#endpoints[index] + path;
      const answer = await this.#try(method, url, { body: body?.(), key, signal, ms });
      if (answer.isDone) {
        this.#good = index;
        if (answer.status < 300) return answer;
        throw new Refused(answer.status, answer.body);
      }
      isUncertain ||= answer.isUncertain;
      last = answer.why;
      if (asked % count === count - 1) {
        const backoff = Math.min(PAUSE_MS_MAX, PAUSE_MS * 2 ** (asked / count));
        await pause(Math.min(left(), Math.max(answer.retryMs, backoff * Math.random())), signal);
      }
    }
    const lost = isUncertain && method !== "GET";
    throw new (lost ? OutcomeUnknown : Unavailable)(`no answer from ${count} node(s): ${last}`);
  }

  async #try(method, url, { body, key, signal, ms }) {
    const sent = new Moment();
    const headers = { ...(body && { "Content-Type": "application/json" }) };
    if (key) headers["Idempotency-Key"] = key;
    const limit = AbortSignal.timeout(Math.ceil(ms));
    try {
      signal?.throwIfAborted();
      const response = await fetch(url, {
        method,
        headers,
        body: body && JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      const text = await response.text();
      const answer = { status: response.status, body: text ? JSON.parse(text) : {}, sent };
      const isOurs = response.ok || answer.body.code !== undefined; // and no proxy's
      const isUndone = response.status === 503 || response.status === 429;
      const isDone = isOurs && !isUndone && response.status !== 500 && response.status < 504;
      if (isDone) return { ...answer, isDone };
      const retryMs = 1000 * (Number(response.headers.get("Retry-After")) || 0);
      const isUncertain = !(isOurs && isUndone);
      return { isUncertain, retryMs, why: answer.body.detail ?? `status ${response.status}` };
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      const isUncertain = !NOT_SENT.has(error.cause?.code);
      return { isUncertain, retryMs: 0, why: error.cause?.message || error.message };
    }
  }
}

export class Lock {
  #gorilla;
  #token;
  #timeout; // what is asked for
  #leaseMs; // what was given, counted from #sent
  #sent;
  #aborting = new AbortController();
  #stopping = new AbortController();
  #reject;
  #expiry;
  #extending;

  constructor(gorilla, answer, timeout) {
    this.#gorilla = gorilla;
    this.#timeout = timeout;
    this.resource = answer.body.resource;
    this.owner = answer.body.owner;
    this.fencingToken = answer.body.fencingToken;
    /** Rejects with LockLost when the lock is lost; never resolves. */
    this.lost = new Promise((_, reject) => (this.#reject = reject));
    this.lost.catch(() => undefined); // who does not look at it is not told twice
    this.#renew(answer);
    this.#extending = this.#keep();
  }

  /** Aborted, with LockLost as its reason, when the lock is lost. */
  get signal() {
    return this.#aborting.signal;
  }

  /** Seconds in which nobody else can have the lock, counted from when the request was sent. */
  remaining() {
    return this.#isOver ? 0 : Math.max(0, this.#leaseMs - this.#sent.ago) / 1000;
  }

  /** Let the lock go. Whether that is sure; if not, it expires. */
  async release() {
    if (this.#isOver) return false;
    this.#stopping.abort();
    clearTimeout(this.#expiry);
    // An extension that is under way replaces the token that the release needs.
    const patience = new AbortController();
    const late = pause(RELEASE_MS, patience.signal).then(() => "late");
    const isLate = (await Promise.race([this.#extending, late])) === "late";
    patience.abort();
    if (isLate) return false;
    return this.#ask("DELETE", { deadline: RELEASE_MS }).then(
      () => true,
      (error) => error.status === 404,
    );
  }

  get #isOver() {
    return this.#stopping.signal.aborted;
  }

  #ask(method, options) {
    const path = `/api/v1/locks/${encodeURIComponent(this.resource)}/${this.#token}`;
    return this.#gorilla.ask(method, path, { key: crypto.randomUUID(), ...options });
  }

  #renew({ body, sent }) {
    this.#token = body.token;
    this.#leaseMs = body.timeout * 1000;
    this.#sent = sent;
    if (!this.#isOver) this.#watch();
  }

  #watch() {
    clearTimeout(this.#expiry);
    const left = this.#leaseMs - this.#sent.ago;
    if (left <= 0) return this.#lose("it ran out");
    this.#expiry = setTimeout(() => this.#watch(), Math.min(left, TIMER_MS_MAX));
  }

  #lose(why) {
    if (this.#isOver) return;
    const error = new LockLost(this, why);
    clearTimeout(this.#expiry);
    this.#stopping.abort();
    this.#aborting.abort(error);
    this.#reject(error);
  }

  /** Extend after a third of the time; two more chances remain. */
  async #keep() {
    for (;;) {
      await pause(this.#leaseMs / 3 - this.#sent.ago, this.#stopping.signal);
      if (this.#isOver) return;
      const deadline = this.#leaseMs - this.#sent.ago;
      const body = () => ({ timeout: this.#timeout });
      try {
        this.#renew(await this.#ask("PUT", { body, deadline, attempt: deadline / 3 }));
      } catch (error) {
        // A refusal is final; without an answer, its time is over by now.
        return this.#lose(error.message);
      }
    }
  }
}
