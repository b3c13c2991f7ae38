// The kit for filters in JavaScript and TypeScript. Import what you need from here: the build leaves
// out the rest, so a filter needs only the host interfaces that it calls.

export { filter } from "./filter.js";
export { done, more, next, refuse, respond, route } from "./verdict.js";
export { EditError, SettingsError } from "./failure.js";
export { fromBase64, fromHex, encode, decode } from "./text.js";
export { advice } from "./host/advice.js";
export { apiDescription } from "./host/api-description.js";
export { cache } from "./host/cache.js";
export { CallError, callout } from "./host/callout.js";
export { crypto } from "./host/crypto.js";
export { documents } from "./host/documents.js";
export { keys } from "./host/keys.js";
export { limits } from "./host/limits.js";
export { log } from "./host/log.js";
export { metrics } from "./host/metrics.js";
export { preflights } from "./host/preflights.js";
export { problemMembers } from "./host/problem-members.js";
export { rates } from "./host/rates.js";
export { rawParams } from "./host/raw-params.js";
export { responseEdits } from "./host/response-edits.js";
export { tokens } from "./host/tokens.js";
