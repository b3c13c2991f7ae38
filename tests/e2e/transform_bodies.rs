//! `builtin:transform`: edits of JSON bodies.

use windlass_tests::{Gateway, Reply, Request, Response, Upstream};

use crate::config::{api_key, key, start, transform, upstream};

fn gateway(settings: &str, more: &str, endpoint: &Upstream) -> Gateway {
    start(&[
        "[[route]]\npath = \"/orders/{id}\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        &transform("rewrite", settings),
        more,
        &upstream("app", &[endpoint.address()]),
    ])
}

fn json(body: impl Into<Vec<u8>>) -> Request {
    Request::post("/orders/7?page=2", body).header("content-type", "application/json")
}

/// An endpoint that responds with this type and this body.
fn answers(kind: &str, body: &str) -> Upstream {
    Upstream::fixed(Reply::status(200).header("content-type", kind).body(body))
}

fn refusal(answer: &Response) -> (u16, String) {
    (answer.status, answer.code())
}

const REQUEST: &str = r#"{ request = [
    { op = "set", body = "/order/id", value = "${path.id}" },
    { op = "set", body = "/page", value = "${request.query.page}" },
    { op = "set", body = "/paid", json = "false" },
    { op = "add", body = "/tags/0", json = '{ "by": "gateway" }' },
    { op = "rename", body = "/old", to = "/new" },
    { op = "remove", body = "/secret" },
    { op = "set", header = "x-name", value = "${request.body/name}" },
] }"#;

#[test]
fn a_body_goes_upstream_as_edited() {
    let endpoint = Upstream::echo();
    let gateway = gateway(REQUEST, "", &endpoint);
    let body = r#"{"name":"a \u00e9","n":1.10e+400,"old":1,"secret":2,"tags":["x"]}"#;
    for request in [json(body), json(body).chunked()] {
        assert_eq!(gateway.send(&request).status, 200);
    }
    for request in endpoint.received() {
        assert_eq!(
            String::from_utf8_lossy(&request.body),
            concat!(
                r#"{"name":"a \u00e9","n":1.10e+400,"tags":[{ "by": "gateway" },"x"],"#,
                r#""order":{"id":"7"},"page":"2","paid":false,"new":1}"#
            )
        );
        assert_eq!(request.header("x-name"), Some("a \u{e9}"));
        let length = request.body.len().to_string();
        let told = request.header("content-length");
        assert!(told.is_none_or(|told| told == length), "{told:?}");
    }
}

#[test]
fn only_a_body_of_json_is_asked_for() {
    let endpoint = Upstream::echo();
    let gateway = gateway(REQUEST, "limits = { body = \"8B\" }", &endpoint);
    let text = r#"{"secret":"of nobody"}"#;
    for request in [
        Request::post("/orders/7", text).header("content-type", "text/plain"),
        Request::post("/orders/7", text),
        Request::get("/orders/7"),
        Request::get("/orders/7").header("content-type", "application/json"),
    ] {
        assert_eq!(gateway.send(&request).status, 200);
    }
    assert_eq!(
        refusal(&gateway.send(&json(text))),
        (413, "body_too_large".to_owned())
    );
    let bodies: Vec<_> = endpoint
        .received()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(bodies, [text.len(), text.len(), 0, 0]);
}

#[test]
fn a_body_that_is_not_json_is_refused() {
    let endpoint = Upstream::echo();
    let gateway = gateway(REQUEST, "", &endpoint);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for body in [
        b"{".as_slice(),
        b"{\"a\":1}{",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":NaN}",
        b"\xef\xbb\xbf{}",
        b" ",
        deep.as_bytes(),
    ] {
        let answer = gateway.send(&json(body));
        assert_eq!(refusal(&answer), (400, "body_not_json".to_owned()));
    }
    let answer = gateway.send(&json("{}").header("content-encoding", "gzip"));
    assert_eq!(refusal(&answer), (415, "body_encoded".to_owned()));
    assert_eq!(endpoint.count(), 0);
    let log = gateway.log().text();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn an_endpoint_never_reads_another_member_than_the_edits_did() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ request = [
            { op = "set", body = "/tenant", value = "${attribute.nobody.sets.it}" },
            { op = "set", body = "/user/id", value = "${path.id}" },
        ] }"#,
        "",
        &endpoint,
    );
    let body = r#"{"tenant":"a","user":{"id":"evil"},"t\u0065nant":"b","user":{"\u0069d":"evil"}}"#;
    assert_eq!(gateway.send(&json(body)).status, 200);
    let request = endpoint.only_request();
    assert_eq!(
        String::from_utf8_lossy(&request.body),
        r#"{"user":{"\u0069d":"7"}}"#
    );
}

