// What the kit adds to the engine. The build evaluates this file in the engine, so a wrong result fails the build.

import { decode, encode, fromBase64, fromHex } from "../sdk/index.js";

function same(one, other, what) {
  if (JSON.stringify(one) !== JSON.stringify(other)) {
    throw new Error(`${what}: ${JSON.stringify(one)} is not ${JSON.stringify(other)}`);
  }
}

function fails(run, what) {
  try {
    run();
  } catch {
    return;
  }
  throw new Error(`${what} does not fail`);
}

// Text and bytes: one to four bytes a character, a lone surrogate, and an array that begins in the middle of a word.
for (const text of ["", "a", "hé", "€", "😀", "x".repeat(100), "é".repeat(100), "a\0b"]) {
  same(decode(encode(text)), text, "a text comes back");
  same([...encode(text)].length, encodeURIComponent(text).replace(/%../g, "_").length, "the length in bytes");
}
same([...encode("\ud800")], [0xef, 0xbf, 0xbd], "a lone surrogate");
for (let from = 0; from < 5; from++) {
  same(decode(encode("0123456789é".repeat(9)).subarray(from)), "0123456789é".repeat(9).slice(from), "a part");
  same(decode(encode("0123456789".repeat(9)).subarray(from)), "0123456789".repeat(9).slice(from), "a part");
}

// Bytes that are not UTF-8 become U+FFFD, as the WHATWG Encoding standard has it.
const broken = (...bytes) => decode(Uint8Array.from(bytes));
same(broken(0x61, 0xff, 0x62), "a\ufffdb", "a byte that begins nothing");
same(broken(0xe2, 0x82), "\ufffd", "a character that is cut off");
same(broken(0xe2, 0x82, 0x41), "\ufffdA", "a character that breaks off");
same(broken(0xed, 0xa0, 0x80), "\ufffd\ufffd\ufffd", "a surrogate");
same(broken(0xf0, 0x9f, 0x98, 0x80, 0xc0), "😀\ufffd", "a good one, and a bad one");

const fatal = new TextDecoder("utf-8", { fatal: true });
fails(() => fatal.decode(Uint8Array.of(0xff)), "a strict decoder");
fails(() => new TextDecoder("latin1"), "another encoding");
same(new TextDecoder().decode(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "a", "a byte order mark");
same(new TextEncoder().encodeInto("aé€", new Uint8Array(4)), { read: 2, written: 3 }, "encodeInto");

same([...fromHex("00ff")], [0, 255], "fromHex");
same(fromHex("0g"), null, "what is not hexadecimal");
same(fromHex("abc"), null, "half a byte");
same([...fromBase64("_-8", { alphabet: "base64url" })], [255, 239], "fromBase64");
same(fromBase64("a"), null, "what is not base64");

const query = new URLSearchParams("?a=1&b=%zz+x&a=2&c&%C3%A9=%E2%82");
same([...query], [["a", "1"], ["b", "%zz x"], ["a", "2"], ["c", ""], ["é", "\ufffd"]], "a query");
same(query.getAll("a"), ["1", "2"], "getAll");
query.set("a", "3");
query.delete("b");
query.append("d", "~ é&");
same(query.toString(), "a=3&c=&%C3%A9=%EF%BF%BD&d=%7E+%C3%A9%26", "an edited query");
