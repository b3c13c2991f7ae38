//! Bodies: whole or in chunks, in both directions, and the framing of a message after an edit.

use std::io::Write as _;

use windlass_tests::http::Framing;
use windlass_tests::{Gateway, Reply, Request, Then, Upstream};

use crate::stage::Stage;

fn of(upstream: &Upstream, settings: &str) -> Gateway {
    let keys = format!(
        "limits = {{ body = \"64KiB\", cpu = \"1s\" }}\nsettings = {{ tell = true, {settings} }}"
    );
    Stage::of_one_actor(upstream, &keys).start()
}

/// The report of each run of a phase. Ends the gateway, so that no line is missing.
fn told(gateway: &Gateway, phase: &str) -> Vec<String> {
    assert!(gateway.terminate().success());
    let start = format!(" {phase} gave ");
    let log = gateway.log().whole();
    log.lines()
        .filter_map(|line| Some(line.split_once(&start)?.1.to_owned()))
        .map(|rest| rest[..=rest.rfind(']').unwrap()].to_owned())
        .collect()
}

#[test]
fn a_whole_request_body_is_read_by_range_and_edited() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = [{ whole = 1000 }], request-body = [{ read-piece = [0, 100] }, { read-piece = [4, 4] },
            { read-piece = [6, 100] }, { read-piece = [100, 1] }, { prepend-piece = "<" }, { append-piece = ">" },
            { read-piece = [0, 100] }, { set-header = ["request", "x-length", "late"] }]"#,
    );
    let request = Request::post("/act", "the body")
        .header("content-digest", "sha-256=:AAAA:")
        .header("digest", "x")
        .header("etag", "\"strong\"");
    for (n, request) in [request.clone(), request.chunked()].into_iter().enumerate() {
        assert_eq!(gateway.send(&request).status, 200);
        let sent = &upstream.received()[n];
        assert_eq!(sent.body, b"<the body>");
        assert_eq!(
            sent.header("content-length"),
            Some("10"),
            "the whole is known"
        );
        assert_eq!(
            sent.header("x-length"),
            Some("late"),
            "the head was held back"
        );
        for gone in ["content-digest", "digest", "etag"] {
            assert_eq!(sent.header(gone), None, "{gone}");
        }
    }
    assert_eq!(
        told(&gateway, "request-body")[0],
        r#"["the body","body","dy","","ok","ok","<the body>","ok"]"#
    );
}

#[test]
fn a_body_that_is_only_looked_at_goes_on_as_it_came() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = [{ whole = 1000 }], request-body = [{ read-piece = [0, 1] }]"#,
    );
    let request = Request::post("/act", "the body")
        .header("content-digest", "sha-256=:AAAA:")
        .header("etag", "W/\"weak\"");
    assert_eq!(gateway.send(&request).status, 200);
    let sent = upstream.only_request();
    assert_eq!(sent.body, b"the body");
    assert_eq!(sent.header("content-digest"), Some("sha-256=:AAAA:"));
    assert_eq!(sent.header("etag"), Some("W/\"weak\""));
}

#[test]
fn a_body_may_be_replaced_by_another_or_by_none() {
    for (with, expected) in [
        ("another, which is longer", "another, which is longer"),
        ("", ""),
    ] {
        let upstream = Upstream::echo();
        let settings = format!(
            "request = [{{ whole = 1000 }}], request-body = [{{ replace-piece = \"{with}\" }}]"
        );
        let gateway = of(&upstream, &settings);
        assert_eq!(gateway.client().post("/act", "the body").status, 200);
        assert_eq!(upstream.only_request().body, expected.as_bytes());
    }
}

#[test]
fn a_request_body_over_the_max_is_413_and_never_sent() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = [{ whole = 1000 }], request-body = ["skip"]"#,
    );
    let fits = Request::post("/act", vec![b'x'; 1000]);
    let large = Request::post("/act", vec![b'x'; 1001]);
    for request in [fits.clone(), fits.chunked()] {
        assert_eq!(gateway.send(&request).status, 200);
    }
    for request in [large.clone(), large.chunked()] {
        let answer = gateway.send(&request);
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (413, "body_too_large")
        );
    }
    assert_eq!(upstream.count(), 2);
    assert_eq!(told(&gateway, "request-body").len(), 2);
}

#[test]
fn the_operators_bound_lowers_the_filters() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = [{ whole = 1000000000 }], request-body = ["skip"]"#,
    );
    let answer = gateway.client().post("/act", vec![b'x'; (64 << 10) + 1]);
    assert_eq!(answer.status, 413);
    assert_eq!(
        gateway.client().post("/act", vec![b'x'; 64 << 10]).status,
        200
    );
}

