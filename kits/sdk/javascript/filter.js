// A filter, and what the build makes of it: the exports that the gateway calls.

import log from "windlass:host/log";
import { request, requestBody, response, responseBody } from "./exchange.js";
import { NotYet, SettingsError, describeFailure } from "./failure.js";
import { checkSchema, checkSettings } from "./settings.js";
import { failed, next } from "./verdict.js";
import { kindOf } from "./text.js";

// The phases: the name of the export, the author's function, and how the export is called.
const PHASES = {
  "request-phase": "onRequest",
  "request-body-phase": "onRequestBody",
  "response-phase": "onResponse",
  "response-body-phase": "onResponseBody",
  "log-phase": "onLog",
  description: "describeApi",
};

const OPTIONS = new Set(["name", "version", "summary", "settings", "configure", ...Object.values(PHASES)]);

/** Describes a filter: export the result as default. */
export function filter(options) {
  for (const name of Object.keys(options)) {
    if (!OPTIONS.has(name)) {
      throw new TypeError(`\`${name}\` is nothing that a filter has; it has ${[...OPTIONS].join(", ")}`);
    }
  }
  for (const name of ["name", "version", "summary"]) {
    if (typeof options[name] !== "string") throw new TypeError(`the filter needs \`${name}\`: a string`);
  }
  for (const name of ["configure", ...Object.values(PHASES)]) {
    if (options[name] !== undefined && typeof options[name] !== "function") {
      throw new TypeError(`\`${name}\` must be a function, not ${kindOf(options[name])}`);
    }
  }
  if (options.settings !== undefined) checkSchema(options.settings);
  return options;
}

// What the filter works from: what `configure` returned.
let state;

/** The exports of a plugin, for the interfaces of `windlass:filter` that its world exports. */
export function exportsOf(plugin, interfaces) {
  if (typeof plugin !== "object" || plugin === null || !OPTIONS.has(Object.keys(plugin)[0])) {
    throw new TypeError("the plugin must `export default filter({ .. })`");
  }
  const made = { lifecycle: lifecycle(plugin) };
  for (const [name, method] of Object.entries(PHASES)) {
    const has = plugin[method] !== undefined;
    const line = `export windlass:filter/${name}@0.1.0;`;
    if (has && !interfaces.includes(name)) {
      throw new TypeError(`\`${method}\` would never be called; add \`${line}\` to wit/world.wit`);
    }
    if (!has && interfaces.includes(name)) {
      throw new TypeError(`the filter has no \`${method}\`; add it, or remove \`${line}\` from wit/world.wit`);
    }
    if (has) made[name] = MAKERS[name](plugin);
  }
  return made;
}

const NO_SETTINGS = { type: "object", additionalProperties: false };

function lifecycle(plugin) {
  const { name, version, summary } = plugin;
  // A filter that names no settings takes none: a misspelt one is an error.
  const schema = plugin.settings ?? NO_SETTINGS;
  const settingsSchema = JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", ...schema });
  return {
    describe: () => ({ name, version, summary, settingsSchema }),
    configure: (text) => configured(plugin, schema, text),
  };
}

function configured(plugin, schema, text) {
  const found = [];
  const settings = checkSettings(schema, JSON.parse(text), found);
  if (found.length > 0) throw found;
  const setup = new Setup();
  try {
    state = plugin.configure === undefined ? settings : plugin.configure(settings, setup);
  } catch (error) {
    // The thrown list is the `err` of the contract's `configure`.
    throw error instanceof SettingsError ? error.diagnostics : [{ at: "", message: describeFailure(error) }];
  }
  const { provides, sometimes, requires, series } = setup;
  return { provides, sometimes, requires, series };
}

// What `configure` declares to the gateway.
class Setup {
  provides = [];
  sometimes = [];
  requires = [];
  series = [];
  counter(name, labels = []) {
    return this.series.push({ kind: "counter", name, labels }) - 1;
  }
  gauge(name, labels = []) {
    return this.series.push({ kind: "gauge", name, labels }) - 1;
  }
  histogram(name, labels = []) {
    return this.series.push({ kind: "histogram", name, labels }) - 1;
  }
}

// An author's mistake fails the request, and never lets it pass.
function checked(verdict, method) {
  if (typeof verdict?.tag === "string") return verdict;
  const hint = typeof verdict?.then === "function" ? "it must not be async: nothing here waits" : "return next(), or refuse(..)";
  throw new TypeError(`${method} returned ${kindOf(verdict)}; ${hint}`);
}

function answered(error) {
  // The verdict does not matter then: the gateway runs the phase again.
  return error instanceof NotYet ? next() : failed(describeFailure(error));
}

// On a response, the contract's word is `replace`.
function replaced(verdict) {
  return verdict.tag === "respond" ? { tag: "replace", val: verdict.val } : verdict;
}

// The exports of each interface. `plugin.onRequest(..)`, so that `this` is the filter.
const MAKERS = {
  "request-phase": (plugin) => ({
    onRequest() {
      try {
        return checked(plugin.onRequest(request, state), "onRequest");
      } catch (error) {
        return answered(error);
      }
    },
  }),
  "request-body-phase": (plugin) => ({
    onRequestBody(length, last) {
      requestBody.length = length;
      requestBody.last = last;
      try {
        return checked(plugin.onRequestBody(requestBody, state), "onRequestBody");
      } catch (error) {
        return answered(error);
      }
    },
  }),
  "response-phase": (plugin) => ({
    onResponse() {
      try {
        return replaced(checked(plugin.onResponse(response, state, request), "onResponse"));
      } catch (error) {
        return replaced(answered(error));
      }
    },
  }),
  "response-body-phase": (plugin) => ({
    onResponseBody(length, last) {
      responseBody.length = length;
      responseBody.last = last;
      try {
        return checked(plugin.onResponseBody(responseBody, state), "onResponseBody");
      } catch (error) {
        return answered(error);
      }
    },
  }),
  "log-phase": (plugin) => ({
    onLog() {
      try {
        plugin.onLog(request, state, response);
      } catch (error) {
        log.write("error", describeFailure(error), []);
      }
    },
  }),
  description: (plugin) => ({
    contribute: () => JSON.stringify(plugin.describeApi(state)),
  }),
};
