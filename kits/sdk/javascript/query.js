// The query of a path, as the URL standard has it (`application/x-www-form-urlencoded`).

import { decode } from "./text.js";

export class URLSearchParams {
  #pairs = [];

  constructor(source = "") {
    if (typeof source === "string") {
      const text = source.startsWith("?") ? source.slice(1) : source;
      for (const pair of text.split("&")) {
        if (pair === "") continue;
        const equals = pair.indexOf("=");
        const name = equals < 0 ? pair : pair.slice(0, equals);
        this.#pairs.push([decoded(name), equals < 0 ? "" : decoded(pair.slice(equals + 1))]);
      }
    } else {
      const pairs = typeof source[Symbol.iterator] === "function" ? source : Object.entries(source);
      for (const [name, value] of pairs) this.append(name, value);
    }
  }

  get size() {
    return this.#pairs.length;
  }
  get(name) {
    return this.#pairs.find((pair) => pair[0] === name)?.[1] ?? null;
  }
  getAll(name) {
    return this.#pairs.filter((pair) => pair[0] === name).map((pair) => pair[1]);
  }
  has(name, value) {
    return this.#pairs.some((pair) => pair[0] === name && (value === undefined || pair[1] === value));
  }
  append(name, value) {
    this.#pairs.push([String(name), String(value)]);
  }
  set(name, value) {
    const first = this.#pairs.findIndex((pair) => pair[0] === name);
    if (first < 0) return this.append(name, value);
    this.#pairs = this.#pairs.filter((pair, index) => index === first || pair[0] !== name);
    this.#pairs[first] = [String(name), String(value)];
  }
  delete(name, value) {
    this.#pairs = this.#pairs.filter((pair) => pair[0] !== name || (value !== undefined && pair[1] !== value));
  }
  sort() {
    // Stable, by UTF-16 units.
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  }
  forEach(run, self) {
    for (const [name, value] of this) run.call(self, value, name, this);
  }
  *entries() {
    for (const [name, value] of this.#pairs) yield [name, value];
  }
  *keys() {
    for (const [name] of this.#pairs) yield name;
  }
  *values() {
    for (const [, value] of this.#pairs) yield value;
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  toString() {
    return this.#pairs.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
  }
}

function encoded(text) {
  return encodeURIComponent(text.toWellFormed())
    .replaceAll("%20", "+")
    .replace(/[!'()~]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);
}

function decoded(text) {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    // Not every `%` begins an escape, or they are not UTF-8: decode byte for byte.
    const latin = unescape(encodeURIComponent(spaced.toWellFormed())).replace(/%([0-9a-f]{2})/gi, (_, digits) =>
      String.fromCharCode(parseInt(digits, 16)),
    );
    return decode(Uint8Array.from(latin, (character) => character.charCodeAt(0)));
  }
}
