// A proxy before a node, whose answers a test can hold back, and whose connections it can cut.
import http from "node:http";

export async function proxyOf(target) {
  const proxy = { requests: [], loses: () => false };
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const key = request.headers["idempotency-key"];
    const seen = { method: request.method, url: request.url, key, body: body.toString() };
    proxy.requests.push(seen);
    const onward = http.request(target + request.url, {
      method: request.method,
      headers: { ...request.headers, host: new URL(target).host },
      agent: false,
    });
    onward.on("response", async (answer) => {
      const parts = [];
      for await (const part of answer) parts.push(part);
      const fate = proxy.loses(seen);
      if (fate === "hold") return; // it is answered, and nobody hears of it
      if (fate) return request.socket.destroy();
      response.writeHead(answer.statusCode, { "content-type": answer.headers["content-type"] ?? "" });
      response.end(Buffer.concat(parts));
    });
    onward.on("error", () => request.socket.destroy());
    onward.end(body);
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  proxy.url = `http://127.0.0.1:${server.address().port}`;
  proxy.close = () => {
    server.closeAllConnections();
    server.close();
  };
  return proxy;
}

export async function busyNode(status = 503, code = "no_quorum") {
  let asked = 0;
  const server = http.createServer((request, response) => {
    asked++;
    request.resume();
    const problem = { status, code, detail: "Not just now." };
    response.writeHead(status, { "content-type": "application/problem+json", "retry-after": "1" });
    response.end(JSON.stringify(problem));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    asked: () => asked,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A node that does not know a field, and has no lock for those who leave it out. */
export async function refusingNode(field) {
  const bodies = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    bodies.push(body);
    const errors = [{ field, message: "is not a known field" }];
    const unknown = { status: 400, code: "invalid_request", detail: "No.", errors };
    const held = { status: 409, code: "lock_held", detail: "Another owner holds the lock." };
    const problem = field in body ? unknown : held;
    response.writeHead(problem.status, { "content-type": "application/problem+json" });
    response.end(JSON.stringify(problem));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    bodies,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** A node that lets nobody wait for longer than `bound` seconds, and grants nothing. */
export async function boundingNode(bound) {
  const bodies = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    bodies.push(body);
    const problem = { status: 409, code: "wait_timeout", detail: "Not yet." };
    setTimeout(() => {
      response.writeHead(problem.status, { "content-type": "application/problem+json" });
      response.end(JSON.stringify(problem));
    }, 1000 * Math.min(body.wait, bound));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    bodies,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
