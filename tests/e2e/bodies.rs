//! How filters get bodies: not at all, in chunks, or whole.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::{Arc, mpsc};

use windlass_tests::wait::DEADLINE;
use windlass_tests::{Gateway, Reply, Request, Then, Upstream};

use crate::config::{filtered, start};

/// A gateway with one actor, `actor`, in front of this endpoint.
fn gateway(settings: &str, more: &str, upstream: &Upstream) -> Gateway {
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    start(&[
        &filtered(&["actor"], upstream.address()),
        &format!("\n[filter.actor]\nplugin = \"{plugin}\"\nsettings = {settings}\n{more}\n"),
    ])
}

#[test]
fn a_body_in_pieces_is_edited_on_its_way_in_both_directions() {
    let upstream = Upstream::with(|request, stream| {
        Reply::status(200).body(request.body.clone()).write(stream)
    });
    let gateway = gateway(
        r#"{ request = ["chunks"], request-body = [{ prepend-piece = "<" }],
             response = ["chunks"], response-body = [{ append-piece = ">" }] }"#,
        "",
        &upstream,
    );
    let answer = gateway.send(&Request::post("/", "body"));
    let request = upstream.only_request();
    let seen = String::from_utf8(request.body).unwrap();
    assert!(seen.starts_with("<body"), "{seen}");
    assert!(
        answer.text().starts_with(&format!("{seen}>")),
        "{}",
        answer.text()
    );
    assert_eq!(request.head.all("content-length").count(), 0);
}

#[test]
fn a_whole_body_is_seen_once() {
    let upstream = Upstream::with(|request, stream| {
        Reply::status(200).body(request.body.clone()).write(stream)
    });
    let gateway = gateway(
        r#"{ request = [{ whole = 100000 }],
             request-body = [{ prepend-piece = "<" }, { append-piece = ">" }],
             response = [{ whole = 100000 }],
             response-body = [{ prepend-piece = "[" }, { append-piece = "]" }] }"#,
        "",
        &upstream,
    );
    let body = "a".repeat(50_000);
    for request in [
        Request::post("/", body.clone()),
        Request::post("/", body.clone()).chunked(),
    ] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), format!("[<{body}>]"));
    }
    assert_eq!(gateway.get("/").text(), "[<>]");
}

#[test]
fn a_request_over_the_bound_of_whole_is_413() {
    let upstream = Upstream::text("ok");
    let gateway = gateway("{ request = [{ whole = 10 }] }", "", &upstream);
    assert_eq!(gateway.send(&Request::post("/", "0123456789")).status, 200);
    for request in [
        Request::post("/", "0123456789a"),
        Request::post("/", "0123456789a").chunked(),
    ] {
        let answer = gateway.send(&request);
        assert_eq!((answer.status, &*answer.code()), (413, "body_too_large"));
    }
    assert_eq!(upstream.count(), 1);
}

#[test]
fn a_response_over_the_bound_of_whole_is_502() {
    let upstream = Upstream::text("0123456789a");
    let gateway = gateway("{ response = [{ whole = 10 }] }", "", &upstream);
    let answer = gateway.get("/");
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "response_body_too_large")
    );
}

#[test]
fn a_body_may_be_replaced_by_one_up_to_the_bound() {
    let upstream = Upstream::with(|request, stream| {
        Reply::status(200).body(request.body.clone()).write(stream)
    });
    let replaced = |text: &str| {
        let settings = format!(
            r#"{{ request = [{{ whole = 1000 }}], request-body = [{{ replace-piece = "{text}" }}] }}"#
        );
        let gateway = gateway(&settings, "limits = { body = \"16B\" }", &upstream);
        gateway.send(&Request::post("/", "0123456789abcdef"))
    };
    assert_eq!(replaced("fedcba9876543210").text(), "fedcba9876543210");
    // If an edit is refused, the actor lets the request pass unchanged.
    assert_eq!(replaced("fedcba98765432100").text(), "0123456789abcdef");
}

#[test]
fn a_filter_can_answer_on_a_body() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(
        r#"{ request = [{ whole = 1000 }],
             request-body = [{ respond = { status = 422, reason = "no_good" } }] }"#,
        "",
        &upstream,
    );
    let answer = gateway.send(&Request::post("/", "{}"));
    assert_eq!((answer.status, &*answer.code()), (422, "no_good"));
    assert_eq!(upstream.count(), 0);
}

#[test]
fn a_body_that_no_filter_asked_for_enters_none() {
    let upstream = Upstream::text("ok");
    let gateway = gateway(
        r#"{ request-body = ["trap"], response-body = ["trap"] }"#,
        "",
        &upstream,
    );
    assert_eq!(gateway.send(&Request::post("/", "body")).text(), "ok");
    // One call for each head and none for the bodies; the log phase comes later.
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_filter_failures_total"], 0.0);
}

#[test]
fn pieces_pass_before_the_body_has_ended() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Arc::new(Mutex::new(told));
    let upstream = Upstream::with(move |_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        let told = told.lock().unwrap();
        told.recv_timeout(DEADLINE)
            .map_err(|_| std::io::ErrorKind::TimedOut)?;
        stream.write_all(b"4\r\nlast\r\n0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = gateway(r#"{ response = ["chunks"] }"#, "", &upstream);
    let mut client = gateway.client();
    client.send_raw(Request::get("/").bytes());
    let head = client.read_head();
    let mut pieces = Vec::new();
    // The endpoint sends the end of the body only after the client has read the beginning.
    let mut go_on = Some(go_on);
    client.read_body(head.framing().unwrap().unwrap(), |piece| {
        pieces.extend_from_slice(piece);
        if let Some(go_on) = go_on.take() {
            go_on.send(()).unwrap();
        }
    });
    assert_eq!(pieces, b"firstlast");
}
