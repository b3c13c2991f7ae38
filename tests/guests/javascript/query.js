// Removes a parameter from a query. Pure: no calls of the gateway.

// Path and query without every parameter of this name. All other parts stay byte for byte. Names
// are compared after percent-decoding, and `+` is a space, as in the gateway.
export function queryWithout(pathAndQuery, name) {
  const mark = pathAndQuery.indexOf("?");
  if (mark < 0) return pathAndQuery;
  const wanted = String.fromCharCode(...utf8(name));
  const pairs = pathAndQuery.slice(mark + 1).split("&");
  const kept = pairs.filter((pair) => decode(pair.split("=", 1)[0]) !== wanted);
  const path = pathAndQuery.slice(0, mark);
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}

// The decoded bytes as a text with one character each.
function decode(text) {
  return String.fromCharCode(...utf8(text.replaceAll("+", " "))).replace(
    /%([0-9a-fA-F]{2})/g,
    (_, digits) => String.fromCharCode(parseInt(digits, 16)),
  );
}

// The bytes of a text: QuickJS has no TextEncoder.
export function utf8(text) {
  const bytes = [];
  for (const [part, digits] of encodeURIComponent(text).matchAll(/%(..)|./g)) {
    bytes.push(digits === undefined ? part.charCodeAt(0) : parseInt(digits, 16));
  }
  return Uint8Array.from(bytes);
}
