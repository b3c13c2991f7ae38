//! Edits made on a fake exchange.

use std::collections::BTreeMap;

use super::*;
use crate::settings::Settings;

/// An exchange in memory. `refuses` names the header that the gateway would not let edit.
#[derive(Default)]
struct Fake {
    headers: Vec<(String, Vec<u8>)>,
    path: String,
    parameters: BTreeMap<&'static str, &'static str>,
    attributes: BTreeMap<&'static str, &'static str>,
    status: u16,
    refuses: &'static str,
    paths_set: usize,
}

impl Fake {
    fn check(&self, name: &str) -> Result<(), EditError> {
        if name == self.refuses {
            Err(EditError::Forbidden)
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
                self.parameters.get(name.as_str()).map(|&text| text.into())
            }
            Fact::Attribute { name, .. } => {
                self.attributes.get(name.as_str()).map(|&text| text.into())
            }
        }
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
            ("id", "a/b c"),
            ("rest", "x/y z"),
            ("dots", ".."),
            ("line", "a\r\nb"),
        ]),
        attributes: BTreeMap::from([("consumer.id", "acme")]),
        ..Fake::default()
    }
}

fn run(edits: &str, exchange: &mut Fake) -> Result<(), Stop> {
    let json = format!(r#"{{"request":[{edits}]}}"#);
    let settings: Settings = windlass_plugin_sdk::parse_settings(&json).expect("a good shape");
    apply(&settings.operations().expect("good settings").0, exchange)
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
fn a_greedy_parameter_keeps_its_slashes() {
    let edits = r#"{"op":"set","path":"/files/${path.rest+}"}"#;
    assert_eq!(edited(edits, fake("/old?q=1")), "/files/x/y%20z?q=1");
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
fn a_response_has_its_status_set() {
    let json = r#"{"response":[
        {"op":"set","status":201},
        {"op":"set","header":"a","value":"${response.header.b}"}
    ]}"#;
    let settings: Settings = windlass_plugin_sdk::parse_settings(json).expect("a good shape");
    let operations = settings.operations().expect("good settings").1;
    let mut exchange = fake("/").with_header("b", "2");
    apply(&operations, &mut exchange).expect("the edits are made");
    assert_eq!(exchange.status, 201);
    assert_eq!(exchange.text(), "/\nb: 2\na: 2");
}

#[test]
fn dot_segments_are_seen_through_their_escapes() {
    for path in ["/..", "/a/./b", "/%2e%2E", "/.%2e/x", "/a/.."] {
        assert!(has_dot_segment(path.as_bytes()), "{path}");
    }
    for path in ["/", "/...", "/a..b", "/%252e", "//"] {
        assert!(!has_dot_segment(path.as_bytes()), "{path}");
    }
}
