//! The access log: one line of JSON for each exchange.

use serde_json::Value;
use windlass_tests::{ClosedPort, Gateway, Request, Then, Upstream};

use crate::config::{all_to, start, upstream};

fn lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    assert!(gateway.terminate().success());
    let text = gateway.output().whole();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert_eq!(lines.len(), count, "{text}");
    lines
}

#[test]
fn a_line_tells_what_the_exchange_was() {
    let endpoint = Upstream::text("four");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[api.shop]\nstage = \"prod\"\n",
        "[[route]]\nname = \"order\"\napi = \"shop\"\npath = \"/orders/{id}\"\nupstream = \"app\"\n",
        &upstream("app", &[endpoint.address()]),
    ]);
    let answer = gateway.send(&Request::post("/orders/1?secret=1", "12345"));
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["request"].as_str(), answer.header("x-request-id"));
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!(line["method"], "POST");
    assert_eq!(line["host"], "gateway.test");
    assert_eq!(line["path"], "/orders/1");
    assert_eq!(line["route"], "order");
    assert_eq!(line["api"], "shop");
    assert_eq!(line["status"], 200);
    assert_eq!(line["upstream"], "app");
    assert_eq!(line["endpoint"], endpoint.address().to_string());
    assert_eq!(line["request_bytes"], 5);
    assert_eq!(line["response_bytes"], 4);
    assert_eq!(line["failure"], Value::Null);
    assert_eq!(line["filter"], Value::Null);
    assert!(
        line["duration_us"].as_u64() >= line["upstream_us"].as_u64(),
        "{line}"
    );
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

#[test]
fn a_line_tells_what_failed() {
    let port = ClosedPort::new();
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &all_to(port.address()).replacen("$default", "/broken", 1),
    ]);
    assert_eq!(gateway.get("/broken").status, 502);
    assert_eq!(gateway.get("/nothing").status, 404);
    let lines = lines(&gateway, 2);
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    assert_eq!(
        (&of("/broken")["status"], &of("/broken")["failure"]),
        (&502.into(), &"connect_failed".into())
    );
    assert_eq!(
        (&of("/nothing")["status"], &of("/nothing")["failure"]),
        (&404.into(), &"no_route".into())
    );
    assert_eq!(of("/nothing")["route"], Value::Null);
}

/// This includes a response whose head was already sent.
#[test]
fn a_line_tells_why_an_answer_was_cut() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome";
    for (then, keys, failure, cause) in [
        (Then::Close, "", "response_broken", "broke off"),
        (
            Then::Hold,
            "idle_timeout = \"1s\"\n",
            "response_broken",
            "sent nothing",
        ),
        (
            Then::Hold,
            "total_timeout = \"1s\"\n",
            "total_timeout",
            "did not end",
        ),
    ] {
        let endpoint = Upstream::raw(head, then);
        let gateway = start(&[
            "[log]\naccess = \"stdout\"\n",
            &all_to(endpoint.address()),
            keys,
        ]);
        assert!(gateway.client().try_send(&Request::get("/")).is_err());
        let name = format!("the answer of `{}` was cut", endpoint.address());
        let told = gateway.log().wait_for_line(|line| line.contains(&name));
        assert!(told.contains("WARN") && told.contains(cause), "{told}");
        let errors = gateway.metrics().by("windlass_errors_total", "code");
        assert_eq!(errors.get(failure), Some(&1.0));
        let line = lines(&gateway, 1).remove(0);
        assert_eq!(
            (&line["status"], &line["failure"]),
            (&200.into(), &failure.into())
        );
    }
}

#[test]
fn a_line_tells_whether_the_client_went_away_or_the_gateway_stopped() {
    let endpoint = Upstream::raw(
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome",
        Then::Hold,
    );
    let gateway = start(&[
        "[server]\ndrain_timeout = \"200ms\"\n[log]\naccess = \"stdout\"\n",
        &all_to(endpoint.address()),
    ]);
    let mut gone = gateway.client();
    gone.send_raw("GET /gone HTTP/1.1\r\nhost: a\r\n\r\n");
    endpoint.wait_for_requests(1);
    drop(gone);
    gateway.metrics_when("the client to be gone", |metrics| {
        metrics["windlass_requests_active"] == 0.0
    });
    let mut stays = gateway.client();
    stays.send_raw("GET /stays HTTP/1.1\r\nhost: a\r\n\r\n");
    endpoint.wait_for_requests(2);
    gateway.signal(rustix::process::Signal::TERM);
    // The drain ends with one exchange in progress.
    let _ = gateway.wait_for_end();
    let text = gateway.output().whole();
    let failure = |path: &str| {
        let line = text.lines().find(|line| line.contains(path)).unwrap();
        serde_json::from_str::<Value>(line).unwrap()["failure"].clone()
    };
    assert_eq!(failure("/gone"), "client_gone");
    assert_eq!(failure("/stays"), "gateway_stopped");
}

