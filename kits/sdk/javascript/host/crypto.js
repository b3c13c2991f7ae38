// Digests and HMAC, computed by the gateway. A filter has a secret's name, never its value.

import crypto from "windlass:host/crypto";
import { toBytes } from "../text.js";

const calls = {
  digest: (hash, data) => crypto.digest(hash, toBytes(data)),
  /** False also for a tag that is null, so that `fromHex(field)` can be passed as it is. */
  hmacVerify: (hash, secret, data, tag) => tag !== null && crypto.hmacVerify(hash, secret, toBytes(data), tag),
  hmacSign: (hash, secret, data) => crypto.hmacSign(hash, secret, toBytes(data)),
};

export { calls as crypto };