#[test]
fn an_empty_body_is_one_call() {
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let upstream = Upstream::echo();
        let settings = format!("request = [{mode}], request-body = [{{ read-piece = [0, 10] }}]");
        let gateway = of(&upstream, &settings);
        assert_eq!(gateway.get("/act").status, 200);
        assert_eq!(told(&gateway, "request-body"), [r#"[""]"#], "{mode}");
        let sent = upstream.only_request();
        assert_eq!(sent.length, 0);
        assert_eq!(sent.header("transfer-encoding"), None, "{mode}");
    }
}

#[test]
fn an_empty_body_may_become_one() {
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let upstream = Upstream::echo();
        let settings =
            format!("request = [{mode}], request-body = [{{ append-piece = \"made\" }}]");
        let gateway = of(&upstream, &settings);
        assert_eq!(gateway.get("/act").status, 200);
        assert_eq!(upstream.only_request().body, b"made", "{mode}");
    }
}

#[test]
fn pieces_pass_in_order_and_the_last_is_told() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = ["chunks"], request-body = [{ prepend-piece = "[" }, { append-piece = "]" }]"#,
    );
    let mut client = gateway.client();
    client.send_raw(
        "POST /act HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
    );
    gateway
        .log()
        .wait_for_line(|line| line.contains("request-body gave"));
    client.send_raw("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    let body = String::from_utf8(upstream.only_request().body).unwrap();
    // The end arrived with the second chunk, or after it as an empty chunk.
    assert!(body == "[one][two]" || body == "[one][two][]", "{body}");
}

#[test]
fn a_filter_that_wants_more_gets_it_joined() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = ["chunks"], request-body = [{ read-piece = [0, 100] }, "more"]"#,
    );
    let mut client = gateway.client();
    client.send_raw(
        "POST /act HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
    );
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"request-body gave ["one"]"#));
    client.send_raw("3\r\ntwo\r\n0\r\n\r\n");
    assert_eq!(client.read_response().status, 200);
    assert_eq!(upstream.only_request().body, b"onetwo");
    assert_eq!(
        told(&gateway, "request-body").last().unwrap(),
        r#"["onetwo"]"#
    );
}

#[test]
fn a_filter_that_is_done_is_called_no_more() {
    let upstream = Upstream::echo();
    let gateway = of(
        &upstream,
        r#"request = ["chunks"], request-body = [{ prepend-piece = "[" }, "done"]"#,
    );
    let answer = gateway.send(&Request::post("/act", vec![b'x'; 200 << 10]).chunked());
    assert_eq!(answer.status, 200);
    assert_eq!(upstream.only_request().length, (200 << 10) + 1);
    assert_eq!(told(&gateway, "request-body").len(), 1);
}

#[test]
fn a_filter_may_answer_from_the_body() {
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let upstream = Upstream::echo();
        let settings = format!(
            "request = [{mode}], request-body = [{{ respond = {{ status = 422, reason = \"no_good\" }} }}]"
        );
        let gateway = of(&upstream, &settings);
        let answer = gateway.client().post("/act", "the body");
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (422, "no_good"),
            "{mode}"
        );
        assert!(
            upstream
                .received()
                .iter()
                .all(|request| request.length == 0),
            "{mode}"
        );
    }
}

