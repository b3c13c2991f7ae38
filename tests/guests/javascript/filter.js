// The api-key filter in JavaScript (QuickJS), beside the Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`,
// a rejected key is 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from
// the request. The filter keeps nothing between two calls but its settings.

import exchange from "windlass:host/exchange@0.1.0";
import keys from "windlass:host/keys@0.1.0";
import log from "windlass:host/log@0.1.0";

import { challenge, readSettings } from "./settings.js";
import { queryWithout, utf8 } from "./query.js";

const SETTINGS_SCHEMA = JSON.stringify({
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  properties: {
    header: { type: "string", description: "The header that holds the key." },
    query: { type: "string", description: "The query parameter that holds the key." },
  },
  additionalProperties: false,
});

// The source of the key.
let source = { inQuery: false, name: "x-api-key" };

export const lifecycle = {
  describe() {
    return {
      name: "api-key-javascript",
      version: "0.1.0",
      settingsSchema: SETTINGS_SCHEMA,
      summary: "finds the consumer by an API key (in JavaScript)",
    };
  },

  configure(settings) {
    source = readSettings(settings);
    return {
      provides: ["consumer.id", "api-key.id", "auth.method"],
      sometimes: ["plan.id"],
      requires: [],
      series: [],
    };
  },
};

export const requestPhase = {
  onRequest() {
    const presented = presentedKey();
    if (presented === null || presented.length === 0) {
      return refuse(401, "api_key_missing", [["www-authenticate", utf8(challenge(source))]]);
    }
    let key;
    try {
      key = keys.find(presented);
    } catch (error) {
      // The `err` of a WIT result is the payload; an error without one is a bug, and traps.
      if (error.payload === undefined) throw error;
      logWhy(error.payload);
      return refuse(403, "api_key_rejected", []);
    }
    // If the gateway refuses an edit, it throws; this traps and undoes the earlier edits.
    provide(key);
    hideKey();
    return { tag: "next", val: { tag: "skip" } };
  },
};

// The key as the client sent it, or null.
function presentedKey() {
  if (!source.inQuery) return exchange.header("request", source.name);
  const value = exchange.queryParam(source.name);
  return value === null ? null : utf8(value);
}

function provide(key) {
  setText("consumer.id", key.consumer);
  setText("api-key.id", key.id);
  setText("auth.method", "api-key");
  if (key.plan !== null) setText("plan.id", key.plan);
  for (const [name, value] of key.attributes) {
    // An attribute must not replace the key's own id.
    if (name !== "id") setText(`api-key.${name}`, value);
  }
}

// Removes the key from the request.
function hideKey() {
  if (!source.inQuery) {
    exchange.removeHeader("request", source.name);
    return;
  }
  const path = exchange.path();
  const edited = queryWithout(path, source.name);
  if (edited !== path) exchange.setPath(edited);
}

function setText(name, value) {
  exchange.setAttribute(name, { tag: "text", val: value });
}

function logWhy(why) {
  if (log.enabled("debug")) log.write("debug", "the key is not accepted", [["why", why]]);
}

// The body is empty, so the gateway fills it in, in the error style of the API.
function refuse(status, reason, headers) {
  return { tag: "respond", val: { status, headers, body: new Uint8Array(0), reason } };
}
