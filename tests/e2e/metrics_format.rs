//! `/metrics` in the format that the scraper asks for.

use std::io::Write as _;
use std::process::{Command, Stdio};

use windlass_tests::{Client, Gateway, Request, Response, Upstream};

use crate::config::{api_key, filtered, key, stamp};
use crate::operator::{self, READ, STORE, WRITE};
use crate::wire::Authority;

/// The `Accept` header of Prometheus 3.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
     text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

fn scrape(gateway: &Gateway, accept: Option<&str>) -> Response {
    let request = Request::get("/metrics");
    let request = match accept {
        Some(accept) => request.header("accept", accept),
        None => request,
    };
    Client::connect(gateway.admin_address()).send(&request)
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let gateway = Gateway::with_config("[[route]]\npath = \"/\"\nrespond = {}\n").start();
    for (accept, kind, counter) in [
        (
            Some(PROMETHEUS),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "windlass_requests",
        ),
        (
            Some("application/openmetrics-text"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "windlass_requests",
        ),
        (
            None,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "windlass_requests",
        ),
        (
            Some("*/*"),
            "text/plain; version=0.0.4; charset=utf-8",
            "windlass_requests_total",
        ),
        (
            Some("text/plain;version=0.0.4"),
            "text/plain; version=0.0.4; charset=utf-8",
            "windlass_requests_total",
        ),
        (
            Some("application/json"),
            "text/plain; version=0.0.4; charset=utf-8",
            "windlass_requests_total",
        ),
    ] {
        let answer = scrape(&gateway, accept);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{accept:?}"
        );
        assert_eq!(answer.header("vary"), Some("accept"));
        let text = answer.text();
        assert!(
            text.contains(&format!("# TYPE {counter} counter\n")),
            "{accept:?}: {text}"
        );
        assert!(
            text.contains("\nwindlass_requests_total{worker=\"0\"} 0"),
            "{accept:?}: {text}"
        );
        assert_eq!(
            text.ends_with("# EOF\n"),
            kind.starts_with("application"),
            "{accept:?}"
        );
    }
}

/// All metrics of a gateway in use have names, help texts and types that Prometheus's linter
/// accepts.
#[test]
#[ignore = "it calls promtool"]
fn promtool_has_nothing_to_say() {
    let identity = Authority::new().issue(&["localhost"]);
    let endpoint = Upstream::text("one");
    let config = filtered(&["keys", "plan", "one"], endpoint.address())
        + "health = { path = \"/\", interval = \"1s\" }\nlimits = { max_active = 10 }\n"
        + &api_key("{}")
        + "\n[filter.plan]\nplugin = \"builtin:usage-plan\"\n"
        + &stamp("one")
        + &key("k", "acme", "a-key-that-is-good", "plan = \"gold\"")
        + "\n[plan.gold]\nrate = 100\nburst = 100\nquota = { limit = 100, period = \"day\" }\n\
           [[listener]]\naddress = \"127.0.0.1:0\"\n\
           [[listener]]\naddress = \"127.0.0.1:0\"\ntls = { certificate = \"api.pem\", key = \"api.key\" }\n"
        + STORE;
    let gateway = Gateway::with_config(config)
        .file("api.pem", identity.certificate)
        .file("api.key", identity.key)
        .file("ops.token", WRITE)
        .file("view.token", READ)
        .start();
    let good = Request::get("/").header("x-api-key", "a-key-that-is-good");
    assert_eq!(gateway.send(&good).status, 200);
    assert_eq!(gateway.get("/").status, 401);
    operator::create(&gateway, "{\"consumer\":\"other\"}");
    let text = scrape(&gateway, Some("*/*"));
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    let mut input = promtool.stdin.take().unwrap();
    input.write_all(text.text().as_bytes()).unwrap();
    drop(input);
    let said = promtool.wait_with_output().unwrap();
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let words = (words(&said.stdout), words(&said.stderr));
    assert_eq!(words, (String::new(), String::new()));
    assert!(said.status.success());
}
