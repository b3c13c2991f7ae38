// Lines in the gateway's log. Never write a secret.

import log from "windlass:host/log";

const NO_FIELDS = Object.freeze([]);

function writer(level) {
  return (message, fields) => {
    const pairs = fields === undefined ? NO_FIELDS : Object.entries(fields).map(([name, value]) => [name, String(value)]);
    log.write(level, message, pairs);
  };
}

const write = {
  trace: writer("trace"),
  debug: writer("debug"),
  info: writer("info"),
  warn: writer("warn"),
  error: writer("error"),
  /** Whether a line of this level is written: ask before you build a long one. */
  enabled: (level) => log.enabled(level),
};

export { write as log };
