//! `builtin:transform`: edits of requests and responses.

use windlass_tests::{Gateway, Reply, Request, Upstream};

use crate::config::{start, transform, upstream};

fn gateway(settings: &str, endpoint: &Upstream) -> Gateway {
    start(&[
        "[[route]]\npath = \"/orders/{id}\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        &transform("rewrite", settings),
        &upstream("app", &[endpoint.address()]),
    ])
}

#[test]
fn a_wrong_op_hides_no_other_error_of_its_edit_or_of_the_list() {
    let endpoint = Upstream::echo();
    let config = [
        "[[route]]\npath = \"$default\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        "[filter.rewrite]\nplugin = \"builtin:transform\"\n[filter.rewrite.settings]\nrequest = [\n",
        "{ op = \"delete\", header = \"a b\", value = \"${nothing}\" },\n",
        "{ op = 7, body = \"/~2\", template = \"{{ bod }}\" },\n",
        "{ header = \"connection\" },\n",
        "{ op = \"set\", header = \"x\", vaule = \"a\" },\n",
        "{ op = \"set\", header = \"c d\", value = \"a\" },\n]\n",
        &upstream("app", &[endpoint.address()]),
    ];
    let checked = Gateway::with_config(config.concat()).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    for told in [
        "windlass.toml:9:8: filter `rewrite`: unknown variant `delete`",
        "windlass.toml:9:27: filter `rewrite`: `a b` is not a legal header name",
        "windlass.toml:9:42: filter `rewrite`: `${nothing}` names nothing",
        "windlass.toml:10:8: filter `rewrite`: invalid type: integer `7`, expected one of `set`, `append`, `add`",
        "windlass.toml:10:18: filter `rewrite`: ",
        "windlass.toml:10:36: filter `rewrite`: line 1 of the template: `bod` stands for nothing",
        "windlass.toml:11:1: filter `rewrite`: missing field `op`",
        "windlass.toml:11:12: filter `rewrite`: `connection` is reserved to the gateway",
        "windlass.toml:12:37: filter `rewrite`: unknown field `vaule`",
        "windlass.toml:13:24: filter `rewrite`: `c d` is not a legal header name",
        "10 errors in windlass.toml",
    ] {
        assert!(checked.errors.contains(told), "{told}: {}", checked.errors);
    }
}

#[test]
fn look_alikes_of_a_query_parameter_go_on_unless_they_are_removed_by_name() {
    let endpoint = Upstream::echo();
    let set = r#"{ op = "set", query = "user", value = "alice" }"#;
    let removed = [
        "user[]",
        " user",
        "user ",
        "user\\u0000",
        "user[0]",
        "user.x",
        "User",
    ];
    let removes = removed.map(|name| format!("{{ op = \"remove\", query = \"{name}\" }}"));
    let sent = "user=eve&user%5B%5D=a&user[]=b&+user=c&%20user=d&user+=e&user%00=f&us%65r=g&user[0]=h&user.x=i&User=j&other=k";
    for (edits, left) in [
        (set.to_owned(), "user%5B%5D=a&"),
        (format!("{set}, {}", removes.join(", ")), ""),
    ] {
        let gateway = gateway(&format!("{{ request = [{edits}] }}"), &endpoint);
        let answer = gateway.send(&Request::get(format!("/orders/a?{sent}")));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let target = endpoint.received().pop().unwrap().target;
        assert!(target.contains(left), "{target}");
        let is_clean = left.is_empty();
        let only =
            target == "/orders/a?other=k&user=alice" || target == "/orders/a?user=alice&other=k";
        assert_eq!(only, is_clean, "{target}");
        assert_eq!(
            target.matches("eve").count() + target.matches("=g").count(),
            0
        );
    }
}

