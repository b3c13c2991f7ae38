"""Writes cases.json: tokens and key sets that PyJWT made, with the answer that the verifier must give.

Run it in an environment with `PyJWT[crypto]==2.15.1`: `python cases.py > cases.json`. Every run makes new keys; the
time is fixed, so that the tokens stay what they are.
"""

import base64
import json
import warnings

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

warnings.simplefilter("ignore")
NOW = 1_800_000_000
ALGORITHMS = get_default_algorithms()


def b64(data):
    if not isinstance(data, bytes):
        data = json.dumps(data, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(header, payload, key, algorithm, pad=""):
    """A token of these bytes, whatever they are, under a signature that holds."""
    signed = f"{header if isinstance(header, str) else b64(header)}{pad}.{payload if isinstance(payload, str) else b64(payload)}"
    how = ALGORITHMS[algorithm]
    return f"{signed}.{b64(how.sign(signed.encode(), how.prepare_key(key)))}"


def public(algorithm, key, **more):
    jwk = json.loads(ALGORITHMS[algorithm].to_jwk(key.public_key()))
    for name in ("key_ops", "use", "alg", "kid"):
        jwk.pop(name, None)
    return jwk | more


rsa_key = rsa.generate_private_key(65537, 2048)
rsa_other = rsa.generate_private_key(65537, 2048)
rsa_large = rsa.generate_private_key(65537, 4096)
rsa_short = rsa.generate_private_key(65537, 1024)
p256, p384, p521 = (ec.generate_private_key(curve()) for curve in (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1))

ed = ed25519.Ed25519PrivateKey.generate()
SECRET = "the-secret-of-this-verifier-which-has-more-than-sixty-four-bytes-in-it"

main = [
    public("RS256", rsa_key, kid="rsa", use="sig"),
    public("RS256", rsa_large, kid="rsa-4096", key_ops=["verify"]),
    public("ES256", p256, kid="p256"),
    public("ES384", p384, kid="p384", use="sig", alg="ES384"),
    public("ES512", p521, kid="p521"),
    public("EdDSA", ed, kid="ed"),
]
leading_zero = public("RS256", rsa_key, kid="rsa")
leading_zero["n"] = b64(b"\0" + base64.urlsafe_b64decode(leading_zero["n"] + "=="))
exponent_one = public("RS256", rsa_key, kid="rsa") | {"e": "AQ"}
off_curve = public("ES256", p256, kid="p256")
off_curve["y"] = public("ES256", ec.generate_private_key(ec.SECP256R1()))["y"]
short_coordinate = public("ES256", p256, kid="p256")
short_coordinate["x"] = b64(base64.urlsafe_b64decode(short_coordinate["x"] + "==")[1:])
padded = public("RS256", rsa_key, kid="rsa")
padded["n"] += "=="
private = json.loads(ALGORITHMS["RS256"].to_jwk(rsa_key)) | {"kid": "rsa", "use": "sig"}
private.pop("key_ops", None)
one_ed = public("EdDSA", ed, kid="ed")

sets = {
    "main": main,
    "rsa-without-kid": [public("RS256", rsa_key)],
    "two-without-kid": [public("RS256", rsa_key), public("RS256", rsa_other)],
    "one-of-each-type": [public("RS256", rsa_key, kid="a"), public("ES256", p256, kid="b")],
    "same-kid-two-types": [public("RS256", rsa_key, kid="k"), public("ES256", p256, kid="k")],
    "same-kid-one-type": [public("RS256", rsa_key, kid="k"), public("RS256", rsa_other, kid="k")],
    "listed-twice": [public("RS256", rsa_key, kid="rsa"), public("RS256", rsa_key, kid="rsa")],
    "rsa-for-encryption": [public("RS256", rsa_key, kid="rsa", use="enc"), one_ed],
    "rsa-cannot-verify": [public("RS256", rsa_key, kid="rsa", key_ops=["encrypt"]), one_ed],
    "rsa-only-ps256": [public("RS256", rsa_key, kid="rsa", alg="PS256"), one_ed],
    "rsa-alg-of-another-type": [public("RS256", rsa_key, kid="rsa", alg="ES256"), one_ed],
    "rsa-alg-unknown": [public("RS256", rsa_key, kid="rsa", alg="RS1"), one_ed],
    "rsa-1024": [public("RS256", rsa_short, kid="rsa"), one_ed],
    "rsa-leading-zero": [leading_zero],
    "rsa-padded": [padded, one_ed],
    "rsa-exponent-1": [exponent_one, one_ed],
    "rsa-private": [private, one_ed],
    "p256-off-curve": [off_curve, one_ed],
    "p256-short-coordinate": [short_coordinate, one_ed],
    "koblitz": [{"kty": "EC", "crv": "secp256k1", "x": b64(b"x" * 32), "y": b64(b"y" * 32), "kid": "p256"}, one_ed],
    "a-secret": [{"kty": "oct", "k": b64(SECRET.encode()), "kid": "hmac"}, one_ed],
    "odd-members": [7, "key", None, {}, {"kty": 5}, {"kty": "new"}, public("RS256", rsa_key, kid=5), one_ed],
    "kid-is-empty": [public("RS256", rsa_key, kid="")],
}

cases = []


def case(name, answer, token, **rules):
    keys = rules.pop("keys", "main")
    cases.append({"name": name, "answer": answer, "keys": keys, "rules": rules, "token": token})


def good(**claims):
    whole = {"iss": "https://issuer.example", "aud": "orders", "sub": "anna", "exp": NOW + 300, "iat": NOW - 5}
    whole |= claims
    return {name: value for name, value in whole.items() if value != "absent"}


def signed(key=rsa_key, algorithm="RS256", kid="rsa", headers=None, **claims):
    headers = ({"kid": kid} if kid is not None else {}) | (headers or {})
    return jwt.encode(good(**claims), key, algorithm, headers=headers)


# Every algorithm.
for algorithm in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"):
    case(f"{algorithm}", "ok", signed(algorithm=algorithm))
case("RS256 by a key of 4096 bits", "ok", signed(rsa_large, "RS256", "rsa-4096"))
case("ES256", "ok", signed(p256, "ES256", "p256"))
case("ES384", "ok", signed(p384, "ES384", "p384"))
case("ES512", "ok", signed(p521, "ES512", "p521"))
case("EdDSA", "ok", signed(ed, "EdDSA", "ed"))
case("Ed25519 by its newer name", "ok", raw({"alg": "Ed25519", "kid": "ed"}, good(), ed, "EdDSA"))
for algorithm in ("HS256", "HS384", "HS512"):
    case(f"{algorithm} where a secret is named", "ok", signed(SECRET, algorithm, None), keys="secret")
case("HS256 with a kid that chooses nothing", "ok", signed(SECRET, "HS256", "any"), keys="secret")

# Algorithms that do not fit.
case("none", "algorithm", raw({"alg": "none", "kid": "rsa"}, good(), rsa_key, "RS256"))
case("none without a signature", "algorithm", f"{b64({'alg': 'none'})}.{b64(good())}.")
case("nOnE", "algorithm", f"{b64({'alg': 'nOnE'})}.{b64(good())}.")
pem = rsa_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
forged = f"{b64({'alg': 'HS256', 'kid': 'rsa'})}.{b64(good())}"
forgery = b64(ALGORITHMS["HS256"].sign(forged.encode(), pem))
case("HS256 with the public key as its secret", "algorithm", f"{forged}.{forgery}")
case("the same where HS256 is listed", "key_mismatch", f"{forged}.{forgery}", algorithms=["HS256", "RS256"])
case("RS256 where a secret is named", "algorithm", signed(), keys="secret")
case("HS256 of a secret in a set of public keys", "unknown_key", signed(SECRET, "HS256", "hmac"), keys="a-secret", algorithms=["HS256"])
case("an algorithm that the rules do not list", "algorithm", signed(), algorithms=["ES256"])
case("ES256 by the id of an RSA key", "key_mismatch", signed(p256, "ES256", "rsa"))
case("ES384 said, P-256 used", "key_mismatch", raw({"alg": "ES384", "kid": "p256"}, good(), p256, "ES256"))
case("PS256 said, RS256 used", "signature", raw({"alg": "PS256", "kid": "rsa"}, good(), rsa_key, "RS256"))
case("rs256 in lower case", "algorithm", raw({"alg": "rs256", "kid": "rsa"}, good(), rsa_key, "RS256"))
case("ES256K", "algorithm", raw({"alg": "ES256K", "kid": "p256"}, good(), p256, "ES256"))
case("alg is a number", "malformed", raw({"alg": 256, "kid": "rsa"}, good(), rsa_key, "RS256"))
case("alg is absent", "malformed", raw({"kid": "rsa"}, good(), rsa_key, "RS256"))

# Which key.
case("a kid that no key has", "unknown_key", signed(kid="new"))
case("another key's signature under a known kid", "signature", signed(rsa_other))
case("no kid, one key of its type with an id", "ok", signed(kid=None), keys="one-of-each-type")
case("no kid, several keys of its type", "no_single_key", signed(kid=None))
case("no kid, the only key without an id", "ok", signed(kid=None), keys="rsa-without-kid")
case("no kid, two keys without an id", "no_single_key", signed(kid=None), keys="two-without-kid")
case("no kid, no key of its type", "no_single_key", signed(p256, "ES256", None), keys="rsa-without-kid")
case("a kid, and the only key has no id", "unknown_key", signed(), keys="rsa-without-kid")
case("one kid for two types", "ok", signed(p256, "ES256", "k"), keys="same-kid-two-types")
case("one kid for two keys of a type", "no_single_key", signed(kid="k"), keys="same-kid-one-type")
case("a key that is listed twice", "ok", signed(), keys="listed-twice")
case("an empty kid", "ok", signed(kid=""), keys="kid-is-empty")
case("an empty kid that no key has", "unknown_key", signed(kid=""))
case("kid is a number", "malformed", raw({"alg": "RS256", "kid": 5}, good(), rsa_key, "RS256"))
case("kid is null", "malformed", raw({"alg": "RS256", "kid": None}, good(), rsa_key, "RS256"))
case("kid is a path", "unknown_key", signed(kid="../../etc/passwd"))
case("jwk in the header", "signature", signed(rsa_other, headers={"jwk": public("RS256", rsa_other)}))
case("jku in the header", "unknown_key", signed(rsa_other, kid="x", headers={"jku": "http://evil.example/jwks"}))
case("x5u in the header", "unknown_key", signed(rsa_other, kid="x", headers={"x5u": "http://evil.example/"}))
case("x5c in the header", "signature", signed(rsa_other, headers={"x5c": ["MIIB"]}))
case("use is enc", "unknown_key", signed(), keys="rsa-for-encryption")
case("key_ops lacks verify", "unknown_key", signed(), keys="rsa-cannot-verify")
case("a key for PS256 only, with PS256", "ok", signed(algorithm="PS256"), keys="rsa-only-ps256")
case("a key for PS256 only, with RS256", "key_mismatch", signed(), keys="rsa-only-ps256")
case("an RSA key with an alg of curves", "unknown_key", signed(), keys="rsa-alg-of-another-type")
case("an RSA key with an unknown alg", "unknown_key", signed(), keys="rsa-alg-unknown")
case("an RSA key of 1024 bits", "unknown_key", signed(rsa_short), keys="rsa-1024")
case("a modulus with a zero before it", "ok", signed(), keys="rsa-leading-zero")
case("a modulus with padding", "unknown_key", signed(), keys="rsa-padded")
case("an exponent of 1", "unknown_key", signed(), keys="rsa-exponent-1")
case("a private key in the set", "unknown_key", signed(), keys="rsa-private")
case("a point off its curve", "unknown_key", signed(p256, "ES256", "p256"), keys="p256-off-curve")
case("a coordinate that is too short", "unknown_key", signed(p256, "ES256", "p256"), keys="p256-short-coordinate")
case("a curve that is not supported", "unknown_key", signed(p256, "ES256", "p256"), keys="koblitz")
case("a good key among odd members", "ok", signed(ed, "EdDSA", "ed"), keys="odd-members")

# Form.
token = signed()
header, payload, signature = token.split(".")
case("empty", "malformed", "")
case("one part", "malformed", header)
case("two parts", "malformed", f"{header}.{payload}")
case("four parts", "malformed", f"{token}.x")
case("five parts", "malformed", "a.b.c.d.e")
case("no signature", "signature", f"{header}.{payload}.")
case("a signature cut off", "signature", f"{header}.{payload}.{signature[:-2]}")
case("a padded signature", "malformed", f"{token}==")
case("base64 that is not of URLs", "malformed", f"{header}.{payload}.{'+/' * 20}")
case("stray bits at the end of a signature", "malformed", f"{header}.{payload}.{signature[:-1]}{'B' if signature[-1] != 'B' else 'C'}")
case("a space before it", "malformed", f" {token}")
case("a line end behind it", "malformed", f"{token}\n")
case("a padded header", "malformed", raw({"alg": "RS256", "kid": "rsa", "x": 1}, good(), rsa_key, "RS256", pad="="))
case("another payload under the signature", "signature", f"{header}.{b64(good(sub='eve'))}.{signature}")
case("a payload that is not JSON", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64(b"hello"), rsa_key, "RS256"))
case("a payload that is a list", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64([]), rsa_key, "RS256"))
case("a payload with something behind it", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64(b'{"exp":1}{}'), rsa_key, "RS256"))
case("a payload that is not UTF-8", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64(b'{"sub":"\xff"}'), rsa_key, "RS256"))
case("a claim twice", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64(b'{"sub":"a","sub":"b"}'), rsa_key, "RS256"))
case("a header member twice", "malformed", raw(b64(b'{"alg":"RS256","alg":"HS256","kid":"rsa"}'), good(), rsa_key, "RS256"))
case("10,000 claims", "too_large", raw({"alg": "RS256", "kid": "rsa"}, {f"{n:x}": 1 for n in range(10_000)}, rsa_key, "RS256"))
case("1,100 claims in a token that is short enough", "too_large", raw({"alg": "RS256", "kid": "rsa"}, {f"{n:x}": 1 for n in range(1_100)}, rsa_key, "RS256"))
case("1,000 claims", "ok", raw({"alg": "RS256", "kid": "rsa"}, good() | {f"{n:x}": 1 for n in range(1_000)}, rsa_key, "RS256"))
case("lists 17 deep", "too_large", raw({"alg": "RS256", "kid": "rsa"}, good(deep=json.loads("[" * 16 + "]" * 16)), rsa_key, "RS256"))
case("lists 16 deep", "ok", raw({"alg": "RS256", "kid": "rsa"}, good(deep=json.loads("[" * 15 + "]" * 15)), rsa_key, "RS256"))
case("lists 4,000 deep", "too_large", raw({"alg": "RS256", "kid": "rsa"}, b64(b'{"a":' + b"[" * 4000 + b"]" * 4000 + b"}"), rsa_key, "RS256"))
case("a token of 17,000 bytes", "too_large", signed(pad="x" * 12_000))
case("a header of 5,000 bytes", "too_large", signed(headers={"x": "x" * 5_000}))
case("a deep header", "too_large", raw({"alg": "RS256", "kid": "rsa", "x": [[[[1]]]]}, good(), rsa_key, "RS256"))
case("crit", "critical_extension", signed(headers={"crit": ["exp"], "exp": 1}))
case("crit that is empty", "critical_extension", raw({"alg": "RS256", "kid": "rsa", "crit": []}, good(), rsa_key, "RS256"))
case("b64 false with crit", "critical_extension", raw({"alg": "RS256", "kid": "rsa", "b64": False, "crit": ["b64"]}, good(), rsa_key, "RS256"))
case("typ where none is asked for", "ok", signed(headers={"typ": "dpop+jwt"}))
case("typ as asked for", "ok", signed(headers={"typ": "at+jwt"}), types=["at+jwt"])
case("typ in its long form", "ok", signed(headers={"typ": "Application/AT+JWT"}), types=["at+jwt"])
case("another typ", "type", signed(headers={"typ": "JWT"}), types=["at+jwt"])
case("no typ", "type", raw({"alg": "RS256", "kid": "rsa"}, good(), rsa_key, "RS256"), types=["at+jwt"])

