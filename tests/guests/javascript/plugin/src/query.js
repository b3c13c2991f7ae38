// Removes a parameter from a query. Pure: no calls of the gateway.

// Path and query without every parameter of this name. All other parts stay byte for byte. Names
// are compared after percent-decoding, and `+` is a space, as in the gateway.
export function queryWithout(pathAndQuery, name) {
  const mark = pathAndQuery.indexOf("?");
  if (mark < 0) return pathAndQuery;
  const pairs = pathAndQuery.slice(mark + 1).split("&");
  const kept = pairs.filter((pair) => !new URLSearchParams(pair).has(name));
  const path = pathAndQuery.slice(0, mark);
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}
