//! Edits of a fake exchange.

use std::collections::BTreeMap;

use super::*;
use crate::settings::Settings;

/// An exchange in memory. Its parameters are encoded as in a path. Edits of the header `refuses` and of `:path` are
/// refused with `error`.
#[derive(Default)]
struct Fake {
    headers: Vec<(String, Vec<u8>)>,
    path: String,
    parameters: BTreeMap<&'static str, &'static str>,
    attributes: BTreeMap<&'static str, &'static str>,
    status: u16,
    refuses: &'static str,
    error: Option<EditError>,
    paths_set: usize,
}

impl Fake {
    fn check(&self, name: &str) -> Result<(), EditError> {
        if name == self.refuses {
            Err(self.error.unwrap_or(EditError::Forbidden))
        } else {
            Ok(())
        }
    }

    fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn text(&self) -> String {
        let mut lines = vec![self.path.clone()];
        for (name, value) in &self.headers {
            lines.push(format!("{name}: {}", String::from_utf8_lossy(value)));
        }
        lines.join("\n")
    }
}

impl Exchange for Fake {
    fn fact(&self, fact: &Fact) -> Option<Vec<u8>> {
        match fact {
            Fact::RequestMethod => Some(b"GET".to_vec()),
            Fact::RequestPath => panic!("the walk reads the path itself"),
            Fact::RequestHeader(name) | Fact::ResponseHeader(name) => {
                self.header_all(name).into_iter().next()
            }
            Fact::RequestQuery(name) => PathAndQuery::parse(&self.path).query_param(name),
            Fact::PathParameter { name, .. } => {
                self.raw_path_param(name).map(|param| param.decode())
            }
            Fact::Body(_) => panic!("the walk reads the body itself"),
            Fact::Attribute { name, .. } => {
                self.attributes.get(name.as_str()).map(|&text| text.into())
            }
        }
    }

    fn raw_path_param(&self, name: &str) -> Option<RawParam> {
        let text = self.parameters.get(name)?;
        Some(RawParam::of_path(*text))
    }

    fn raw_query_param(&self, name: &str) -> Option<RawParam> {
        PathAndQuery::parse(&self.path).raw_query_param(name)
    }

