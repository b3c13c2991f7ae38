//! The exchange: a filter reads the message that arrived, and its edits are in the message that
//! goes on.

use serde_json::json;
use windlass_tests::{Reply, Request, Upstream};

use crate::stage::Stage;

/// The report of these steps on a request to `/orders/{id}/{rest+}`.
fn given(steps: &str, request: &Request) -> serde_json::Value {
    let upstream = Upstream::text("well");
    let keys = format!("settings = {{ request = [{steps}, \"report\"] }}");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("actor", &keys)
        .route("/orders/{id}/{rest+}", &["actor"])
        .start();
    let answer = gateway.send(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(upstream.count(), 0, "an answer of a filter goes no further");
    answer.json()
}

#[test]
fn the_request_line_is_read() {
    let request = Request::new("PUT", "/orders/./4%202/a/b%2Fc?x=1%262&y=a+b&x=3&z");
    let report = given(
        r#""method", "scheme", "authority", "path", "original-path",
           { path-param = "id" }, { path-param = "rest" }, { path-param = "none" },
           { query-param = "x" }, { query-param = "y" }, { query-param = "z" }, { query-param = "q" },
           "status""#,
        &request,
    );
    assert_eq!(
        report,
        json!([
            "PUT",
            "http",
            "gateway.test",
            "/orders/4%202/a/b%2Fc?x=1%262&y=a+b&x=3&z",
            "/orders/./4%202/a/b%2Fc?x=1%262&y=a+b&x=3&z",
            "4 2",
            "a/b/c",
            null,
            "1&2",
            "a b",
            "",
            null,
            null,
        ])
    );
}

#[test]
fn raw_parameters_are_as_they_are_spelled_and_need_no_grant() {
    let request = Request::new(
        "GET",
        "/orders/%41%2f1/a/b%2Fc;d%3Be?x=1%262&y=a+b&x=3&na%6De",
    );
    let report = given(
        r#"{ raw-path-param = "id" }, { raw-path-param = "rest" }, { raw-path-param = "none" },
           { raw-query-param = "x" }, { raw-query-param = "y" }, { raw-query-param = "name" },
           { raw-query-param = "q" }"#,
        &request,
    );
    assert_eq!(
        report,
        json!(["A%2F1", "a/b%2Fc;d%3Be", null, "1%262", "a+b", "", null,])
    );
}

#[test]
fn fields_are_read_in_every_way() {
    let request = Request::get("/orders/1/a")
        .header("x-one", "1")
        .header("X-Many", "a")
        .header("x-many", "b")
        .header("x-empty", "");
    let report = given(
        r#"{ header = ["request", "X-One"] }, { header = ["request", "x-none"] },
           { header-text = ["request", "x-many"] }, { header-all = ["request", "x-many"] },
           { header-all = ["request", "x-none"] },
           { header-many = ["request", ["x-many", "x-none", "x-empty", "x-one"]] },
           { headers = "request" }, { headers-packed = "request" },
           { header = ["response", "x-one"] }, { headers = "response" }, { header = ["trailers", "x-one"] }"#,
        &request,
    );
    let list = report.as_array().unwrap();
    assert_eq!(
        list[..6],
        [
            json!("1"),
            json!(null),
            json!("a"),
            json!(["a", "b"]),
            json!([]),
            json!(["a", null, "", "1"]),
        ]
    );
    let fields: Vec<(String, String)> = serde_json::from_value(list[6].clone()).unwrap();
    assert_eq!(list[6], list[7], "packed and listed");
    let many: Vec<_> = fields.iter().filter(|(name, _)| name == "x-many").collect();
    assert_eq!(many.len(), 2, "{fields:?}");
    assert!(
        fields.contains(&("host".into(), "gateway.test".into())),
        "{fields:?}"
    );
    assert_eq!(list[8..], [json!(null), json!([]), json!(null)]);
}

#[test]
fn a_value_that_is_not_utf8_is_there_as_octets_and_no_text() {
    let upstream = Upstream::text("well");
    let steps = r#"{ header-text = ["request", "x-role"] }, { header = ["request", "x-role"] },
        { header-all = ["request", "x-role"] }, { remove-header = ["request", "x-role"] },
        { header = ["request", "x-role"] }"#;
    let settings = format!("settings = {{ request = [{steps}, \"report\"] }}");
    let gateway = Stage::of_one_actor(&upstream, &settings).start();
    // Latin-1, and a lone surrogate.
    for bytes in [&b"admin\xff"[..], b"admin\xed\xa0\x80"] {
        let head = &b"GET /act HTTP/1.1\r\nhost: a\r\nx-role: "[..];
        let answer = gateway.send_raw([head, bytes, b"\r\n\r\n"].concat());
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(
            answer.json(),
            json!([null, shown, [shown], answer.json()[3], null])
        );
    }
}

#[test]
fn facts_of_the_host_are_read() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .lines("[api.orders]\nstage = \"prod\"")
        .upstream("main", upstream.address())
        .actor(
            "actor",
            r#"settings = { request = [{ attribute = "client.ip" }, { attribute = "client.port" },
                { attribute = "route.id" }, { attribute = "api.id" }, { attribute = "api.stage" },
                { attribute = "request.id" }, { attribute = "request.time-ms" },
                { attribute = "upstream.name" }, { attribute = "fact.none" }, "report"] }"#,
        )
        .lines("[[route]]\nname = \"the route\"\napi = \"orders\"\npath = \"/act\"\nfilters = [\"actor\"]\nupstream = \"main\"")
        .start();
    let mut client = gateway.client();
    let port = client.address().port();
    let answer = client.get("/act");
    let report = answer.json();
    let list = report.as_array().unwrap();
    assert_eq!(
        list[..5],
        [
            json!("127.0.0.1"),
            json!(port),
            json!("the route"),
            json!("orders"),
            json!("prod")
        ]
    );
    assert_eq!(list[5].as_str().unwrap().len(), 32);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let apart = now
        .as_millis()
        .abs_diff(u128::from(list[6].as_u64().unwrap()));
    assert!(apart < 60_000, "{apart} ms apart");
    assert_eq!(list[7..], [json!(null), json!(null)]);
}