# Times.
case("expired", "expired", signed(exp=NOW - 31))
case("expired within the skew", "ok", signed(exp=NOW - 29))
case("on its end with the skew", "expired", signed(exp=NOW - 30))
case("a fraction before its end", "ok", signed(exp=NOW - 29.5))
case("a fraction after its end", "expired", signed(exp=NOW - 30.5))
case("no skew", "expired", signed(exp=NOW), skew=0)
case("no exp", "no_end", signed(exp="absent"))
case("no exp where that is accepted", "ok", signed(exp="absent"), endless=True)
case("exp is a string", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(exp=str(NOW + 300)), rsa_key, "RS256"))
case("exp is null", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(exp=None), rsa_key, "RS256"))
case("exp is negative", "expired", signed(exp=-1))
case("exp is beyond every number", "malformed", raw({"alg": "RS256", "kid": "rsa"}, b64(b'{"exp":1e999}'), rsa_key, "RS256"))
case("nbf ahead", "not_yet_valid", signed(nbf=NOW + 31))
case("nbf ahead within the skew", "ok", signed(nbf=NOW + 30))
case("nbf is a float", "ok", signed(nbf=NOW - 0.5))
case("nbf is true", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(nbf=True), rsa_key, "RS256"))
case("iat ahead", "issued_ahead", signed(iat=NOW + 31))
case("iat ahead within the skew", "ok", signed(iat=NOW + 30))
case("iat is a float", "ok", signed(iat=NOW - 1.25))
case("no iat", "ok", signed(iat="absent"))
case("too old", "too_old", signed(iat=NOW - 631), max_age=600)
case("old within the skew", "ok", signed(iat=NOW - 629), max_age=600)
case("no iat where an age is asked for", "too_old", signed(iat="absent"), max_age=600)

