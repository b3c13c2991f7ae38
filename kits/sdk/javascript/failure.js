// Errors of the author's code, as text for the gateway's log: the message, and where it was thrown in
// the sources. The build bundles the sources into one file, and puts a table of their lines before it.

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

// The log has room for about a thousand characters.
const MOST_FRAMES = 8;

/** One line for the log: the error, and the frames of the author's code. */
export function describeFailure(error) {
  if (!(error instanceof Error)) return `threw ${typeof error === "string" ? error : JSON.stringify(error)}`;
  const parts = [`${error.name}: ${error.message}`, ...framesOf(error.stack ?? "")];
  if (error.cause !== undefined) parts.push(`caused by ${describeFailure(error.cause)}`);
  return parts.join(" ");
}

// `    at onRequest (/build/js/plugin.js:24:51)`
const FRAME = /^\s*at (.*) \(.*:(\d+):(\d+)\)$/;

function framesOf(stack) {
  const frames = [];
  for (const line of stack.split("\n")) {
    const match = FRAME.exec(line);
    const place = match === null ? null : original(Number(match[2]), Number(match[3]));
    // The kit's own frames tell an author nothing.
    if (place === null) continue;
    const name = match[1] === "<anonymous>" ? "" : `${match[1]} `;
    frames.push(`at ${name}(${place.file}:${place.line}:${place.column})`);
    if (frames.length === MOST_FRAMES) break;
  }
  return frames;
}

/** While the build evaluates the modules, it prints stacks itself: gives them the places in the sources. */
export function mapStacks() {
  Error.prepareStackTrace = (_, sites) => {
    const lines = sites.map((site) => {
      const place = original(site.getLineNumber(), site.getColumnNumber());
      if (place === null) return "";
      return `    at ${site.getFunctionName() ?? "<anonymous>"} (${place.file}:${place.line}:${place.column})\n`;
    });
    return lines.join("");
  };
}

/** At run time only errors that reach the log are worth that. */
export function stopMapping() {
  // Not `delete`: that removes the accessor, and the engine goes on calling the function.
  Error.prepareStackTrace = undefined;
}

// The place in the sources of a place in the bundle; null for the kit's own code, and without a table.
function original(line, column) {
  const table = globalThis.__windlassLines;
  const row = table?.lines[line];
  if (row === undefined) return null;
  // Four numbers a segment: its column, and the source, line and column that it comes from.
  let at = 0;
  while (at + 4 < row.length && row[at + 4] <= column) at += 4;
  return { file: table.sources[row[at + 1]], line: row[at + 2], column: row[at + 3] };
}
