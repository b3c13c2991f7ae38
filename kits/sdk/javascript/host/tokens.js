// JSON Web Tokens, verified by the gateway. A call may need newer keys: then the gateway runs the phase again.

import tokens from "windlass:jwt/tokens";
import { EditError, NotYet } from "../failure.js";

function rejected(error) {
  let { payload } = error;
  if (payload === undefined) throw error;
  if (payload.tag === "token") payload = payload.val;
  switch (payload.tag) {
    case "not-yet":
      throw new NotYet();
    case "attribute":
      throw new EditError("set the attributes of the token", payload.val);
    case "edit":
      throw new EditError("remove the field of the token", payload.val);
    case "proof":
      return payload.val.tag === "rejected" ? payload.val.val : payload.val.tag;
    case "rejected":
      return payload.val;
    default:
      return payload.tag;
  }
}

function proofOf(proof) {
  if (proof === undefined || proof === null) return null;
  const { value, origin = null, maxAgeMs } = proof;
  return { value, origin, maxAgeMs };
}

const calls = {
  /** In `configure`. Returns the check's number. */
  define({ verifiers, scopes = [], anyScope = false, claims = [], tokenField }) {
    return tokens.define({
      verifiers, scopes, anyScope,
      claims: claims.map(({ claim, attribute, required = false }) => ({ claim, attribute, required })),
      tokenField: tokenField === undefined ? null : { scheme: "Bearer", hide: true, ...tokenField },
    });
  },
  /** Null if the token is accepted, or the word for the reason why not. */
  verify(token, check, proof) {
    try {
      tokens.verify(token, check, proofOf(proof));
      return null;
    } catch (error) {
      return rejected(error);
    }
  },
  verifyField(check) {
    try {
      tokens.verifyField(check);
      return null;
    } catch (error) {
      return rejected(error);
    }
  },
  checkProof(proof, token, thumbprint) {
    try {
      tokens.checkProof(proofOf(proof), token, thumbprint);
      return null;
    } catch (error) {
      const { payload } = error;
      if (payload === undefined) throw error;
      return payload.tag === "rejected" ? payload.val : payload.tag;
    }
  },
  claim(name) {
    const found = tokens.claim(name);
    if (found === null) return null;
    return found.tag === "json" ? JSON.parse(found.val) : found.val;
  },
};

export { calls as tokens };