# Issuer and audience.
case("another issuer", "issuer", signed(iss="https://other.example"))
case("an issuer with a slash more", "issuer", signed(iss="https://issuer.example/"))
case("no issuer", "issuer", signed(iss="absent"))
case("the second of two issuers", "ok", signed(iss="https://second.example"), issuers=["https://issuer.example", "https://second.example"])
case("any issuer", "ok", signed(iss="https://other.example"), issuers=[])
case("iss is a list", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(iss=["https://issuer.example"]), rsa_key, "RS256"))
case("aud is a list", "ok", signed(aud=["billing", "orders"]))
case("aud is a list without us", "audience", signed(aud=["billing"]))
case("aud is an empty list", "audience", signed(aud=[]))
case("another aud", "audience", signed(aud="billing"))
case("no aud", "audience", signed(aud="absent"))
case("no aud, our client_id", "ok", signed(aud="absent", client_id="orders"))
case("no aud, another client_id", "audience", signed(aud="absent", client_id="billing"))
case("another aud, our client_id", "audience", signed(aud="billing", client_id="orders"))
case("another aud where any is accepted", "ok", signed(aud="billing"), audiences="any")
case("no aud where any is accepted", "ok", signed(aud="absent"), audiences="any")
case("aud is a number", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(aud=5), rsa_key, "RS256"))
case("aud is a list of numbers", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(aud=["orders", 5]), rsa_key, "RS256"))
case("sub is a number", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(sub=7), rsa_key, "RS256"))
case("sub is null", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(sub=None), rsa_key, "RS256"))
case("no sub", "ok", signed(sub="absent"))
case("jti is a number", "claim_type", raw({"alg": "RS256", "kid": "rsa"}, good(jti=7), rsa_key, "RS256"))