#[test]
fn a_set_replaces_every_value_however_many_there_are() {
    let endpoint = Upstream::with(|request, to| {
        let count = request.head.all("x-m").count();
        let mut reply = Reply::status(200).body(count.to_string());
        for value in ["1", "2", "3", "4", "5"] {
            reply = reply.header("x-r", value);
        }
        reply.write(to)
    });
    let edit = |name: &str| format!(r#"[{{ op = "set", header = "{name}", value = "a" }}]"#);
    let settings = format!(
        "{{ request = {}, response = {} }}",
        edit("x-m"),
        edit("x-r")
    );
    let gateway = gateway(&settings, &endpoint);
    for count in 1..=20 {
        let request = (0..count).fold(Request::get("/orders/a"), |request, value| {
            request.header("x-m", value.to_string())
        });
        let answer = gateway.send(&request);
        assert_eq!((answer.status, answer.text()), (200, "1"), "{count}");
        assert_eq!(answer.head.all("x-r").collect::<Vec<_>>(), ["a"]);
    }
}

#[test]
fn a_request_goes_upstream_as_edited() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ request = [
            { op = "set", path = "/v2/orders/${path.id}" },
            { op = "set", header = "x-method", value = "${request.method}" },
            { op = "append", header = "x-list", value = "two" },
            { op = "append", query = "source", value = "${request.header.user-agent}" },
            { op = "rename", header = "x-old", to = "x-new" },
            { op = "remove", query = "debug" },
            { op = "remove", header = "x-gone" },
            { op = "set", header = "x-absent", value = "${request.header.x-nothing}" },
            { op = "set", header = "x-literal", value = "$${a}" },
        ] }"#,
        &endpoint,
    );
    let answer = gateway.send(
        &Request::new("PUT", "/orders/a%2Fb?debug=1&keep=2")
            .header("user-agent", "a b")
            .header("x-old", "old")
            .header("x-list", "one")
            .header("x-gone", "1"),
    );
    assert_eq!(answer.status, 200);
    let request = endpoint.only_request();
    assert_eq!(request.target, "/v2/orders/a%2Fb?keep=2&source=a%20b");
    assert_eq!(request.header("x-method"), Some("PUT"));
    assert_eq!(
        request.head.all("x-list").collect::<Vec<_>>(),
        ["one", "two"]
    );
    assert_eq!(request.header("x-new"), Some("old"));
    assert_eq!(request.header("x-literal"), Some("${a}"));
    for gone in ["x-old", "x-gone", "x-absent"] {
        assert_eq!(request.header(gone), None, "{gone}");
    }
}

#[test]
fn a_response_reaches_the_client_as_edited() {
    let reply = Reply::status(200)
        .header("x-order-id", "7")
        .header("server", "secret/1.0");
    let endpoint = Upstream::fixed(reply.body("made"));
    let gateway = gateway(
        r#"{ response = [
            { op = "set", status = 201 },
            { op = "set", header = "location", value = "/orders/${response.header.x-order-id}" },
            { op = "rename", header = "x-order-id", to = "x-id" },
            { op = "remove", header = "server" },
            { op = "append", header = "x-for", value = "${path.id}" },
        ] }"#,
        &endpoint,
    );
    let answer = gateway.get("/orders/5");
    assert_eq!((answer.status, answer.text()), (201, "made"));
    assert_eq!(answer.header("location"), Some("/orders/7"));
    assert_eq!(answer.header("x-id"), Some("7"));
    assert_eq!(answer.header("x-order-id"), None);
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("x-for"), Some("5"));
}

#[test]
fn a_value_that_does_not_fit_is_the_client_s_fault() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ request = [{ op = "set", header = "x-q", value = "${request.query.q}" }] }"#,
        &endpoint,
    );
    assert_eq!(gateway.get("/orders/1?q=fine").status, 200);
    for evil in ["a%0d%0ax-admin:%201", "a%0ab", "a%00b"] {
        let answer = gateway.get(&format!("/orders/1?q={evil}"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (400, "transform_refused"),
            "{evil}"
        );
    }
    assert_eq!(endpoint.count(), 1);
}