#[test]
fn a_body_of_exactly_the_limit_is_edited() {
    let endpoint = Upstream::echo();
    let gateway = gateway(
        r#"{ request = [
            { op = "remove", body = "/secret" },
            { op = "set", body = "/grow", value = "${request.header.x-grow}" },
        ] }"#,
        "",
        &endpoint,
    );
    let body = |length: usize| {
        let begin = r#"{"secret":1,"numbers":["#;
        let fill = length - begin.len() - 2;
        let numbers: String = "12345678,\"a\\n\",{},"
            .chars()
            .cycle()
            .take(fill - 3)
            .collect();
        let cut = numbers.rfind(',').unwrap();
        let rest = " ".repeat(fill - cut - 2);
        format!("{begin}{},0{rest}]}}", &numbers[..cut])
    };
    let limit = 1 << 20;
    assert_eq!(body(limit).len(), limit);
    assert_eq!(gateway.send(&json(body(limit))).status, 200);
    let sent = limit - r#""secret":1,"#.len();
    assert_eq!(endpoint.only_request().length, sent as u64);
    let larger = gateway.send(&json(body(limit + 1)));
    assert_eq!(refusal(&larger), (413, "body_too_large".to_owned()));
    let grown = json(body(limit)).header("x-grow", "a".repeat(100));
    let grown = gateway.send(&grown);
    assert_eq!(refusal(&grown), (413, "body_too_large".to_owned()));
    assert_eq!(endpoint.count(), 1);
}

const RESPONSE: &str = r#"[
    { op = "remove", body = "/secret" },
    { op = "set", body = "/for", value = "${path.id}" },
    { op = "set", header = "x-count", value = "${response.body/items/0/n}" },
    { op = "set", header = "x-head", value = "yes" },
]"#;

#[test]
fn a_response_reaches_the_client_as_edited() {
    let endpoint = answers(
        "application/vnd.shop+json; charset=utf-8",
        r#"{"secret":1,"items":[{"n":5}]}"#,
    );
    let gateway = gateway(&format!("{{ response = {RESPONSE} }}"), "", &endpoint);
    let request = Request::get("/orders/7")
        .header("accept-encoding", "gzip")
        .header("range", "bytes=0-3");
    let answer = gateway.send(&request);
    assert_eq!(answer.text(), r#"{"items":[{"n":5}],"for":"7"}"#);
    assert_eq!(answer.header("x-count"), Some("5"));
    assert_eq!(answer.header("x-head"), Some("yes"));
    // With these request fields, an endpoint could send a body that cannot be edited. So the filter
    // changes them.
    let request = endpoint.only_request();
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("range"), None);
}

#[test]
fn a_response_without_a_body_has_its_head_edited() {
    let endpoint = Upstream::with(|request, stream| {
        let status = if request.method == "HEAD" { 200 } else { 204 };
        let reply = Reply::status(status).header("content-type", "application/json");
        reply.write(stream)
    });
    let gateway = gateway(&format!("{{ response = {RESPONSE} }}"), "", &endpoint);
    for method in ["HEAD", "DELETE"] {
        let mut client = gateway.client();
        let answer = client.try_send(&Request::new(method, "/orders/7")).unwrap();
        assert_eq!(answer.header("x-head"), Some("yes"), "{method}");
        assert_eq!(answer.header("x-count"), None, "{method}");
    }
}

#[test]
fn a_response_that_is_not_json_is_refused_or_passed_as_the_settings_say() {
    let not = r#"{"secret":1"#;
    let zipped = || {
        let reply = Reply::status(200).header("content-type", "application/json");
        Upstream::fixed(reply.header("content-encoding", "gzip").body(not))
    };
    for endpoint in [answers("application/json", not), zipped()] {
        let refuses = gateway(&format!("{{ response = {RESPONSE} }}"), "", &endpoint);
        let answer = refuses.get("/orders/7");
        assert_eq!(refusal(&answer), (502, "response_not_json".to_owned()));
        let passes = gateway(
            &format!("{{ response_not_json = \"pass\", response = {RESPONSE} }}"),
            "",
            &endpoint,
        );
        let answer = passes.get("/orders/7");
        assert_eq!((answer.status, answer.text()), (200, not));
        assert_eq!(answer.header("x-head"), Some("yes"));
    }
    let endpoint = answers("text/html", not);
    let gateway = gateway(&format!("{{ response = {RESPONSE} }}"), "", &endpoint);
    assert_eq!(gateway.get("/orders/7").text(), not);
}

