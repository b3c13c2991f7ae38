// Reads the settings from JSON text, and reports every error with a pointer.
// Pure: no calls of the gateway.

// RFC 9110, section 5.6.2.
const FIELD_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

// Returns `{ inQuery, name }`, or throws the list of errors: the `err` of `configure`.
export function readSettings(text) {
  const written = parse(text);
  const complaints = [];
  for (const [name, value] of Object.entries(written)) {
    if (name !== "header" && name !== "query") {
      const message = `unknown field \`${name}\`, expected \`header\` or \`query\``;
      complaints.push({ at: pointer(name), message });
    } else if (typeof value !== "string") {
      complaints.push({ at: pointer(name), message: "must be a string" });
    }
  }
  const { header, query } = written;
  if (typeof header === "string" && typeof query === "string") {
    const message = "the key is in a header or in the query: remove `header` or `query`";
    complaints.push({ at: "/query", message });
  } else if (query === "") {
    complaints.push({ at: "/query", message: "name the query parameter" });
  } else if (typeof header === "string" && !FIELD_NAME.test(header)) {
    complaints.push({ at: "/header", message: `\`${header}\` is not a legal header name` });
  }
  if (complaints.length > 0) throw complaints;
  return query !== undefined
    ? { inQuery: true, name: query }
    : { inQuery: false, name: (header ?? "x-api-key").toLowerCase() };
}

function parse(text) {
  let written;
  try {
    written = JSON.parse(text);
  } catch {
    written = null;
  }
  if (written === null || typeof written !== "object" || Array.isArray(written)) {
    throw [{ at: "", message: "the settings are not a table" }];
  }
  return written;
}

// A JSON pointer to a key of the settings (RFC 6901, section 3).
function pointer(name) {
  return "/" + name.replaceAll("~", "~0").replaceAll("/", "~1");
}

// The challenge of a 401 (RFC 9110, section 11.6.1), named as OpenAPI names API keys.
export function challenge(source) {
  const name = source.name.replace(/["\\]/g, "\\$&").replace(/[\x00-\x1f\x7f-\x9f]/g, " ");
  return `ApiKey in="${source.inQuery ? "query" : "header"}", name="${name}"`;
}
