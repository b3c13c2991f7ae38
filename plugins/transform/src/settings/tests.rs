//! The operations that settings result in, and every error with its position.

use super::*;

fn operations(json: &str) -> Result<(Vec<Operation>, Vec<Operation>), Vec<Diagnostic>> {
    windlass_plugin_sdk::parse_settings::<Settings>(json)?.operations()
}

fn complaints(json: &str) -> Vec<(String, String)> {
    operations(json)
        .expect_err("the settings are bad")
        .into_iter()
        .map(|complaint| (complaint.at, complaint.message))
        .collect()
}

/// The only error of the only edit of a request.
fn complaint(edit: &str) -> (String, String) {
    let mut complaints = complaints(&format!(r#"{{"request":[{edit}]}}"#));
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    complaints.remove(0)
}

#[test]
fn every_operation_is_read() {
    let (request, response) = operations(
        r#"{
            "request": [
                {"op":"set","header":"X-A","value":"a"},
                {"op":"append","query":"q","value":"b"},
                {"op":"rename","header":"x-b","to":"X-C"},
                {"op":"remove","query":"r"},
                {"op":"set","path":"/v2/${path.id}"}
            ],
            "response": [{"op":"set","status":201},{"op":"remove","header":"server"}]
        }"#,
    )
    .expect("good settings");
    let template = |text| Template::parse(text, Side::Request).expect("a good template");
    let header = |name: &str, change| Operation::Header {
        name: name.to_owned(),
        change,
    };
    let query = |name: &str, change| Operation::Query {
        name: name.to_owned(),
        change,
    };
    assert_eq!(
        request,
        [
            header("x-a", Change::Set(template("a"))),
            query("q", Change::Append(template("b"))),
            header("x-b", Change::Rename("x-c".to_owned())),
            query("r", Change::Remove),
            Operation::Path(template("/v2/${path.id}")),
        ]
    );
    assert_eq!(
        response,
        [Operation::Status(201), header("server", Change::Remove)]
    );
}

#[test]
fn no_edit_at_all_is_a_mistake() {
    assert_eq!(complaints("{}")[0].0, "");
}

#[test]
fn every_complaint_is_made_at_once() {
    let places: Vec<_> = complaints(
        r#"{
            "request": [
                {"op":"set","header":"x y","value":"${nothing}"},
                {"op":"set","status":200}
            ],
            "response": [
                {"op":"set","path":"/"},
                {"op":"set","query":"q","value":""},
                {"op":"set","status":99}
            ]
        }"#,
    )
    .into_iter()
    .map(|(at, _)| at)
    .collect();
    assert_eq!(
        places,
        [
            "/request/0/header",
            "/request/0/value",
            "/request/1/status",
            "/response/0/path",
            "/response/1/query",
            "/response/2/status",
        ]
    );
}

