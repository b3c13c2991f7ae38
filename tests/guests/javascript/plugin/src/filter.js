// The api-key filter in JavaScript (QuickJS), beside the Rust plugin `api-key`.
//
// It behaves like the Rust plugin with its default statuses: a missing key is 401 `api_key_missing`,
// a rejected key is 403 `api_key_rejected`. An accepted key becomes attributes, and is removed from
// the request. The filter keeps nothing between two calls but its settings.

import { SettingsError, filter, keys, log, next, refuse } from "../sdk/index.js";

import { queryWithout } from "./query.js";

// RFC 9110, section 5.6.2.
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

export default filter({
  name: "api-key-js",
  version: "0.1.0",
  summary: "finds the consumer by an API key (in JavaScript)",

  settings: {
    type: "object",
    properties: {
      header: { type: "string", description: "The header that holds the key." },
      query: { type: "string", description: "The query parameter that holds the key." },
    },
    additionalProperties: false,
  },

  configure({ header, query }, setup) {
    if (header !== undefined && query !== undefined) {
      throw new SettingsError("/query", "the key is in a header or in the query: remove `header` or `query`");
    }
    if (query === "") throw new SettingsError("/query", "name the query parameter");
    if (header !== undefined && !FIELD_NAME.test(header)) {
      throw new SettingsError("/header", `\`${header}\` is not a legal header name`);
    }
    setup.provides.push("consumer.id", "api-key.id", "auth.method");
    setup.sometimes.push("plan.id");
    const inQuery = query !== undefined;
    const name = query ?? (header ?? "x-api-key").toLowerCase();
    return { inQuery, name, challenge: challenge(inQuery, name) };
  },

  onRequest(request, { inQuery, name, challenge }) {
    // One call finds the key, sets the attributes and removes the field.
    const outcome = inQuery ? identifyParam(request, name) : keys.identifyField(name);
    if (outcome === "accepted") return next();
    if (outcome === "missing") return refuse(401, "api_key_missing", { "www-authenticate": challenge });
    log.debug("the key is not accepted", { why: outcome });
    return refuse(403, "api_key_rejected");
  },
});

function identifyParam(request, name) {
  const presented = request.queryParam(name);
  if (presented === null || presented === "") return "missing";
  const outcome = keys.identify(presented);
  if (outcome === "accepted") request.path = queryWithout(request.path, name);
  return outcome;
}

// The challenge of a 401 (RFC 9110, section 11.6.1), named as OpenAPI names API keys.
function challenge(inQuery, name) {
  const quoted = name.replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f-\x9f]/g, " ");
  return `ApiKey in="${inQuery ? "query" : "header"}", name="${quoted}"`;
}
