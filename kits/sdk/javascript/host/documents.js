// Files that the operator named in the filter's table. Read them in `configure`.

import documents from "windlass:host/documents";
import { decode } from "../text.js";

// A read takes at most this much; the engine's lengths have 31 bits.
const STEP = 4 * 1024 * 1024;

function bytes(name) {
  const size = documents.size(name);
  if (size === null) return null;
  const whole = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const part = documents.read(name, at, STEP);
    if (part === null || part.length === 0) break;
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const calls = {
  names: () => documents.names(),
  size: (name) => documents.size(name),
  bytes,
  text(name) {
    const read = bytes(name);
    return read === null ? null : decode(read);
  },
  digest: (name) => documents.digest(name),
};

export { calls as documents };
