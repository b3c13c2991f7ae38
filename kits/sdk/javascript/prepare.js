// Runs before the author's code: what authors expect of a JavaScript engine and QuickJS lacks.
//
// `console` writes to the gateway's log. Missing, because nothing here could do them: fetch (use
// `callout`), timers, URL, Intl, Atomics, structuredClone, WebAssembly, streams, Node's modules.

import log from "windlass:host/log";
import { decode, encode, isUtf8, kindOf } from "./text.js";
import { describeFailure, mapStacks } from "./failure.js";
import { URLSearchParams } from "./query.js";

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    return encode(String(text));
  }
  encodeInto(text, into) {
    let [read, written] = [0, 0];
    for (const character of String(text).toWellFormed()) {
      const bytes = encode(character);
      if (written + bytes.length > into.length) break;
      into.set(bytes, written);
      written += bytes.length;
      read += character.length;
    }
    return { read, written };
  }
}

class TextDecoder {
  #fatal;
  #ignoreBOM;
  constructor(label = "utf-8", { fatal = false, ignoreBOM = false } = {}) {
    if (!/^\s*utf-?8\s*$/i.test(label)) {
      throw new RangeError(`TextDecoder knows only utf-8, not ${label}`);
    }
    this.#fatal = fatal;
    this.#ignoreBOM = ignoreBOM;
  }
  get encoding() {
    return "utf-8";
  }
  get fatal() {
    return this.#fatal;
  }
  get ignoreBOM() {
    return this.#ignoreBOM;
  }
  decode(input = new Uint8Array(0), options) {
    if (options?.stream) throw new TypeError("TextDecoder cannot decode a stream; pass whole texts");
    const bytes = viewOf(input);
    if (this.#fatal && !isUtf8(bytes)) throw new TypeError("the bytes are not UTF-8");
    const text = decode(bytes);
    return !this.#ignoreBOM && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }
}

function viewOf(input) {
  if (input instanceof Uint8Array) return input;
  if (input instanceof ArrayBuffer) return new Uint8Array(input);
  if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
  throw new TypeError(`TextDecoder needs bytes, got ${kindOf(input)}`);
}

function shown(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return describeFailure(value);
  if (typeof value === "function") return `[function ${value.name}]`;
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, part) => {
      if (part instanceof Uint8Array) return `[${part.length} bytes]`;
      if (part instanceof Map) return Object.fromEntries(part);
      if (part instanceof Set) return [...part];
      return typeof part === "bigint" ? `${part}n` : part;
    });
  } catch {
    return "[object]";
  }
}

function writer(level) {
  return (...values) => {
    if (log.enabled(level)) log.write(level, values.map(shown).join(" "), []);
  };
}

const console = {
  log: writer("info"),
  info: writer("info"),
  debug: writer("debug"),
  trace: writer("trace"),
  warn: writer("warn"),
  error: writer("error"),
  assert: (holds, ...values) => {
    if (!holds) console.error("assertion failed:", ...values);
  },
};

// Not enumerable, as in other engines.
for (const [name, value] of Object.entries({ TextEncoder, TextDecoder, URLSearchParams, console })) {
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

mapStacks();
