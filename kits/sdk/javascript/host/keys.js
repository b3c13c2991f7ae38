// API keys. `identify` and `identifyField` are one call each, and copy nothing into the filter.

import keys from "windlass:host/keys";
import { EditError } from "../failure.js";
import { toBytes } from "../text.js";

// Which of the contract's cases the gateway threw.
function outcome(error) {
  const { payload } = error;
  if (payload === undefined) throw error;
  if (payload.tag === "attribute") throw new EditError("set the attributes of the key", payload.val);
  if (payload.tag === "edit") throw new EditError("remove the field of the key", payload.val);
  return payload.tag === "rejected" ? payload.val : payload.tag;
}

const calls = {
  find(presented) {
    try {
      return { key: keys.find(toBytes(presented)), rejected: null };
    } catch (error) {
      if (typeof error.payload !== "string") throw error;
      return { key: null, rejected: error.payload };
    }
  },
  identify(presented) {
    const bytes = toBytes(presented);
    try {
      keys.identify(bytes);
      return "accepted";
    } catch (error) {
      return outcome(error);
    }
  },
  identifyField(name, options) {
    const hide = options?.hide ?? true;
    try {
      keys.identifyField(name, hide);
      return "accepted";
    } catch (error) {
      return outcome(error);
    }
  },
};

export { calls as keys };
