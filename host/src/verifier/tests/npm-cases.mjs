// Writes npm-cases.json: tokens and key sets that `jose` and `jsonwebtoken` made, with the answer that the verifier
// must give.
//
// Run it with Node in a folder that has `jose@6.2.18` and `jsonwebtoken@9.0.3`: `node npm-cases.mjs > npm-cases.json`.
// Every run makes new keys; the time is fixed, so that the tokens stay what they are.

import { createHmac, generateKeyPairSync } from "node:crypto";
import {
  CompactSign,
  EncryptJWT,
  FlattenedSign,
  GeneralSign,
  SignJWT,
  UnsecuredJWT,
  calculateJwkThumbprint,
  exportJWK,
} from "jose";
import jsonwebtoken from "jsonwebtoken";

const NOW = 1_800_000_000;
const SECRET = "the-secret-of-this-verifier-which-has-more-than-sixty-four-bytes-in-it";
const OTHER_SECRET = "another-secret-that-has-more-than-sixty-four-bytes-in-it-as-that-one-has";

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const rsaNew = generateKeyPairSync("rsa", { modulusLength: 3072 });
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p256New = generateKeyPairSync("ec", { namedCurve: "P-256" });
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" });
const p521 = generateKeyPairSync("ec", { namedCurve: "P-521" });
const ed = generateKeyPairSync("ed25519");

async function jwk(pair, more = {}) {
  return { ...(await exportJWK(pair.publicKey)), ...more };
}

const thumbprint = await calculateJwkThumbprint(await jwk(p256));

const sets = {
  // As an issuer has them in a rotation: the old and the new key of two types, and a key for encryption.
  rotation: [
    await jwk(rsa, { kid: "2026-10", use: "sig", alg: "RS256" }),
    await jwk(rsaNew, { kid: "2026-11", use: "sig", alg: "RS256" }),
    await jwk(p256, { kid: thumbprint, use: "sig", alg: "ES256" }),
    await jwk(p256New, { kid: "p256-new", use: "sig", key_ops: ["verify"] }),
    await jwk(rsa, { kid: "encryption", use: "enc", alg: "RSA-OAEP-256" }),
  ],
  plain: [
    await jwk(rsa, { kid: "rsa" }),
    await jwk(p256, { kid: "p256" }),
    await jwk(p384, { kid: "p384" }),
    await jwk(p521, { kid: "p521" }),
    await jwk(ed, { kid: "ed" }),
  ],
  "no-ids": [await jwk(rsa), await jwk(p256), await jwk(p384), await jwk(p521), await jwk(ed)],
  "no-ids-two-rsa": [await jwk(rsa), await jwk(rsaNew), await jwk(ed)],
  "no-ids-by-alg": [await jwk(rsa, { alg: "RS256" }), await jwk(rsaNew, { alg: "PS256" })],
  "one-without-id": [await jwk(rsa), await jwk(rsaNew, { kid: "new" })],
  "ed-by-its-newer-name": [await jwk(ed, { kid: "ed", alg: "Ed25519" })],
};

const cases = [];

function add(name, answer, token, { keys = "plain", ...rules } = {}) {
  cases.push({ name, answer, keys, rules, token });
}

function claims(more = {}) {
  const whole = { iss: "https://issuer.example", aud: "orders", sub: "anna", iat: NOW - 5, exp: NOW + 300, ...more };
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined));
}

const pairs = { rsa, rsaNew, p256, p256New, p384, p521, ed };
const kinds = {
  RS256: "rsa", RS384: "rsa", RS512: "rsa", PS256: "rsa", PS384: "rsa", PS512: "rsa",
  ES256: "p256", ES384: "p384", ES512: "p521", EdDSA: "ed", Ed25519: "ed",
};

/// A token by `jose`. `kid: null` is none.
function jose(alg, { kid = kinds[alg], pair = pairs[kinds[alg]], header = {}, ...more } = {}) {
  const key = alg.startsWith("HS") ? Buffer.from(more.secret ?? SECRET) : pair.privateKey;
  delete more.secret;
  const whole = { alg, ...(kid ? { kid } : {}), ...header };
  return new SignJWT(claims(more)).setProtectedHeader(whole).sign(key);
}

/// A token by `jsonwebtoken`. It makes a `typ` of its own.
function jwt(algorithm, { kid = kinds[algorithm], pair = pairs[kinds[algorithm]], header, ...more } = {}) {
  const key = algorithm.startsWith("HS") ? (more.secret ?? SECRET) : pair.privateKey;
  delete more.secret;
  const options = { algorithm, header: { alg: algorithm, ...header }, allowInvalidAsymmetricKeyTypes: false };
  if (kid) options.keyid = kid;
  return jsonwebtoken.sign(claims(more), key, options);
}