#[test]
fn edits_of_the_request_go_upstream() {
    let upstream = Upstream::echo();
    let steps = r#"{ set-method = "PATCH" }, { set-path = "/new/../path?q=1" }, { set-authority = "inner.test:81" },
        { set-header = ["request", "x-set", "1"] }, { set-header = ["request", "x-replaced", "new"] },
        { append-header = ["request", "x-appended", "two"] }, { remove-header = ["request", "x-removed"] },
        { remove-header = ["request", "x-none"] },
        "method", "path", "original-path", "authority", { header = ["request", "x-set"] }"#;
    let gateway = Stage::of_one_actor(
        &upstream,
        &format!("settings = {{ tell = true, request = [{steps}] }}"),
    )
    .start();
    let request = Request::get("/act")
        .header("x-replaced", "old")
        .header("x-replaced", "older")
        .header("x-appended", "one")
        .header("x-removed", "1")
        .header("x-removed", "2");
    assert_eq!(gateway.send(&request).status, 200);
    let told =
        r#"["ok","ok","ok","ok","ok","ok",2,0,"PATCH","/path?q=1","/act","inner.test:81","1"]"#;
    gateway
        .log()
        .wait_for_line(|line| line.replace("\\\"", "\"").contains(told));
    let sent = upstream.only_request();
    assert_eq!(
        (sent.method.as_str(), sent.target.as_str()),
        ("PATCH", "/path?q=1")
    );
    assert_eq!(sent.header("host"), Some("inner.test:81"));
    assert_eq!(sent.header("x-set"), Some("1"));
    assert_eq!(sent.header("x-replaced"), Some("new"));
    assert_eq!(
        sent.head.all("x-appended").collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(sent.header("x-removed"), None);
}

#[test]
fn several_edits_in_one_are_made_all_or_none() {
    let upstream = Upstream::echo();
    let steps = r#"{ set-headers = ["request", [["x-a", "1"], ["x-B", "2"], ["x-a", "3"]]] },
        { set-headers = ["request", [["x-a", "4"], ["x-c", "5"], ["x-b", "a\nb"]]] },
        { set-headers = ["request", [["x-c", "6"], ["connection", "x-a"]]] },
        { set-headers = ["request", [["x-c", "7"], ["x c", "8"]]] },
        { set-headers = ["response", [["x-c", "9"]]] }, { set-headers = ["request", []] },
        { set-attributes = [["fact.a", { text = "1" }], ["fact.b", { flag = true }]] },
        { set-attributes = [["fact.a", { text = "2" }], ["other.b", { flag = true }]] },
        { attribute = "fact.a" }, { header-all = ["request", "x-a"] }"#;
    let keys = format!(
        "allow = {{ attributes = [\"fact.*\"] }}\nsettings = {{ tell = true, request = [{steps}] }}"
    );
    let gateway = Stage::of_one_actor(&upstream, &keys).start();
    let request = Request::get("/act").header("x-a", "0").header("x-a", "00");
    assert_eq!(gateway.send(&request).status, 200);
    let told = r#"["ok","syntax","forbidden","syntax","too-late","ok","ok","forbidden","1",["3"]]"#;
    gateway.log().wait_for_line(|line| line.contains(told));
    let sent = upstream.only_request();
    assert_eq!(sent.head.all("x-a").collect::<Vec<_>>(), ["3"]);
    assert_eq!(sent.header("x-b"), Some("2"));
    assert_eq!(sent.header("x-c"), None);
}

#[test]
fn edits_of_the_response_reach_the_client() {
    let upstream = Upstream::fixed(
        Reply::status(200)
            .header("x-gone", "1")
            .header("x-kept", "1")
            .body("body"),
    );
    let steps = r#""status", { set-status = 203 }, "status", { remove-header = ["response", "x-gone"] },
        { set-header = ["response", "x-new", "1"] }, { append-header = ["response", "x-kept", "2"] },
        { set-header = ["request", "x-late", "1"] }, { set-method = "PUT" }, "method",
        { header = ["request", "x-asked"] }, { attribute = "upstream.name" }"#;
    let gateway = Stage::of_one_actor(
        &upstream,
        &format!("settings = {{ tell = true, response = [{steps}] }}"),
    )
    .start();
    let answer = gateway.send(&Request::get("/act").header("x-asked", "this"));
    assert_eq!((answer.status, answer.text()), (203, "body"));
    assert_eq!(answer.header("x-gone"), None);
    assert_eq!(answer.header("x-new"), Some("1"));
    assert_eq!(answer.headers("x-kept"), ["1", "2"]);
    let told =
        r#"response gave [200,"ok",203,1,"ok","ok","too-late","too-late","GET","this","main"]"#;
    gateway.log().wait_for_line(|line| line.contains(told));
}

#[test]
fn filters_run_in_order_and_back_in_reverse() {
    let upstream = Upstream::echo();
    let adds = |name: &str| {
        format!(
            r#"settings = {{ request = [{{ append-header = ["request", "x-order", "{name}"] }}],
                response = [{{ append-header = ["response", "x-order", "{name}"] }}] }}"#
        )
    };
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("a", &adds("a"))
        .actor("b", &adds("b"))
        .actor("stops", r#"settings = { when = "x-stop", request = [{ respond = { status = 403, reason = "stopped" } }] }"#)
        .actor("c", &adds("c"))
        .route("/act", &["a", "b", "stops", "c"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(answer.headers("x-order"), ["c", "b", "a"]);
    assert_eq!(
        upstream
            .only_request()
            .head
            .all("x-order")
            .collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    // Only the filters that the request entered see a refusal.
    let refused = gateway.send(&Request::get("/act").header("x-stop", "1"));
    assert_eq!((refused.status, refused.code().as_str()), (403, "stopped"));
    assert_eq!(refused.headers("x-order"), ["b", "a"]);
    assert_eq!(upstream.count(), 1);
}

#[test]
fn an_answer_of_a_filter_comes_as_it_was_made() {
    let report = r#"{ respond = { status = 418, body = "short and stout", reason = "teapot",
        headers = [["x-a", "1"], ["x-a", "2"], ["content-type", "text/plain"]] } }"#;
    let upstream = Upstream::text("well");
    let gateway =
        Stage::of_one_actor(&upstream, &format!("settings = {{ request = [{report}] }}")).start();
    let answer = gateway.get("/act");
    assert_eq!((answer.status, answer.text()), (418, "short and stout"));
    assert_eq!(answer.headers("x-a"), ["1", "2"]);
    assert_eq!(answer.header("content-type"), Some("text/plain"));
}

#[test]
fn a_replacement_takes_the_place_of_the_response() {
    let upstream = Upstream::fixed(Reply::status(200).header("x-inner", "1").body("inner"));
    let keys = r#"settings = { response = [{ respond = { status = 502, body = "outer", reason = "replaced" } }] }"#;
    let gateway = Stage::of_one_actor(&upstream, keys).start();
    let answer = gateway.get("/act");
    assert_eq!((answer.status, answer.text()), (502, "outer"));
    assert_eq!(answer.header("x-inner"), None);
}

#[test]
fn attributes_are_handed_along_with_their_types() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("sets", r#"allow = { attributes = ["fact.*", "exact"] }
            settings = { request = [
                { set-attribute = ["fact.text", { text = "a" }] }, { set-attribute = ["fact.number", { number = -7 }] },
                { set-attribute = ["fact.flag", { flag = true }] }, { set-attribute = ["fact.bytes", { bytes = [0, 255] }] },
                { set-attribute = ["exact", { text = "b" }] }, { set-attribute = ["fact.text", { text = "c" }] },
            ] }"#)
        .actor("reads", r#"settings = { request = [{ attribute = "fact.text" }, { attribute = "fact.number" },
            { attribute = "fact.flag" }, { attribute = "fact.bytes" }, { attribute = "exact" }, "report"] }"#)
        .route("/act", &["sets", "reads"])
        .start();
    assert_eq!(
        gateway.get("/act").json(),
        json!(["c", -7, true, { "bytes": [0, 255] }, "b"])
    );
}

