//! Sticky sessions: clients, and keys of requests, that stay with one endpoint.

use std::collections::BTreeMap;

use windlass_tests::wait::until;
use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::operator::{self, READ, STORE, WRITE};

fn config(endpoints: &[&Upstream], lines: &str) -> String {
    let endpoints = endpoints
        .iter()
        .map(|upstream| format!("{{ address = \"{}\" }}", upstream.address()));
    let endpoints: Vec<String> = endpoints.collect();
    format!(
        "[secret.lb]\nfile = \"lb.secret\"\n[[route]]\npath = \"/{{user}}\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{}]\n{lines}\n",
        endpoints.join(", ")
    )
}

fn start(endpoints: &[&Upstream], lines: &str) -> Gateway {
    Gateway::with_config(config(endpoints, lines))
        .file("lb.secret", "a secret of the balancer")
        .start()
}

const COOKIE: &str = "sticky = { cookie = \"lb\", secret = \"lb\", duration = \"10m\" }";

/// The sticky cookie that a response sets, if any.
fn cookie(response: &windlass_tests::Response) -> Option<String> {
    let set = response.header("set-cookie")?;
    let (pair, rest) = set.split_once(';').unwrap();
    assert_eq!(rest, " Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure");
    Some(pair.to_owned())
}

#[test]
fn a_cookie_keeps_a_client_over_reloads_and_restarts() {
    let (one, two, three) = (
        Upstream::text("one"),
        Upstream::text("two"),
        Upstream::text("three"),
    );
    let all = [&one, &two, &three];
    let gateway = start(&all, COOKIE);
    let first = gateway.get("/x");
    let token = cookie(&first).expect("a cookie");
    assert!(!token.contains(&one.address().port().to_string()));
    let stays = |gateway: &Gateway| {
        for _ in 0..6 {
            let answer =
                gateway.send(&Request::get("/x").header("cookie", format!("a=b; {token}")));
            assert_eq!(answer.text(), first.text());
        }
    };
    stays(&gateway);
    gateway.reload(config(&all, &format!("{COOKIE}\nslow_start = \"1s\"")));
    stays(&gateway);
    let gateway = gateway.end().start();
    stays(&gateway);
    // A forged cookie is ignored.
    let (start, last) = token.split_at(token.len() - 1);
    let forged = format!("{start}{}", if last == "A" { "Q" } else { "A" });
    let answer = gateway.send(&Request::get("/x").header("cookie", forged));
    assert!(cookie(&answer).is_some());
}

#[test]
fn a_client_whose_endpoint_is_gone_gets_another() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(
        &[&one, &two],
        &format!(
            "{COOKIE}\nhealth = {{ kind = \"tcp\", interval = \"50ms\", fall = 1, rise = 1 }}"
        ),
    );
    let first = gateway.get("/x");
    let token = cookie(&first).expect("a cookie");
    let (gone, left) = match first.text() {
        "one" => (one, "two"),
        _ => (two, "one"),
    };
    let place = gone.kill();
    gateway.metrics_when("it to be out", |metrics| {
        metrics["windlass_endpoint_available"] == 1.0
    });
    let answer = gateway.send(&Request::get("/x").header("cookie", &*token));
    assert_eq!(answer.text(), left);
    let other = cookie(&answer).expect("another cookie");
    assert_ne!(other, token);
    let _back = Upstream::at(place, |_, stream| {
        Reply::status(200).body("back").write(stream)
    });
    gateway.metrics_when("it to be back", |metrics| {
        metrics["windlass_endpoint_available"] == 2.0
    });
    for _ in 0..4 {
        let answer = gateway.send(&Request::get("/x").header("cookie", &*other));
        assert_eq!(answer.text(), left, "it stays where it is now");
    }
}

#[test]
fn a_field_keeps_a_client_without_cookies() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let gateway = start(
        &[&one, &two],
        "sticky = { header = \"x-place\", secret = \"lb\" }",
    );
    let first = gateway.get("/x");
    let place = first.header("x-place").expect("a field").to_owned();
    for _ in 0..6 {
        let answer = gateway.send(&Request::get("/x").header("x-place", &*place));
        assert_eq!(answer.text(), first.text());
    }
}

