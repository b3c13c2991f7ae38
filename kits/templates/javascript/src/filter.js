import { filter, log, next, refuse } from "../sdk/index.js";

export default filter({
  name: "{{name}}",
  version: "0.1.0",
  summary: "lets only listed teams pass, and counts the bytes of their requests",

  // JSON Schema. The kit checks the operator's settings against it, and fills in the defaults.
  settings: {
    type: "object",
    properties: {
      header: { type: "string", default: "x-team", description: "The request field that names the team." },
      allow: { type: "array", items: { type: "string" }, minItems: 1, description: "The teams that may pass." },
    },
    required: ["allow"],
    additionalProperties: false,
  },

  onRequest(request, settings) {
    const team = request.header(settings.header);
    if (team === null) return refuse(401, "team_missing");
    if (!settings.allow.includes(team)) {
      log.info(`team \`${team}\` is not listed`);
      return refuse(403, "team_unknown");
    }
    request.setHeader("x-checked-by", "{{name}}");
    return next("chunks");
  },

  onRequestBody(body) {
    const before = Number(body.note("bytes") ?? 0);
    body.setNote("bytes", before + body.length);
    return next();
  },

  onResponse(response) {
    const bytes = response.note("bytes");
    if (bytes !== null) response.setHeader("x-request-bytes", bytes);
    return next();
  },
});
