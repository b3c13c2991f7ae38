//! Callouts: a filter calls other servers while its request waits.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use windlass_tests::{Builder, Gateway, Metrics, Reply, Request, Then, Upstream};

use crate::wire::{Authority, Endpoint, Speaks, server_tls};

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// A gateway whose route `/` makes calls and reports the results, and whose route `/other` makes none. `callout` is the
/// rest of its table, `asks` the keys of each call.
fn config(url: &str, callout: &str, asks: &[&str]) -> String {
    let asks = asks
        .iter()
        .map(|keys| format!("{{ ask = {{ target = \"auth\"{keys} }} }}"));
    let asks: Vec<_> = asks.collect();
    format!(
        "[server]\nworkers = 1\n[[route]]\npath = \"/\"\nfilters = [\"asks\"]\nrespond = {{ body = \"passed\" }}\n\
         [[route]]\npath = \"/other\"\nrespond = {{ body = \"other\" }}\n\
         [filter.asks]\nplugin = \"actor.wasm\"\n\
         allow = {{ interfaces = [\"callout\"], callouts = [\"auth\"], secrets = [\"token\"] }}\n\
         settings = {{ request = [{}, \"report\"] }}\n\
         [secret.token]\nenv = \"CALLOUT_SECRET\"\n\
         [callout.auth]\nurl = \"{url}\"\n{callout}\n",
        asks.join(", ")
    )
}

fn builder(config: String) -> Builder {
    Gateway::with_config(config)
        .file("actor.wasm", ACTOR)
        .env("CALLOUT_SECRET", "s3 cr&t")
}

fn start(config: String) -> Gateway {
    builder(config).start()
}

fn url(server: SocketAddr) -> String {
    format!("http://{server}/check")
}

/// The calls that are active or queued.
fn active(metrics: &Metrics) -> f64 {
    metrics.with("windlass_callouts_active", &[("callout", "auth")])
}

