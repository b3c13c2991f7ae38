// Errors of the author's code, as text for the gateway's log: the message, and where it was thrown in
// the sources. The build bundles the sources into one file, and puts the bundle's source map before it.

/** The gateway refused an edit of the exchange. */
export class EditError extends Error {
  constructor(edit, reason) {
    super(`the gateway refused to ${edit}: ${REASONS[reason] ?? reason}`);
    this.name = "EditError";
    this.reason = reason;
  }
}

const REASONS = {
  syntax: "it is not legal there",
  forbidden: "it belongs to the gateway, or the operator did not grant it",
  "too-late": "the head was sent, or this phase may not edit it",
  "too-large": "it would exceed a limit",
};

/** The settings are wrong: throw it in `configure`. */
export class SettingsError extends Error {
  constructor(at, message) {
    const list = Array.isArray(at) ? at : [{ at, message }];
    super(list.map((each) => `${each.at}: ${each.message}`).join("; "));
    this.name = "SettingsError";
    this.diagnostics = list;
  }
}

/** A callout or a token needs a wait. The gateway runs the phase again, so nobody needs to catch this. */
export class NotYet extends Error {
  constructor() {
    super("the gateway runs this phase again");
    this.name = "NotYet";
  }
}

/** One line for the log: the error, and up to 8 frames of the author's code. */
export function describeFailure(error) {
  if (!(error instanceof Error)) return `threw ${typeof error === "string" ? error : JSON.stringify(error)}`;
  const parts = [`${error.name}: ${error.message}`];
  const frames = framesOf(error.stack ?? "");
  for (const frame of frames.slice(0, 8)) parts.push(frame);
  if (error.cause !== undefined) parts.push(`caused by ${describeFailure(error.cause)}`);
  return parts.join(" ");
}

// What a quick build evaluates the bundle in: it has no source map.
const SHELL = "/shell.js";

// `    at onRequest (/build/js/plugin.js:24:51)`
const FRAME = /^\s*at (.*) \((.*):(\d+):(\d+)\)$/;

function framesOf(stack) {
  const frames = [];
  for (const line of stack.split("\n")) {
    const match = FRAME.exec(line);
    if (match === null || match[2].endsWith(SHELL)) continue;
    const place = original(Number(match[3]), Number(match[4]));
    // The kit's own frames tell an author nothing.
    if (place !== null && isOurs(place.file)) continue;
    const at = place === null ? `${match[2]}:${match[3]}:${match[4]}` : `${place.file}:${place.line}:${place.column}`;
    const name = match[1] === "<anonymous>" ? "" : `${match[1]} `;
    frames.push(`at ${name}(${at})`);
  }
  return frames;
}

function isOurs(file) {
  return file.startsWith("sdk/") || file.includes("node_modules/windlass-plugin/") || file === "entry.js";
}

/** While the build evaluates the modules, it prints stacks itself: gives them the places in the sources. */
export function mapStacks() {
  Error.prepareStackTrace = (_, sites) => {
    const lines = sites.map((site) => {
      if (site.getFileName()?.endsWith(SHELL)) return "";
      const place = original(site.getLineNumber(), site.getColumnNumber());
      const at = place === null ? site.getFileName() : `${place.file}:${place.line}:${place.column}`;
      return place !== null && isOurs(place.file) ? "" : `    at ${site.getFunctionName() ?? "<anonymous>"} (${at})\n`;
    });
    return lines.join("");
  };
}

/** At run time only errors that reach the log are worth that. */
export function stopMapping() {
  // Not `delete`: that removes the accessor, and the engine goes on calling the function.
  Error.prepareStackTrace = undefined;
}

let decoded = null;

// The place in the sources of a place in the bundle; null without a source map.
function original(line, column) {
  const map = globalThis.__windlassMap;
  if (map === undefined) return null;
  decoded ??= segmentsOf(map.mappings);
  // The source map stands on the line before the bundle; in development, a function's head too.
  const segments = decoded[line - 1 - map.before];
  if (segments === undefined || segments.length === 0) return null;
  let best = segments[0];
  for (const segment of segments) {
    if (segment[0] > column - 1) break;
    best = segment;
  }
  const file = (map.sources[best[1]] ?? "").replace(/^(\.\.?\/)+/, "");
  return { file, line: best[2] + 1, column: best[3] + 1 };
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Base64 VLQ of source maps (ECMA-426): for each line of the bundle, its segments `[column, source, line, column]`.
function segmentsOf(mappings) {
  const totals = [0, 0, 0, 0];
  return mappings.split(";").map((line) => {
    totals[0] = 0;
    const segments = [];
    for (const text of line === "" ? [] : line.split(",")) {
      let field = 0;
      let value = 0;
      let shift = 0;
      for (const character of text) {
        const digit = DIGITS.indexOf(character);
        value |= (digit & 31) << shift;
        shift += 5;
        if ((digit & 32) !== 0) continue;
        if (field < 4) totals[field] += (value & 1) === 1 ? -(value >> 1) : value >> 1;
        field++;
        value = 0;
        shift = 0;
      }
      if (field >= 4) segments.push([...totals]);
    }
    return segments;
  });
}