/// Any payload under a signature of `jose` that holds: for those that its `SignJWT` does not make.
function raw(payload, header = {}) {
  const bytes = typeof payload === "string" ? payload : JSON.stringify(payload);
  const signer = new CompactSign(Buffer.from(bytes));
  return signer.setProtectedHeader({ alg: "ES256", kid: "p256", ...header }).sign(p256.privateKey);
}

// Every algorithm that both have.
for (const alg of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]) {
  add(`jose: ${alg}`, "ok", await jose(alg));
  add(`jose: ${alg} without kid, one key of its type without an id`, "ok", await jose(alg, { kid: null }), { keys: "no-ids" });
}
for (const alg of ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]) {
  add(`jsonwebtoken: ${alg}`, "ok", jwt(alg));
  add(`jsonwebtoken: ${alg} without kid, one key of its type without an id`, "ok", jwt(alg, { kid: null }), { keys: "no-ids" });
}
for (const alg of ["HS256", "HS384", "HS512"]) {
  add(`jose: ${alg}`, "ok", await jose(alg), { keys: "secret" });
  add(`jsonwebtoken: ${alg}`, "ok", jwt(alg), { keys: "secret" });
  add(`jose: ${alg} by another secret`, "signature", await jose(alg, { secret: OTHER_SECRET }), { keys: "secret" });
  add(`jsonwebtoken: ${alg} by another secret`, "signature", jwt(alg, { secret: OTHER_SECRET }), { keys: "secret" });
}
add("jose: an Ed25519 key whose alg is EdDSA's newer name, by the older one", "ok", await jose("EdDSA"), { keys: "ed-by-its-newer-name" });
add("jose: an Ed25519 key whose alg is EdDSA's newer name", "ok", await jose("Ed25519"), { keys: "ed-by-its-newer-name" });

// Algorithms that do not fit.
add("jose: an unsecured token", "algorithm", new UnsecuredJWT(claims()).encode());
add("jsonwebtoken: none", "algorithm", jsonwebtoken.sign(claims(), null, { algorithm: "none" }));
const pem = rsa.publicKey.export({ type: "spki", format: "pem" });
const forged = jsonwebtoken.sign(claims(), SECRET, { algorithm: "HS256", keyid: "rsa" }).split(".").slice(0, 2).join(".");
const forgery = createHmac("sha256", pem).update(forged).digest("base64url");
add("HS256 with the public key's PEM as its secret", "algorithm", `${forged}.${forgery}`);
add("jsonwebtoken: an algorithm that the rules do not list", "algorithm", jwt("RS512"), { algorithms: ["RS256", "ES256"] });
add("jose: a key made for RS256, with PS256", "key_mismatch", await jose("PS256", { kid: "2026-10" }), { keys: "rotation" });
add("jose: an encrypted token", "malformed", await new EncryptJWT(claims()).setProtectedHeader({ alg: "dir", enc: "A256GCM" }).encrypt(Buffer.alloc(32, 7)));
const flattened = await new FlattenedSign(Buffer.from(JSON.stringify(claims()))).setProtectedHeader({ alg: "ES256", kid: "p256" }).sign(p256.privateKey);
add("jose: a flattened JWS is JSON and no token", "malformed", JSON.stringify(flattened));
const general = await new GeneralSign(Buffer.from(JSON.stringify(claims()))).addSignature(p256.privateKey).setProtectedHeader({ alg: "ES256", kid: "p256" }).sign();
add("jose: a general JWS is JSON and no token", "malformed", JSON.stringify(general));
const detached = (await jose("ES256")).split(".");
add("jose: a detached payload", "signature", `${detached[0]}..${detached[2]}`);

