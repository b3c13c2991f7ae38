//! Stop 6: clients that stay with their endpoint, and keys that do.

use std::collections::BTreeMap;

use windlass_tests::{Gateway, Reply, Request, Upstream};

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

/// The cookie that a response sets, if it does.
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
            assert_eq!(cookie(&answer), None, "it is known already");
        }
    };
    stays(&gateway);
    gateway.reload(config(&all, &format!("{COOKIE}\nslow_start = \"1s\"")));
    stays(&gateway);
    let gateway = gateway.end().start();
    stays(&gateway);
    // What was forged is nothing.
    let forged = format!("{}A", &token[..token.len() - 1]);
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