#[test]
fn a_value_that_fits_into_no_path_is_the_client_s_fault() {
    let endpoint = Upstream::echo();
    let gateway = start(&[
        "[[route]]\npath = \"/item\"\nfilters = [\"query\"]\nupstream = \"app\"\n",
        "[[route]]\npath = \"/tenant\"\nfilters = [\"header\"]\nupstream = \"app\"\n",
        &transform(
            "query",
            r#"{ request = [{ op = "set", path = "/items/${request.query.id}" }] }"#,
        ),
        &transform(
            "header",
            r#"{ request = [{ op = "set", path = "/t/${request.header.x-tenant}/x" }] }"#,
        ),
        &upstream("app", &[endpoint.address()]),
    ]);
    let refused = |answer: windlass_tests::Response, value: &str| {
        let seen = (answer.status, &*answer.code());
        assert_eq!(seen, (400, "transform_refused"), "{value}");
    };
    for value in [
        "",
        "..",
        ".",
        "%2e%2E",
        "..%2Fadmin",
        "..;x",
        "a%2F..%2Fb",
        "../b",
        "..%5Cb",
        "%00",
        "a%00b",
        "%FF",
        "%C0%AE%C0%AE",
        "%ED%A0%80",
    ] {
        refused(gateway.get(&format!("/item?id={value}")), value);
    }
    for value in ["..", "../admin", "a/../b", "..;x", "..\\x"] {
        refused(
            gateway.send(&Request::get("/tenant").header("x-tenant", value)),
            value,
        );
    }
    let latin = b"GET /tenant HTTP/1.1\r\nhost: a\r\nx-tenant: \xff\xfe\r\n\r\n";
    refused(gateway.send_raw(latin), "latin1");
    assert_eq!(endpoint.count(), 0);
    let log = gateway.log().text();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_value_that_fits_into_no_header_of_the_response_is_the_client_s_fault() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ response = [{ op = "set", header = "x-q", value = "${request.query.q}" }] }"#,
        &endpoint,
    );
    assert_eq!(gateway.get("/orders/1?q=fine").header("x-q"), Some("fine"));
    for evil in ["a%0d%0aset-cookie:%20x", "a%0ab", "a%00b", "%7F"] {
        let answer = gateway.get(&format!("/orders/1?q={evil}"));
        let seen = (answer.status, &*answer.code());
        assert_eq!(seen, (400, "transform_refused"), "{evil}");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let log = gateway.log().text();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_client_whose_head_leaves_no_room_is_refused_and_suspends_nothing() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ request = [
            { op = "set", header = "x-one", value = "${request.header.user-agent}" },
            { op = "set", header = "x-two", value = "${request.header.user-agent}" },
            { op = "set", header = "x-constant", value = "production" },
        ] }"#,
        &endpoint,
    );
    // Three copies of this value leave less space than the constant needs.
    for length in 21_700..21_830 {
        let large = Request::new("GET", "/orders/1").header("user-agent", "a".repeat(length));
        let answer = gateway.send(&large);
        if answer.status != 200 {
            let seen = (answer.status, &*answer.code());
            assert_eq!(seen, (400, "transform_refused"), "{length}");
        }
    }
    assert_eq!(gateway.get("/orders/1").status, 200);
    let metrics = gateway.metrics();
    assert_eq!(metrics["windlass_filter_failures_total"], 0.0);
    assert!(metrics["windlass_filter_answers_total"] > 5.0);
}

#[test]
fn a_bad_template_is_refused_at_its_place() {
    let endpoint = Upstream::echo();
    let config = [
        "[[route]]\npath = \"/orders/{id}\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        "[filter.rewrite]\nplugin = \"builtin:transform\"\n[filter.rewrite.settings]\nrequest = [\n",
        "    { op = \"set\", header = \"x-a\", value = \"fine\" },\n",
        "    { op = \"set\", header = \"x-b\", value = \"${request.hedaer.x}\" },\n]\n",
        &upstream("app", &[endpoint.address()]),
    ]
    .concat();
    let checked = Gateway::with_config(&config).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    let line = 1 + config
        .lines()
        .position(|line| line.contains("hedaer"))
        .unwrap();
    let place = format!("windlass.toml:{line}:");
    assert!(
        checked.errors.contains(&place),
        "no {place} in\n{}",
        checked.errors
    );
}
