// Calls to other servers. The first call ends the phase; the gateway runs it again when the response is
// there, and the same call then returns it. So make the same calls in the same order each time.

import calls from "windlass:callout/calls";
import { NotYet } from "../failure.js";
import { fieldList } from "../verdict.js";
import { decode, toBytes } from "../text.js";

/** The response of a server. */
class Answer {
  #raw;
  constructor(raw) {
    this.#raw = raw;
  }
  get status() {
    return this.#raw.status;
  }
  header(name) {
    const wanted = name.toLowerCase();
    const found = this.#raw.headers.find((field) => field[0].toLowerCase() === wanted);
    return found === undefined ? null : decode(found[1]);
  }
  get headers() {
    return this.#raw.headers.map(([name, value]) => [name, decode(value)]);
  }
  bytes() {
    return this.#raw.body;
  }
  text() {
    return decode(this.#raw.body);
  }
  json() {
    return JSON.parse(this.text());
  }
}

/** There is no response; `reason` says why: `busy`, `timeout`, `unreachable`, `too-large`, `invalid`, `not-here`. */
export class CallError extends Error {
  constructor(target, reason, text) {
    super(`the call to \`${target}\` failed: ${text ?? reason}`);
    this.name = "CallError";
    this.reason = reason;
  }
}

function credentialOf(credential) {
  if (credential === undefined || credential === null) return null;
  const { bearer, basic, formField } = credential;
  if (bearer !== undefined) return { tag: "bearer", val: bearer };
  if (basic !== undefined) return { tag: "basic", val: basic };
  if (formField !== undefined) return { tag: "form-field", val: formField };
  throw new TypeError("a credential is { bearer: SECRET }, { basic: [USER, SECRET] } or { formField: [NAME, SECRET] }");
}

function sharingOf(share) {
  if (share === undefined || share === "alone") return { tag: "alone" };
  if (share === "identical") return { tag: "identical" };
  return { tag: "keyed", val: toBytes(share.keyed) };
}

const made = {
  call(target, { method = "GET", path = "", headers = {}, body = "", credential, share } = {}) {
    const request = {
      method, path, headers: fieldList(headers), body: toBytes(body),
      credential: credentialOf(credential), share: sharingOf(share),
    };
    try {
      return new Answer(calls.call(target, request));
    } catch (error) {
      const { payload } = error;
      if (payload === undefined) throw error;
      if (payload.tag === "not-yet") throw new NotYet();
      throw new CallError(target, payload.tag, payload.val);
    }
  },
};

export { made as callout };
