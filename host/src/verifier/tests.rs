//! Tests with tokens of other libraries, and tokens that must never pass.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::signature::Algorithm;
use crate::model::word::Word as _;
use crate::verifier::key::KeyDefect;

/// Made by `tests/cases.py`, with `PyJWT`.
const CASES: &str = include_str!("tests/cases.json");

/// Made by `tests/npm-cases.mjs`, with `jose` and `jsonwebtoken`.
const NPM_CASES: &str = include_str!("tests/npm-cases.json");

fn strings(value: &Value) -> Vec<String> {
    let list = value.as_array().unwrap().iter();
    list.map(|one| one.as_str().unwrap().to_owned()).collect()
}

fn rules(given: &Value, keys: &str) -> TokenRules {
    let algorithms = match given.get("algorithms") {
        Some(names) => strings(names)
            .iter()
            .map(|name| Algorithm::from_name(name).unwrap())
            .collect(),
        None if keys == "secret" => Algorithm::SECRET.to_vec(),
        None => Algorithm::PUBLIC.to_vec(),
    };
    let seconds = |name: &str| given.get(name).map(|value| value.as_u64().unwrap());
    let required = given.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().map(|rule| ClaimRule {
        claim: rule["claim"].as_str().unwrap().to_owned(),
        test: match (rule.get("one_of"), rule.get("contains")) {
            (Some(values), _) => ClaimTest::OneOf(values.as_array().unwrap().clone()),
            (_, Some(values)) => ClaimTest::Contains(values.as_array().unwrap().clone()),
            (None, None) => ClaimTest::Present,
        },
    });
    TokenRules {
        algorithms,
        types: given.get("types").map(strings).unwrap_or_default(),
        issuers: given
            .get("issuers")
            .map_or_else(|| vec!["https://issuer.example".to_owned()], strings),
        audiences: match given.get("audiences") {
            Some(_) => Audiences::Any,
            None => Audiences::Of(vec!["orders".to_owned()]),
        },
        skew: Duration::from_secs(seconds("skew").unwrap_or(30)),
        allow_endless: given.get("endless").is_some(),
        max_age: seconds("max_age").map(Duration::from_secs),
        required: required.collect(),
        certificate_bound: false,
    }
}

fn key_set(cases: &Value, name: &str) -> KeySet {
    if name == "secret" {
        let secret = cases["secret"].as_str().unwrap();
        return KeySet::of(VerifyingKey::from_secret(secret.as_bytes()).unwrap());
    }
    KeySet::parse(cases["sets"][name].to_string().as_bytes()).unwrap()
}

/// The cases with another answer than the table expects, and the number of cases.
fn wrong_answers(table: &str) -> (Vec<String>, usize) {
    let cases: Value = serde_json::from_str(table).unwrap();
    let now = cases["now"].as_f64().unwrap();
    let list = cases["cases"].as_array().unwrap();
    let mut wrong = Vec::new();
    for case in list {
        let name = case["name"].as_str().unwrap();
        let keys = case["keys"].as_str().unwrap();
        let rules = rules(&case["rules"], keys);
        let token = case["token"].as_str().unwrap();
        let answer = match verify(token, &key_set(&cases, keys), &rules, now) {
            Ok(_) => "ok",
            Err(error) => error.word(),
        };
        let expected = case["answer"].as_str().unwrap();
        if answer != expected {
            wrong.push(format!("{name}: `{answer}`, expected `{expected}`"));
        }
    }
    (wrong, list.len())
}

#[test]
fn tokens_of_pyjwt_are_answered_as_the_table_says() {
    let (wrong, count) = wrong_answers(CASES);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 160, "{count} cases");
}

#[test]
fn tokens_of_jose_and_jsonwebtoken_are_answered_as_the_table_says() {
    let (wrong, count) = wrong_answers(NPM_CASES);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count >= 120, "{count} cases");
}

/// Made by `tests/proof-cases.mjs`, with `dpop` and `jose`.
const PROOF_CASES: &str = include_str!("tests/proof-cases.json");