// A set with several keys.
add("jose: the old key in a rotation", "ok", await jose("RS256", { kid: "2026-10" }), { keys: "rotation" });
add("jose: the new key in a rotation", "ok", await jose("RS256", { kid: "2026-11", pair: rsaNew }), { keys: "rotation" });
add("jsonwebtoken: the new key in a rotation", "ok", jwt("RS256", { kid: "2026-11", pair: rsaNew }), { keys: "rotation" });
add("jose: the new key under the old id", "signature", await jose("RS256", { kid: "2026-10", pair: rsaNew }), { keys: "rotation" });
add("jsonwebtoken: the new key under the old id", "signature", jwt("RS256", { kid: "2026-10", pair: rsaNew }), { keys: "rotation" });
add("jose: an id that is the key's thumbprint", "ok", await jose("ES256", { kid: thumbprint }), { keys: "rotation" });
add("jose: a key with key_ops", "ok", await jose("ES256", { kid: "p256-new", pair: p256New }), { keys: "rotation" });
add("jose: the id of the key for encryption", "unknown_key", await jose("RS256", { kid: "encryption" }), { keys: "rotation" });
add("jose: the key of the next month", "unknown_key", await jose("RS256", { kid: "2026-12" }), { keys: "rotation" });
add("jose: no kid, two RSA keys with ids", "no_single_key", await jose("RS256", { kid: null }), { keys: "rotation" });
add("jsonwebtoken: no kid, two P-256 keys with ids", "no_single_key", jwt("ES256", { kid: null }), { keys: "rotation" });
add("jose: no kid, two RSA keys without ids", "no_single_key", await jose("RS256", { kid: null }), { keys: "no-ids-two-rsa" });
add("jose: no kid, two RSA keys without ids, and a token of the other type", "ok", await jose("EdDSA", { kid: null }), { keys: "no-ids-two-rsa" });
add("jose: no kid, the alg of the keys tells which", "ok", await jose("PS256", { kid: null, pair: rsaNew }), { keys: "no-ids-by-alg" });
add("jsonwebtoken: no kid, the alg of the keys tells which", "ok", jwt("RS256", { kid: null }), { keys: "no-ids-by-alg" });
add("jsonwebtoken: no kid, no key for the alg", "no_single_key", jwt("RS384", { kid: null }), { keys: "no-ids-by-alg" });
add("jose: a kid, and the key has no id", "unknown_key", await jose("RS256"), { keys: "no-ids" });
add("jose: no kid, and one of two keys has an id", "no_single_key", await jose("RS256", { kid: null }), { keys: "one-without-id" });
add("jose: an embedded key of a stranger", "signature", await jose("ES256", { pair: p256New, header: { jwk: await jwk(p256New) } }));
add("jose: a jku", "unknown_key", await jose("ES256", { kid: "theirs", pair: p256New, header: { jku: "https://evil.example/keys" } }));

// Headers.
add("jose: at+jwt as asked for", "ok", await jose("ES256", { header: { typ: "at+jwt" } }), { types: ["at+jwt"] });
add("jsonwebtoken: JWT where at+jwt is asked for", "type", jwt("ES256"), { types: ["at+jwt"] });
add("jose: no typ where one is asked for", "type", await jose("ES256"), { types: ["at+jwt"] });
const critical = new SignJWT(claims()).setProtectedHeader({ alg: "ES256", kid: "p256", crit: ["urn:x"], "urn:x": 1 });
add("jose: a critical extension", "critical_extension", await critical.sign(p256.privateKey, { crit: { "urn:x": true } }));
const unencoded = new FlattenedSign(Buffer.from("x")).setProtectedHeader({ alg: "ES256", kid: "p256", b64: false, crit: ["b64"] });
const { protected: head, signature } = await unencoded.sign(p256.privateKey);
add("jose: an unencoded payload (RFC 7797)", "critical_extension", `${head}.x.${signature}`);