#[test]
fn a_later_filter_sees_the_head_that_an_earlier_one_made_from_the_body() {
    let upstream = Upstream::echo();
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("pieces", r#"settings = { request = ["chunks"], request-body = [{ prepend-piece = "+" }, "done"] }"#)
        .actor("whole", r#"settings = { tell = true, request = [{ whole = 1000 }],
            request-body = [{ read-piece = [0, 100] }, { set-header = ["request", "x-from-body", "1"] }] }"#)
        .actor("last", r#"settings = { tell = true, request = [{ header = ["request", "x-from-body"] }] }"#)
        .route("/act", &["pieces", "whole", "last"])
        .start();
    assert_eq!(gateway.client().post("/act", "body").status, 200);
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"request-body gave ["+body","ok"]"#));
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"request gave ["1"]"#));
    assert_eq!(upstream.only_request().body, b"+body");
}

#[test]
fn a_whole_response_body_is_edited_and_framed_anew() {
    let upstream = Upstream::fixed(
        Reply::status(200)
            .header("etag", "\"strong\"")
            .header("content-digest", "sha-256=:AAAA:")
            .header("repr-digest", "sha-256=:AAAA:")
            .header("content-encoding", "identity")
            .body("the body"),
    );
    let gateway = of(
        &upstream,
        r#"response = [{ whole = 1000 }], response-body = [{ read-piece = [0, 100] }, { replace-piece = "another body" },
            { set-header = ["response", "x-late", "1"] }, { set-status = 201 }]"#,
    );
    let answer = gateway.get("/act");
    assert_eq!((answer.status, answer.text()), (201, "another body"));
    assert_eq!(answer.header("content-length"), Some("12"));
    assert_eq!(answer.header("x-late"), Some("1"));
    assert_eq!(answer.header("content-encoding"), Some("identity"));
    for gone in ["etag", "content-digest", "repr-digest"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(
        told(&gateway, "response-body"),
        [r#"["the body","ok","ok","ok"]"#]
    );
}

#[test]
fn a_weak_etag_outlives_an_edit() {
    let upstream = Upstream::fixed(
        Reply::status(200)
            .header("etag", "W/\"weak\"")
            .body("the body"),
    );
    let gateway = of(
        &upstream,
        r#"response = [{ whole = 1000 }], response-body = [{ append-piece = "!" }]"#,
    );
    assert_eq!(gateway.get("/act").header("etag"), Some("W/\"weak\""));
}

#[test]
fn a_response_body_over_the_max_is_502() {
    let upstream = Upstream::bytes(1001);
    let gateway = of(
        &upstream,
        r#"response = [{ whole = 1000 }], response-body = ["skip"]"#,
    );
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "response_body_too_large")
    );
}

#[test]
fn pieces_of_a_response_pass_the_filters_in_reverse() {
    let upstream = Upstream::text("body");
    let wraps = |by: &str| {
        format!(
            r#"settings = {{ response = ["chunks"], response-body = [{{ append-piece = "{by}" }}, "done"] }}"#
        )
    };
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("a", &wraps("a"))
        .actor("b", &wraps("b"))
        .route("/act", &["a", "b"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(answer.text(), "bodyba");
    assert_eq!(answer.framing, Some(Framing::Chunked));
}

#[test]
fn a_response_without_a_body_has_no_body_call() {
    let upstream = Upstream::with(|request, stream| {
        let status = match request.target.as_str() {
            "/act?204" => 204,
            "/act?304" => 304,
            _ => 200,
        };
        if request.method == "HEAD" {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")?;
            return Ok(Then::KeepAlive);
        }
        Reply::status(status).body("the body").write(stream)
    });
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let settings = format!("response = [{mode}], response-body = [{{ append-piece = \"!\" }}]");
        let gateway = of(&upstream, &settings);
        assert_eq!(gateway.send(&Request::new("HEAD", "/act")).status, 200);
        assert_eq!(gateway.get("/act?204").status, 204);
        assert_eq!(gateway.get("/act?304").status, 304);
        assert_eq!(gateway.get("/act").text(), "the body!", "{mode}");
        assert_eq!(
            told(&gateway, "response-body").len(),
            1,
            "{mode}: the one with a body"
        );
    }
}

#[test]
fn an_empty_response_body_is_one_call() {
    let upstream = Upstream::text("");
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let settings =
            format!("response = [{mode}], response-body = [{{ append-piece = \"made\" }}]");
        let gateway = of(&upstream, &settings);
        assert_eq!(gateway.get("/act").text(), "made", "{mode}");
        assert_eq!(told(&gateway, "response-body").len(), 1, "{mode}");
    }
}

#[test]
fn trailers_of_a_request_are_read_and_edited_in_the_last_call() {
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let upstream = Upstream::echo();
        let settings = format!(
            r#"request = [{mode}, {{ header = ["trailers", "x-sum"] }}],
                request-body = [{{ header = ["trailers", "x-sum"] }}, {{ set-header = ["trailers", "x-sum", "2"] }},
                                {{ set-header = ["trailers", "x-new", "1"] }}, {{ set-header = ["trailers", "content-length", "1"] }}]"#
        );
        let gateway = of(&upstream, &settings);
        let mut client = gateway.client();
        client.send_raw(
            "POST /act HTTP/1.1\r\nhost: a\r\ntrailer: x-sum, x-new\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n",
        );
        assert_eq!(client.read_response().status, 200, "{mode}");
        let sent = upstream.only_request();
        assert_eq!(sent.body, b"body", "{mode}");
        let mut trailers = sent.trailers;
        trailers.sort();
        assert_eq!(
            trailers,
            [
                ("x-new".to_owned(), "1".to_owned()),
                ("x-sum".to_owned(), "2".to_owned())
            ],
            "{mode}"
        );
        assert_eq!(
            told(&gateway, "request-body").last().unwrap(),
            r#"["1","ok","ok","forbidden"]"#
        );
    }
}

#[test]
fn trailers_of_a_response_are_read_and_edited() {
    let upstream = Upstream::raw(
        "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 1\r\n\r\n",
        Then::KeepAlive,
    );
    for mode in ["{ whole = 1000 }", "\"chunks\""] {
        let settings = format!(
            r#"response = [{mode}], response-body = [{{ header = ["trailers", "x-sum"] }}, {{ set-header = ["trailers", "x-sum", "2"] }}]"#
        );
        let gateway = of(&upstream, &settings);
        let answer = gateway.send(&Request::get("/act").header("te", "trailers"));
        assert_eq!(answer.text(), "body", "{mode}");
        assert_eq!(
            answer.trailers,
            [("x-sum".to_owned(), "2".to_owned())],
            "{mode}"
        );
        assert_eq!(
            told(&gateway, "response-body").last().unwrap(),
            r#"["1","ok"]"#,
            "{mode}"
        );
    }
}

#[test]
fn a_made_answer_meets_no_body_phase() {
    let upstream = Upstream::text("inner");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("body", r#"settings = { tell = true, response = [{ set-header = ["response", "x-seen", "1"] }, { whole = 1000 }],
            response-body = [{ append-piece = "!" }] }"#)
        .actor("stops", r#"settings = { request = [{ respond = { status = 200, body = "made" } }] }"#)
        .route("/act", &["body", "stops"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.text(), answer.header("x-seen")),
        ("made", Some("1"))
    );
    assert_eq!(told(&gateway, "response-body").len(), 0);
}
