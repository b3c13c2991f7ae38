//! Tests of cached tokens.

use super::*;

/// A verifier with fixed keys.
fn fixed(name: &str, cache: u64) -> TokenVerifier {
    TokenVerifier {
        name: "fixed".into(),
        keys: VerifierKeys::Fixed(KeySet::parse(set(name).as_bytes()).unwrap()),
        rules: rules(),
        cache: TokenCache::new(cache),
        rejects: TokenRejects::default(),
    }
}

fn accepted(answer: TokenAnswer) -> Arc<VerifiedToken> {
    match answer {
        TokenAnswer::Accepted(token) => token,
        answer => panic!("{answer:?}"),
    }
}

#[test]
fn a_token_is_verified_once_and_found_until_it_ends() {
    let verifier = fixed("main", 1 << 20);
    let text = token("RS256");
    let first = accepted(verifier.ask(&text, now(), true));
    let second = accepted(verifier.ask(&text, now(), true));
    assert!(Arc::ptr_eq(&first, &second));
    let at = |seconds: f64| Timestamp {
        wall_ms: u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap(),
        ..now()
    };
    let last = accepted(verifier.ask(&text, at(first.ends - 0.001), true));
    assert!(Arc::ptr_eq(&first, &last));
    let answer = verifier.ask(&text, at(first.ends), true);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::Expired)),
        "{answer:?}"
    );
    let none = fixed("main", 0);
    let first = accepted(none.ask(&text, now(), true));
    none.cache.settle();
    assert!(!Arc::ptr_eq(
        &first,
        &accepted(none.ask(&text, now(), true))
    ));
}

#[test]
fn a_kept_token_is_no_other_verifiers() {
    let text = token("RS256");
    let ours = fixed("main", 1 << 20);
    accepted(ours.ask(&text, now(), true));
    let theirs = TokenVerifier {
        rules: TokenRules {
            audiences: Audiences::Of(vec!["billing".to_owned()]),
            ..rules()
        },
        ..fixed("main", 1 << 20)
    };
    let answer = theirs.ask(&text, now(), true);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::Audience)),
        "{answer:?}"
    );
}

#[test]
fn kept_tokens_go_with_their_key_and_with_stale_keys() {
    let server = JwksServer::of(&set("main"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    let text = token("RS256");
    accepted(verifier.ask(&text, now(), true));
    let too_late = much_later(PACE.max_stale);
    let answer = verifier.ask(&text, too_late, true);
    assert!(matches!(answer, TokenAnswer::NoKeys), "{answer:?}");
    accepted(verifier.ask(&text, now(), true));
    server.answer(|_| json(&set("one-of-each-type")));
    let TokenAnswer::Pending(waiting) = verifier.ask(&token("a kid that no key has"), now(), true)
    else {
        panic!("a fetch");
    };
    waiting.blocking_recv().unwrap();
    let answer = verifier.ask(&text, now(), false);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::UnknownKey)),
        "{answer:?}"
    );
}

#[test]
fn a_refusal_is_kept_where_it_took_a_signature_and_until_the_keys_change() {
    let server = JwksServer::of(&set("main"));
    let source = source(server.url("/keys"), PACE);
    source.wait_for_first().unwrap();
    let verifier = verifier(&source);
    let refused = |name: &str| {
        let answer = verifier.ask(&token(name), now(), false);
        assert!(
            matches!(answer, TokenAnswer::Refused(_)),
            "{name}: {answer:?}"
        );
        verifier.cache.settle();
        verifier.cache.counts().1
    };
    assert_eq!(refused("another payload under the signature"), 1);
    assert_eq!(refused("another payload under the signature"), 1);
    assert_eq!(refused("another aud"), 2);
    for cheap in [
        "empty",
        "none",
        "crit",
        "a kid that no key has",
        "nbf ahead",
        "iat ahead",
    ] {
        assert_eq!(refused(cheap), 2, "{cheap}");
    }
    // A key with the same id and other numbers, which signed the token.
    let forged = token("another key's signature under a known kid");
    let answer = verifier.ask(&forged, now(), false);
    assert!(
        matches!(answer, TokenAnswer::Refused(TokenError::Signature)),
        "{answer:?}"
    );
    let mut keys: Value = serde_json::from_str(&set("two-without-kid")).unwrap();
    keys["keys"].as_array_mut().unwrap().remove(0);
    keys["keys"][0]["kid"] = "rsa".into();
    server.answer(move |_| json(&keys.to_string()));
    let TokenAnswer::Pending(waiting) = verifier.ask(&token("a kid that no key has"), now(), true)
    else {
        panic!("a fetch");
    };
    waiting.blocking_recv().unwrap();
    accepted(verifier.ask(&forged, now(), false));
}

#[test]
fn kept_tokens_have_a_bound() {
    let cases = cases();
    let all = cases["cases"].as_array().unwrap().iter();
    let texts: Vec<&str> = all.filter_map(|case| case["token"].as_str()).collect();
    let verifier = TokenVerifier {
        rules: TokenRules {
            issuers: Vec::new(),
            audiences: Audiences::Any,
            ..rules()
        },
        ..fixed("main", 20_000)
    };
    let mut good = 0;
    for text in texts {
        if let TokenAnswer::Accepted(_) = verifier.ask(text, now(), false) {
            good += 1;
        }
    }
    let weight = verifier.cache.settle();
    assert!(good > 40 && weight <= 20_000 && verifier.cache.counts().0 > 2);
}

#[test]
fn the_verifier_of_a_token_is_the_same_before_and_after_another_filter_saw_the_token() {
    let text = token("RS256");
    let named = |name: &str, issuers: &[String], audience: &str| {
        Arc::new(TokenVerifier {
            name: name.into(),
            rules: TokenRules {
                issuers: issuers.to_vec(),
                audiences: Audiences::Of(vec![audience.to_owned()]),
                ..rules()
            },
            ..fixed("main", 1 << 20)
        })
    };
    // Only `ours` accepts the token: it is asked first, or last, or for any issuer.
    for (ours, names) in [
        (rules().issuers, ["theirs", "ours"]),
        (rules().issuers, ["ours", "theirs"]),
        (Vec::new(), ["ours", "theirs"]),
    ] {
        let list = vec![
            named("ours", &ours, "orders"),
            named("theirs", &rules().issuers, "admin"),
        ];
        let verifiers = TokenVerifiers {
            list,
            ..TokenVerifiers::default()
        };
        let chosen = || {
            let answer = verifiers.ask(&names, &text, now(), true).unwrap();
            let is_accepted = matches!(answer.answer, TokenAnswer::Accepted(_));
            (answer.verifier.name.to_string(), is_accepted)
        };
        let before = chosen();
        assert_eq!(before.1, before.0 == "ours");
        let alone = verifiers.ask(&["ours"], &text, now(), true).unwrap();
        accepted(alone.answer);
        assert_eq!(chosen(), before, "{names:?}");
    }
}