/// Failures to reach an endpoint are counted in the metrics; the log shows only some of them.
#[test]
fn the_log_gets_some_lines_of_one_kind_a_second_and_the_rest_is_counted() {
    let port = ClosedPort::new();
    let gateway = start(&["[server]\nworkers = 1\n", &all_to(port.address())]);
    let report = gateway.load(Request::get("/")).connections(4).run(400);
    assert_eq!(report.status(502), 400);
    let told = || {
        let lines = gateway.log().all();
        let told = lines.iter().filter(|line| line.contains("connect_failed"));
        told.count()
    };
    let before = told();
    assert!((10..400).contains(&before), "{before}");
    // The next line, a moment later, gives the number of those left out.
    windlass_tests::wait::until("a line with the number", || {
        assert_eq!(gateway.get("/").status, 502);
        let lines = gateway.log().all();
        lines.into_iter().find(|line| line.contains("left_out"))
    });
}

#[test]
fn a_line_names_the_filter_that_refused() {
    let endpoint = Upstream::text("ok");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &crate::config::filtered(&["keys"], endpoint.address()),
        &crate::config::api_key("{}"),
    ]);
    assert_eq!(gateway.get("/").status, 401);
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["filter"], "keys", "{line}");
    assert_eq!(line["failure"], "api_key_missing", "{line}");
}

/// This includes a filter that refuses after the response's head was sent. That is not a failure of
/// the filter.
#[test]
fn a_line_names_the_filter_that_ended_an_answer() {
    let endpoint = Upstream::text("some");
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n",
        &crate::config::filtered(&["actor"], endpoint.address()),
        &format!("[filter.actor]\nplugin = \"{plugin}\"\n"),
        "settings = { response = [\"chunks\"], response-body = [{ respond = { status = 422, reason = \"no_good\" } }] }\n",
    ]);
    assert!(gateway.client().try_send(&Request::get("/")).is_err());
    let errors = gateway.metrics().by("windlass_errors_total", "code");
    assert_eq!(errors.get("filter_failed"), Some(&0.0));
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(
        (&line["failure"], &line["filter"]),
        (&"no_good".into(), &"actor".into())
    );
}

#[test]
fn bytes_of_a_client_cannot_break_a_line() {
    let gateway = start(&[
        "[log]\naccess = \"stdout\"\n[[route]]\npath = \"$default\"\nrespond = { body = \"ok\" }\n",
    ]);
    assert_eq!(gateway.get("/a\"},{%0a\"b").status, 200);
    let line = lines(&gateway, 1).remove(0);
    assert_eq!(line["path"], "/a\"},{%0a\"b");
}

#[test]
fn a_file_is_appended_to() {
    let config =
        "[log]\naccess = \"access.log\"\n[[route]]\npath = \"/\"\nrespond = { body = \"ok\" }\n";
    let gateway = Gateway::with_config(config)
        .file("access.log", "{}\n")
        .start();
    assert_eq!(gateway.get("/").status, 200);
    assert!(gateway.terminate().success());
    let written = std::fs::read_to_string(gateway.folder().join("access.log")).unwrap();
    assert_eq!(written.lines().count(), 2, "{written}");
}

/// Each attempt has its endpoint, its time and its fault, so that the log names the slow or broken
/// endpoint.
#[test]
fn a_line_lists_the_attempts_of_a_request_that_was_retried() {
    let good = Upstream::text("good");
    let slow = Upstream::raw("", Then::Hold);
    let down = ClosedPort::new();
    let busy = Upstream::fixed(windlass_tests::Reply::status(503));
    for (bad, fault) in [
        (slow.address(), "first_byte_timeout"),
        (down.address(), "connect_failed"),
        (busy.address(), "status 503"),
    ] {
        let gateway = start(&[
            "[log]\naccess = \"stdout\"\n",
            &all_to(bad).replacen(
                "endpoints = [",
                &format!(
                    "retries = {{ try_timeout = \"1s\", statuses = \"503\", budget_rate = 1000 }}\n\
                     ejection = {{ faults = 0 }}\nendpoints = [{{ address = \"{}\" }}, ",
                    good.address()
                ),
                1,
            ),
        ]);
        for _ in 0..4 {
            assert_eq!(gateway.get("/").text(), "good");
        }
        let lines = lines(&gateway, 4);
        let retried = lines.iter().find(|line| !line["attempts"].is_null());
        let retried = retried.unwrap_or_else(|| panic!("{lines:?}"));
        let [first, last] = &**retried["attempts"].as_array().unwrap() else {
            panic!("{retried}");
        };
        assert_eq!(first["endpoint"], bad.to_string());
        assert_eq!(first["fault"], fault);
        assert_eq!(last["endpoint"], good.address().to_string());
        assert_eq!(last["fault"], Value::Null);
        let us = |attempt: &Value| attempt["us"].as_u64().unwrap();
        assert!(us(first) + us(last) <= retried["duration_us"].as_u64().unwrap());
        if fault == "first_byte_timeout" {
            assert!(us(first) >= 1_000_000, "{retried}");
        }
        assert!(
            lines.iter().any(|line| line["attempts"].is_null()),
            "{lines:?}"
        );
    }
}

#[test]
fn a_line_lists_the_attempts_of_a_request_that_failed() {
    let resets = Upstream::raw("", Then::Reset);
    let gateway = start(&["[log]\naccess = \"stdout\"\n", &all_to(resets.address())]);
    assert_eq!(gateway.get("/").status, 502);
    let line = lines(&gateway, 1).remove(0);
    let attempts = line["attempts"].as_array().unwrap();
    let faults: Vec<_> = attempts.iter().map(|attempt| &attempt["fault"]).collect();
    assert_eq!(faults, ["upstream_closed", "upstream_closed"], "{line}");
}
