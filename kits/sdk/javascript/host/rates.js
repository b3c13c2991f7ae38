// The filter's own limits, by any value. `configure` defines them, once.

import rates from "windlass:host/rates";

function sourceOf(by) {
  if (by === undefined || by === "all") return { tag: "all" };
  if (by === "client-address") return { tag: "client-address", val: { ipv4: 32, ipv6: 64 } };
  const [[tag, val]] = Object.entries(by);
  const tags = { clientAddress: "client-address", attribute: "attribute", header: "header", pathParam: "path-param" };
  if (!Object.hasOwn(tags, tag)) throw new TypeError(`a limit counts by ${Object.keys(tags).join(", ")}, not by \`${tag}\``);
  return { tag: tags[tag], val };
}

const calls = {
  define(bounds) {
    rates.define(
      bounds.map(({ name, by, missing = "deny", algorithm = "token-bucket", limit, windowMs, burst = limit, shadow = false }) => ({
        name, by: sourceOf(by), missing, algorithm, limit, windowMs, burst, shadow,
      })),
    );
  },
  take: (cost = 1) => rates.take(cost),
  standing: () => rates.standing(),
};

export { calls as rates };
