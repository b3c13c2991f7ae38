// The verdicts of phases. Those without data are made once: a verdict costs an author nothing.

import { toBytes, kindOf } from "./text.js";

const skip = Object.freeze({ tag: "skip" });
const chunks = Object.freeze({ tag: "chunks" });
const NEXT = Object.freeze({ tag: "next", val: skip });
const NEXT_CHUNKS = Object.freeze({ tag: "next", val: chunks });
const MORE = Object.freeze({ tag: "more" });
const DONE = Object.freeze({ tag: "done" });
const NO_BODY = new Uint8Array(0);
const NO_FIELDS = Object.freeze([]);

function bodyMode(body) {
  if (body === undefined || body === "skip") return skip;
  if (body === "chunks") return chunks;
  if (typeof body === "object" && body !== null && Number.isSafeInteger(body.whole) && body.whole >= 0) {
    return { tag: "whole", val: body.whole };
  }
  throw new TypeError('the body is "skip", "chunks" or { whole: BYTES }');
}

/** Lets the message go on; says how this filter gets its body. */
export function next(body) {
  if (body === undefined) return NEXT;
  if (body === "chunks") return NEXT_CHUNKS;
  return { tag: "next", val: bodyMode(body) };
}

/** Keeps the chunk until more of the body is there. */
export function more() {
  return MORE;
}

/** Lets the chunk and the rest of the body pass without further calls. */
export function done() {
  return DONE;
}

/** Lets the request go on, with a preference for the upstream and the endpoint. */
export function route({ upstream, labels, affinity, timeoutMs }, body) {
  const hint = {
    upstream,
    labels: Array.isArray(labels) ? labels : Object.entries(labels ?? {}),
    affinity: affinity === undefined || affinity === null ? null : toBytes(affinity),
    timeoutMs,
  };
  return { tag: "route", val: [hint, bodyMode(body)] };
}

/** Answers the client in place of the endpoint. `reason` is a short word in snake_case for logs. */
export function respond(status, { reason = "answered", headers, body } = {}) {
  if (!Number.isInteger(status)) throw new TypeError(`the status must be a whole number, not ${kindOf(status)}`);
  const fields = headers === undefined ? NO_FIELDS : fieldList(headers);
  return { tag: "respond", val: { status, headers: fields, body: body === undefined ? NO_BODY : toBytes(body), reason } };
}

/** Refuses the request. The gateway writes the body, in the error style of the API, with `reason` as its code. */
export function refuse(status, reason, headers) {
  if (typeof reason !== "string") throw new TypeError("refuse needs a reason: a word in snake_case");
  return respond(status, { reason, headers });
}

/** Fields as the contract has them: pairs of a name and bytes. */
export function fieldList(headers) {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  return pairs.map(([name, value]) => [name, toBytes(value)]);
}

/** The phase failed; `text` is for the log. No client gets it. */
export function failed(text) {
  return { tag: "respond", val: { status: 500, headers: NO_FIELDS, body: toBytes(text), reason: "filter_failed" } };
}