    fn header_all(&self, name: &str) -> Vec<Vec<u8>> {
        let named = self.headers.iter().filter(|(present, _)| present == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    fn set_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.remove_header(name)?;
        self.append_header(name, value)
    }

    fn append_header(&mut self, name: &str, value: &[u8]) -> Result<(), EditError> {
        self.check(name)?;
        self.headers.push((name.to_owned(), value.to_vec()));
        Ok(())
    }

    fn remove_header(&mut self, name: &str) -> Result<(), EditError> {
        self.check(name)?;
        self.headers.retain(|(present, _)| present != name);
        Ok(())
    }

    fn path(&self) -> String {
        self.path.clone()
    }

    fn set_path(&mut self, path: &str) -> Result<(), EditError> {
        self.check(":path")?;
        self.paths_set += 1;
        path.clone_into(&mut self.path);
        Ok(())
    }

    fn set_status(&mut self, status: u16) -> Result<(), EditError> {
        self.status = status;
        Ok(())
    }
}

fn fake(path: &str) -> Fake {
    Fake {
        path: path.to_owned(),
        parameters: BTreeMap::from([
            ("id", "a%2Fb%20c"),
            ("rest", "x%2Fy/z%3B1"),
            ("dots", ".."),
            ("line", "a%0D%0Ab"),
        ]),
        attributes: BTreeMap::from([("consumer.id", "acme"), ("odd", "a <b>&c")]),
        ..Fake::default()
    }
}

fn run(edits: &str, exchange: &mut Fake) -> Result<(), Stop> {
    let json = format!(r#"{{"request":[{edits}]}}"#);
    let settings: Settings = windlass_plugin_sdk::parse_settings(&json).expect("a good shape");
    let operations = settings.operations().expect("good settings").0;
    let operations: Vec<_> = operations.into_iter().enumerate().collect();
    apply(&operations, exchange, None)
}

fn edited(edits: &str, mut exchange: Fake) -> String {
    run(edits, &mut exchange).expect("the edits are made");
    exchange.text()
}

#[test]
fn headers_are_set_appended_removed_and_renamed() {
    let exchange = fake("/")
        .with_header("a", "1")
        .with_header("b", "2")
        .with_header("c", "3")
        .with_header("c", "4")
        .with_header("d", "5");
    let edits = r#"
        {"op":"set","header":"a","value":"${attribute.consumer.id}"},
        {"op":"append","header":"a","value":"${request.method}"},
        {"op":"remove","header":"b"},
        {"op":"rename","header":"c","to":"d"},
        {"op":"rename","header":"absent","to":"d"}"#;
    assert_eq!(edited(edits, exchange), "/\na: acme\na: GET\nd: 3\nd: 4");
}

#[test]
fn query_and_path_are_edited_and_given_once() {
    let mut exchange = fake("/v1/orders?x=1&old=2&drop=3");
    let edits = r#"
        {"op":"set","query":"x","value":"${path.id}"},
        {"op":"rename","query":"old","to":"new"},
        {"op":"remove","query":"drop"},
        {"op":"append","query":"more","value":"${request.query.new}"},
        {"op":"set","path":"/v2${request.path}/${path.id}"}"#;
    run(edits, &mut exchange).expect("the edits are made");
    assert_eq!(
        exchange.path,
        "/v2/v1/orders/a%2Fb%20c?x=a%2Fb%20c&new=2&more=2"
    );
    assert_eq!(exchange.paths_set, 1);
}

#[test]
fn a_greedy_parameter_keeps_its_slashes_and_its_escapes() {
    let edits = r#"{"op":"set","path":"/files/${path.rest+}"}"#;
    assert_eq!(edited(edits, fake("/old?q=1")), "/files/x%2Fy/z%3B1?q=1");
    let edits = r#"{"op":"set","path":"/files/${path.rest}"}"#;
    assert_eq!(edited(edits, fake("/old")), "/files/x%2Fy%2Fz%3B1");
}

#[test]
fn a_query_parameter_goes_into_a_path_as_one_segment() {
    for (query, path) in [
        ("a/b", "/i/a%2Fb"),
        ("a%2fb", "/i/a%2fb"),
        ("a+b", "/i/a%20b"),
        ("a%2Bb", "/i/a%2Bb"),
        ("%3F%23", "/i/%3F%23"),
        ("100%", "/i/100%25"),
    ] {
        let edits = r#"{"op":"set","path":"/i/${request.query.id}"}"#;
        let exchange = fake(&format!("/old?id={query}"));
        assert_eq!(edited(edits, exchange), format!("{path}?id={query}"));
    }
}

#[test]
fn a_query_parameter_goes_into_another_as_it_is_spelled() {
    let edits = r#"
        {"op":"set","query":"r","value":"${request.query.q}"},
        {"op":"append","query":"s","value":"<${request.query.q}>"}"#;
    assert_eq!(
        edited(edits, fake("/?q=a+b%2bc%FF&r=1")),
        "/?q=a+b%2bc%FF&r=a+b%2bc%FF&s=%3Ca+b%2bc%FF%3E"
    );
}

#[test]
fn a_redirect_keeps_the_client_s_spelling() {
    let location = |value: &str, path| {
        let edits = format!(r#"{{"op":"set","header":"location","value":"{value}"}}"#);
        let text = edited(&edits, fake(path));
        let line = text.lines().nth(1).expect("a header");
        line.strip_prefix("location: ").expect("it").to_owned()
    };
    for (value, path, expected) in [
        ("/o/${path.id}", "/", "/o/a%2Fb%20c"),
        ("/o/${path.rest+}", "/", "/o/x%2Fy/z%3B1"),
        ("/${path.line}", "/", "/a%0D%0Ab"),
        ("/o?id=${path.id}", "/", "/o?id=a%2Fb%20c"),
        ("/${request.query.q}", "/?q=/evil.test", "/%2Fevil.test"),
        ("/o?n=${request.query.q}", "/?q=a%26b+c", "/o?n=a%26b+c"),
        (
            "${request.query.q}",
            "/?q=https%3A%2F%2Fa.test/",
            "https://a.test/",
        ),
        ("${request.query.q}", "/?q=/a+b%22", "/a%20b%22"),
        ("/?u=${attribute.odd}", "/", "/?u=a%20%3Cb%3E&c"),
    ] {
        assert_eq!(location(value, path), expected, "{value} of {path}");
    }
}

#[test]
fn an_edit_sees_those_before_it() {
    let edits = r#"
        {"op":"set","header":"a","value":"1"},
        {"op":"set","header":"b","value":"${request.header.a}2"},
        {"op":"set","path":"/new"},
        {"op":"set","header":"c","value":"${request.path}"}"#;
    assert_eq!(edited(edits, fake("/old")), "/new\na: 1\nb: 12\nc: /new");
}

#[test]
fn an_edit_that_names_something_absent_is_left_out() {
    let mut exchange = fake("/old?q=1").with_header("a", "1");
    let edits = r#"
        {"op":"set","header":"a","value":"${request.header.absent}"},
        {"op":"set","query":"q","value":"x${request.query.absent}"},
        {"op":"set","path":"/${path.absent}"},
        {"op":"remove","query":"absent"}"#;
    run(edits, &mut exchange).expect("the edits are made");
    assert_eq!(exchange.text(), "/old?q=1\na: 1");
    assert_eq!(exchange.paths_set, 0);
}

#[test]
fn a_field_set_from_an_absent_attribute_is_gone() {
    for (value, gone) in [
        ("${attribute.tier}", true),
        ("a-${attribute.consumer.id}-${attribute.tier}", true),
        ("${attribute.consumer.id}-${request.header.absent}", true),
        ("${path.absent}", true),
        ("${request.header.absent}", false),
        ("${request.query.absent}", false),
    ] {
        let mut exchange = fake("/old?plan=x&q=1")
            .with_header("x-tier", "gold")
            .with_header("x-tier", "silver");
        let edits = format!(
            r#"{{"op":"set","header":"x-tier","value":"{value}"}},
               {{"op":"set","query":"plan","value":"{value}"}}"#
        );
        run(&edits, &mut exchange).expect("the edits are made");
        let expected = if gone {
            "/old?q=1"
        } else {
            "/old?plan=x&q=1\nx-tier: gold\nx-tier: silver"
        };
        assert_eq!(exchange.text(), expected, "{value}");
    }
}

#[test]
fn an_append_of_an_absent_attribute_adds_nothing() {
    let exchange = fake("/").with_header("x-tier", "gold");
    let edits = r#"{"op":"append","header":"x-tier","value":"${attribute.tier}"}"#;
    assert_eq!(edited(edits, exchange), "/\nx-tier: gold");
}

#[test]
fn a_path_that_needs_an_absent_attribute_stops() {
    let mut exchange = fake("/tenants/other/x");
    let edits = r#"{"op":"set","path":"/tenants/${attribute.tenant}/${path.rest+}"}"#;
    assert_eq!(run(edits, &mut exchange), Err(Stop::Absent { place: 0 }));
    assert_eq!(exchange.path, "/tenants/other/x");
}

#[test]
fn a_value_that_climbs_out_of_the_path_stops() {
    for path in [
        "/v2/${path.dots}",
        "/v2/${path.dots}/x",
        "/v2/${path.dots+}",
    ] {
        let mut exchange = fake("/old");
        let edits = format!(r#"{{"op":"set","path":"{path}"}}"#);
        assert_eq!(run(&edits, &mut exchange), Err(Stop::Value { place: 0 }));
        assert_eq!(exchange.path, "/old");
    }
}

#[test]
fn a_value_that_is_no_segment_stops() {
    let edits = r#"{"op":"set","path":"/t/${request.query.t}/x"}"#;
    let stop = Err(Stop::Value { place: 0 });
    assert_eq!(run(edits, &mut fake("/old?t=")), stop);
    let edits = r#"{"op":"set","path":"/t${request.query.t}/x"}"#;
    assert_eq!(edited(edits, fake("/old?t=")), "/t/x?t=");
}

#[test]
fn a_value_with_a_line_end_stops_before_a_header() {
    let edits = r#"
        {"op":"remove","header":"x"},
        {"op":"set","header":"a","value":"${path.line}"}"#;
    assert_eq!(run(edits, &mut fake("/")), Err(Stop::Value { place: 1 }));
}

#[test]
fn an_edit_that_the_gateway_refuses_stops() {
    let refused = |refuses, edits| {
        let mut exchange = Fake {
            refuses,
            ..fake("/a?q=1")
        };
        run(edits, &mut exchange)
    };
    let stop = |place| {
        Err(Stop::Edit {
            place,
            error: EditError::Forbidden,
        })
    };
    let header = r#"{"op":"remove","query":"q"},{"op":"set","header":"a","value":"1"}"#;
    assert_eq!(refused("a", header), stop(1));
    let query = r#"{"op":"remove","query":"q"},{"op":"set","header":"b","value":"1"}"#;
    assert_eq!(refused(":path", query), stop(0));
}

#[test]
fn a_value_that_the_gateway_cannot_place_is_the_client_s_fault() {
    let refused = |refuses, error, edit: &str| {
        let mut exchange = Fake {
            refuses,
            error: Some(error),
            ..fake("/a?q=1")
        };
        run(edit, &mut exchange)
    };
    let value = Err(Stop::Value { place: 0 });
    let path = r#"{"op":"set","path":"/v2/${request.query.q}"}"#;
    for error in [EditError::Syntax, EditError::TooLarge] {
        assert_eq!(refused(":path", error, path), value);
    }
    let copied = r#"{"op":"set","header":"a","value":"${request.query.q}"}"#;
    assert_eq!(refused("a", EditError::TooLarge, copied), value);
    // The client decided how much space the other headers leave.
    let own = r#"{"op":"append","header":"a","value":"${attribute.consumer.id}"}"#;
    assert_eq!(refused("a", EditError::TooLarge, own), value);
    let constant = r#"{"op":"set","header":"a","value":"production"}"#;
    assert_eq!(refused("a", EditError::TooLarge, constant), value);
    let error = EditError::Forbidden;
    assert_eq!(
        refused("a", error, constant),
        Err(Stop::Edit { place: 0, error })
    );
}

#[test]
fn a_response_has_its_status_set() {
    let json = r#"{"response":[
        {"op":"set","status":201},
        {"op":"set","header":"a","value":"${response.header.b}"}
    ]}"#;
    let settings: Settings = windlass_plugin_sdk::parse_settings(json).expect("a good shape");
    let operations = settings.operations().expect("good settings").1;
    let operations: Vec<_> = operations.into_iter().enumerate().collect();
    let mut exchange = fake("/").with_header("b", "2");
    apply(&operations, &mut exchange, None).expect("the edits are made");
    assert_eq!(exchange.status, 201);
    assert_eq!(exchange.text(), "/\nb: 2\na: 2");
}

/// The body after these edits, and the head.
fn body_after(edits: &str, body: &str, mut exchange: Fake) -> Result<(String, String), Stop> {
    let json = format!(r#"{{"request":[{edits}]}}"#);
    let settings: Settings = windlass_plugin_sdk::parse_settings(&json).expect("a good shape");
    let operations = settings.operations().expect("good settings").0;
    let operations: Vec<_> = operations.into_iter().enumerate().collect();
    let mut document = Document::parse(body.as_bytes()).expect("it is JSON");
    apply(&operations, &mut exchange, Some(&mut document))?;
    let changed = document.into_changed();
    Ok((changed.unwrap_or_else(|| body.to_owned()), exchange.text()))
}

#[test]
fn a_body_is_edited_in_the_order_of_the_file() {
    let edits = r#"
        {"op":"set","body":"/consumer","value":"${attribute.consumer.id}"},
        {"op":"set","body":"/level","json":" 1.50 "},
        {"op":"add","body":"/tags/0","value":"a \"b\"\n${request.method}"},
        {"op":"rename","body":"/old","to":"/new/deep"},
        {"op":"set","body":"/copy","value":"${request.body/new/deep}-${request.body/big}"},
        {"op":"remove","body":"/secret"}"#;
    let body = r#"{"old":{"x" : 1},"secret":1, "tags":["c"],"big":10000000000000000000001}"#;
    let (body, _) = body_after(edits, body, fake("/")).expect("the edits are made");
    assert_eq!(
        body,
        concat!(
            r#"{"tags":["a \"b\"\nGET","c"],"big":10000000000000000000001,"consumer":"acme","#,
            r#""level":1.50,"new":{"deep":{"x" : 1}},"#,
            r#""copy":"{\"x\" : 1}-10000000000000000000001"}"#
        )
    );
}

#[test]
fn a_value_of_the_body_goes_where_values_go() {
    let edits = r#"
        {"op":"set","header":"x-name","value":"${request.body/user/name}"},
        {"op":"set","header":"x-absent","value":"${request.body/user/none}"},
        {"op":"append","query":"n","value":"${request.body/n}"},
        {"op":"set","path":"/u/${request.body/user/name}"}"#;
    let body = r#"{"user":{"name":"a/b \u00e9"},"n":1e400}"#;
    let (same, head) = body_after(edits, body, fake("/?a=1")).expect("the edits are made");
    assert_eq!(same, body);
    assert_eq!(head, "/u/a%2Fb%20%C3%A9?a=1&n=1e400\nx-name: a/b \u{e9}");
}

#[test]
fn a_value_of_the_body_that_does_not_fit_is_refused() {
    for (edit, body) in [
        (
            r#"{"op":"set","header":"x","value":"${request.body/a}"}"#,
            r#"{"a":"x\r\ny: 1"}"#,
        ),
        (
            r#"{"op":"set","path":"/u/${request.body/a}"}"#,
            r#"{"a":".."}"#,
        ),
        (
            r#"{"op":"set","body":"/b","value":"${request.body/a}"}"#,
            r#"{"a":"\ud800"}"#,
        ),
        (
            r#"{"op":"set","body":"/b","value":"${request.header.latin}"}"#,
            "{}",
        ),
    ] {
        let mut exchange = fake("/");
        exchange
            .headers
            .push(("latin".to_owned(), b"\xe9".to_vec()));
        let stop = body_after(edit, body, exchange);
        assert_eq!(stop, Err(Stop::Value { place: 0 }), "{edit}");
    }
}

#[test]
fn a_value_that_is_the_gateway_s_word_is_never_the_client_s() {
    let edit =
        |op: &str| format!(r#"{{"op":"{op}","body":"/tenant","value":"${{attribute.nothing}}"}}"#);
    let body = r#"{"tenant":"evil","a":1,"t\u0065nant":"evil too"}"#;
    let after = |op| {
        body_after(&edit(op), body, fake("/"))
            .expect("the edit is made")
            .0
    };
    assert_eq!(after("set"), r#"{"a":1}"#);
    assert_eq!(after("add"), body);
    let known = r#"{"op":"set","body":"/tenant","value":"${attribute.consumer.id}"}"#;
    let (body, _) = body_after(known, body, fake("/")).expect("the edit is made");
    assert_eq!(body, r#"{"a":1,"t\u0065nant":"acme"}"#);
}

#[test]
fn a_template_makes_a_value_of_the_body() {
    let edits = r#"
        {"op":"set","body":"/first","json":"1"},
        {"op":"set","body":"","template":"{\"by\":{{ who }},\"none\":{{ none }},\"was\":{{ body }}}",
         "with":{"who":"${attribute.consumer.id}","none":"${attribute.nothing}"}},
        {"op":"add","body":"/list/-","template":"{{ body.was.n }}"}"#;
    let (body, _) = body_after(edits, r#"{"n": 1.10e2}"#, fake("/")).expect("the edits are made");
    assert_eq!(
        body,
        r#"{"by":"acme","none":null,"was":{"n":1.10e2,"first":1},"list":[110.0]}"#
    );
    let wrong =
        r#"{"op":"remove","body":"/a"},{"op":"set","body":"","template":"\"{{ body.a }}\""}"#;
    let stop = body_after(wrong, r#"{"b":1,"a":2}"#, fake("/"));
    assert_eq!(
        stop.map(drop),
        Ok(()),
        "an absent value is `null`, in quotes too"
    );
    let wrong = r#"{"op":"set","body":"","template":"\"{{ body.a }}\""}"#;
    let stop = body_after(wrong, r#"{"a":"x"}"#, fake("/"));
    assert!(
        matches!(stop, Err(Stop::Template { place: 0, .. })),
        "{stop:?}"
    );
    let unfit = r#"{"op":"set","body":"","template":"{% for a in body %}{% endfor %}1"}"#;
    let stop = body_after(unfit, "1", fake("/"));
    assert!(
        matches!(stop, Err(Stop::Unfit { place: 0, .. })),
        "{stop:?}"
    );
}

#[test]
fn a_body_that_is_too_wide_is_refused_where_an_edit_or_a_value_needs_it() {
    let wide = format!("{{\"a\":[1{}]}}", ",1".repeat(10_000));
    for edit in [
        r#"{"op":"set","body":"/a/0","json":"2"}"#,
        r#"{"op":"remove","body":"/a/0"}"#,
        r#"{"op":"set","header":"x","value":"${request.body/a/0}"}"#,
        r#"{"op":"set","path":"/${request.body/a/0}"}"#,
    ] {
        let stop = body_after(edit, &wide, fake("/"));
        assert_eq!(stop, Err(Stop::Body(Flaw::Width)), "{edit}");
    }
    let beside = r#"{"op":"set","body":"/b","json":"2"}"#;
    assert!(body_after(beside, &wide, fake("/")).is_ok());
}
