//! `builtin:api-key`: authentication by API key.

use base64::Engine as _;
use windlass_tests::{Gateway, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, start, transform};

const KEY: &str = "wl_the-secret-of-acme";

/// A gateway that reads keys from `x-api-key`, unless the settings name other sources.
fn gateway(settings: &str, upstream: &Upstream) -> Gateway {
    start(&[
        &filtered(&["keys"], upstream.address()),
        &api_key(settings),
        &key("acme-1", "acme", KEY, ""),
        &key("off-1", "off", "the-disabled-key", "enabled = false"),
        &key(
            "old-1",
            "old",
            "the-expired-key",
            "expires = 2020-01-01T00:00:00Z",
        ),
    ])
}

fn with_key(key: &str) -> Request {
    Request::get("/a").header("x-api-key", key)
}

fn assert_refused(answer: &Response, status: u16, reason: &str) {
    assert_eq!((answer.status, &*answer.code()), (status, reason));
}

#[test]
fn a_known_key_passes_and_is_hidden_from_the_upstream() {
    let upstream = Upstream::echo();
    let gateway = gateway("{ header = \"x-api-key\" }", &upstream);
    let answer = gateway.send(&with_key(KEY).header("X-Api-Key", "another"));
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only_request().header("x-api-key"), None);
    assert!(!answer.text().contains(KEY), "{}", answer.text());
}

#[test]
fn the_facts_of_a_second_key_replace_those_of_the_first() {
    let upstream = Upstream::echo();
    let tell = "{ request = [{ op = \"set\", header = \"x-facts\", value = \"${attribute.consumer.id} ${attribute.api-key.id}\" },\
        { op = \"set\", header = \"x-plan\", value = \"${attribute.plan.id}\" }] }";
    let gateway = start(&[
        &filtered(&["keys", "others", "tell"], upstream.address()),
        &api_key("{}"),
        "[filter.others]\nplugin = \"builtin:api-key\"\nsettings = { header = \"x-other-key\" }\n[plan.gold]\nrate = 5\nburst = 5\n",
        &transform("tell", tell),
        &key("acme-1", "acme", KEY, "plan = \"gold\""),
        &key("bob-1", "bob", "wl_the-secret-of-bob", ""),
    ]);
    let (acme, bob) = (KEY, "wl_the-secret-of-bob");
    for (first, second, facts, plan) in [
        (acme, bob, "bob bob-1", None),
        (bob, acme, "acme acme-1", Some("gold")),
    ] {
        let request = with_key(first).header("x-other-key", second);
        assert_eq!(gateway.send(&request).status, 200);
        let received = upstream.received();
        let received = received.last().unwrap();
        assert_eq!(received.header("x-facts"), Some(facts));
        assert_eq!(received.header("x-plan"), plan);
    }
}

#[test]
fn a_key_in_the_query_passes_and_is_hidden_from_the_upstream() {
    let upstream = Upstream::echo();
    let gateway = gateway("{ query = \"key\" }", &upstream);
    assert_eq!(gateway.get(&format!("/a?x=1&key={KEY}&y=2")).status, 200);
    assert_eq!(upstream.only_request().target, "/a?x=1&y=2");
    assert_refused(&gateway.get("/a?x=1"), 401, "api_key_missing");
    assert_refused(&gateway.get("/a?key=wrong"), 403, "api_key_rejected");
    // The key is in a header, and the settings read it from the query.
    assert_refused(&gateway.send(&with_key(KEY)), 401, "api_key_missing");
}

#[test]
fn a_missing_key_is_401_with_a_challenge() {
    let upstream = Upstream::echo();
    let gateway = gateway("{}", &upstream);
    for request in [Request::get("/a"), with_key("")] {
        let answer = gateway.send(&request);
        assert_refused(&answer, 401, "api_key_missing");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("ApiKey in=\"header\", name=\"x-api-key\""));
    }
}