#[test]
fn an_edit_has_one_subject() {
    assert_eq!(complaint(r#"{"op":"remove"}"#).0, "/request/0");
    let (at, message) = complaint(r#"{"op":"remove","header":"a","query":"b"}"#);
    assert_eq!(at, "/request/0");
    assert!(message.starts_with("edits several things"));
}

#[test]
fn an_operation_takes_what_it_needs_and_no_more() {
    for (edit, place) in [
        (r#"{"op":"set","header":"a"}"#, "/request/0"),
        (r#"{"op":"rename","header":"a"}"#, "/request/0"),
        (
            r#"{"op":"set","header":"a","value":"","to":"b"}"#,
            "/request/0/to",
        ),
        (
            r#"{"op":"remove","header":"a","value":""}"#,
            "/request/0/value",
        ),
        (r#"{"op":"remove","query":"a","to":""}"#, "/request/0/to"),
        (r#"{"op":"rename","header":"a","to":"A"}"#, "/request/0/to"),
        (r#"{"op":"rename","query":"a","to":"a"}"#, "/request/0/to"),
        (r#"{"op":"remove","query":""}"#, "/request/0/query"),
        (r#"{"op":"append","path":"/a"}"#, "/request/0/op"),
        (
            r#"{"op":"set","path":"/a","value":"b"}"#,
            "/request/0/value",
        ),
        (r#"{"op":"move","header":"a"}"#, "/request/0/op"),
        (r#"{"op":"add","header":"a","value":""}"#, "/request/0/op"),
        (
            r#"{"op":"set","header":"a","value":"","json":"1"}"#,
            "/request/0/json",
        ),
        (r#"{"op":"set","body":"/a"}"#, "/request/0"),
        (
            r#"{"op":"set","body":"/a","value":"","json":"1"}"#,
            "/request/0",
        ),
        (
            r#"{"op":"set","body":"/a","header":"b","value":""}"#,
            "/request/0",
        ),
        (
            r#"{"op":"set","body":"/a","value":"","to":"/b"}"#,
            "/request/0/to",
        ),
        (
            r#"{"op":"set","body":"/a","json":"text"}"#,
            "/request/0/json",
        ),
        (r#"{"op":"set","body":"a","json":"1"}"#, "/request/0/body"),
        (r#"{"op":"append","body":"/a","json":"1"}"#, "/request/0/op"),
        (
            r#"{"op":"remove","body":"/a","json":"1"}"#,
            "/request/0/json",
        ),
        (r#"{"op":"remove","body":"/a","to":"/b"}"#, "/request/0/to"),
        (r#"{"op":"remove","body":""}"#, "/request/0/body"),
        (
            r#"{"op":"set","body":"","template":"1\n{{ body. }}"}"#,
            "/request/0/template",
        ),
        (
            r#"{"op":"set","body":"","template":"1","with":{"a":"${nothing}"}}"#,
            "/request/0/with/a",
        ),
        (
            r#"{"op":"set","body":"","template":"1","with":{"body":""}}"#,
            "/request/0/with/body",
        ),
        (
            r#"{"op":"set","body":"","template":"1","with":{"a/b":""}}"#,
            "/request/0/with/a~1b",
        ),
        (
            r#"{"op":"set","body":"","value":"1","with":{"a":""}}"#,
            "/request/0/with",
        ),
        (
            r#"{"op":"set","body":"","value":"1","template":"1"}"#,
            "/request/0",
        ),
        (
            r#"{"op":"remove","body":"/a","template":"1"}"#,
            "/request/0/template",
        ),
        (
            r#"{"op":"set","header":"a","value":"","template":"1"}"#,
            "/request/0/template",
        ),
        (r#"{"op":"rename","body":"/a"}"#, "/request/0"),
        (r#"{"op":"rename","body":"/a","to":"b"}"#, "/request/0/to"),
        (r#"{"op":"rename","body":"/a","to":"/a"}"#, "/request/0/to"),
        (
            r#"{"op":"rename","body":"/a","to":"/a/b"}"#,
            "/request/0/to",
        ),
        (r#"{"op":"set","header":"a","value":1}"#, "/request/0/value"),
        (
            r#"{"op":"set","header":"a","vallue":""}"#,
            "/request/0/vallue",
        ),
    ] {
        assert_eq!(complaint(edit).0, place, "{edit}");
    }
}

#[test]
fn a_status_of_an_edit_is_a_status_or_a_class_of_a_response() {
    let edit = |status: &str| format!(r#"{{"op":"remove","header":"a","if_status":{status}}}"#);
    assert_eq!(complaint(&edit(r#"["404"]"#)).0, "/request/0/if_status");
    let of_response = |status| complaints(&format!(r#"{{"response":[{}]}}"#, edit(status)));
    assert_eq!(of_response("[]")[0].0, "/response/0/if_status");
    let (at, message) = &of_response(r#"["4xx","teapot"]"#)[0];
    assert_eq!(at, "/response/0/if_status/1");
    assert!(message.contains("`teapot` is no status"), "{message}");
    assert!(operations(&format!(r#"{{"response":[{}]}}"#, edit(r#"["4xx"]"#))).is_ok());
}

#[test]
fn reserved_headers_are_refused() {
    for name in ["Content-Length", "connection", "Host"] {
        let (at, message) = complaint(&format!(r#"{{"op":"remove","header":"{name}"}}"#));
        assert_eq!(at, "/request/0/header");
        assert!(message.contains("reserved to the gateway"), "{message}");
    }
    let (at, _) = complaint(r#"{"op":"rename","header":"a","to":"te"}"#);
    assert_eq!(at, "/request/0/to");
}

#[test]
fn a_header_value_holds_no_line_end() {
    let (at, _) = complaint(r#"{"op":"set","header":"a","value":"b\r\nc: d"}"#);
    assert_eq!(at, "/request/0/value");
}

#[test]
fn a_path_is_a_path() {
    for bad in [
        "v2",
        "",
        "/a?b=c",
        "/a#b",
        "/100%",
        "/a/../b",
        "/a/%2E%2e",
        "/a/..;b",
        "/a/..%2Fb",
        "/a%00",
        "/a/%FF",
        "${path.id}",
    ] {
        let (at, message) = complaint(&format!(r#"{{"op":"set","path":"{bad}"}}"#));
        assert_eq!(at, "/request/0/path", "{bad}: {message}");
    }
}

#[test]
fn a_literal_path_is_encoded_once() {
    assert_eq!(
        encode_path_literal("/a b/%2F/ä").as_deref(),
        Ok("/a%20b/%2F/%C3%A4")
    );
}

/// `BLESS=1 cargo test` writes the file.
#[test]
fn the_schema_file_is_in_step() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(Settings)).unwrap() + "\n";
    if std::env::var_os("BLESS").is_some() {
        std::fs::write("settings.schema.json", &schema).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string("settings.schema.json").unwrap(),
        schema
    );
}