#[test]
fn proofs_of_dpop_and_jose_are_answered_as_the_table_says() {
    let cases: Value = serde_json::from_str(PROOF_CASES).unwrap();
    let text = |value: &'static str| cases[value].as_str().unwrap();
    let now = cases["now"].as_f64().unwrap();
    let list = cases["cases"].as_array().unwrap();
    let (mut wrong, mut ids) = (Vec::new(), std::collections::HashSet::new());
    for case in list {
        let demands = proof::ProofDemands {
            method: text("method"),
            is_url: &|url| url == text("url"),
            token: text("token"),
            thumbprint: case["thumbprint"].as_str().unwrap(),
            max_age: cases["max_age"].as_f64().unwrap(),
        };
        let answer = match proof::check(case["proof"].as_str().unwrap(), &demands, now) {
            Ok(checked) => {
                assert!(checked.ends > now);
                ids.insert(checked.id);
                "ok"
            }
            Err(error) => error.word(),
        };
        let (name, expected) = (&case["name"], case["answer"].as_str().unwrap());
        if answer != expected {
            wrong.push(format!("{name}: `{answer}`, expected `{expected}`"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(list.len() >= 55, "{} cases", list.len());
    // Each key has its own `jti`, although all of them are `one`: those of `dpop`, and six keys of
    // `jose`.
    assert_eq!(ids.len(), 4 + 6);
}

/// RFC 9449, section 7.1.
#[test]
fn rfc_9449_the_example_of_a_request_to_a_resource_is_accepted() {
    let proof = [
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpD",
        "a0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6",
        "IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGx",
        "lLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk",
        "1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJ",
        "pLjA",
    ]
    .concat();
    let demands = proof::ProofDemands {
        method: "GET",
        is_url: &|url| url == "https://resource.example.org/protectedresource",
        token: "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU",
        thumbprint: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
        max_age: 60.0,
    };
    let checked = proof::check(&proof, &demands, 1_562_262_618.0);
    assert!(checked.is_ok(), "{checked:?}");
}

#[test]
fn every_reason_is_in_the_docs_and_once() {
    let docs = include_str!("../../../docs/how-to/tokens.md");
    let (_, section) = docs.split_once("## Why a token is rejected").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let first_cells = section.lines().filter_map(|line| line.split('|').nth(1));
    let words: Vec<&str> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect();
    let reasons: Vec<_> = TokenError::words().collect();
    assert_eq!(words, reasons);
    let (_, section) = docs
        .split_once("\nA proof that is not accepted is")
        .unwrap();
    let (section, _) = section.split_once("\n\nA token with").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut words: Vec<_> = rows.map(|row| row.split('`').next().unwrap()).collect();
    let mut reasons: Vec<_> = proof::ProofError::words().collect();
    words.sort_unstable();
    reasons.sort_unstable();
    assert_eq!(words, reasons);
}

#[test]
fn no_token_passes_with_one_bit_changed() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let now = cases["now"].as_f64().unwrap();
    let set = key_set(&cases, "main");
    for name in ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"] {
        let list = cases["cases"].as_array().unwrap();
        let case = list.iter().find(|case| case["name"] == name).unwrap();
        let token = case["token"].as_str().unwrap();
        let rules = rules(&case["rules"], "main");
        assert!(verify(token, &set, &rules, now).is_ok());
        for index in 0..token.len() {
            let mut bytes = token.as_bytes().to_vec();
            bytes[index] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            let answer = verify(&changed, &set, &rules, now);
            assert!(answer.is_err(), "{name} with byte {index} changed");
        }
    }
}

#[test]
fn a_key_that_is_left_out_is_named_with_its_defect() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    for (set, defect) in [
        ("rsa-for-encryption", KeyDefect::OtherUse),
        ("rsa-cannot-verify", KeyDefect::OtherUse),
        ("rsa-alg-of-another-type", KeyDefect::Algorithm),
        ("rsa-alg-unknown", KeyDefect::Algorithm),
        ("rsa-1024", KeyDefect::Size),
        ("rsa-padded", KeyDefect::Malformed),
        ("rsa-exponent-1", KeyDefect::Malformed),
        ("rsa-private", KeyDefect::Private),
        ("p256-off-curve", KeyDefect::Malformed),
        ("p256-short-coordinate", KeyDefect::Malformed),
        ("koblitz", KeyDefect::Unsupported),
        ("a-secret", KeyDefect::Secret),
    ] {
        let keys = key_set(&cases, set);
        let [left_out] = &*keys.left_out else {
            panic!("{set}: {:?}", keys.left_out);
        };
        assert_eq!((left_out.index, left_out.defect), (0, defect), "{set}");
        assert_eq!(keys.keys.len(), 1, "{set}");
    }
    assert_eq!(key_set(&cases, "odd-members").left_out.len(), 7);
}

#[test]
fn a_set_without_usable_keys_is_an_error() {
    let error = |text: &str| KeySet::parse(text.as_bytes()).unwrap_err();
    assert!(matches!(error("<html>"), KeySetError::Json(_)));
    assert!(matches!(error("[]"), KeySetError::NotASet));
    assert!(matches!(error(r#"{"keys": {}}"#), KeySetError::NotASet));
    assert!(matches!(error(r#"{"keys": []}"#), KeySetError::Empty));
    assert!(matches!(error(r#"{"keys": [{}]}"#), KeySetError::Empty));
    let many = json!({ "keys": vec![json!({}); key_set::MAX_KEYS + 1] });
    assert!(matches!(error(&many.to_string()), KeySetError::TooMany));
}

#[test]
fn a_secret_serves_the_algorithms_that_it_is_long_enough_for() {
    let verifies = |length: usize| {
        let key = VerifyingKey::from_secret(&vec![7; length]);
        key.map(|key| Algorithm::SECRET.map(|algorithm| key.verifies(algorithm)))
    };
    assert_eq!(verifies(key::MIN_SECRET - 1), None);
    assert_eq!(verifies(32), Some([true, false, false]));
    assert_eq!(verifies(48), Some([true, true, false]));
    assert_eq!(verifies(64), Some([true, true, true]));
}

#[test]
fn a_key_that_the_next_set_lacks_is_withdrawn_and_one_that_it_has_stays() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let main = key_set(&cases, "main");
    let mut entries = cases["sets"]["main"]["keys"].as_array().unwrap().clone();
    entries.remove(0);
    let next = json!({ "keys": entries }).to_string();
    let next = KeySet::parse(next.as_bytes()).unwrap().succeed(&main);
    assert!(main.keys[0].is_withdrawn());
    for (kept, earlier) in next.keys.iter().zip(&main.keys[1..]) {
        assert!(Arc::ptr_eq(kept, earlier) && !kept.is_withdrawn());
    }
    // The same numbers under another id are another key: a token asks for an id.
    entries[0]["kid"] = "renamed".into();
    let renamed = json!({ "keys": entries }).to_string();
    let _renamed = KeySet::parse(renamed.as_bytes()).unwrap().succeed(&next);
    assert!(next.keys[0].is_withdrawn());
}

#[test]
fn a_verified_token_ends_with_the_earlier_of_its_end_and_its_age() {
    let cases: Value = serde_json::from_str(CASES).unwrap();
    let now = cases["now"].as_f64().unwrap();
    let list = cases["cases"].as_array().unwrap();
    let case = list.iter().find(|case| case["name"] == "RS256").unwrap();
    let token = case["token"].as_str().unwrap();
    let ends = |given: Value| {
        let set = key_set(&cases, "main");
        let token = verify(token, &set, &rules(&given, "main"), now);
        token.unwrap().ends - now
    };
    assert!((ends(json!({})) - 330.0).abs() < 0.001);
    assert!((ends(json!({ "max_age": 60 })) - 85.0).abs() < 0.001);
}

#[test]
fn scopes_are_those_of_both_claims_in_both_forms() {
    let scopes = |claims: &str| {
        let claims = Claims::parse(claims.as_bytes()).unwrap();
        claims.scopes().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(scopes(r#"{"scope": "a  b"}"#), ["a", "b"]);
    assert_eq!(scopes(r#"{"scp": ["a b", "c"]}"#), ["a b", "c"]);
    assert_eq!(scopes(r#"{"scp": "a b", "scope": ["c"]}"#), ["c", "a", "b"]);
    assert_eq!(scopes(r#"{"scope": 7, "scp": {"a": 1}}"#), [""; 0]);
    let claims = Claims::parse(br#"{"scope": "read write"}"#).unwrap();
    let has = |wanted: &[&str], any| claims.has_scopes(wanted.iter().copied(), any);
    assert!(has(&["read", "write"], false) && has(&["read", "x"], true));
    assert!(!has(&["read", "x"], false) && !has(&["x"], true) && !has(&["rea"], true));
}

#[test]
fn a_pointer_finds_nested_claims_and_a_name_only_those_on_top() {
    let claims = Claims::parse(br#"{"a": {"b": [1]}, "a/b": 2, "": 3}"#).unwrap();
    assert_eq!(claims.get("/a/b/0"), Some(&json!(1)));
    assert_eq!(claims.get("/a~1b"), Some(&json!(2)));
    assert_eq!(claims.get("a/b"), Some(&json!(2)));
    assert_eq!(claims.get("/"), Some(&json!(3)));
    assert_eq!(claims.get("/a/c"), None);
    assert_eq!(claims.get("b"), None);
}

proptest! {
    #[test]
    fn no_text_passes_or_panics(token in "\\PC{0,200}", parts in "[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key()) }] });
        let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
        let rules = rules(&json!({}), "main");
        prop_assert!(verify(&token, &set, &rules, 0.0).is_err());
        prop_assert!(verify(&parts, &set, &rules, 0.0).is_err());
    }

    #[test]
    fn any_signed_payload_is_read_within_bounds(payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let set = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key()) }] });
        let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#),
            URL_SAFE_NO_PAD.encode(&payload)
        );
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
        let rules = rules(&json!({}), "main");
        let answer = verify(&token, &set, &rules, 0.0).map(|_| ());
        prop_assert!(!matches!(answer, Ok(()) | Err(TokenError::Signature)), "{answer:?}");
    }
}