#[test]
fn refused_key_never_reaches_upstream() {
    let upstream = Upstream::echo();
    let gateway = gateway("{}", &upstream);
    let long = "a".repeat(8000);
    for key in [
        "wrong",
        "the-disabled-key",
        "the-expired-key",
        "WL_THE-SECRET-OF-ACME",
        &long,
    ] {
        assert_refused(&gateway.send(&with_key(key)), 403, "api_key_rejected");
    }
    assert_refused(&gateway.get("/a"), 401, "api_key_missing");
    assert_eq!(upstream.count(), 0);
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn unknown_disabled_and_expired_keys_look_the_same() {
    let upstream = Upstream::echo();
    let gateway = gateway("{}", &upstream);
    let looks = |key: &str| {
        let answer = gateway.send(&with_key(key));
        let id = answer.header("x-request-id").unwrap().to_owned();
        let names: Vec<_> = answer
            .head
            .fields
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        (answer.status, names, answer.text().replace(&id, "<id>"))
    };
    let unknown = looks("wrong");
    assert_eq!(looks("the-disabled-key"), unknown);
    assert_eq!(looks("the-expired-key"), unknown);
}

#[test]
fn statuses_of_refusals_are_those_of_the_settings() {
    let upstream = Upstream::echo();
    let gateway = gateway("{ missing = 403, rejected = 401 }", &upstream);
    assert_refused(&gateway.get("/a"), 403, "api_key_missing");
    assert_refused(&gateway.send(&with_key("wrong")), 401, "api_key_rejected");
}

#[test]
fn a_key_that_is_not_hidden_goes_upstream() {
    let upstream = Upstream::echo();
    let gateway = gateway("{ hide = false }", &upstream);
    assert_eq!(gateway.send(&with_key(KEY)).status, 200);
    assert_eq!(upstream.only_request().header("x-api-key"), Some(KEY));
}

#[test]
fn attributes_of_the_key_reach_later_filters_and_the_access_log() {
    let upstream = Upstream::echo();
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &filtered(&["keys", "tell"], upstream.address()),
        &api_key("{}"),
        &transform(
            "tell",
            r#"{ request = [
                { op = "set", header = "x-consumer", value = "${attribute.consumer.id!}" },
                { op = "set", header = "x-key", value = "${attribute.api-key.id!}" },
                { op = "set", header = "x-method", value = "${attribute.auth.method}" },
                { op = "set", header = "x-plan", value = "${attribute.plan.id}" },
                { op = "set", header = "x-tier", value = "${attribute.api-key.tier}" },
            ] }"#,
        ),
        "\n[plan.gold]\nrate = 1\n",
        &key(
            "acme-1",
            "acme",
            KEY,
            "plan = \"gold\"\nattributes = { tier = \"top\" }",
        ),
    ]);
    assert_eq!(gateway.send(&with_key(KEY)).status, 200);
    let request = upstream.only_request();
    let facts = [
        ("x-consumer", "consumer.id", "acme"),
        ("x-key", "api-key.id", "acme-1"),
        ("x-method", "auth.method", "api-key"),
        ("x-plan", "plan.id", "gold"),
        ("x-tier", "api-key.tier", "top"),
    ];
    let line = gateway.output().wait_for_line(|line| line.starts_with('{'));
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    for (header, attribute, value) in facts {
        assert_eq!(request.header(header), Some(value));
        assert_eq!(line["attributes"][attribute], value, "{line}");
    }
}

#[test]
fn the_key_itself_is_written_nowhere() {
    let upstream = Upstream::echo();
    let config = [
        "[log]\naccess = \"stdout\"\n".to_owned(),
        filtered(&["keys"], upstream.address()),
        "[[route]]\npath = \"/q\"\nfilters = [\"query\"]\nupstream = \"app\"\n".to_owned(),
        api_key("{}"),
        "[filter.query]\nplugin = \"builtin:api-key\"\nsettings = { query = \"key\" }\n".to_owned(),
        key("acme-1", "acme", KEY, ""),
        key("off-1", "off", "wl_disabled-key", "enabled = false"),
    ];
    let gateway = Gateway::with_config(config.concat())
        .env("WINDLASS_LOG", "trace")
        .start();
    let keys = [KEY, "wl_disabled-key", "wl_unknown-key"];
    for key in keys {
        for request in [with_key(key), Request::get(format!("/q?key={key}"))] {
            let answer = gateway.send(&request);
            let told = format!("{:?} {}", answer.head, answer.text());
            assert!(!told.contains(key), "{told}");
        }
    }
    assert!(gateway.terminate().success());
    let written = gateway.output().whole() + &gateway.log().whole();
    assert_eq!(gateway.output().count(), 6, "{written}");
    for key in keys {
        assert!(!written.contains(key), "{key} in\n{written}");
    }
}