#[test]
fn a_value_of_a_response_that_does_not_fit_is_the_endpoint_s_fault() {
    let endpoint = answers("application/json", r#"{"items":[{"n":"a\r\nb: c"}]}"#);
    let gateway = gateway(&format!("{{ response = {RESPONSE} }}"), "", &endpoint);
    let answer = gateway.get("/orders/7");
    assert_eq!(refusal(&answer), (502, "transform_refused".to_owned()));
    assert_eq!(answer.header("b"), None);
}

const TEMPLATE: &str = r#"{ request = [{ op = "set", body = "", with = { id = "${path.id}" }, template = '''
{
    "id": {{ id }},
    "lines": [{% for line in body.lines %}{{ line.name }}{% if not loop.last %},{% endif %}{% endfor %}],
    "first": {{ body.lines[0] }}
}''' }] }"#;

#[test]
fn a_body_is_made_by_a_template() {
    let endpoint = Upstream::echo();
    let gateway = gateway(TEMPLATE, "", &endpoint);
    let body = r#"{"lines":[{"name":"a\"b", "n": 1e999},{"name":"c"}]}"#;
    assert_eq!(gateway.send(&json(body)).status, 200);
    let request = endpoint.only_request();
    let expected = r#"{
    "id": "7",
    "lines": ["a\"b","c"],
    "first": {"name":"a\"b", "n": 1e999}
}"#;
    assert_eq!(String::from_utf8_lossy(&request.body), expected);
    let unfit = gateway.send(&json(r#"{"lines":7}"#));
    assert_eq!(refusal(&unfit), (400, "transform_refused".to_owned()));
    let log = gateway.log().text();
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_body_that_costs_its_template_too_much_suspends_nothing() {
    let endpoint = Upstream::echo();
    let settings = |template: &str| {
        format!(r#"{{ request = [{{ op = "set", body = "", template = '''{template}''' }}] }}"#)
    };
    let body = |count: usize, text: usize| {
        let numbers = vec!["1"; count].join(",");
        json(format!(
            r#"{{"all":[{numbers}],"text":"{}"}}"#,
            "a".repeat(text)
        ))
    };
    // The number of steps is the product of the lengths of two arrays, and then of an array and a
    // text.
    let steps = "{% for a in body.all %}{% for b in body.all %}{{ b }},{% endfor %}{% endfor %}0";
    let bytes = "{% for a in body.all %}{{ body.text | replace('a', 'b') | length }},{% endfor %}0";
    // The steps end the first one, on a slow machine too; the time ends the second.
    let ample = "limits = { cpu = \"30s\" }\n";
    for (template, limits, costly, status, code) in [
        (steps, ample, body(9_000, 1), 400, "transform_refused"),
        (bytes, "", body(9_000, 300_000), 500, "filter_failed"),
    ] {
        let gateway = gateway(&settings(&format!("[{template}]")), limits, &endpoint);
        for _ in 0..10 {
            let answer = gateway.send(&costly);
            assert_eq!(refusal(&answer), (status, code.to_owned()));
        }
        let before = endpoint.count();
        assert_eq!(gateway.send(&body(3, 1)).status, 200, "{code}");
        assert_eq!(endpoint.count(), before + 1);
        let log = gateway.log().text();
        assert!(!log.contains("ERROR"), "{log}");
    }
}

#[test]
fn a_body_of_which_a_template_makes_no_json_suspends_nothing() {
    let endpoint = Upstream::echo();
    let settings =
        r#"{ request = [{ op = "set", body = "", template = "{{ body.text | safe }}" }] }"#;
    let gateway = gateway(settings, "", &endpoint);
    for _ in 0..10 {
        let answer = gateway.send(&json(r#"{"text":"no JSON"}"#));
        assert_eq!(refusal(&answer), (500, "transform_failed".to_owned()));
    }
    gateway
        .log()
        .wait_for_line(|line| line.contains("WARN") && line.contains("makes no JSON"));
    assert_eq!(gateway.send(&json(r#"{"text":"1"}"#)).status, 200);
    assert_eq!(endpoint.only_request().body, b"1");
}

#[test]
fn a_body_of_which_a_template_makes_nothing_is_refused_and_goes_no_further() {
    let edit = r#"{ op = "set", body = "", template = "{% if body.kind == 'order' %}{{ body }}{% endif %}" }"#;
    let endpoint = Upstream::echo();
    let of_request = gateway(&format!("{{ request = [{edit}] }}"), "", &endpoint);
    let other = of_request.send(&json(r#"{"kind":"other"}"#));
    assert_eq!(refusal(&other), (400, "transform_refused".to_owned()));
    assert_eq!(endpoint.count(), 0);
    assert_eq!(of_request.send(&json(r#"{"kind":"order"}"#)).status, 200);
    let endpoint = answers("application/json", r#"{"kind":"other"}"#);
    let of_response = gateway(&format!("{{ response = [{edit}] }}"), "", &endpoint);
    let answer = of_response.get("/orders/7");
    assert_eq!(refusal(&answer), (502, "transform_refused".to_owned()));
    assert!(!answer.text().contains("kind"), "{}", answer.text());
}

#[test]
fn a_body_of_the_limit_has_the_time_that_a_look_at_all_of_it_takes() {
    let endpoint = Upstream::echo();
    let settings = r#"{ request = [{ op = "set", body = "", template = '''
[{% for line in body %}{% for part in line %}{{ part }},{% endfor %}{% endfor %}0]''' }] }"#;
    let gateway = gateway(settings, "", &endpoint);
    let line = format!("[1000000{}]", ",1000000".repeat(4_999));
    let body = format!("[{}]", vec![line; 26].join(","));
    assert!(body.len() < 1 << 20);
    for _ in 0..6 {
        assert_eq!(gateway.send(&json(&*body)).status, 200);
    }
}

#[test]
fn a_bad_template_of_a_body_is_refused_at_its_place() {
    let endpoint = Upstream::echo();
    let config = [
        "[[route]]\npath = \"/orders/{id}\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        "[filter.rewrite]\nplugin = \"builtin:transform\"\n[[filter.rewrite.settings.request]]\n",
        "op = \"set\"\nbody = \"\"\ntemplate = '''\n{\n  \"a\": {{ body. }}\n}'''\n",
        &upstream("app", &[endpoint.address()]),
    ]
    .concat();
    let checked = Gateway::with_config(&config).check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
    let line = config.lines().position(|line| line.starts_with("template"));
    let place = format!("windlass.toml:{}:", 1 + line.unwrap());
    for part in [place.as_str(), "line 2 of the template"] {
        assert!(checked.errors.contains(part), "{}", checked.errors);
    }
}