#[test]
fn a_missing_attribute_is_refused() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor(
            "claims",
            "settings = { provides = [\"fact.a\"] }\nallow = { attributes = [\"fact.a\"] }",
        )
        .actor(
            "needs",
            r#"settings = { requires = ["fact.a", "client.ip"] }"#,
        )
        .route("/act", &["claims", "needs"])
        .start();
    let answer = gateway.get("/act");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "missing_attribute")
    );
    assert_eq!(upstream.count(), 0);
}

#[test]
fn notes_belong_to_a_place_in_the_chain_and_to_an_exchange() {
    let upstream = Upstream::text("well");
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("twice", r#"settings = { tell = true,
            request  = [{ note = "n" }, { header = ["request", "x-seen"] }, { set-note = ["n", "first"] },
                        { append-header = ["request", "x-seen", "1"] }],
            response = [{ note = "n" }, { set-note = ["n", "second"] }],
            log      = [{ note = "n" }] }"#)
        .actor("other", r#"settings = { tell = true, request = [{ note = "n" }] }"#)
        .route("/act", &["twice", "other", "twice"])
        .start();
    for round in 0..2 {
        let seen = gateway.log().count();
        assert_eq!(gateway.get("/act").status, 200);
        gateway
            .log()
            .wait_from(seen, |line| line.contains("log gave"));
        let told = |text: &str| {
            let lines = gateway.log().all().split_off(seen);
            lines.iter().filter(|line| line.contains(text)).count()
        };
        windlass_tests::wait::until("both log phases", || {
            (told(r#"log gave ["second"]"#) == 2).then_some(())
        });
        // The second filter does not see the notes of the first one, nor those of an earlier
        // request.
        assert_eq!(
            told(r#"request gave [null,null,"ok","ok"]"#),
            1,
            "round {round}"
        );
        assert_eq!(
            told(r#"request gave [null,"1","ok","ok"]"#),
            1,
            "round {round}"
        );
        assert_eq!(told("request gave [null]"), 1, "round {round}");
        assert_eq!(told(r#"response gave ["first","ok"]"#), 2, "round {round}");
    }
}

#[test]
fn the_log_phase_runs_after_the_exchange_and_knows_its_outcome() {
    let upstream = Upstream::fixed(Reply::status(201).body("twelve bytes"));
    let gateway = Stage::of_one_actor(&upstream, r#"settings = { tell = true, log = ["status",
        { attribute = "outcome.status" }, { attribute = "outcome.request-bytes" },
        { attribute = "outcome.response-bytes" }, { attribute = "outcome.failure" },
        { attribute = "upstream.name" }, { header = ["request", "x-asked"] },
        { set-header = ["request", "x-late", "1"] }, { set-header = ["response", "x-late", "1"] }, { set-status = 200 },
        { attribute = "upstream.endpoint" }] }"#)
        .start();
    let request = Request::post("/act", "five!").header("x-asked", "this");
    assert_eq!(gateway.send(&request).status, 201);
    let told = format!(
        r#"log gave [201,201,5,12,null,"main","this","too-late","too-late","too-late","{}"]"#,
        upstream.address(),
    );
    gateway.log().wait_for_line(|line| line.contains(&told));
}

#[test]
fn the_log_phase_knows_a_failure() {
    let upstream = windlass_tests::ClosedPort::new();
    let gateway = Stage::new()
        .upstream("main", upstream.address())
        .actor("actor", r#"settings = { tell = true, log = [{ attribute = "outcome.status" }, { attribute = "outcome.failure" }] }"#)
        .route("/act", &["actor"])
        .start();
    assert_eq!(gateway.get("/act").status, 502);
    gateway
        .log()
        .wait_for_line(|line| line.contains(r#"log gave [502,"connect_failed"]"#));
}

#[test]
fn a_hint_sends_the_request_to_another_upstream() {
    let (main, other) = (Upstream::text("main"), Upstream::text("other"));
    let gateway = Stage::new()
        .upstream("main", main.address())
        .upstream("other", other.address())
        .actor(
            "hints",
            r#"allow = { upstreams = ["other"] }
            settings = { when = "x-other", request = [{ route = { upstream = "other" } }] }"#,
        )
        .route("/act", &["hints"])
        .start();
    assert_eq!(gateway.get("/act").text(), "main");
    assert_eq!(
        gateway
            .send(&Request::get("/act").header("x-other", "1"))
            .text(),
        "other"
    );
}

#[test]
fn a_hint_restricts_the_pick_to_labels_and_lowers_the_time_out() {
    let (a, b) = (Upstream::text("a"), Upstream::text("b"));
    let never = Upstream::gated(Reply::status(200));
    let gateway = Stage::new()
        .lines(&format!(
            "[upstream.main]\nendpoints = [{{ address = \"{}\", labels = {{ zone = \"a\" }} }}, {{ address = \"{}\", labels = {{ zone = \"b\" }} }}]",
            a.address(),
            b.address(),
        ))
        .upstream("never", never.address())
        .actor("zone", r#"settings = { request = [{ route = { labels = [["zone", "b"]] } }] }"#)
        .actor("soon", r#"settings = { request = [{ route = { timeout = 50 } }] }"#)
        .route("/zone", &["zone"])
        .lines("[[route]]\npath = \"/soon\"\nfilters = [\"soon\"]\nupstream = \"never\"")
        .start();
    let mut client = gateway.client();
    for _ in 0..6 {
        assert_eq!(client.get("/zone").text(), "b");
    }
    let answer = gateway.get("/soon");
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "first_byte_timeout")
    );
}