#[test]
fn the_endpoint_sees_the_key_that_was_checked_and_no_other() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        &filtered(&["keys"], endpoint.address()),
        &api_key("{ header = \"my-key\", hide = false }"),
        &key("one", "one", "the-key-of-one-0123456789", ""),
    ]);
    let answer = gateway.send(
        &Request::get("/")
            .header("my-key", "the-key-of-one-0123456789")
            .header("my-key", "of another")
            .header("my_key", "of another")
            .header("my.key", "of another"),
    );
    assert_eq!(answer.status, 200);
    let head = endpoint.only_request().head;
    let keys: Vec<_> = head.all("my-key").collect();
    assert_eq!(keys, ["the-key-of-one-0123456789"]);
    assert!(head.fields.iter().all(|(_, value)| value != "of another"));
}

#[test]
fn a_key_in_a_header_with_an_underscore_is_found_and_hidden() {
    for name in ["x_api_key", "api_key"] {
        let endpoint = Upstream::echo();
        let gateway = start(&[
            &filtered(&["keys"], endpoint.address()),
            &api_key(&format!("{{ header = \"{name}\" }}")),
            &key("one", "one", "the-key-of-one-0123456789", ""),
        ]);
        let request = Request::get("/")
            .header(name, "the-key-of-one-0123456789")
            .header(name.replace('_', "-"), "of another");
        assert_eq!(gateway.send(&request).status, 200, "{name}");
        let head = endpoint.only_request().head;
        let keys = head
            .fields
            .iter()
            .filter(|(known, _)| known.contains("key"));
        assert_eq!(keys.count(), 0, "{name}");
    }
}

const PLACES: &str = r#"{ from = [{ header = "x-api-key" }, { header = "authorization" }, { header = "authorization", scheme = "Basic" }, { cookie = "api_key" }, { query = "key" }] }"#;

fn basic(pair: &str) -> String {
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    )
}

#[test]
fn a_key_is_found_in_each_place_of_the_list_and_goes_no_further() {
    let requests = [
        with_key(KEY),
        Request::get("/a").header("authorization", format!("bearer {KEY}")),
        Request::get("/a").header("authorization", basic(&format!("acme:{KEY}"))),
        Request::get("/a").header("authorization", basic(&format!("acme-1:{KEY}"))),
        Request::get("/a").header("authorization", basic(&format!("{KEY}:"))),
        Request::get("/a").header("cookie", format!("a=1; api_key={KEY}; b=2")),
        Request::get(format!("/a?key={KEY}")),
    ];
    for request in requests {
        let endpoint = Upstream::echo();
        let gateway = gateway(PLACES, &endpoint);
        assert_eq!(gateway.send(&request).status, 200, "{request:?}");
        let received = endpoint.only_request();
        let all = format!("{received:?}");
        assert!(!all.contains(KEY) && !all.contains("Basic"), "{all}");
        let cookie = received.header("cookie");
        assert!(cookie.is_none_or(|rest| rest == "a=1; b=2"), "{cookie:?}");
    }
}

#[test]
fn the_first_place_that_holds_something_decides_and_all_are_emptied() {
    let endpoint = Upstream::echo();
    let gateway = gateway(PLACES, &endpoint);
    let wrong_first = with_key("wrong").header("authorization", format!("Bearer {KEY}"));
    assert_refused(&gateway.send(&wrong_first), 403, "api_key_rejected");
    let good_first = with_key(KEY)
        .header("authorization", "Bearer of-another")
        .header("cookie", "api_key=of-another");
    assert_eq!(gateway.send(&good_first).status, 200);
    let received = endpoint.only_request();
    assert!(!format!("{received:?}").contains("of-another"));
    // The filter ignores `authorization` with another scheme.
    let other = with_key(KEY).header("authorization", "Digest x");
    assert_eq!(gateway.send(&other).status, 200);
    let received = endpoint.received();
    assert_eq!(received[1].header("authorization"), Some("Digest x"));
}

#[test]
fn a_good_key_with_the_name_of_another_user_is_refused() {
    let endpoint = Upstream::echo();
    let gateway = gateway(PLACES, &endpoint);
    for pair in [
        format!("evil:{KEY}"),
        format!(":{KEY}"),
        "acme:wrong".to_owned(),
    ] {
        let request = Request::get("/a").header("authorization", basic(&pair));
        assert_refused(&gateway.send(&request), 403, "api_key_rejected");
    }
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("with the name of another user"));
    assert!(line.contains("acme-1") && !line.contains(KEY), "{line}");
    assert_eq!(endpoint.count(), 0);
}

