// The current exchange, as the phases get it: `request`, `response` and `body`. They hold nothing: every
// read is a call of the gateway. So one object of each kind serves all exchanges.

import exchange from "windlass:host/exchange";
import { EditError } from "./failure.js";
import { fieldList } from "./verdict.js";
import { decode, toBytes, kindOf } from "./text.js";

const {
  header, headerText, headerAll, headersPacked, setHeader, setHeaders, appendHeader, removeHeader,
  attribute, setAttribute, setAttributes, note, setNote,
  readPiece, replacePiece, prependPiece, appendPiece,
} = exchange;

// The gateway throws an `Error` with the WIT value in `payload`; anything else is a mistake in the call.
function refused(error, edit) {
  return typeof error?.payload === "string" ? new EditError(edit, error.payload) : error;
}

function attributeOf(value) {
  switch (typeof value) {
    case "string":
      return { tag: "text", val: value };
    case "boolean":
      return { tag: "flag", val: value };
    case "number":
      if (Number.isSafeInteger(value)) return { tag: "number", val: value };
      throw new TypeError("an attribute's number must be whole");
    default:
      if (value instanceof Uint8Array) return { tag: "bytes", val: value };
      throw new TypeError(`an attribute is a string, a number, a boolean or a Uint8Array, not ${kindOf(value)}`);
  }
}

// What requests and responses share.
class Exchange {
  attribute(name) {
    const found = attribute(name);
    return found === null ? null : found.val;
  }
  setAttribute(name, value) {
    const given = attributeOf(value);
    try {
      setAttribute(name, given);
    } catch (error) {
      throw refused(error, `set the attribute \`${name}\``);
    }
  }
  setAttributes(values) {
    const given = Object.entries(values).map(([name, value]) => [name, attributeOf(value)]);
    try {
      setAttributes(given);
    } catch (error) {
      throw refused(error, `set the attributes \`${Object.keys(values).join("`, `")}\``);
    }
  }
  note(key) {
    const bytes = note(key);
    return bytes === null ? null : decode(bytes);
  }
  noteBytes(key) {
    return note(key);
  }
  setNote(key, value) {
    const bytes = toBytes(typeof value === "number" ? String(value) : value);
    try {
      setNote(key, bytes);
    } catch (error) {
      throw refused(error, `keep the note \`${key}\``);
    }
  }
}

/** The fields of one head: the request's, the response's, or the trailers of the current body. */
class Head extends Exchange {
  #of;
  constructor(of) {
    super();
    this.#of = of;
  }
  header(name) {
    return headerText(this.#of, name);
  }
  headerBytes(name) {
    return header(this.#of, name);
  }
  headerAll(name) {
    return headerAll(this.#of, name).map(decode);
  }
  headers() {
    const packed = headersPacked(this.#of);
    const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    const fields = [];
    for (let at = 0; at < packed.length; ) {
      const [name, value] = [view.getUint16(at, true), view.getUint32(at + 2, true)];
      const from = at + 6 + name;
      at = from + value;
      fields.push([decode(packed.subarray(from - name, from)), decode(packed.subarray(from, at))]);
    }
    return fields;
  }
  setHeader(name, value) {
    const bytes = toBytes(value);
    try {
      setHeader(this.#of, name, bytes);
    } catch (error) {
      throw refused(error, `set the field \`${name}\``);
    }
  }
  setHeaders(fields) {
    const list = fieldList(fields);
    try {
      setHeaders(this.#of, list);
    } catch (error) {
      throw refused(error, `set the fields \`${list.map((field) => field[0]).join("`, `")}\``);
    }
  }
  appendHeader(name, value) {
    const bytes = toBytes(value);
    try {
      appendHeader(this.#of, name, bytes);
    } catch (error) {
      throw refused(error, `append to the field \`${name}\``);
    }
  }
  removeHeader(name) {
    try {
      return removeHeader(this.#of, name);
    } catch (error) {
      throw refused(error, `remove the field \`${name}\``);
    }
  }
}

class Request extends Head {
  get method() {
    return exchange.method();
  }
  set method(method) {
    try {
      exchange.setMethod(method);
    } catch (error) {
      throw refused(error, `set the method \`${method}\``);
    }
  }
  get scheme() {
    return exchange.scheme();
  }
  get authority() {
    return exchange.authority();
  }
  set authority(authority) {
    try {
      exchange.setAuthority(authority);
    } catch (error) {
      throw refused(error, `set the authority \`${authority}\``);
    }
  }
  get path() {
    return exchange.path();
  }
  set path(path) {
    try {
      exchange.setPath(path);
    } catch (error) {
      throw refused(error, `set the path \`${path}\``);
    }
  }
  get originalPath() {
    return exchange.originalPath();
  }
  pathParam(name) {
    return exchange.pathParam(name);
  }
  queryParam(name) {
    return exchange.queryParam(name);
  }
}

class Response extends Head {
  get status() {
    return exchange.status();
  }
  set status(status) {
    try {
      exchange.setStatus(status);
    } catch (error) {
      throw refused(error, `set the status \`${status}\``);
    }
  }
}

/** The most that one read takes: the engine's numbers for lengths have 31 bits. */
const MOST = 0x7fffffff;

/** What a body phase gets: the current piece of the body, and the trailers after the last one. */
class Body extends Exchange {
  /** The bytes that the gateway holds now. */
  length = 0;
  /** Whether this is the end of the body. */
  last = false;
  trailers = new Head("trailers");
  #head;
  constructor(head) {
    super();
    this.#head = head;
  }
  /** The head that the body belongs to. */
  get head() {
    return this.#head;
  }
  bytes(offset = 0, length = this.length - offset) {
    return readPiece(offset, Math.min(Math.max(length, 0), MOST));
  }
  text() {
    return decode(this.bytes());
  }
  json() {
    return JSON.parse(this.text());
  }
  replace(content) {
    this.#edit(replacePiece, content, "replace");
  }
  prepend(content) {
    this.#edit(prependPiece, content, "prepend to");
  }
  append(content) {
    this.#edit(appendPiece, content, "append to");
  }
  #edit(edit, content, name) {
    const bytes = toBytes(content);
    try {
      edit(bytes);
    } catch (error) {
      throw refused(error, `${name} the body`);
    }
  }
}

export const request = new Request("request");
export const response = new Response("response");
export const requestBody = new Body(request);
export const responseBody = new Body(response);
