// Writes proof-cases.json: proofs of a client's key (DPoP, RFC 9449) that `dpop` and `jose` made, with the answer that the
// check must give.
//
// Run it with Node in a folder that has `dpop@2.1.2` and `jose@6.2.18`: `node proof-cases.mjs > proof-cases.json`. Every run
// makes new keys; `now` is the time of the run, since `dpop` knows no other.

import { createHash, createHmac, generateKeyPairSync, randomUUID } from "node:crypto";
import * as dpop from "dpop";
import { SignJWT, calculateJwkThumbprint, exportJWK } from "jose";

const NOW = Math.floor(Date.now() / 1000);
const TOKEN = "an-access-token";
const URL = "https://api.example/orders";
const ath = (token) => createHash("sha256").update(token).digest("base64url");
const cases = [];

// By the library that browsers use.
for (const alg of ["ES256", "Ed25519", "RS256", "PS256"]) {
  const pair = await dpop.generateKeyPair(alg);
  const thumbprint = await dpop.calculateThumbprint(pair.publicKey);
  const make = (htu, htm, token) => dpop.generateProof(pair, htu, htm, undefined, token);
  cases.push({ name: `dpop ${alg}`, thumbprint, proof: await make(URL, "GET", TOKEN), answer: "ok" });
  cases.push({ name: `dpop ${alg}, another method`, thumbprint, proof: await make(URL, "POST", TOKEN), answer: "proof_method" });
  cases.push({ name: `dpop ${alg}, another URL`, thumbprint, proof: await make(`${URL}/1`, "GET", TOKEN), answer: "proof_url" });
  cases.push({ name: `dpop ${alg}, another token`, thumbprint, proof: await make(URL, "GET", "other"), answer: "proof_token" });
  cases.push({ name: `dpop ${alg}, no token`, thumbprint, proof: await make(URL, "GET"), answer: "proof_malformed" });
}

const pairs = {
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  ES512: generateKeyPairSync("ec", { namedCurve: "P-521" }),
  EdDSA: generateKeyPairSync("ed25519"),
  RS512: generateKeyPairSync("rsa", { modulusLength: 2048 }),
  PS384: generateKeyPairSync("rsa", { modulusLength: 3072 }),
};
const other = generateKeyPairSync("ec", { namedCurve: "P-256" });
const small = generateKeyPairSync("rsa", { modulusLength: 1024 });

const claims = { jti: "one", htm: "GET", htu: URL, iat: NOW, ath: ath(TOKEN) };

async function jwk(pair) {
  return exportJWK(pair.publicKey);
}

/** A proof by `jose`, with other claims or header members. */
async function proof({ alg = "ES256", pair = pairs[alg], with: more = {}, without = [], header = {}, noHeader = [] }) {
  const payload = { ...claims, ...more };
  for (const name of without) delete payload[name];
  const protectedHeader = { typ: "dpop+jwt", alg, jwk: await jwk(pair), ...header };
  for (const name of noHeader) delete protectedHeader[name];
  return new SignJWT(payload).setProtectedHeader(protectedHeader).sign(pair.privateKey);
}

async function add(name, answer, options, thumbprintOf) {
  const pair = thumbprintOf ?? options.pair ?? pairs[options.alg ?? "ES256"];
  cases.push({ name, thumbprint: await calculateJwkThumbprint(await jwk(pair)), proof: await proof(options), answer });
}

for (const alg of Object.keys(pairs)) {
  await add(`jose ${alg}`, "ok", { alg });
}
await add("a key with its id and use", "ok", { header: { jwk: { ...(await jwk(pairs.ES256)), kid: "a", use: "sig", alg: "ES256" } } });
await add("the type in capitals", "ok", { header: { typ: "DPoP+JWT" } });
await add("claims that nobody here knows", "ok", { with: { nonce: "n", more: { a: 1 } } });
await add("a date with a fraction", "ok", { with: { iat: NOW + 0.25 } });
await add("a minute old", "ok", { with: { iat: NOW - 60 } });
await add("too old", "proof_age", { with: { iat: NOW - 90 } });
await add("a clock that is ahead", "ok", { with: { iat: NOW + 30 } });
await add("in the future", "proof_age", { with: { iat: NOW + 31 } });
for (const name of ["jti", "htm", "htu", "iat", "ath"]) {
  await add(`without ${name}`, "proof_malformed", { without: [name] });
  await add(`${name} of another type`, "proof_malformed", { with: { [name]: [1] } });
}
await add("a method in small letters", "proof_method", { with: { htm: "get" } });
await add("a long jti", "proof_too_large", { with: { jti: "x".repeat(257) } });
await add("another key than the token's", "proof_other_key", { pair: other }, pairs.ES256);
await add("the token's key in the header, signed by another", "proof_signature", { pair: other, header: { jwk: await jwk(pairs.ES256) } }, pairs.ES256);
await add("a private key in the header", "proof_key", { header: { jwk: await exportJWK(pairs.ES256.privateKey) } });
await add("a key for encryption", "proof_key", { header: { jwk: { ...(await jwk(pairs.ES256)), use: "enc" } } });
await add("a key for another algorithm", "proof_key", { header: { jwk: { ...(await jwk(pairs.ES256)), alg: "ES384" } } });
await add("no key", "proof_malformed", { noHeader: ["jwk"] });
await add("a key that is no object", "proof_malformed", { header: { jwk: "x" } });
await add("the type of a token", "proof_type", { header: { typ: "JWT" } });
await add("no type", "proof_type", { noHeader: ["typ"] });
await add("critical extensions", "proof_malformed", { header: { crit: ["b64"], b64: true } });

// By hand, since no library makes them.
const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const thumbprint = await calculateJwkThumbprint(await jwk(pairs.ES256));
const signed = (header) => `${encode(header)}.${encode(claims)}`;
const none = signed({ typ: "dpop+jwt", alg: "none", jwk: await jwk(pairs.ES256) });
cases.push({ name: "alg none", thumbprint, proof: `${none}.`, answer: "proof_algorithm" });
const hs = signed({ typ: "dpop+jwt", alg: "HS256", jwk: { kty: "oct", k: "AAAA" } });
const mac = createHmac("sha256", Buffer.alloc(3)).update(hs).digest("base64url");
cases.push({ name: "HMAC", thumbprint, proof: `${hs}.${mac}`, answer: "proof_algorithm" });
const weak = signed({ typ: "dpop+jwt", alg: "RS256", jwk: await jwk(small) });
cases.push({ name: "a short RSA key", thumbprint: await calculateJwkThumbprint(await jwk(small)), proof: `${weak}.AAAA`, answer: "proof_key" });
const good = await proof({});
cases.push({ name: "two proofs", thumbprint, proof: `${good}, ${good}`, answer: "proof_malformed" });
cases.push({ name: "no token at all", thumbprint, proof: randomUUID(), answer: "proof_malformed" });
cases.push({ name: "too long", thumbprint, proof: `${good}${"A".repeat(17_000)}`, answer: "proof_too_large" });

console.log(JSON.stringify({ now: NOW, token: TOKEN, url: URL, method: "GET", max_age: 60, cases }, null, 1));