# Claims that are asked for.
groups = [{"claim": "groups", "contains": ["admin", "staff"]}]
role = [{"claim": "/realm_access/roles", "contains": ["writer"]}]
case("a list that has one of two", "ok", signed(groups=["x", "staff"]), required=groups)
case("a list that has none of two", "required_claim", signed(groups=["x"]), required=groups)
case("a string where a list is asked for", "required_claim", signed(groups="staff"), required=groups)
case("a nested list", "ok", signed(realm_access={"roles": ["writer"]}), required=role)
case("a nested list elsewhere", "required_claim", signed(roles=["writer"]), required=role)
url = [{"claim": "https://example.com/tier", "one_of": ["gold"]}]
case("a claim with a URL as its name", "ok", signed(**{"https://example.com/tier": "gold"}), required=url)
exact = [{"claim": "level", "one_of": [3]}]
case("a number", "ok", signed(level=3), required=exact)
case("the same number with a point", "ok", signed(level=3.0), required=exact)
case("a string instead of a number", "required_claim", signed(level="3"), required=exact)
case("another number", "required_claim", signed(level=4), required=exact)
case("there", "ok", signed(level=False), required=[{"claim": "level"}])
case("null", "required_claim", signed(level=None), required=[{"claim": "level"}])
case("not there", "required_claim", signed(), required=[{"claim": "level"}])
both = [{"claim": "level", "one_of": [3]}, {"claim": "verified", "one_of": [True]}]
case("two, and one of them holds", "required_claim", signed(level=3, verified=False), required=both)

print(json.dumps({"now": NOW, "secret": SECRET, "sets": {name: {"keys": keys} for name, keys in sets.items()}, "cases": cases}, indent=1))