// Times.
const relative = new SignJWT(claims({ exp: undefined, iat: undefined })).setProtectedHeader({ alg: "ES256", kid: "p256" });
relative.setIssuedAt(new Date((NOW - 60) * 1000)).setExpirationTime(new Date((NOW + 60) * 1000)).setNotBefore(new Date((NOW - 60) * 1000));
add("jose: times from dates", "ok", await relative.sign(p256.privateKey));
add("jsonwebtoken: expiresIn and notBefore from its iat", "ok", jsonwebtoken.sign(claims({ exp: undefined, iat: NOW - 60 }), p256.privateKey, { algorithm: "ES256", keyid: "p256", expiresIn: "5m", notBefore: "10s" }));
add("jsonwebtoken: expiresIn is over", "expired", jsonwebtoken.sign(claims({ exp: undefined, iat: NOW - 600 }), p256.privateKey, { algorithm: "ES256", keyid: "p256", expiresIn: 60 }));
add("jsonwebtoken: noTimestamp", "ok", jsonwebtoken.sign(claims({ iat: undefined }), p256.privateKey, { algorithm: "ES256", keyid: "p256", noTimestamp: true }));
add("jose: expired", "expired", await jose("ES256", { exp: NOW - 31 }));
add("jose: exp is a float", "ok", await jose("ES256", { exp: NOW - 29.25 }));
add("jose: exp is a float that is over", "expired", await jose("ES256", { exp: NOW - 30.25 }));
add("jsonwebtoken: exp is a float", "ok", jwt("ES256", { exp: NOW + 0.5 }));
add("jsonwebtoken: exp is a float that is over", "expired", jwt("ES256", { exp: NOW - 30.75 }));
add("jose: nbf is a float ahead", "not_yet_valid", await jose("ES256", { nbf: NOW + 30.5 }));
add("jsonwebtoken: nbf is a float within the skew", "ok", jwt("ES256", { nbf: NOW + 29.5 }));
add("jose: iat is a float ahead", "issued_ahead", await jose("ES256", { iat: NOW + 30.5 }));
add("jsonwebtoken: iat ahead, which it takes itself", "issued_ahead", jwt("ES256", { iat: NOW + 3600, exp: NOW + 7200 }));
add("jose: exp in milliseconds, which is far away", "ok", await jose("ES256", { exp: (NOW + 300) * 1000 }));
add("jose: no exp", "no_end", await jose("ES256", { exp: undefined }));
add("jsonwebtoken: no exp where that is accepted", "ok", jwt("ES256", { exp: undefined }), { endless: true });
add("jose: exp is a string", "claim_type", await raw(claims({ exp: `${NOW + 300}` })));
add("jose: exp with an exponent", "ok", await raw(JSON.stringify(claims()).replace(`${NOW + 300}`, "1.8000003e9")));
add("jose: older than max_age", "too_old", await jose("ES256", { iat: NOW - 700 }), { max_age: 600 });

// Issuer and audience.
const audience = new SignJWT(claims({ aud: undefined })).setAudience(["billing", "orders"]);
add("jose: setAudience with a list", "ok", await audience.setProtectedHeader({ alg: "ES256", kid: "p256" }).sign(p256.privateKey));
add("jsonwebtoken: aud is a list", "ok", jwt("ES256", { aud: ["orders", "billing"] }));
add("jsonwebtoken: aud is a list of one", "ok", jwt("ES256", { aud: ["orders"] }));
add("jose: aud is a list without us", "audience", await jose("ES256", { aud: ["billing", "order", "orders2"] }));
add("jsonwebtoken: aud is an empty list", "audience", jwt("ES256", { aud: [] }));
add("jose: aud in capitals", "audience", await jose("ES256", { aud: "Orders" }));
add("jose: two audiences in one string", "audience", await jose("ES256", { aud: "orders billing" }));
add("jose: a list in a list", "claim_type", await raw(claims({ aud: [["orders"]] })));
add("jose: no aud", "audience", await jose("ES256", { aud: undefined }));
add("jose: no aud, and client_id is ours", "ok", await jose("ES256", { aud: undefined, client_id: "orders" }));
add("jose: no aud where any is accepted", "ok", await jose("ES256", { aud: undefined }), { audiences: "any" });
add("jsonwebtoken: another issuer", "issuer", jwt("ES256", { iss: "https://issuer.example.evil" }));
add("jsonwebtoken: no issuer", "issuer", jwt("ES256", { iss: undefined }));

// Claims.
add("jsonwebtoken: a sub that is a number", "claim_type", jwt("ES256", { sub: 7 }));
add("jose: claims beyond ASCII", "ok", await jose("ES256", { sub: "Анна \u{1F511}", name: "Zoë" }), { required: [{ claim: "name", one_of: ["Zoë"] }] });
add("jsonwebtoken: claims beyond ASCII", "ok", jwt("ES256", { name: "Zoë" }), { required: [{ claim: "name", one_of: ["Zoë"] }] });
add("jose: a nested list that has the role", "ok", await jose("ES256", { realm_access: { roles: ["reader", "writer"] } }), { required: [{ claim: "/realm_access/roles", contains: ["writer"] }] });
add("jose: a nested list without the role", "required_claim", await jose("ES256", { realm_access: { roles: ["reader"] } }), { required: [{ claim: "/realm_access/roles", contains: ["writer"] }] });
add("jsonwebtoken: a required claim is not there", "required_claim", jwt("ES256"), { required: [{ claim: "email_verified", one_of: [true] }] });
add("jose: __proto__ is a claim as any other", "ok", await raw(JSON.stringify(claims()).replace("{", '{"__proto__":{"x":1},')));
add("jose: a claim twice", "malformed", await raw(JSON.stringify(claims()).replace("{", '{"sub":"eve",')));

console.log(
  JSON.stringify(
    { now: NOW, secret: SECRET, sets: Object.fromEntries(Object.entries(sets).map(([name, keys]) => [name, { keys }])), cases },
    null,
    1,
  ),
);
