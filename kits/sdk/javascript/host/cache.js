// A cache in the gateway's memory, shared by the filter's instances and workers.

import cache from "windlass:host/cache";
import { decode, toBytes } from "../text.js";

const calls = {
  get(key) {
    const bytes = cache.get(key);
    return bytes === null ? null : decode(bytes);
  },
  getBytes: (key) => cache.get(key),
  put: (key, value, ttlMs) => cache.put(key, toBytes(value), ttlMs),
  delete: (key) => cache.delete(key),
  increment: (key, delta, ttlMs) => cache.increment(key, delta, ttlMs),
};

export { calls as cache };