#[test]
fn a_401_has_a_challenge_for_each_place() {
    let endpoint = Upstream::echo();
    let gateway = gateway(PLACES, &endpoint);
    for malformed in [
        "",
        "Basic",
        "Basic !",
        "Basic OnNlY3JldA",
        "Bearer",
        "Bearer ",
    ] {
        let answer = gateway.send(&Request::get("/a").header("authorization", malformed));
        assert_refused(&answer, 401, "api_key_missing");
        assert_eq!(
            answer.headers("www-authenticate"),
            [
                r#"ApiKey in="header", name="x-api-key""#,
                r#"Bearer realm="api""#,
                r#"Basic realm="api", charset="UTF-8""#,
                r#"ApiKey in="cookie", name="api_key""#,
                r#"ApiKey in="query", name="key""#,
            ],
            "{malformed}"
        );
    }
}

#[test]
fn a_key_that_is_not_hidden_stays_where_it_was_and_nowhere_else() {
    let endpoint = Upstream::echo();
    let settings = PLACES.replacen("{ from", "{ hide = false, from", 1);
    let gateway = gateway(&settings, &endpoint);
    let request = Request::get("/a?key=of-another")
        .header("authorization", format!("Bearer {KEY}"))
        .header("authorization", "Bearer of-another");
    assert_eq!(gateway.send(&request).status, 200);
    let received = endpoint.only_request();
    let kept = format!("Bearer {KEY}");
    assert_eq!(received.header("authorization"), Some(&*kept));
    assert!(!format!("{received:?}").contains("of-another"));
}

#[test]
fn beside_a_good_key_no_other_value_of_its_place_goes_on() {
    let endpoint = Upstream::echo();
    let hidden = gateway(PLACES, &endpoint);
    let settings = PLACES.replacen("{ from", "{ hide = false, from", 1);
    let kept = gateway(&settings, &endpoint);
    let bearer = format!("Bearer {KEY}");
    let cookie = format!("a=1; api_key={KEY}");
    for (request, left) in [
        (
            Request::get("/a")
                .header("cookie", format!("{cookie}; api_key=of-another; b=2"))
                .header("cookie", "api_key = \"of-another\""),
            ("cookie", format!("{cookie}; b=2")),
        ),
        (
            Request::get("/a")
                .header("authorization", &*bearer)
                .header("authorization", basic("acme:of-another")),
            ("authorization", bearer.clone()),
        ),
        (
            with_key(KEY).header("authorization", "Bearer\tof-another"),
            ("x-api-key", KEY.to_owned()),
        ),
    ] {
        for gateway in [&hidden, &kept] {
            assert_eq!(gateway.send(&request).status, 200, "{request:?}");
        }
        let received = endpoint.received();
        let [.., without, with] = &received[..] else {
            panic!("{received:?}");
        };
        let all = format!("{without:?} {with:?}");
        let encoded = basic("acme:of-another");
        assert!(
            !all.contains("of-another") && !all.contains(&encoded),
            "{all}"
        );
        assert!(!format!("{without:?}").contains(KEY), "{without:?}");
        assert_eq!(with.header(left.0), Some(&*left.1));
    }
    let twice = format!("/a?x=1&key={KEY}&y=2&key=of-another&%6Bey=of-another");
    assert_eq!(hidden.get(&twice).status, 200);
    assert_eq!(kept.get(&twice).status, 200);
    let received = endpoint.received();
    let targets = received.iter().rev().take(2).map(|one| &*one.target);
    let targets: Vec<_> = targets.collect();
    assert_eq!(targets, [&*format!("/a?x=1&key={KEY}&y=2"), "/a?x=1&y=2"]);
}

#[test]
fn what_is_in_no_place_of_the_settings_goes_on() {
    let endpoint = Upstream::echo();
    let gateway = gateway("{ query = \"key\" }", &endpoint);
    let request = Request::get(format!("/a?Key=other&key={KEY}"))
        .header("authorization", "Bearer other")
        .header("x-api-key", "other");
    assert_eq!(gateway.send(&request).status, 200);
    let received = endpoint.only_request();
    assert_eq!(received.target, "/a?Key=other");
    assert_eq!(received.header("authorization"), Some("Bearer other"));
    assert_eq!(received.header("x-api-key"), Some("other"));
}