#[test]
fn a_body_of_another_type_is_refused_if_the_settings_say_so() {
    let endpoint = Upstream::echo();
    let edits = r#"request = [{ op = "set", body = "/id", value = "${path.id}" }]"#;
    for edits in ["", edits] {
        let settings = format!(
            "{{ other_bodies = \"refuse\"{}{edits} }}",
            if edits.is_empty() { "" } else { ", " }
        );
        let gateway = gateway(&settings, "", &endpoint);
        let text = || Request::post("/orders/7", "{\"id\":\"evil\"}");
        for request in [
            text(),
            text().chunked(),
            text().header("content-type", "text/plain"),
            text().header("content-type", "text/plain").chunked(),
            text().header("content-type", "application/jsonx"),
        ] {
            let answer = gateway.send(&request);
            assert_eq!(refusal(&answer), (415, "unsupported_media_type".to_owned()));
            assert_eq!(answer.header("accept"), Some("application/json"));
        }
        let before = endpoint.count();
        for request in [
            Request::get("/orders/7"),
            Request::post("/orders/7", ""),
            Request::post("/orders/7", "").chunked(),
            json("{}"),
            json("{}").chunked(),
        ] {
            assert_eq!(gateway.send(&request).status, 200);
        }
        assert_eq!(endpoint.count(), before + 5);
    }
}

#[test]
fn an_attribute_that_a_type_can_keep_out_of_a_body_is_warned_of() {
    let endpoint = Upstream::echo();
    let check = |more: &str| {
        let settings = format!(
            r#"{{ {more}request = [{{ op = "set", body = "/ip", value = "${{attribute.client.ip}}" }}] }}"#
        );
        let config = [
            "[[route]]\npath = \"/a\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
            &transform("rewrite", &settings),
            &upstream("app", &[endpoint.address()]),
        ];
        Gateway::with_config(config.concat()).check().errors
    };
    let warning = "passes without this edit";
    let warned = check("");
    assert!(warned.contains(warning), "{warned}");
    let quiet = check("other_bodies = \"refuse\", ");
    assert!(!quiet.contains(warning), "{quiet}");
}

