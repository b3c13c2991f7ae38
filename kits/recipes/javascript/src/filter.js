// A recipe for each host interface. The request field `x-recipe` chooses one.

import {
  cache, callout, crypto, documents, filter, fromHex, keys, limits, metrics, next, problemMembers, rates, rawParams,
  refuse, responseEdits, SettingsError, tokens,
} from "../sdk/index.js";
import "./engine.js";

const MINUTE = 60_000;

export default filter({
  name: "recipes",
  version: "0.1.0",
  summary: "calls each host interface",

  configure(_settings, setup) {
    rates.define([{ name: "address", by: { header: "x-address" }, missing: "skip", limit: 1, windowMs: MINUTE }]);
    responseEdits.set("x-served-by", "recipes").apply();
    setup.sometimes.push("user.id", "consumer.id", "api-key.id", "auth.method", "plan.id");
    const blocked = documents.text("blocked");
    if (blocked === null) throw new SettingsError("", 'add `documents = { blocked = "FILE" }`');
    return {
      requests: setup.counter("recipe_requests_total", ["method"]),
      bearer: tokens.define({
        verifiers: ["issuer"],
        claims: [{ claim: "sub", attribute: "user.id", required: true }],
        tokenField: { name: "authorization" },
      }),
      blocked: new Set(blocked.split("\n")),
    };
  },

  onRequest(request, state) {
    switch (request.header("x-recipe")) {
      case "count":
        metrics.add(state.requests, 1, [request.method]);
        return next();
      case "cache":
        return remember(request);
      case "key":
        return key();
      case "plan":
        return plan();
      case "rate":
        return rates.take().outcome === "allowed" ? next() : refuse(429, "too_many_requests");
      case "signature":
        // The head waits until `onRequestBody` has seen the whole body.
        return next({ whole: 64 * 1024 });
      case "token":
        // The gateway finds the token and hides it from the endpoint. The filter never sees it.
        return tokens.verifyField(state.bearer) === null ? next() : refuse(401, "token_rejected");
      case "ask":
        return ask(request);
      case "list":
        return state.blocked.has(request.header("user-agent") ?? "") ? refuse(403, "agent_blocked") : next();
      case "edit":
        return edit(request);
      case "path":
        return path(request);
      default:
        return refuse(400, "recipe_unknown");
    }
  },

  /** Only `signature` asks for the body: all of it at once. */
  onRequestBody(body) {
    // Null for a field that is missing or not hexadecimal: then the tag is wrong.
    const tag = fromHex(body.head.header("x-signature") ?? "");
    return crypto.hmacVerify("sha256", "webhook", body.bytes(), tag) ? next() : refuse(401, "signature_wrong");
  },
});

/** A value that all instances and workers share, for a minute. */
function remember(request) {
  if (cache.get("first-path") === null) cache.put("first-path", request.path, MINUTE);
  const count = cache.increment("requests", 1, MINUTE);
  request.setHeaders({ "x-first-path": cache.get("first-path") ?? "", "x-count": String(count) });
  return next();
}

/** Sets `consumer.id` and the other attributes of the key, and removes the field. */
function key() {
  // The client must not learn which keys there are.
  return keys.identifyField("x-api-key") === "accepted" ? next() : refuse(401, "key_rejected");
}

/** Takes from the plan of the key. */
function plan() {
  if (keys.identifyField("x-api-key") !== "accepted") return refuse(401, "key_rejected");
  const { decision } = limits.charge();
  if (decision === null) return refuse(403, "no_plan");
  if (decision.allowed) return next();
  return refuse(429, "throttled", { "retry-after": String(Math.ceil(decision.retryAfterMs / 1000)) });
}

/** The phase runs again when the answer is there, and the same call returns it then. */
function ask(request) {
  const answer = callout.call("authorizer", { path: "/allowed", headers: { "x-user": request.header("x-user") ?? "" } });
  return answer.status === 200 ? next() : refuse(403, "not_allowed");
}

/** Edits of the response need no response phase; members of an error's body need no body. */
function edit(request) {
  if (request.header("x-refuse") !== null) {
    problemMembers.set({ detail: "ask somebody else" });
    return refuse(403, "refused");
  }
  responseEdits.addMember("vary", "x-recipe").apply();
  return next();
}

/** `a%2Fb` stays one segment: the parameter is put in as the client spelled it. */
function path(request) {
  const id = rawParams.pathParam("id");
  if (id === null) return next();
  try {
    request.path = `/v2/orders/${id}`;
  } catch {
    // The value is the client's.
    return refuse(400, "path_refused");
  }
  return next();
}
