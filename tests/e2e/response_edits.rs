//! Edits of a response that filters request before there is one.

use windlass_tests::{ClosedPort, Gateway, Request, Upstream};

use crate::config::{api_key, filtered, stamp, start};

/// A filter of this name that does what its settings say; its steps are in `tests/guests/rust`.
fn actor(name: &str, settings: &str) -> String {
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    format!("\n[filter.{name}]\nplugin = \"{plugin}\"\nsettings = {{ {settings} }}\n")
}

/// A step that requests these edits.
fn edits(edits: &[[&str; 3]]) -> String {
    format!("{{ edit-response = {edits:?} }}")
}

/// A gateway with these filters, in this order, in front of an endpoint whose response has three fields `x-three`.
fn gateway(names: &[&str], filters: &[&str]) -> (Gateway, Upstream) {
    let upstream = Upstream::with(|_, stream| {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-three: 1\r\nx-three: 2\r\nx-three: 3\r\nvary: accept\r\n\r\nok";
        std::io::Write::write_all(stream, head.as_bytes())?;
        Ok(windlass_tests::Then::KeepAlive)
    });
    let config = filtered(names, upstream.address());
    let mut parts = vec![config.as_str()];
    parts.extend(filters);
    (start(&parts), upstream)
}

#[test]
fn edits_of_the_configuration_and_of_the_request_are_made_in_their_order() {
    let configured = edits(&[
        ["set", "x-three", "all"],
        ["append", "x-order", "configured"],
        ["add-member", "vary", "Origin"],
    ]);
    let requested = edits(&[
        ["append", "x-order", "requested"],
        ["append", "x-three", "one"],
        ["add-member", "vary", "ORIGIN"],
    ]);
    let one = actor(
        "one",
        &format!(
            "configure = [{configured}], request = [{requested}], response = [{{ append-header = [\"response\", \"x-order\", \"called\"] }}]"
        ),
    );
    let (gateway, _upstream) = gateway(&["one"], &[&one]);
    for _ in 0..2 {
        let answer = gateway.get("/");
        assert_eq!(answer.headers("x-three"), ["all", "one"]);
        assert_eq!(
            answer.headers("x-order"),
            ["configured", "requested", "called"]
        );
        assert_eq!(answer.headers("vary"), ["accept", "Origin"]);
    }
}

#[test]
fn edits_are_made_in_the_place_of_their_filter() {
    let append = |name: &str| edits(&[["append", "x-order", name]]);
    let told = |name: &str| actor(name, &format!("request = [{}]", append(name)));
    let (gateway, _upstream) = gateway(
        &["one", "two", "three"],
        &[&told("one"), &stamp("two"), &told("three")],
    );
    assert_eq!(gateway.get("/").headers("x-order"), ["three", "two", "one"]);
}

#[test]
fn refusals_and_errors_meet_the_edits_of_the_filters_before_them() {
    let edits = |name: &str| {
        let all = edits(&[["append", "x-all", name]]);
        let own = edits(&[["append", "x-own", name]]);
        // A filter that skips its response phase can request edits too.
        let settings = format!("configure = [{all}, \"skip-on-response\"], request = [{own}]");
        actor(name, &settings)
    };
    let (first, last) = (edits("first"), edits("last"));
    let (refusing, upstream) =
        gateway(&["first", "keys", "last"], &[&first, &last, &api_key("{}")]);
    let answer = refusing.get("/");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers("x-all"), ["first"]);
    assert_eq!(answer.headers("x-own"), ["first"]);
    assert_eq!(upstream.count(), 0);

    let port = ClosedPort::new();
    let failing = start(&[&filtered(&["first", "last"], port.address()), &first, &last]);
    let answer = failing.get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "connect_failed"));
    assert_eq!(answer.headers("x-all"), ["last", "first"]);
    assert_eq!(answer.headers("x-own"), ["last", "first"]);
}

#[test]
fn a_filter_that_skips_its_response_phase_is_not_called_for_it() {
    let settings = |more: &str| {
        format!(
            "configure = [{more}], response = [{{ append-header = [\"response\", \"x-called\", \"yes\"] }}]"
        )
    };
    let called = actor("called", &settings(""));
    let skipped = actor("skipped", &settings("\"skip-on-response\""));
    let (gateway, _upstream) = gateway(&["called", "skipped"], &[&called, &skipped]);
    let answer = gateway.get("/");
    assert_eq!(answer.headers("x-called"), ["yes"]);
    // Both filters run their request phase and their log phase; one runs its response phase.
    let calls = "windlass_filter_calls_total";
    gateway.metrics_when("the log phases", |metrics| metrics[calls] >= 5.0);
    assert_eq!(gateway.metrics()[calls], 5.0);
}