#[test]
fn an_edit_of_a_response_is_for_its_statuses() {
    let endpoint = Upstream::with(|request, stream| {
        let status = request.target.trim_start_matches("/orders/").parse();
        Reply::status(status.unwrap_or(200))
            .header("content-type", "application/json")
            .body("{\"a\":1}")
            .write(stream)
    });
    let gateway = gateway(
        r#"{ response = [
            { op = "set", status = 200, if_status = ["404"] },
            { op = "set", status = 502, if_status = ["5xx"] },
            { op = "set", header = "x-fine", value = "yes", if_status = ["2xx"] },
            { op = "set", body = "", json = "null", if_status = ["404"] },
            { op = "set", body = "/b", json = "2", if_status = ["5xx", "201"] },
        ] }"#,
        "limits = { body = \"8B\" }",
        &endpoint,
    );
    for (sent, status, fine, body) in [
        ("200", 200, Some("yes"), "{\"a\":1}"),
        ("404", 200, None, "null"),
        ("403", 403, None, "{\"a\":1}"),
    ] {
        let answer = gateway.get(&format!("/orders/{sent}"));
        let seen = (answer.status, answer.header("x-fine"), answer.text());
        assert_eq!(seen, (status, fine, body), "{sent}");
    }
    let answer = gateway.get("/orders/201");
    assert_eq!(
        refusal(&answer),
        (502, "response_body_too_large".to_owned())
    );
}

fn page(name: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::read_to_string(root.join(name)).unwrap()
}

#[test]
fn every_mapping_of_the_docs_is_taken() {
    let page = page("docs/how-to/mappings.md");
    let section = |title: &str| {
        let after = page.split_once(&format!("\n## {title}\n")).unwrap().1;
        let section = after.split("\n## ").next().unwrap();
        let spans = section.split('`').skip(1).step_by(2);
        let edits: Vec<_> = spans.filter(|span| span.starts_with("{ op")).collect();
        edits.join(",\n")
    };
    let values = page.split_once("\n## Values\n").unwrap().1;
    let values = values.split("\n## ").next().unwrap();
    let value = |side: &str| {
        // The column of Windlass, without the attribute that only another filter sets.
        let cells = values.lines().filter_map(|row| row.rsplit(" | ").next());
        let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let edits: Vec<_> = spans
            .filter(|span| !span.contains('!') && !span.starts_with("limits"))
            .filter(|span| !span.contains(side))
            .map(|span| format!("{{ op = \"set\", header = \"x\", value = \"{span}\" }}"))
            .collect();
        assert!(edits.len() > 8, "{edits:?}");
        edits.join(",\n")
    };
    let request = [section("Requests"), section("Bodies"), value("response.")];
    let response = [section("Responses"), value("request.body")];
    let settings = format!(
        "{{ request = [{}], response = [{}] }}",
        request.join(",\n"),
        response.join(",\n")
    );
    assert_eq!(settings.matches("if_status").count(), 4);
    let endpoint = Upstream::echo();
    let config = [
        "[[route]]\npath = \"/orders/{id}/{rest+}\"\nfilters = [\"rewrite\"]\nupstream = \"app\"\n",
        &transform("rewrite", &settings),
        &upstream("app", &[endpoint.address()]),
    ];
    let checked = Gateway::with_config(config.concat()).check();
    assert_eq!(checked.code, Some(0), "{}", checked.errors);
}

#[test]
fn every_example_of_the_readme_is_taken() {
    let page = page("plugins/transform/README.md");
    let examples = page.split("\n```toml\n[filter.").skip(1);
    let mut count = 0;
    for example in examples {
        let example = example.split("\n```").next().unwrap();
        let name = example.split(']').next().unwrap();
        let filters = format!("filters = [\"keys\", \"{name}\"]");
        let endpoint = Upstream::echo();
        let config = [
            "[[route]]\npath = \"/orders/{id}\"\nupstream = \"app\"\n",
            &filters,
            &upstream("app", &[endpoint.address()]),
            &api_key("{}"),
            &key("k", "acme", "secret", ""),
            &format!("\n[filter.{example}\n"),
        ];
        let checked = Gateway::with_config(config.concat()).check();
        assert_eq!(checked.code, Some(0), "{example}\n{}", checked.errors);
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn a_body_of_very_many_members_is_refused_before_they_are_taken_apart() {
    let endpoint = Upstream::echo();
    let gateway = gateway(REQUEST, "limits = { cpu = \"5s\" }", &endpoint);
    let names = (0..90_000).map(|place| format!("\"{place}\":0,"));
    let wide = format!("{{{}\"last\":0}}", names.collect::<String>());
    assert_eq!(
        refusal(&gateway.send(&json(&*wide))),
        (400, "body_not_json".to_owned())
    );
    // Within a value that no edit touches, the limit does not apply.
    assert_eq!(
        gateway.send(&json(format!("{{\"in\":{wide}}}"))).status,
        200
    );
    assert!(endpoint.only_request().length > wide.len() as u64);
}
