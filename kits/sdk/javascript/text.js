// Text to bytes and back. QuickJS has no TextEncoder, and a loop over bytes costs 30 times as much as
// its native base64 functions, so text goes through those.

const NOT_ASCII = /[^\x00-\x7f]/;

// Below this many bytes a pattern is cheaper than a loop.
const SHORT = 32;

// The bytes of short texts: field names and values that a filter sets again and again.
const known = new Map();
const KNOWN_LENGTH = 64;
const KNOWN_ENTRIES = 256;

/** The UTF-8 bytes of a text. Do not write to them: the same text may give the same array. */
export function shared(text) {
  const found = known.get(text);
  if (found !== undefined) return found;
  const bytes = encode(text);
  if (text.length <= KNOWN_LENGTH) {
    if (known.size >= KNOWN_ENTRIES) known.clear();
    known.set(text, bytes);
  }
  return bytes;
}

/** The UTF-8 bytes of a text, in an array of its own. A lone surrogate becomes U+FFFD. */
export function encode(text) {
  const latin = NOT_ASCII.test(text) ? unescape(encodeURIComponent(text.toWellFormed())) : text;
  return Uint8Array.fromBase64(btoa(latin));
}

/** The text of UTF-8 bytes. What is not UTF-8 becomes U+FFFD, as in a browser's TextDecoder. */
export function decode(bytes) {
  if (bytes.length === 0) return "";
  const latin = atob(bytes.toBase64());
  if (bytes.length < SHORT ? !NOT_ASCII.test(latin) : isAscii(bytes)) return latin;
  try {
    return decodeURIComponent(escape(latin));
  } catch {
    return repaired(bytes);
  }
}

/** Whether bytes are UTF-8. */
export function isUtf8(bytes) {
  if (bytes.length === 0 || isAscii(bytes)) return true;
  try {
    decodeURIComponent(escape(atob(bytes.toBase64())));
    return true;
  } catch {
    return false;
  }
}

function isAscii(bytes) {
  let seen = 0;
  let from = 0;
  // Four bytes a step, if they are aligned.
  if (bytes.byteOffset % 4 === 0) {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    const count = words.length;
    for (let index = 0; index < count; index++) seen |= words[index];
    if ((seen & 0x80808080) !== 0) return false;
    from = count << 2;
    seen = 0;
  }
  for (let index = from; index < bytes.length; index++) seen |= bytes[index];
  return seen < 0x80;
}

// Replaces each maximal part of a character by one U+FFFD (the WHATWG Encoding standard).
function repaired(bytes) {
  const parts = [];
  let index = 0;
  while (index < bytes.length) {
    const first = bytes[index++];
    if (first < 0x80) {
      parts.push(String.fromCharCode(first));
      continue;
    }
    let more = 0;
    let low = 0x80;
    let high = 0xbf;
    let point = 0;
    if (first >= 0xc2 && first <= 0xdf) [more, point] = [1, first & 0x1f];
    else if (first >= 0xe0 && first <= 0xef) {
      [more, point] = [2, first & 0x0f];
      if (first === 0xe0) low = 0xa0;
      if (first === 0xed) high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
      [more, point] = [3, first & 0x07];
      if (first === 0xf0) low = 0x90;
      if (first === 0xf4) high = 0x8f;
    } else {
      parts.push("\ufffd");
      continue;
    }
    while (more > 0 && index < bytes.length && bytes[index] >= low && bytes[index] <= high) {
      point = (point << 6) | (bytes[index++] & 0x3f);
      [low, high] = [0x80, 0xbf];
      more--;
    }
    parts.push(more === 0 ? String.fromCodePoint(point) : "\ufffd");
  }
  return parts.join("");
}

/** Bytes for the gateway: a text in UTF-8, or bytes as they are. */
export function toBytes(value) {
  if (typeof value === "string") return shared(value);
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  throw new TypeError(`expected a string or a Uint8Array, got ${kindOf(value)}`);
}

/** The bytes of a hexadecimal text, or null if it is none. */
export function fromHex(text) {
  try {
    return Uint8Array.fromHex(text);
  } catch {
    return null;
  }
}

/** The bytes of a base64 text (also without padding), or null if it is none. */
export function fromBase64(text, options) {
  try {
    return Uint8Array.fromBase64(text, options);
  } catch {
    return null;
  }
}

/** What a value is, for messages. */
export function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  return typeof value === "object" ? "an object" : typeof value === "undefined" ? "undefined" : `a ${typeof value}`;
}