#[test]
fn a_key_of_the_request_picks_the_endpoint() {
    let upstreams = ["one", "two", "three", "four"].map(Upstream::text);
    let all: Vec<&Upstream> = upstreams.iter().collect();
    for (by, request) in [
        (
            "header:x-user",
            (|user: &str| Request::get("/x").header("x-user", user)) as fn(&str) -> Request,
        ),
        ("cookie:sid", |user| {
            Request::get("/x").header("cookie", format!("a=b; sid={user}"))
        }),
        ("param:user", |user| Request::get(format!("/{user}"))),
        ("attribute:api-key.id", |_| Request::get("/x")),
        ("client", |_| Request::get("/x")),
    ] {
        let gateway = start(
            &all,
            &format!("balance = \"consistent-hash\"\nhash_on = \"{by}\""),
        );
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..3 {
            for user in 0..20 {
                let user = format!("user-{user}");
                let answer = gateway.send(&request(&user)).text().to_owned();
                seen.entry(user).or_default().push(answer);
            }
        }
        let mut all: Vec<&String> = seen.values().flatten().collect();
        all.sort_unstable();
        all.dedup();
        if by.starts_with("attribute") {
            assert!(all.len() > 1, "{by}: without a key it is spread");
            continue;
        }
        assert!(
            seen.values()
                .all(|answers| answers.iter().all(|one| *one == answers[0])),
            "{by}: {seen:?}"
        );
        assert_eq!(all.len() > 1, by != "client", "{by}: {all:?}");
    }
}

/// As with an Application Load Balancer, the duration counts from the last use.
#[test]
fn a_client_that_is_busy_is_never_moved() {
    let upstreams = ["one", "two", "three", "four"].map(Upstream::text);
    let all: Vec<&Upstream> = upstreams.iter().collect();
    for way in ["cookie = \"lb\"", "header = \"x-place\""] {
        let lines = format!("sticky = {{ {way}, secret = \"lb\", duration = \"1s\" }}");
        let gateway = start(&all, &lines);
        let told = |answer: &windlass_tests::Response| {
            let set = answer.header("set-cookie").or(answer.header("x-place"))?;
            Some(set.split(';').next().unwrap().to_owned())
        };
        let first = gateway.get("/x");
        let mut token = told(&first).expect("a token");
        let mut renewed = 0;
        // Windlass renews the cookie once a second, so this takes three times the duration.
        until("three renewals", || {
            let name = if way.starts_with("cookie") {
                "cookie"
            } else {
                "x-place"
            };
            let answer = gateway.send(&Request::get("/x").header(name, &*token));
            assert_eq!(answer.text(), first.text(), "after {renewed} renewals");
            if let Some(next) = told(&answer) {
                assert_ne!(next, token, "the same again says nothing");
                token = next;
                renewed += 1;
            }
            (renewed == 3).then_some(())
        });
    }
}

#[test]
fn clients_may_stay_on_an_endpoint_that_drains_or_has_weight_0() {
    let (one, two) = (Upstream::text("one"), Upstream::text("two"));
    let stay = "sticky = { cookie = \"lb\", secret = \"lb\", on_drain = \"stay\" }";
    let config = config(&[&one, &two], stay) + STORE;
    let gateway = Gateway::with_config(&config)
        .file("lb.secret", "a secret of the balancer")
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    let first = gateway.get("/x");
    let set = first.header("set-cookie").unwrap();
    let token = set.split(';').next().unwrap().to_owned();
    let (mine, other) = match first.text() {
        "one" => (&one, "two"),
        _ => (&two, "one"),
    };
    let texts = |gateway: &Gateway| {
        let known = gateway.send(&Request::get("/x").header("cookie", &*token));
        let new = gateway.get("/x");
        (known.text().to_owned(), new.text().to_owned())
    };
    let stays = (first.text().to_owned(), other.to_owned());
    let path = format!("/v1/upstreams/app/endpoints/{}", mine.address());
    for change in ["{\"drain\":true}", "{\"drain\":false,\"weight\":0}"] {
        let answer = operator::call(&gateway, "PATCH", &path, change);
        assert_eq!(answer.status, 200, "{}", answer.text());
        for _ in 0..4 {
            assert_eq!(texts(&gateway), stays, "{change}");
        }
    }
    // When the drain time ends, sticky clients move too.
    let mine = mine.address().to_string();
    operator::call(&gateway, "PATCH", &path, "{\"drain\":true,\"weight\":1}");
    gateway.reload(config.replace("\nsticky", "\ndrain_timeout = \"0s\"\nsticky"));
    assert_eq!(
        texts(&gateway),
        (other.to_owned(), other.to_owned()),
        "{mine}"
    );
}

#[test]
fn a_cookie_has_the_attributes_that_are_configured() {
    let one = Upstream::text("one");
    let gateway = start(
        &[&one],
        "sticky = { cookie = \"lb\", secret = \"lb\", same_site = \"none\", domain = \"example.com\", path = \"/x\" }",
    );
    let answer = gateway.get("/x");
    let (_, rest) = answer
        .header("set-cookie")
        .unwrap()
        .split_once(';')
        .unwrap();
    assert_eq!(
        rest,
        " Path=/x; Domain=example.com; Max-Age=3600; HttpOnly; SameSite=None; Secure"
    );
}
