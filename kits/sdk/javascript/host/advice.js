// Advice to the operator, given in `configure`.

import advice from "windlass:host/advice";

const calls = {
  warn: (at, message) => advice.warn(at, message),
  vouch: (field) => advice.vouch(field),
  clear: (field) => advice.clear(field),
  read: (field) => advice.read(field),
};

export { calls as advice };