fn ended(metrics: &Metrics, result: &str) -> f64 {
    let labels = [("callout", "auth"), ("result", result)];
    metrics.with("windlass_callouts_total", &labels)
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn failed(why: &str) -> Value {
    json!([{ "failed": format!("CallError::{why}") }])
}

fn started(server: SocketAddr, callout: &str, asks: &[&str]) -> Gateway {
    start(config(&url(server), callout, asks))
}

#[test]
fn a_call_carries_what_the_filter_wrote_and_gives_the_whole_answer() {
    let reply = Reply::status(403)
        .header("content-type", "text/x")
        .body("no");
    let server = Upstream::fixed(reply);
    let ask = r#", method = "POST", path = "/a%2Fb?c=d", headers = [["x-one", "1"], ["x-one", "2"]], body = "text""#;
    let gateway = started(server.address(), "", &[ask]);
    let report = gateway.get("/").json();
    assert_eq!(
        report,
        json!([{ "status": 403, "kind": "text/x", "body": "no" }])
    );
    let received = server.only_request();
    assert_eq!(received.method, "POST");
    assert_eq!(received.target, "/check/a%2Fb?c=d");
    assert_eq!(received.head.all("x-one").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(
        received.header("host"),
        Some(&*server.address().to_string())
    );
    assert_eq!(received.header("content-length"), Some("4"));
    assert_eq!(received.body, b"text");
    assert!(
        received
            .header("user-agent")
            .unwrap()
            .starts_with("windlass/")
    );
}

#[test]
fn several_calls_of_one_phase_each_have_their_answer() {
    let server = Upstream::echo();
    let asks = [", path = \"/1\"", ", path = \"/2\"", ", path = \"/1\""];
    let gateway = started(server.address(), "", &asks);
    let report = gateway.get("/").json();
    let targets = report.as_array().unwrap().iter().map(|answer| {
        let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
        body["target"].as_str().unwrap().to_owned()
    });
    assert_eq!(
        targets.collect::<Vec<_>>(),
        ["/check/1", "/check/2", "/check/1"]
    );
    // The third call is the same as the first.
    assert_eq!(server.count(), 2);
    // Nothing is kept for the next request.
    let _ = gateway.get("/");
    assert_eq!(server.count(), 4);
}

#[test]
fn a_ninth_call_of_one_phase_is_not_made() {
    let server = Upstream::text("yes");
    let asks: Vec<_> = (0..9).map(|n| format!(", path = \"/{n}\"")).collect();
    let asks: Vec<_> = asks.iter().map(String::as_str).collect();
    let report = started(server.address(), "", &asks).get("/").json();
    assert_eq!(report[7]["status"], 200);
    assert_eq!(report[8], failed("NotHere")[0]);
    assert_eq!(server.count(), 8);
}

#[test]
fn the_gateway_adds_the_secret_and_the_filter_never_has_it() {
    let form = r#", method = "POST", headers = [["content-type", "application/x-www-form-urlencoded"]], body = "token=x", credential = { form-field = ["client_secret", "token"] }"#;
    let cases = [
        (
            ", credential = { bearer = \"token\" }",
            Some("Bearer s3 cr&t"),
            "",
        ),
        (
            ", credential = { basic = [\"me\", \"token\"] }",
            Some("Basic bWU6czMgY3ImdA=="),
            "",
        ),
        (form, None, "token=x&client_secret=s3%20cr%26t"),
        (
            ", method = \"POST\", credential = { form-field = [\"a b\", \"token\"] }",
            None,
            "a%20b=s3%20cr%26t",
        ),
    ];
    for (ask, authorization, body) in cases {
        let server = Upstream::text("yes");
        let gateway = started(server.address(), "", &[ask]);
        assert_eq!(gateway.get("/").json()[0]["body"], "yes", "{ask}");
        let received = server.only_request();
        assert_eq!(received.header("authorization"), authorization, "{ask}");
        assert_eq!(String::from_utf8_lossy(&received.body), body, "{ask}");
        let log = gateway.log().text();
        assert!(!log.contains("s3 cr") && !log.contains("czMgY3"), "{log}");
    }
}

#[test]
fn rfc_6749_with_basic_form_user_and_password_are_encoded_as_in_forms() {
    for (user, more, pair) in [
        ("a b+c", "basic = \"form\"", "a%20b%2Bc:s3%20cr%26t"),
        ("a:b", "basic = \"form\"", "a%3Ab:s3%20cr%26t"),
        ("a b+c", "", "a b+c:s3 cr&t"),
    ] {
        let server = Upstream::text("yes");
        let ask = format!(", credential = {{ basic = [\"{user}\", \"token\"] }}");
        let gateway = started(server.address(), more, &[&ask]);
        assert_eq!(gateway.get("/").json()[0]["body"], "yes", "{user}");
        let credential = format!("Basic {}", STANDARD.encode(pair));
        let received = server.only_request();
        assert_eq!(received.header("authorization"), Some(&*credential));
    }
}

#[test]
fn a_request_that_cannot_be_sent_is_the_filter_s_to_know_and_reaches_nobody() {
    let server = Upstream::text("yes");
    for ask in [
        ", method = \"CONNECT\"",
        ", method = \"GE T\"",
        ", path = \"a\"",
        ", path = \"/../admin\"",
        ", path = \"/%2e%2E/admin\"",
        ", path = \"/a/..%2fadmin\"",
        ", path = \"/a/..;x/admin\"",
        ", path = \"/a b\"",
        ", path = \"@evil.example/\"",
        ", path = \"//a/../b\"",
        ", headers = [[\"host\", \"evil.example\"]]",
        ", headers = [[\"content-length\", \"1\"]]",
        ", headers = [[\"transfer-encoding\", \"chunked\"]]",
        ", headers = [[\"x\", \"a\\r\\nb: c\"]]",
        ", headers = [[\"a b\", \"c\"]]",
        ", body = \"12345\"",
        ", body = \"{}\", credential = { form-field = [\"a\", \"token\"] }",
        ", credential = { basic = [\"a:b\", \"token\"] }",
    ] {
        let gateway = started(server.address(), "max_request = \"4B\"", &[ask]);
        let report = gateway.get("/").json();
        assert!(report[0]["invalid"].is_string(), "{ask}: {report}");
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn an_answer_that_is_late_broken_large_or_absent_is_told_by_its_kind() {
    let late = Upstream::slow(Duration::from_secs(60), Reply::status(200));
    let broken = Upstream::raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        Then::Close,
    );
    let garbage = Upstream::raw("what?\r\n\r\n", Then::Close);
    let large = Upstream::bytes(5);
    let switches = Upstream::raw(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        Then::Hold,
    );
    // HTTP defines no such status, but its parsers accept both.
    let beyond = ["600", "999"].map(|status| {
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
        Upstream::raw(answer, Then::KeepAlive)
    });
    let absent = Upstream::text("").kill();
    for (server, why) in [
        (late.address(), "Timeout"),
        (broken.address(), "Unreachable"),
        (garbage.address(), "Unreachable"),
        (large.address(), "TooLarge"),
        (switches.address(), "Unreachable"),
        (beyond[0].address(), "Unreachable"),
        (beyond[1].address(), "Unreachable"),
        (absent, "Unreachable"),
    ] {
        let callout = "timeout = \"500ms\"\nmax_response = \"4B\"";
        let gateway = started(server, callout, &[""]);
        assert_eq!(gateway.get("/").json(), failed(why), "{why}");
        gateway
            .log()
            .wait_for_line(|line| line.contains("callout `auth` fails"));
    }
}

#[test]
fn over_tls_the_server_must_prove_who_it_is() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (identity, offers, body) in [
        (
            authority.issue(&["127.0.0.1"]),
            &["h2", "http/1.1"][..],
            Some("HTTP/2.0"),
        ),
        (
            authority.issue(&["127.0.0.1"]),
            &["http/1.1"],
            Some("HTTP/1.1"),
        ),
        (authority.issue(&["127.0.0.2"]), &["h2"], None),
        (authority.expired(&["127.0.0.1"]), &["h2"], None),
        (stranger.issue(&["127.0.0.1"]), &["h2"], None),
    ] {
        let server = Endpoint::version(Speaks {
            tls: Some(server_tls(&identity, offers, None)),
            ..Speaks::default()
        });
        let url = format!("https://{}", server.address);
        let gateway =
            builder(config(&url, "ca = \"ca.pem\"", &[""])).file("ca.pem", &authority.pem);
        let report = gateway.start().get("/").json();
        match body {
            Some(body) => assert_eq!(report[0]["body"], body),
            None => assert_eq!(report, failed("Unreachable")),
        }
    }
}

#[test]
fn redirects_are_answers() {
    let elsewhere = Upstream::text("elsewhere");
    let location = format!("http://{}/", elsewhere.address());
    let server = Upstream::fixed(Reply::status(302).header("location", &location));
    let report = started(server.address(), "", &[""]).get("/").json();
    assert_eq!(report[0]["status"], 302);
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn two_hundred_identical_calls_at_once_are_one_where_the_filter_says_so() {
    for (ask, made) in [(", share = true", 1), ("", 20)] {
        let server = Upstream::gated(Reply::status(200).body("yes"));
        let gateway = started(server.address(), "", &[ask]);
        let waiting = if made == 1 { 200 } else { made };
        let mut clients: Vec<_> = (0..waiting).map(|_| gateway.client()).collect();
        for client in &mut clients {
            client.send_raw(Request::get("/").bytes());
        }
        gateway.metrics_when("all to wait", |metrics| {
            metrics["windlass_requests_active"] >= float(waiting) && active(metrics) == float(made)
        });
        server.wait_for_requests(made);
        server.release(made);
        for client in &mut clients {
            assert_eq!(client.read_response().json()[0]["body"], "yes");
        }
        assert_eq!(server.count(), made);
    }
}

#[test]
fn shared_calls_that_differ_are_not_one() {
    let server = Upstream::gated(Reply::status(200).body("yes"));
    let gateway = started(
        server.address(),
        "",
        &[", share = true, path = \"?\", path-from = \"x-who\""],
    );
    let mut clients = [gateway.client(), gateway.client()];
    for (client, who) in clients.iter_mut().zip(["a", "b"]) {
        client.send_raw(Request::get("/").header("x-who", who).bytes());
    }
    server.wait_for_requests(2);
    server.release(2);
    for client in &mut clients {
        assert_eq!(client.read_response().json()[0]["body"], "yes");
    }
}

#[test]
fn calls_of_one_key_are_one_whatever_else_they_have_and_of_two_keys_never() {
    let server = Upstream::gated(Reply::status(200).body("yes"));
    let ask = ", share-key-from = \"x-key\", path = \"?\", path-from = \"x-who\"";
    let twice = config(&url(server.address()), "", &[ask]);
    // Another filter with the same key makes a call of its own.
    let (other, filter) = (
        "[[route]]\npath = \"/second\"\nfilters = [\"second\"]\nrespond = {}\n",
        "[filter.second]\nplugin = \"actor.wasm\"\nallow = { interfaces = [\"callout\"], callouts = [\"auth\"] }\n",
    );
    let settings = format!(
        "settings = {{ request = [{{ ask = {{ target = \"auth\"{ask} }} }}, \"report\"] }}\n"
    );
    let gateway = start(format!("{twice}{other}{filter}{settings}"));
    let sent = [
        ("/", "one", "a"),
        ("/", "one", "b"),
        ("/", "two", "a"),
        ("/second", "one", "a"),
    ];
    let mut clients: Vec<_> = sent.iter().map(|_| gateway.client()).collect();
    for (client, (path, key, who)) in clients.iter_mut().zip(sent) {
        let request = Request::get(path).header("x-key", key).header("x-who", who);
        client.send_raw(request.bytes());
    }
    server.wait_for_requests(3);
    gateway.metrics_when("one to join", |metrics| {
        metrics["windlass_callouts_shared_total"] == 1.0
    });
    server.release(3);
    for client in &mut clients {
        assert_eq!(client.read_response().json()[0]["body"], "yes");
    }
    assert_eq!(server.count(), 3);
    for key in [String::new(), "k".repeat(1025)] {
        let report = gateway.send(&Request::get("/").header("x-key", key)).json();
        assert!(report[0]["invalid"].is_string(), "{report}");
    }
}

#[test]
fn calls_of_one_key_with_other_secrets_are_not_one() {
    let server = Upstream::gated(Reply::status(200).body("yes"));
    let asks = [
        ", share-key-from = \"x-key\", credential = { bearer = \"token\" }",
        ", share-key-from = \"x-key\", credential = { basic = [\"me\", \"token\"] }",
        ", share-key-from = \"x-key\"",
        ", share-key-from = \"x-key\", path = \"/again\"",
    ];
    let gateway = started(server.address(), "", &asks);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").header("x-key", "one").bytes());
    server.release(3);
    let report = client.read_response().json();
    assert_eq!(report.as_array().map(Vec::len), Some(4));
    let sent = server.received();
    let sent: Vec<_> = sent.iter().map(|one| one.header("authorization")).collect();
    assert_eq!(
        sent,
        [Some("Bearer s3 cr&t"), Some("Basic bWU6czMgY3ImdA=="), None]
    );
}

#[test]
fn a_worker_goes_on_while_calls_wait_and_beyond_the_bounds_they_fail_at_once() {
    let server = Upstream::gated(Reply::status(200).body("yes"));
    let callout = "max_concurrent = 2\nmax_waiting = 3";
    let gateway = started(server.address(), callout, &[""]);
    let mut clients: Vec<_> = (0..5).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send_raw(Request::get("/").bytes());
    }
    gateway.metrics_when("five calls", |metrics| active(metrics) == 5.0);
    assert_eq!(gateway.get("/other").text(), "other");
    assert_eq!(gateway.get("/").json(), failed("Busy"));
    server.wait_for_requests(2);
    assert_eq!(server.count(), 2);
    server.release(5);
    for client in &mut clients {
        assert_eq!(client.read_response().json()[0]["body"], "yes");
    }
}

#[test]
fn a_call_whose_client_has_left_is_given_up() {
    let server = Upstream::gated(Reply::status(200));
    let gateway = started(server.address(), "", &[""]);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").bytes());
    server.wait_for_requests(1);
    drop(client);
    gateway.metrics_when("the call to end", |metrics| {
        active(metrics) == 0.0 && ended(metrics, "abandoned") == 1.0
    });
    // The endpoint notices the closed connection once it has responded.
    server.release(1);
    server.wait_for_no_connection();
}

#[test]
fn a_name_that_leads_to_this_machine_reaches_nothing_unless_the_operator_allows_it() {
    let server = Upstream::text("yes");
    let port = server.address().port();
    // The C library parses this as 127.0.0.1, although it is not a literal address.
    let url = format!("http://2130706433:{port}/");
    let gateway = start(config(&url, "allow_http = true", &[""]));
    assert_eq!(gateway.get("/").json(), failed("Unreachable"));
    let warning = gateway
        .log()
        .wait_for_line(|line| line.contains("callout `auth` fails"));
    assert!(warning.contains("allow_local = true"), "{warning}");
    assert_eq!(server.count(), 0);
    for (url, more) in [
        (url, "allow_http = true\nallow_local = true"),
        (format!("http://localhost:{port}/"), ""),
    ] {
        let gateway = start(config(&url, more, &[""]));
        assert_eq!(gateway.get("/").json()[0]["body"], "yes", "{url}");
    }
}

#[test]
fn what_is_not_granted_traps_and_the_log_names_the_cure() {
    let server = Upstream::text("yes");
    for (from, to, cure) in [
        (
            "callouts = [\"auth\"]",
            "callouts = []",
            "add `callouts = [\"auth\"]` to its `allow`",
        ),
        ("[\"callout\"]", "[]", "interfaces"),
        (
            "secrets = [\"token\"]",
            "secrets = []",
            "add it to `secrets` in its `allow`",
        ),
        (
            "target = \"auth\"",
            "target = \"\"",
            "add `[callout.<name>]`",
        ),
    ] {
        let url = url(server.address());
        let ask = ", credential = { bearer = \"token\" }";
        let gateway = start(config(&url, "", &[ask]).replacen(from, to, 1));
        assert_eq!(gateway.get("/").code(), "filter_failed");
        let line = gateway
            .log()
            .wait_for_line(|line| line.contains("filter `asks`:"));
        assert!(line.contains(cure), "{line}");
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn the_log_has_the_url_of_a_callout_without_its_query() {
    let url = format!("{}?code=s3cr3t", url(Upstream::text("").kill()));
    let gateway = start(config(&url, "", &[""]));
    assert_eq!(gateway.get("/").json(), failed("Unreachable"));
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("callout `auth` fails"));
    assert!(
        line.contains("/check\"") && !line.contains("s3cr3t"),
        "{line}"
    );
}

#[test]
fn an_outage_is_told_once_and_so_is_its_end() {
    let server = Upstream::text("yes");
    let gateway = started(server.address(), "", &[""]);
    assert_eq!(gateway.get("/").json()[0]["body"], "yes");
    let address = server.kill();
    for _ in 0..3 {
        assert_eq!(gateway.get("/").json(), failed("Unreachable"));
    }
    let _server = Upstream::at(address, |_, stream| {
        Reply::status(200).body("back").write(stream)
    });
    assert_eq!(gateway.get("/").json()[0]["body"], "back");
    gateway
        .log()
        .wait_for_line(|line| line.contains("callout `auth` answers again"));
    let log = gateway.log().text();
    assert_eq!(log.matches("callout `auth` fails").count(), 1, "{log}");
    let metrics = gateway.metrics();
    assert_eq!(ended(&metrics, "answered"), 2.0);
    assert_eq!(ended(&metrics, "unreachable"), 3.0);
}