#[test]
fn a_phase_that_fails_has_told_no_edit() {
    let told = edits(&[["set", "x-told", "yes"]]);
    let settings = format!("request = [{told}, {{ fail = \"told to\" }}]");
    let failing = format!("{}on_error = \"skip\"\n", actor("failing", &settings));
    let (gateway, _upstream) = gateway(&["failing"], &[&failing]);
    let answer = gateway.get("/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-told"), None);
}

#[test]
fn edits_that_no_filter_may_make_are_refused_and_none_of_the_list_is_kept() {
    let list = |name: &str| edits(&[["set", "x-first", "1"], ["set", name, "2"]]);
    let steps: Vec<_> = ["content-length", "bad name", "host", "connection"]
        .map(list)
        .into();
    let settings = format!(
        "request = [{}, {{ respond = {{ status = 200 }} }}]",
        steps.join(", ")
    );
    let told = settings.replace("{ respond = { status = 200 } }", "\"report\"");
    let (gateway, _upstream) = gateway(&["told"], &[&actor("told", &told)]);
    let answer = gateway.get("/");
    let refused: Vec<String> = serde_json::from_str(answer.text()).expect("a report");
    assert_eq!(refused, ["forbidden", "syntax", "forbidden", "forbidden"]);
    assert_eq!(gateway.get("/").header("x-first"), None);
}

#[test]
fn a_later_phase_can_tell_no_edit() {
    let late = edits(&[["set", "x-late", "1"]]);
    let (gateway, _upstream) = gateway(
        &["late"],
        &[&actor("late", &format!("response = [{late}, \"report\"]"))],
    );
    assert_eq!(gateway.get("/").text(), "[\"too-late\"]");
}

#[test]
fn a_head_that_edits_make_too_large_is_a_failure_of_the_filter() {
    let large = "v".repeat(60 * 1024);
    let told = edits(&[["set", "x-large", &large], ["append", "x-large", &large]]);
    let told = actor("told", &format!("request = [{told}]"));
    let (gateway, _upstream) = gateway(&["told"], &[&told]);
    let answer = gateway.get("/");
    assert_eq!((answer.status, &*answer.code()), (500, "filter_failed"));
    assert_eq!(answer.header("x-large"), None);
    gateway.log().wait_for_line(|line| {
        line.contains("would make a head of more than 65536 bytes or 1024 fields")
    });
    assert_eq!(gateway.metrics()["windlass_filter_failures_total"], 1.0);
}

#[test]
fn a_filter_whose_response_only_has_constant_fields_is_called_once() {
    let edit = "\n[filter.edit]\nplugin = \"builtin:transform\"\n[filter.edit.settings]\nresponse = [{ op = \"set\", header = \"x-by\", value = \"windlass\" }, { op = \"remove\", header = \"x-three\" }]\n";
    let (gateway, _upstream) = gateway(&["edit"], &[edit]);
    let answer = gateway.send(&Request::new("GET", "/"));
    assert_eq!(answer.header("x-by"), Some("windlass"));
    assert_eq!(answer.header("x-three"), None);
    assert_eq!(gateway.metrics()["windlass_filter_calls_total"], 1.0);
}

#[test]
fn a_skipped_filter_whose_edits_do_not_fit_has_edited_nothing() {
    let large = "v".repeat(60 * 1024);
    let told = edits(&[
        ["remove", "x-three", ""],
        ["set", "x-large", &large],
        ["append", "x-large", &large],
    ]);
    let told = actor("told", &format!("request = [{told}]"));
    let (gateway, _upstream) = gateway(&["told"], &[&format!("{told}on_error = \"skip\"\n")]);
    let answer = gateway.get("/");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers("x-three"), ["1", "2", "3"]);
    assert_eq!(answer.header("x-large"), None);
}

#[test]
fn each_filter_may_tell_256_edits_of_a_response() {
    let many = |count: usize| {
        let one = ["set", "x-many", "1"];
        edits(&vec![one; count])
    };
    let first = actor("first", &format!("request = [{}]", many(256)));
    let second = actor("second", &format!("request = [{}]", many(256)));
    let third = actor("third", &format!("request = [{}, \"report\"]", many(257)));
    let (gateway, _upstream) = gateway(&["first", "second", "third"], &[&first, &second, &third]);
    let answer = gateway.get("/");
    assert_eq!(answer.text(), "[\"too-large\"]");
    assert_eq!(answer.header("x-many"), Some("1"));
    gateway
        .log()
        .wait_for_line(|line| line.contains("at most 256 edits of one response"));
}
